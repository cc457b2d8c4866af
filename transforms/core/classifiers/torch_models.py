"""Torch models behind one interface: uint8 RGB frames and wanted labels in, responses out, numpy at both ends."""

import contextlib
import logging
import os
import resource
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import nn

from clipscout.transforms.core.classifiers import architectures, responses
from clipscout.transforms.core.classifiers.specs import (
    BatchTooLargeError,
    ClassifierSpec,
    LoadSettings,
    SpecError,
    UnusableClassifierError,
)
from clipscout.transforms.core.queries.labels import LabelIndex

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_MODELS_FAULTS = (
    ValueError,
    TypeError,
    AssertionError,
    LookupError,
    AttributeError,
    NotImplementedError,
    ArithmeticError,
)


class _Scorer(nn.Module):
    """Preprocessing on the device, the model, and its activation, as one graph."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, model: nn.Module, spec: ClassifierSpec) -> None:
        super().__init__()
        self.model = model
        shape = (1, 3, 1, 1, 1) if spec.window else (1, 3, 1, 1)
        std, mean = torch.tensor(spec.preprocessing.std), torch.tensor(spec.preprocessing.mean)
        self.register_buffer("scale", (1 / (255 * std)).view(shape))
        self.register_buffer("shift", (-mean / std).view(shape))
        self.size = (spec.preprocessing.input_height, spec.preprocessing.input_width)
        self.exact = spec.preprocessing.resize == "exact"
        self.activation = spec.activation if spec.labels else "none"

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Scores uint8[n, 3, h, w] frames (uint8[n, 3, t, h, w] windows) as float32[n, labels]."""
        pixels = frames.to(self.scale.dtype)
        if self.exact:  # the notebook's step 3
            pixels = nn.functional.interpolate(pixels, size=self.size, mode="bilinear", align_corners=False)
        output = self.model(pixels * self.scale + self.shift)
        if not isinstance(output, torch.Tensor):
            raise TypeError(f"it returned a {type(output).__name__}, expected a tensor")
        output = output.float()
        if self.activation == "softmax":
            return output.softmax(dim=-1)
        if self.activation == "log_softmax":
            return output.exp()
        return output.sigmoid() if self.activation == "sigmoid" else output


