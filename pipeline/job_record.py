"""The settings that shape results, as an output records them: by the names of their options, with a version.

What a record does not name has its default: an option that a later version adds makes no output unusable.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from clipscout.pipeline.options import OPTIONS, WEB_LIMITS
from clipscout.transforms.core.storage import filesystem, kept, naming, strict_json

_RECORD = "job.json"
_VERSION = 2
#: What shapes the classifier's outputs; whether these differ is told by their fingerprint, `scores`, which knows more.
SCORED = ("classifier", "preprocessing", "frame_stride", "sample_fps", "sampling", "precision", "engine", "max_frames")
#: Options of which a record holds what follows from them and not their own default.
_RESOLVED = ("classifier", "prompts", "background_prompts", "min_gap_seconds", "sample_fps")
_OPTIONS = {option.name: option for option in OPTIONS}
#: Names of version 1.
_RENAMED = {
    "height_cap": "max_height_cap",
    "min_seconds": "min_video_seconds",
    "max_seconds": "max_video_seconds",
    "sampling_frame_stride": "frame_stride",
    "sampling_fps": "sample_fps",
}


class RecordError(ValueError):
    """An output's record of its settings cannot be used; the message is one line."""


def default(name: str) -> Any:
    """Returns the value of an option that is not given; None for none."""
    option = _OPTIONS[name]
    if option.default is None or name in _RESOLVED:
        return WEB_LIMITS.get(name)
    kinds: dict[str, Callable[[str], Any]] = {"integer": int, "number": float, "flag": "true".__eq__}
    return kinds.get(option.kind, str)(option.default)


def by_hand(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns those settings that are not the default, without what the fingerprint of the scores says better."""
    return {name: value for name, value in settings.items() if name not in SCORED and value != _default(name)}


def _default(name: str) -> Any:
    return default(name) if name in _OPTIONS else None


def record(settings: Mapping[str, Any]) -> dict[str, bytes]:
    """Returns name and content of the file that records an output's settings; for these see `Config.shaping`."""
    return {_RECORD: strict_json.text({"version": _VERSION, "settings": settings}, indent=2).encode()}


def write(output: str, settings: Mapping[str, Any]) -> None:
    """Records an output's settings."""
    for name, content in record(settings).items():
        filesystem.write_bytes(filesystem.join(output, name), content)


def changes(output: str, settings: Mapping[str, Any]) -> dict[str, str]:
    """Returns the options in which an output's results differ, each with its value there and now, as text.

    Raises:
      StorageError: The record cannot be read.
      RecordError: It is damaged, or of a later version.
    """
    path = filesystem.join(output, _RECORD)
    now: dict[str, Any] = json.loads(strict_json.text(settings))
    try:
        there = _read(strict_json.loads(filesystem.read_bytes(path)), path, now)
    except filesystem.StorageError as error:
        if error.code == "not_found":
            return {}
        raise
    except kept.DAMAGE as error:
        if isinstance(error, RecordError):
            raise
        raise RecordError(f"{path} is damaged; remove it to start anew") from error
    same_scores = there.get("scores") == now["scores"]
    found = {}
    for name in now:
        value = there.get(name, _default(name))
        if name != "scores" and value != now[name] and not (name in SCORED and same_scores):
            found[name] = f"{name}: {_text(value)} there, {_text(now[name])} now"
    if not same_scores and not found.keys() & {*SCORED}:
        found["classifier"] = (
            f"classifier: other weights, labels or preprocessing there than {now['classifier']} has now"
        )
    return found


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return "none" if value is None else str(value)


def _read(record: dict[str, Any], path: str, now: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of a record, by the names of today."""
    version = record.get("version", 1)
    if version > _VERSION:
        raise RecordError(f"{path} is of a later version of Clipscout; upgrade this one")
    if version == _VERSION:
        return dict(record["settings"].items())
    there = {_RENAMED.get(name, name): value for name, value in record.items()}
    if "max_bytes" in there:
        there["max_video_mb"] = there["max_bytes"] / 1e6
    there["sampling"] = "keyframes" if there.get("sampling_keyframes") else "frames"
    # of prompts it has a digest alone, and of these others nothing but the fingerprint of the scores
    there |= {name: now[name] for name in ("background_prompts", "preprocessing", "precision", "max_frames")}
    asked = json.dumps({"templates": now["prompts"], "background": now["background_prompts"]})
    same = there.get("prompts", "") == (naming.digest(asked, 16) if now["prompts"] else "")
    return {**there, "prompts": now["prompts"] if same else "others"}
