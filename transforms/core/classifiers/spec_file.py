"""Classifier specs as files: YAML or JSON, each fault one line that names the file and the field."""

import dataclasses
import difflib
from typing import Any

import yaml

from clipscout.transforms.core.classifiers import open_clip_models, torchvision_models
from clipscout.transforms.core.classifiers.specs import (
    ACTIVATIONS,
    NOTEBOOK_PREPROCESSING,
    ClassifierSpec,
    Preprocessing,
    Prompts,
    SpecError,
    Window,
)
from clipscout.transforms.core.storage import filesystem

_ARCHITECTURES = (
    "torchvision:NAME, timm:NAME, open_clip:MODEL, module:PACKAGE.MODULE:FACTORY, ar, torchscript or torch_export"
)
_BY_PREFIX = ("torchvision:", "timm:", "open_clip:", "module:")
_WHOLE = ("torchscript", "torch_export", "ar")
_KINDS = ("image", "video", "zero_shot")
_PREPROCESSING = {field.name for field in dataclasses.fields(Preprocessing)}
_WINDOW = {"window_frames", "window_fps", "window_step"}
_PROMPTS = {"prompts", "background_prompts"}
_KNOWN = (
    {"name", "kind", "architecture", "weights", "sha256", "labels", "activation"} | _PREPROCESSING | _WINDOW | _PROMPTS
)


def read(uri: str, prompts: Prompts) -> ClassifierSpec:
    """Reads a spec file, local or gs://. Relative paths in it are relative to it.

    Args:
      uri: The file.
      prompts: How a zero-shot model is asked where the file does not say.

    Raises:
      SpecError: It cannot be read or used.
    """
    try:
        fields = yaml.safe_load(filesystem.read_bytes(uri))
    except (filesystem.StorageError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError(f"{uri}: {' '.join(str(error).split())}") from error
    if not isinstance(fields, dict):
        raise SpecError(f"{uri}: expected a mapping of fields")
    try:
        return _spec(uri, fields, prompts)
    except (TypeError, ValueError) as error:
        if isinstance(error, SpecError) and str(error).startswith(uri):
            raise
        raise SpecError(f"{uri}: {error}") from error


def _spec(uri: str, fields: dict[str, Any], prompts: Prompts) -> ClassifierSpec:
    if unknown := sorted(map(str, set(fields) - _KNOWN)):
        close = difflib.get_close_matches(unknown[0], _KNOWN, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(_KNOWN))}"
        raise ValueError(f"unknown field {unknown[0]!r}; {hint}")
    architecture = _architecture(fields)
    kind = fields.get("kind", _usual_kind(architecture, fields))
    if kind not in _KINDS:
        raise ValueError(f"kind is {kind!r}, expected one of {', '.join(_KINDS)}")
    if (kind == "zero_shot") != architecture.startswith("open_clip:"):
        raise ValueError(f"kind is {kind!r} and architecture {architecture!r}: open_clip models alone are zero_shot")
    for group, wanted in ((_WINDOW, "video"), (_PROMPTS, "zero_shot")):
        if kind != wanted and group & set(fields):
            raise ValueError(f"{sorted(group & set(fields))[0]} is for kind {wanted}, and kind is {kind!r}")
    activation = fields.get("activation", "log_softmax" if architecture == "ar" else "softmax")
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation is {activation!r}, expected one of {', '.join(ACTIVATIONS)}")
    return ClassifierSpec(
        name=str(fields.get("name", uri.rpartition("/")[2])),
        architecture=architecture,
        weights=_weights(uri, fields, architecture),
        labels=() if kind == "zero_shot" else _labels(uri, fields),
        preprocessing=_preprocessing(fields, architecture),
        activation=activation,
        window=_window(fields, architecture) if kind == "video" else None,
        prompts=_prompts(fields, prompts) if kind == "zero_shot" else None,
        sha256=_sha256(fields),
    )


