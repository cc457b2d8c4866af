"""A classifier's graph in torch, on a CPU or a GPU."""

import contextlib
import logging
import platform
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clipscout.transforms.core.classifiers import architectures
from clipscout.transforms.core.classifiers.scorer import MODEL_FAULTS, Scorer, channels_first, example, last_line
from clipscout.transforms.core.classifiers.specs import (
    BatchTooLargeError,
    LoadSettings,
    SpecError,
    UnusableClassifierError,
)

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class TorchEngine:
    """The graph frozen for inference (batch norm folded, constants propagated), or as it is where it cannot be.

    Attributes:
      name: Of the engine, with its version.
      graph: The frozen graph, or what runs the scorer as it is.
      size: Numbers per frame that it gives.
    """

    name = f"torch {torch.__version__}"

    def __init__(self, scorer: Scorer, settings: LoadSettings, device: str) -> None:
        """Freezes the graph.

        Raises:
          SpecError: The model cannot be run.
        """
        spec = settings.spec
        self._device, self._spec, self._precision = device, spec, settings.precision
        # On a CPU each thread takes a part of the batch. Torch's own threads meet after every layer instead, and wait
        # for the one whose core the decoder shares.
        self._threads = settings.cores()
        self._pool = ThreadPoolExecutor(self._threads) if device == "cpu" and self._threads > 1 else None
        try:
            self.graph, self.size = self._frozen(scorer.eval().to(device))
        except (RuntimeError, *MODEL_FAULTS) as error:
            hint = "; export it with a dynamic batch dimension" if spec.architecture == "torch_export" else ""
            how = f"on {device} in {settings.precision}"
            raise SpecError(f"{spec.name}: cannot be run {how}: {last_line(error)}{hint}") from error
        # an error inside a frozen graph walks the stack of the scripted functions that it came from: they must live
        self._scripted = scorer.model if isinstance(scorer.model, torch.jit.ScriptModule) else None

    @property
    def is_frozen(self) -> bool:
        """Whether the graph could be frozen."""
        return isinstance(self.graph, torch.jit.ScriptModule)

    @property
    def has_branches(self) -> bool:
        """Whether the frozen graph has branches or loops, as a program's may; that of a trace has none."""
        return any(self.graph.graph.findNode(kind) for kind in ("prim::If", "prim::Loop"))

    def outputs(self, frames: np.ndarray) -> np.ndarray:
        """Runs the graph; see `Classifier.outputs`."""
        try:
            if self._pool is None or len(frames) == 1:
                return self._outputs(frames)
            parts = np.array_split(frames, min(self._threads, len(frames)))
            return np.concatenate(list(self._pool.map(self._outputs, parts)))
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
                if self._device == "cuda":
                    torch.cuda.empty_cache()
                raise BatchTooLargeError(last_line(error)) from None
            if isinstance(error, torch.AcceleratorError):
                message = f"the device failed while {self._spec.name} ran on it: {architectures.first_line(error)}"
                raise UnusableClassifierError(message) from error
            raise
        except MODEL_FAULTS as error:  # whatever a model's own code raises
            raise RuntimeError(last_line(error)) from error

    def _outputs(self, frames: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            pixels = torch.from_numpy(frames).to(self._device, non_blocking=True)
            return self.graph(channels_first(pixels)).float().cpu().numpy()

    def _frozen(self, scorer: Scorer) -> tuple[Any, int]:
        """Returns the scorer as a frozen graph, or as it is where a graph does not say the same; and its size."""
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
            except (RuntimeError, *MODEL_FAULTS):  # what cannot be traced
                same = False
            # a branch on what pictures hold would be frozen to the example's; models of libraries branch on shapes
            branches = any(issubclass(warning.category, torch.jit.TracerWarning) for warning in said)
            if same and not (branches and self._spec.architecture.startswith("module:")):
                return frozen, int(alone.shape[-1])
        logging.getLogger(__name__).warning("%s cannot be frozen; it runs as it is, more slowly", self._spec.name)
        return self._eager(scorer), int(alone.shape[-1])

    def _eager(self, scorer: Scorer) -> Any:
        def run(frames: torch.Tensor) -> torch.Tensor:
            with self._autocast():
                return scorer(frames)

        return run

    def _example(self, count: int) -> torch.Tensor:
        return example(self._spec, count).to(self._device)

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Lets torch choose per operation what is safe in a lower precision; a trace keeps the choice."""
        if self._precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self._device, _DTYPES[self._precision], cache_enabled=False)


def precision_on(device: str, precision: str) -> str:
    """Returns the precision that a device really has for `fp32`, `bf16` or `fp16`.

    Below AVX-512 torch imitates bf16 (a window of r3d_18 takes five minutes instead of a second), and OpenVINO does not
    use it.
    """
    imitated = platform.machine() == "x86_64" and not torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return "fp32" if device == "cpu" and precision == "bf16" and imitated else precision


def resolve_device(device: str) -> str:
    """Returns `cuda` or `cpu` for `auto`, `cuda` or `cpu`.

    Raises:
      SpecError: CUDA was asked for by name and cannot be used; a job that pays for a GPU must not run on a CPU.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise SpecError(f"device is 'cuda', but torch finds no usable CUDA device ({gpu_versions()})")
    return device


def gpu_versions() -> str:
    """Returns what has to fit for a GPU: the versions of torch, of the CUDA that it is built for, and of the driver."""
    try:
        named = re.search(r"\d+\.\d+[\d.]*", Path("/proc/driver/nvidia/version").read_text())
    except OSError:
        named = None
    driver = f"NVIDIA's driver {named[0]}" if named else "no driver of NVIDIA"
    return f"torch {torch.__version__}, built for CUDA {torch.version.cuda or 'none'}; {driver}"
