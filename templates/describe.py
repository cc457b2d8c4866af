"""Writes what Dataflow has to know of the template: metadata.json, from the table of options, and the image spec.

`python templates/describe.py metadata > templates/metadata.json` after a change of the options.
`python templates/describe.py spec --image IMAGE` needs nothing but Python: it takes the metadata from the file.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clipscout.pipeline.options import Option

METADATA_FILE = Path(__file__).with_name("metadata.json")

#: Options that are no parameters, and why.
LEFT_OUT = {
    "runner": "the launcher gives it",
    "workers": "it counts processes of the local runner",
    "progress": "it shows a local job",
    "preflight_only": "a launch without a job ends as a failed one; every launch begins with the same checks anyway",
}
#: What the launcher's machine loads is a classifier, which scores one blank frame; the default machine has 3.75 GB.
_LAUNCHER_MACHINE = "e2-standard-4"
#: So that a job started without a thought stays small; a launch may say otherwise.
_MAX_WORKERS = 10

_BUCKET = "gs://[a-z0-9][a-z0-9._-]*[a-z0-9]"
_PLACE, _PART = f"{_BUCKET}(?:/.*)?", f"{_BUCKET}/[^,]+"
_PARTS = rf"{_PART}(?:,\s*{_PART})*"
#: Type and form of the texts that have a form. `input` may hold several files, globs and {date}: no GCS_READ_FILE.
_TEXTS = {
    "input": ("TEXT", _PARTS),
    "exclude": ("TEXT", _PARTS),
    "output": ("GCS_WRITE_FOLDER", _PLACE),
    "cookies": ("GCS_READ_FILE", _PLACE),
    "date": ("TEXT", "[0-9]{4}-[0-9]{2}-[0-9]{2}"),
    "proxy": ("TEXT", rf"{_PLACE}|[a-z][a-z0-9+.-]*://[^@\s]+"),
    "search_prefix": ("TEXT", "[a-z][a-z0-9]*"),
    "retry_failed": ("TEXT", r"[a-z_]+(?:,\s*[a-z_]+)*"),
}
#: Type and form of everything else. Numbers have neither sign nor exponent: no option takes less than 0.
_KINDS = {
    "integer": ("NUMBER", "[0-9]+"),
    "number": ("NUMBER", r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+"),
    "flag": ("BOOLEAN", "[Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]"),
}
#: Options that only matter where another one has other values than these.
_IDLE_UNLESS = {
    "gpu_mode": ("gpu", {"none"}),
    "high_score": ("span_mode", {"peaks"}),
    "low_score": ("span_mode", {"peaks"}),
    "merge_gap_seconds": ("span_mode", {"peaks"}),
    "max_span_seconds": ("span_mode", {"peaks"}),
    "clip_height": ("cut", {"copy", "none"}),
    "posters": ("cut", {"none"}),
    "clip_max_height": ("cut", {"none"}),
}
_REQUIRED = ("input", "output")
_SPELLED = {"mb": "MB", "fps": "frames per second", "gpu": "GPU"}

#: Beam's own options that a launch may give as parameters.
BEAM_PARAMETERS = (
    {
        "name": "sdk_container_image",
        "label": "Container image of the workers",
        "helpText": "Left out, the workers run the image of this template, which is what you want.",
        "isOptional": True,
        "paramType": "TEXT",
        "groupName": "Dataflow",
        "regexes": [r"^(?:[a-z0-9][a-z0-9._:/-]*[a-z0-9](?::[A-Za-z0-9_][A-Za-z0-9_.-]*)?(?:@sha256:[0-9a-f]{64})?)?$"],
    },
)


def metadata() -> dict[str, Any]:
    """Returns the template's metadata: what a launch may say, and how a form asks for it."""
    from clipscout.pipeline.options import OPTIONS

    own = [parameter(option) for option in OPTIONS if option.name not in LEFT_OUT]
    return {
        "name": "Clipscout",
        "description": "Mines candidate clips for video action datasets: rows of actions in, clips and manifests out.",
        "parameters": [*own, *BEAM_PARAMETERS],
    }


def parameter(option: "Option") -> dict[str, Any]:
    """Returns an option as a parameter."""
    choices = _choices(option)
    kind, form = ("ENUM", "|".join(map(re.escape, choices))) if choices else _KINDS.get(option.kind, ("TEXT", ""))
    kind, form = _TEXTS.get(option.name, (kind, form))
    filled_in = bool(option.default) and option.name not in _settled_by_others()
    notes = [option.help]
    if "gs://" in form:
        notes.append("Here: on gs://.")
    if option.default and not filled_in:
        notes.append(f"Default: {option.default}, unless another option says otherwise.")
    made: dict[str, Any] = {
        "name": option.name,
        "label": _label(option.name),
        "helpText": " ".join(notes),
        "paramType": kind,
        "groupName": option.group,
    }
    if option.name not in _REQUIRED:
        made["isOptional"] = True
    if form:  # an empty text counts as not given
        made["regexes"] = [f"^(?:{form})$" if option.name in _REQUIRED else f"^(?:{form})?$"]
    if filled_in:
        made["defaultValue"] = option.default
    if choices:
        made["enumOptions"] = [{"value": choice, "label": choice} for choice in choices]
    if option.name in _IDLE_UNLESS:
        parent, idle = _IDLE_UNLESS[option.name]
        made["parentName"] = parent
        made["parentTriggerValues"] = [choice for choice in _choices(_option(parent)) if choice not in idle]
    return made


def _option(name: str) -> "Option":
    from clipscout.pipeline.options import OPTIONS

    return next(option for option in OPTIONS if option.name == name)


def _choices(option: "Option") -> list[str]:
    return option.kind.split("|") if "|" in option.kind else []


def _settled_by_others() -> set[str]:
    """Returns the options whose default must not be filled in: as a user's word it would beat a preset, or exclude."""
    from clipscout.pipeline.config import PRESETS
    from clipscout.pipeline.values import WAYS_TO_SAMPLE

    return {name for values in PRESETS.values() for name in values} | set(WAYS_TO_SAMPLE)


def _label(name: str) -> str:
    words = " ".join(_SPELLED.get(word, word) for word in name.split("_"))
    return words[0].upper() + words[1:]


def spec(image: str) -> dict[str, Any]:
    """Returns the image spec: the file on gs:// that a launch names.

    Raises:
      ValueError: The image's name does not say which version is meant.
    """
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    if not digest and tag in ("", "latest"):
        raise ValueError(f"--image is {image!r}, expected a tag (not latest) or a digest: jobs have to be repeatable")
    return {
        "image": image,
        "metadata": json.loads(METADATA_FILE.read_text()),
        "sdkInfo": {"language": "PYTHON"},
        "defaultEnvironment": {
            "sdkContainerImage": image,
            "launcherMachineType": _LAUNCHER_MACHINE,
            "maxWorkers": _MAX_WORKERS,
        },
    }


def text(document: dict[str, Any]) -> str:
    """Returns a document as the text of its file."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main(argv: list[str]) -> int:
    """Prints the metadata or the image spec; returns 2 where the image is not usable."""
    parser = argparse.ArgumentParser(prog="python templates/describe.py", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("metadata", help="print metadata.json, made from the options")
    commands.add_parser("spec", help="print the image spec").add_argument("--image", required=True)
    given = parser.parse_args(argv)
    try:
        sys.stdout.write(text(metadata() if given.command == "metadata" else spec(given.image)))
    except ValueError as error:
        sys.stderr.write(f"describe: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
