"""Reads Terraform files with python-hcl2: blocks with their labels, and attributes as the text of their expressions."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import hcl2

FOLDER = Path(__file__).parents[2] / "templates/schedule"
_MARK = "__is_block__"


@dataclass
class Block:
    """A block: `kind "label" ... { attributes, blocks }`."""

    kind: str
    labels: tuple[str, ...] = ()
    attributes: dict[str, str] = field(default_factory=dict)
    blocks: list["Block"] = field(default_factory=list)

    def address(self):
        """Returns what other blocks call it."""
        return ".".join(self.labels)

    def all(self, kind):
        """Returns the blocks of a kind right below."""
        return [block for block in self.blocks if block.kind == kind]


def read(folder=FOLDER):
    """Returns a block of everything in a folder's .tf files."""
    whole = Block("")
    for path in sorted(folder.glob("*.tf")):
        whole.blocks += _block("", (), hcl2.loads(path.read_text())).blocks
    return whole


def _block(kind, labels, content):
    made = Block(kind, labels)
    for name, value in content.items():
        if isinstance(value, list) and value and all(_is_block(one) for one in value):
            made.blocks += [_labelled(name, (), one) for one in value]
        elif not name.startswith("__"):
            made.attributes[name] = _text(value)
    return made


def _labelled(kind, labels, content):
    """Goes down the labels of a block, which hcl2 gives as quoted keys, to what it holds."""
    while _MARK not in content:
        ((label, content),) = content.items()
        labels += (label.strip('"'),)
    return _block(kind, labels, content)


def _is_block(value):
    while isinstance(value, dict) and _MARK not in value and len(value) == 1:
        (value,) = value.values()
    return isinstance(value, dict) and _MARK in value


def _text(value):
    """Returns an expression without the braces that hcl2 puts around it; what is quoted stays so."""
    whole = re.fullmatch(r"\$\{(.*)\}", value, re.DOTALL) if isinstance(value, str) else None
    return whole[1] if whole else value if isinstance(value, str) else json.dumps(value)


def rendered(template, values):
    """Returns what `templatefile` makes of a template whose holes are names and jsonencode(name).

    Raises:
      KeyError: A hole has no value.
    """
    text = re.sub(r"\$\{jsonencode\((\w+)\)\}", lambda hole: json.dumps(values[hole[1]]), template)
    return re.sub(r"\$\{(\w+)\}", lambda hole: str(values[hole[1]]), text)


def holes(template):
    """Returns the names that a template needs."""
    return set(re.findall(r"\$\{(?:jsonencode\()?(\w+)\)?\}", template))
