"""Reads Terraform files that `terraform fmt` is content with: blocks, attributes as text, and nothing else."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "templates/schedule"
_HEAD = re.compile(r'(\w+)((?: "[^"]*")*) \{')


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


def _open(text):
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', text)
    return sum(bare.count(sign) for sign in "([{") - sum(bare.count(sign) for sign in ")]}")


def _read(lines, into):
    while lines:
        line = lines.pop(0).strip()
        if line == "}":
            return into
        if not line or line.startswith("#"):
            continue
        if head := _HEAD.fullmatch(line):
            into.blocks.append(_read(lines, Block(head[1], tuple(re.findall('"([^"]*)"', head[2])))))
            continue
        name, equals, value = line.partition(" =")
        if not equals or not re.fullmatch(r'\w+|"[^"]+"', name.strip()):
            raise ValueError(f"neither a block nor an attribute: {line!r}")
        while _open(value) > 0 and lines:
            value += "\n" + lines.pop(0).strip()
        if _open(value) or name.strip() in into.attributes:
            raise ValueError(f"{line!r}: brackets do not match, or the name is given twice")
        into.attributes[name.strip()] = value.strip()
    if into.kind:
        raise ValueError(f"the block {into.kind} {into.address()} does not end")
    return into


def read(folder=FOLDER):
    """Returns a block of everything in a folder's .tf files.

    Raises:
      ValueError: A line is nothing of what is known.
    """
    return parse("\n".join(path.read_text() for path in sorted(folder.glob("*.tf"))))


def parse(text):
    """Returns a block of everything in a text.

    Raises:
      ValueError: A line is nothing of what is known.
    """
    return _read(text.splitlines(), Block(""))


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