def _architecture(fields: dict[str, Any]) -> str:
    if "architecture" not in fields:
        raise ValueError(f"the field 'architecture' is missing: {_ARCHITECTURES}")
    architecture = str(fields["architecture"])
    if architecture not in _WHOLE and not architecture.startswith(_BY_PREFIX):
        raise ValueError(f"architecture is {architecture!r}, expected {_ARCHITECTURES}")
    return architecture


def _usual_kind(architecture: str, fields: dict[str, Any]) -> str:
    """Returns the kind of a spec that does not say."""
    if architecture.startswith("open_clip:"):
        return "zero_shot"
    if architecture.startswith("torchvision:"):
        from torchvision import models

        if architecture.removeprefix("torchvision:") in models.list_models(module=models.video):
            return "video"
    return "video" if _WINDOW & set(fields) else "image"


def _weights(uri: str, fields: dict[str, Any], architecture: str) -> str:
    if "weights" not in fields:
        if architecture.startswith("module:"):
            return ""  # the factory's own
        raise ValueError("the field 'weights' is missing")
    weights = filesystem.resolve(_folder(uri), str(fields["weights"]))
    try:
        filesystem.size_and_digest(weights)
    except filesystem.StorageError as error:
        raise ValueError(f"weights: {error}") from error
    return weights


def _labels(uri: str, fields: dict[str, Any]) -> tuple[str, ...]:
    """Labels stand in the spec as a list, or in a file with one per line (a last newline adds no label)."""
    if "labels" not in fields:
        raise ValueError("the field 'labels' is missing")
    value = fields["labels"]
    if isinstance(value, list):
        labels = tuple(str(label).strip() for label in value)
    else:
        try:
            text = filesystem.read_bytes(filesystem.resolve(_folder(uri), str(value))).decode("utf-8-sig")
        except (filesystem.StorageError, UnicodeDecodeError) as error:
            raise ValueError(f"labels: {error}") from error
        labels = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not labels or not all(labels):
        raise ValueError("labels: there are none, or an empty one")
    return labels


def _preprocessing(fields: dict[str, Any], architecture: str) -> Preprocessing:
    chosen = {name: fields[name] for name in _PREPROCESSING & set(fields)}
    for name in {"mean", "std"} & set(chosen):
        value = chosen[name]
        if not isinstance(value, list) or not all(isinstance(number, (int, float)) for number in value):
            raise ValueError(f"{name} is {value!r}, expected three numbers")
        chosen[name] = tuple(float(number) for number in value)
    if architecture == "ar":  # the package of these checkpoints has the notebook's preprocessing
        return dataclasses.replace(NOTEBOOK_PREPROCESSING, **chosen)
    if architecture.startswith("open_clip:"):
        model = architecture.removeprefix("open_clip:")
        return dataclasses.replace(open_clip_models.preprocessing_of(open_clip_models.config_of(model), {}), **chosen)
    return Preprocessing(**chosen)


def _window(fields: dict[str, Any], architecture: str) -> Window:
    usual = torchvision_models.video_window(architecture.removeprefix("torchvision:"))
    frames = fields.get("window_frames", usual.frames)
    step = fields.get("window_step", max(1, frames // 2) if isinstance(frames, int) else 1)
    return Window(frames, fields.get("window_fps", usual.fps), step)


def _prompts(fields: dict[str, Any], usual: Prompts) -> Prompts:
    chosen = {}
    for field, name in (("prompts", "templates"), ("background_prompts", "background")):
        if field in fields:
            if not isinstance(fields[field], list):
                raise ValueError(f"{field} is {fields[field]!r}, expected a list of sentences")
            chosen[name] = tuple(map(str, fields[field]))
    return dataclasses.replace(usual, **chosen)


def _sha256(fields: dict[str, Any]) -> str:
    text = str(fields.get("sha256", "")).lower().removeprefix("sha256:")
    if text and (len(text) != 64 or set(text) - set("0123456789abcdef")):
        raise ValueError(f"sha256 is {fields['sha256']!r}, expected 64 hexadecimal digits")
    return text


def _folder(spec_uri: str) -> str:
    return spec_uri.rpartition("/")[0] or "."
