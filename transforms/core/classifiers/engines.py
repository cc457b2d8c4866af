"""Which engine runs a classifier: OpenVINO on a CPU where it says what torch says, else torch."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch

from clipscout.transforms.core.classifiers import openvino_cache, openvino_engine
from clipscout.transforms.core.classifiers.openvino_engine import OpenVinoEngine, OpenVinoError
from clipscout.transforms.core.classifiers.scorer import Scorer, example
from clipscout.transforms.core.classifiers.specs import (
    LoadSettings,
    SpecError,
    UnusableClassifierError,
    openvino_version,
)
from clipscout.transforms.core.classifiers.torch_engine import TorchEngine

#: How far outputs of the two engines may lie apart: absolutely, and relative to what torch says in fp32.
_TOLERANCES = {"fp32": 1e-4, "bf16": 0.1}
#: Frames (or windows, of which one may take seconds) that are compared.
_COMPARED = 2
_log = logging.getLogger(__name__)
_log.setLevel(logging.WARNING)  # also where others are to be silent


class Engine(Protocol):
    """What runs a classifier's graph."""

    @property
    def name(self) -> str:
        """The engine with its version, as manifests tell it."""

    @property
    def size(self) -> int:
        """Numbers per frame that it gives."""

    def outputs(self, frames: np.ndarray) -> np.ndarray:
        """Runs the graph; see `Classifier.outputs`."""


class _UnusableError(Exception):
    """OpenVINO cannot run a classifier as torch does; the message says why, without a subject."""


def chosen(scorer: Scorer, settings: LoadSettings, device: str) -> tuple[Engine, str]:
    """Returns what runs a classifier, and why that is torch where OpenVINO was to be preferred; else nothing.

    Args:
      scorer: The classifier's graph, on the CPU.
      settings: How it is loaded.
      device: `cpu` or `cuda`.

    Raises:
      SpecError: The model cannot be run; or not by OpenVINO, and no other engine will do.
    """
    if settings.engine == "torch" or device != "cpu" or settings.precision not in _TOLERANCES:
        return TorchEngine(scorer, settings, device), ""
    if openvino_version() is None:
        why = "OpenVINO is not installed (pip install 'clipscout[cpu]'; it is faster on a CPU)"
        return _instead(TorchEngine(scorer, settings, device), settings, why), why
    if (kept := _kept(settings)) is not None:
        return kept, ""
    with _attention_in_parts():
        reference = TorchEngine(scorer, replace(settings, precision="fp32"), device)
    fallback = partial(_fallback, reference, scorer, settings)
    try:
        return _converted(reference, settings, fallback), ""
    except _UnusableError as error:
        return _instead(fallback(), settings, str(error)), str(error)


class Compared:
    """OpenVINO; what it says of the first real frames is compared with torch, before it is trusted with the rest.

    Frames without a picture (a trial, a black beginning) prove nothing.

    Args:
      engine: What is to be trusted.
      settle: Takes those frames, uint8[n, height, width, 3] or windows of them, and returns the engine for the rest.
    """

    def __init__(self, engine: OpenVinoEngine, settle: Callable[[np.ndarray], Engine]) -> None:
        self._engine: Engine = engine
        self._settle: Callable[[np.ndarray], Engine] | None = settle
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """See `Engine`."""
        return self._engine.name

    @property
    def size(self) -> int:
        """See `Engine`."""
        return self._engine.size

    def outputs(self, frames: np.ndarray) -> np.ndarray:
        """See `Engine`."""
        if self._settle is not None and frames.min() != frames.max():
            with self._lock:
                if self._settle is not None:
                    self._engine = self._settle(frames[:_COMPARED])
                    self._settle = None  # and with it torch's model
        return self._engine.outputs(frames)


def _kept(settings: LoadSettings) -> OpenVinoEngine | None:
    """Returns the engine of a model that was converted and compared before."""
    model = openvino_cache.read(settings)
    if model is None:
        return None
    try:
        return OpenVinoEngine(model, settings)
    except OpenVinoError:  # a new conversion says what is wrong
        return None


def _converted(reference: TorchEngine, settings: LoadSettings, fallback: Callable[[], TorchEngine]) -> Compared:
    if not reference.is_frozen:
        raise _UnusableError("its graph cannot be frozen")
    if reference.has_branches:  # OpenVINO evaluates both sides, and may die of the one that is never taken
        raise _UnusableError("its graph has branches or loops")
    try:
        model = openvino_engine.converted(reference.graph, settings.spec)
        engine = OpenVinoEngine(model, settings)
        numbers = example(settings.spec, _COMPARED).movedim(1, -1).numpy()
        _check_same(engine, reference, numbers, settings)
        _check_same(engine, reference, np.zeros_like(numbers[:1]), settings)
    except (OpenVinoError, RuntimeError) as error:
        raise _UnusableError(f"OpenVINO cannot run it ({error})") from error
    return Compared(engine, partial(_settled, engine, model, reference, settings, fallback))


def _settled(
    engine: OpenVinoEngine,
    model: Any,
    reference: TorchEngine,
    settings: LoadSettings,
    fallback: Callable[[], TorchEngine],
    frames: np.ndarray,
) -> Engine:
    """Returns the engine that is to be trusted after real frames were seen."""
    try:
        _check_same(engine, reference, frames, settings)
    except _UnusableError as error:
        return _instead(fallback(), settings, str(error), late=True)
    openvino_cache.write(model, settings)
    return engine


def _check_same(engine: OpenVinoEngine, reference: TorchEngine, frames: np.ndarray, settings: LoadSettings) -> None:
    expected, found = reference.outputs(frames), engine.outputs(frames)
    near = _TOLERANCES[settings.precision]
    if not np.allclose(found, expected, rtol=near, atol=near, equal_nan=True):
        apart = float(np.abs(found - expected).max())
        raise _UnusableError(f"OpenVINO's outputs differ from torch's by {apart:.2g}")


def _fallback(reference: TorchEngine, scorer: Scorer, settings: LoadSettings) -> TorchEngine:
    return reference if settings.precision == "fp32" else TorchEngine(scorer, settings, "cpu")


def _instead(engine: TorchEngine, settings: LoadSettings, why: str, *, late: bool = False) -> TorchEngine:
    """Returns torch in OpenVINO's place.

    Raises:
      SpecError: OpenVINO was asked for by name.
      UnusableClassifierError: The same, while the job runs already.
    """
    if settings.engine == "openvino":
        message = f"{settings.spec.name}: cannot be run by --engine=openvino: {why}"
        raise UnusableClassifierError(message) if late else SpecError(message)
    if late:  # before, whoever loads it tells
        _log.warning("%s runs in torch: %s", settings.spec.name, why)
    return engine


@contextlib.contextmanager
def _attention_in_parts() -> Iterator[None]:
    """Lets torch trace attention as the operations that it is made of: the fused one cannot be converted."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
