"""Torch models behind one interface: uint8 RGB frames in, scores per label out, numpy at both ends."""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from transforms.core import storage
from transforms.core.classifiers.specs import ClassifierSpec, Preprocessing, SpecError
from transforms.core.labels import LabelIndex


class _Scorer(nn.Module):
    """Preprocessing on the device, the model, and its activation, as one graph."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, model: nn.Module, preprocessing: Preprocessing, activation: str) -> None:
        super().__init__()
        self.model = model
        std = torch.tensor(preprocessing.std).view(1, 3, 1, 1)
        mean = torch.tensor(preprocessing.mean).view(1, 3, 1, 1)
        self.register_buffer("scale", 1 / (255 * std))
        self.register_buffer("shift", -mean / std)
        self.size = (preprocessing.input_height, preprocessing.input_width)
        self.exact = preprocessing.resize == "exact"
        self.activation = activation

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Scores uint8[n, 3, h, w] frames as float32[n, labels]."""
        pixels = frames.to(self.scale.dtype)
        if self.exact:  # notebook step 3
            pixels = nn.functional.interpolate(pixels, size=self.size, mode="bilinear", align_corners=False)
        output = self.model(pixels * self.scale + self.shift).float()
        if self.activation == "softmax":
            return output.softmax(dim=-1)
        if self.activation == "log_softmax":
            return output.exp()
        return output.sigmoid() if self.activation == "sigmoid" else output


class TorchClassifier:
    """A loaded image classifier.

    Attributes:
      labels: Names in output order.
      device: Where it runs.
    """

    def __init__(self, model: nn.Module, spec: ClassifierSpec, device: str) -> None:
        """Freezes the model (batch norm folded, constants propagated) for inference on `device`."""
        self.labels = spec.labels
        self.device = device
        self._index = LabelIndex(spec.labels)
        self._sums = spec.activation != "sigmoid"
        scorer = _Scorer(model, spec.preprocessing, spec.activation).eval().to(device)
        scorer = scorer.to(memory_format=torch.channels_last)
        height, width = spec.preprocessing.input_height, spec.preprocessing.input_width
        example = torch.zeros((2, height, width, 3), dtype=torch.uint8, device=device).permute(0, 3, 1, 2)
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # torch announces the retirement of tracing; nothing replaces its speed yet
            self._scorer = torch.jit.freeze(torch.jit.trace(scorer, example))
            outputs = self._scorer(example).shape
        if outputs != (2, len(spec.labels)):
            raise SpecError(f"{spec.name}: the model gives {outputs[-1]} scores, labels names {len(spec.labels)}")

    def scores(self, frames: np.ndarray) -> np.ndarray:
        """Returns float32[n, labels] scores of uint8[n, height, width, 3] RGB frames."""
        with torch.inference_mode():
            pixels = torch.from_numpy(frames).to(self.device, non_blocking=True).permute(0, 3, 1, 2)
            return self._scorer(pixels).cpu().numpy()

    def responses(self, scores: np.ndarray, wanted: Sequence[Sequence[str]]) -> np.ndarray:
        """Returns float32[n, len(wanted)]: the sum (the maximum for sigmoid) over each action's labels."""
        columns = [scores[:, self._index.indices(labels)] for labels in wanted]
        pooled = [column.sum(axis=1) if self._sums else column.max(axis=1) for column in columns]
        return np.stack(pooled, axis=1) if pooled else np.zeros((len(scores), 0), np.float32)


def resolve_device(device: str) -> str:
    """Returns `cuda` or `cpu` for `auto`, `cuda` or `cpu`.

    Raises:
      SpecError: CUDA was asked for by name and cannot be used; a job that pays for a GPU must not run on a CPU.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise SpecError("device is 'cuda', but torch finds no usable CUDA device")
    return device


def load(spec: ClassifierSpec, device: str = "auto") -> TorchClassifier:
    """Loads a classifier.

    Raises:
      SpecError: The weights cannot be read, do not fit the architecture, or give another number of scores.
    """
    return TorchClassifier(_build(spec), spec, resolve_device(device))


def _build(spec: ClassifierSpec) -> nn.Module:
    model: nn.Module | None = None
    if spec.architecture == "torchscript":
        pass
    elif spec.architecture == "lite0":
        from efficientnet_lite_pytorch import EfficientNet

        model = EfficientNet.from_name("efficientnet-lite0")
    else:
        from torchvision import models

        architecture = spec.architecture.removeprefix("torchvision:")
        try:
            if spec.weights.startswith("enum:"):
                return models.get_model(architecture, weights=spec.weights.removeprefix("enum:"))
            model = models.get_model(architecture, weights=None, num_classes=len(spec.labels))
        except (ValueError, OSError) as error:  # an unknown name; a hub that cannot be reached
            raise SpecError(f"{spec.name}: architecture {architecture}: {error}") from error
    try:
        with storage.local_copy(spec.weights) as path:
            if model is None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # torch announces the retirement of TorchScript to its users
                    return torch.jit.load(path, map_location="cpu")
            state = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(state)
    except Exception as error:  # torch.load raises whatever the damage suggests
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise SpecError(f"{spec.name}: weights {spec.weights}: {first_line}") from error
    return model
