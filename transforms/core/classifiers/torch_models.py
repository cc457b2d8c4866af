"""Torch models behind one interface: uint8 RGB frames in, scores per label out, numpy at both ends."""

import contextlib
import ctypes
import os
import resource
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import nn

from transforms.core import storage
from transforms.core.classifiers.specs import ClassifierSpec, LoadRule, Preprocessing, SpecError
from transforms.core.labels import LabelIndex

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # malloc.h
_KEPT_BYTES = 1 << 30


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
        if self.exact:  # the notebook's step 3
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
      out_of_memory_errors: What `scores` raises when memory runs out, among others; see `is_out_of_memory`.
    """

    out_of_memory_errors = (RuntimeError,)

    def __init__(self, model: nn.Module, rule: LoadRule) -> None:
        """Freezes the model (batch norm folded, constants propagated) for inference.

        Raises:
          SpecError: The model cannot be run, or gives another number of scores than there are labels.
        """
        spec = rule.spec
        self.labels = spec.labels
        self.device = resolve_device(rule.device)
        self._index = LabelIndex(spec.labels)
        self._sums = spec.activation != "sigmoid"
        # On a CPU each thread takes a part of the batch. Torch's own threads meet after every layer instead, and wait
        # for the one whose core the decoder shares.
        self._threads = rule.threads or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._threads) if self.device == "cpu" and self._threads > 1 else None
        scorer = _Scorer(model, spec.preprocessing, spec.activation).eval().to(self.device)
        try:
            self._scorer, outputs = _frozen(scorer, spec.preprocessing, self.device, rule.precision)
        except RuntimeError as error:
            how = f"on {self.device} in {rule.precision}"
            raise SpecError(f"{spec.name}: cannot be run {how}: {_last_line(error)}") from error
        # an error inside a frozen graph walks the stack of the scripted functions that it came from: they must live
        self._scripted = model if isinstance(model, torch.jit.ScriptModule) else None
        if outputs != len(spec.labels):
            raise SpecError(f"{spec.name}: the model gives {outputs} scores, labels names {len(spec.labels)}")

    def scores(self, frames: np.ndarray) -> np.ndarray:
        """Returns float32[n, labels] scores of uint8[n, height, width, 3] RGB frames."""
        if self._pool is None or len(frames) == 1:
            return self._scores(frames)
        parts = np.array_split(frames, min(self._threads, len(frames)))
        return np.concatenate(list(self._pool.map(self._scores, parts)))

    def _scores(self, frames: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            pixels = torch.from_numpy(frames).to(self.device, non_blocking=True).permute(0, 3, 1, 2)
            return self._scorer(pixels).float().cpu().numpy()

    def is_out_of_memory(self, error: RuntimeError) -> bool:
        """Tells whether an error of `scores` means that a smaller batch may work."""
        return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)

    def release_memory(self) -> None:
        """Gives cached device memory back."""
        if self.device == "cuda":
            torch.cuda.empty_cache()

    def peak_bytes(self) -> int:
        """Returns the most memory used so far: of the device, or of the process on a CPU."""
        if self.device == "cuda":
            return int(torch.cuda.max_memory_allocated())
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

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


@lru_cache(maxsize=1)
def load(rule: LoadRule) -> TorchClassifier:
    """Loads a classifier; one process holds one, so that preflight and the job share it.

    Raises:
      SpecError: The weights cannot be read, do not fit the architecture, or give another number of scores.
    """
    if resolve_device(rule.device) == "cpu":
        torch.set_num_threads(1)
        _keep_freed_memory()
    return TorchClassifier(_build(rule.spec), rule)


def _autocast(device: str, precision: str) -> contextlib.AbstractContextManager[Any]:
    """Lets torch choose per operation what is safe in a lower precision; the trace keeps the choice."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device, _DTYPES[precision], cache_enabled=False)


def _keep_freed_memory() -> None:
    """Makes glibc reuse the activations' memory: mapped anew for each batch it costs a tenth to a fifth of the time."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def _frozen(scorer: _Scorer, preprocessing: Preprocessing, device: str, precision: str) -> tuple[Any, int]:
    """Returns the scorer as a frozen graph, and how many scores it gives."""
    height, width = preprocessing.input_height, preprocessing.input_width
    example = torch.zeros((2, height, width, 3), dtype=torch.uint8, device=device).permute(0, 3, 1, 2)
    scorer = scorer.to(memory_format=torch.channels_last)
    with warnings.catch_warnings(), torch.inference_mode(), _autocast(device, precision):
        warnings.simplefilter("ignore")  # torch announces the end of tracing; nothing has its speed yet
        frozen = torch.jit.freeze(torch.jit.trace(scorer, example, check_trace=False))
        return frozen, int(frozen(example).shape[-1])


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


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
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise SpecError(f"{spec.name}: weights {spec.weights}: {lines[0]}") from error
    return model