class TorchClassifier:
    """A loaded image or video classifier.

    Attributes:
      device: Where it runs.
    """

    def __init__(self, model: nn.Module, settings: LoadSettings) -> None:
        """Freezes the model (batch norm folded, constants propagated) for inference.

        Raises:
          SpecError: The model cannot be run, or gives another number of scores than there are labels.
        """
        spec = settings.spec
        self.device = resolve_device(settings.device)
        self._spec, self._precision = spec, settings.precision
        # On a CPU each thread takes a part of the batch. Torch's own threads meet after every layer instead, and wait
        # for the one whose core the decoder shares.
        self._threads = settings.threads or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._threads) if self.device == "cpu" and self._threads > 1 else None
        scorer = _Scorer(model, spec).eval().to(self.device)
        try:
            self._scorer, outputs = self._frozen(scorer)
        except (RuntimeError, torch.jit.Error, *_MODELS_FAULTS) as error:
            hint = "; export it with a dynamic batch dimension" if spec.architecture == "torch_export" else ""
            how = f"on {self.device} in {settings.precision}"
            raise SpecError(f"{spec.name}: cannot be run {how}: {_last_line(error)}{hint}") from error
        # an error inside a frozen graph walks the stack of the scripted functions that it came from: they must live
        self._scripted = model if isinstance(model, torch.jit.ScriptModule) else None
        self._index = LabelIndex(spec.labels)
        if spec.labels and outputs != len(spec.labels):
            raise SpecError(f"{spec.name}: the model gives {outputs} scores, labels names {len(spec.labels)}")

    def outputs(self, frames: np.ndarray) -> np.ndarray:
        """Runs the model.

        Args:
          frames: uint8[n, height, width, 3] RGB, or uint8[n, frames, height, width, 3] for a video model.

        Returns:
          float32[n, labels] scores; for a zero-shot model float32[n, size] embeddings.

        Raises:
          BatchTooLargeError: Memory ran out; fewer frames at a time may do.
          UnusableClassifierError: The device failed: all that it is asked from now on fails too.
          RuntimeError: The model cannot score them.
        """
        try:
            if self._pool is None or len(frames) == 1:
                return self._outputs(frames)
            parts = np.array_split(frames, min(self._threads, len(frames)))
            return np.concatenate(list(self._pool.map(self._outputs, parts)))
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
                if self.device == "cuda":
                    torch.cuda.empty_cache()
                raise BatchTooLargeError(_last_line(error)) from None
            if isinstance(error, torch.AcceleratorError):
                message = f"the device failed while {self._spec.name} ran on it: {architectures.first_line(error)}"
                raise UnusableClassifierError(message) from error
            raise
        except (torch.jit.Error, *_MODELS_FAULTS) as error:  # whatever a model's own code raises
            raise RuntimeError(_last_line(error)) from error

    def _outputs(self, frames: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            pixels = torch.from_numpy(frames).to(self.device, non_blocking=True)
            return self._scorer(_channels_first(pixels)).float().cpu().numpy()

    def respond(
        self, outputs: np.ndarray, wanted: Sequence[Sequence[str]], any_label: bool = False
    ) -> responses.Responses:
        """Turns outputs into responses.

        Args:
          outputs: float32[n, labels], what `outputs` gave.
          wanted: The labels of each action; they are summed, or for sigmoid the largest counts.
          any_label: Let the response be the best score of any label (the notebook's step 5).
        """
        return responses.of_labels(outputs, self._index, self._spec.activation, wanted, any_label)

    def try_out(self, items: int) -> None:
        """Scores blank frames (or windows): a batch, and one alone, as the last of a job may be.

        Raises:
          SpecError: It cannot score them. Where memory ends at a batch, less of it may do, as in the job.
        """
        spec = self._spec
        window = (spec.window.frames,) if spec.window else ()
        shape = (*window, spec.preprocessing.input_height, spec.preprocessing.input_width, 3)
        counts = [items, 1] if items > 1 else [1]
        while counts:
            count = counts.pop(0)
            try:
                finite = np.isfinite(self.outputs(np.zeros((count, *shape), np.uint8))).all()
            except BatchTooLargeError as error:
                if count == 1:
                    raise SpecError(f"{spec.name}: memory ends at one frame: {error}") from error
                counts.insert(0, count // 2)
                continue
            except RuntimeError as error:
                what = "item" if count == 1 else f"batch of {count}"
                hint = "" if count == 1 else "; it has to take batches of any size, or give --batch_size=1"
                raise SpecError(f"{spec.name}: cannot score a {what}: {_last_line(error)}{hint}") from error
            if not finite:
                raise SpecError(f"{spec.name} gives scores that are not finite numbers")

    def peak_bytes(self) -> int:
        """Returns the most memory used so far: of the device, or of the process on a CPU."""
        if self.device == "cuda":
            return int(torch.cuda.max_memory_allocated())
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def _frozen(self, scorer: _Scorer) -> tuple[Any, int]:
        """Returns the scorer as a frozen graph, or as it is where a graph does not say the same; and its outputs."""
        layout = torch.channels_last_3d if self._spec.window else torch.channels_last
        # a 5D convolution's weights take the one layout, a 4D one's the other
        with contextlib.suppress(RuntimeError):
            scorer = scorer.to(memory_format=layout)
        with warnings.catch_warnings(record=True) as said, torch.inference_mode(), self._autocast():
            warnings.simplefilter(
                "always"
            )  # shown are none: torch announces the end of tracing; nothing has its speed yet
            alone = scorer(self._example(1)).float()
            try:
                frozen = torch.jit.freeze(torch.jit.trace(scorer, self._example(2), check_trace=False))
                near = 1e-3 if self._precision == "fp32" else 0.1
                same = torch.allclose(frozen(self._example(1)).float(), alone, rtol=near, atol=near, equal_nan=True)
            except (RuntimeError, torch.jit.Error, *_MODELS_FAULTS):  # what cannot be traced
                same = False
            # a branch on what pictures hold would be frozen to the example's; models of libraries branch on shapes
            branches = any(issubclass(warning.category, torch.jit.TracerWarning) for warning in said)
            if same and not (branches and self._spec.architecture.startswith("module:")):
                return frozen, int(alone.shape[-1])
        logging.getLogger(__name__).warning("%s cannot be frozen; it runs as it is, more slowly", self._spec.name)
        return self._eager(scorer), int(alone.shape[-1])

    def _eager(self, scorer: _Scorer) -> Any:
        def run(frames: torch.Tensor) -> torch.Tensor:
            with self._autocast():
                return scorer(frames)

        return run

    def _example(self, count: int) -> torch.Tensor:
        height, width = self._spec.preprocessing.input_height, self._spec.preprocessing.input_width
        window = (self._spec.window.frames,) if self._spec.window else ()
        shape = (count, *window, height, width, 3)
        numbers = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        return _channels_first(numbers.to(self.device))

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Lets torch choose per operation what is safe in a lower precision; a trace keeps the choice."""
        if self._precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device, _DTYPES[self._precision], cache_enabled=False)


def _channels_first(frames: torch.Tensor) -> torch.Tensor:
    return frames.permute(0, 3, 1, 2) if frames.ndim == 4 else frames.permute(0, 4, 1, 2, 3)


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


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:400] if lines else type(error).__name__
