"""A classifier's graph in OpenVINO, on a CPU: the same outputs in less time."""

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from clipscout.transforms.core.classifiers.architectures import first_line
from clipscout.transforms.core.classifiers.scorer import example, last_line
from clipscout.transforms.core.classifiers.specs import (
    BatchTooLargeError,
    ClassifierSpec,
    LoadSettings,
    openvino_version,
)

if TYPE_CHECKING:
    import openvino

#: So many parts of a batch for each thread.
_PARTS = 4
_PRECISIONS = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoError(Exception):
    """OpenVINO cannot convert, compile or read a model; the message is one line."""


@contextlib.contextmanager
def _raising() -> Iterator[None]:
    """Turns what its parts raise, each in its own way, into OpenVinoError."""
    try:
        yield
    except Exception as error:
        raise OpenVinoError(first_line(error)) from error


def runtime() -> Any:
    """Imports OpenVINO, without the package that tells its makers of each import.

    Raises:
      ImportError: It is not installed, or does not run here.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # as if it were not installed
    import openvino

    return openvino


def converted(graph: torch.jit.ScriptModule, spec: ClassifierSpec) -> "openvino.Model":
    """Converts a frozen graph to a model that takes uint8[n, height, width, 3] frames, or windows of them.

    Raises:
      OpenVinoError: It does not know an operation of the graph, or does not run here.
    """
    with _raising():
        return _converted(graph, spec)


def _converted(graph: torch.jit.ScriptModule, spec: ClassifierSpec) -> "openvino.Model":
    ov = runtime()
    # not `convert_model`: that is for whatever a user may have, and guesses which of its options are meant
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    frontend = ov.frontend.FrontEndManager().load_by_framework("pytorch")
    frames = example(spec, 2)
    decoder = TorchScriptPythonDecoder(graph, example_input=frames, shared_memory=False)  # torch's copy may go
    model = frontend.convert(frontend.load(decoder))
    parameter = model.inputs[0].get_node()
    parameter.set_element_type(ov.Type.u8)
    sides = (-1, -1) if spec.preprocessing.resize == "exact" else frames.shape[-2:]  # the full frame, of any size
    parameter.set_partial_shape(ov.PartialShape([-1, *frames.shape[1:-2], *sides]))
    model.validate_nodes_and_infer_types()
    steps = ov.preprocess.PrePostProcessor(model)
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NDHWC" if spec.window else "NHWC"))
    steps.input().model().set_layout(ov.Layout("NCDHW" if spec.window else "NCHW"))
    return steps.build()


def _keep(request: Any, to: tuple[list[Any], int]) -> None:
    """Copies what a request gave to where it belongs, before it serves the next part."""
    kept, place = to
    kept[place] = request.get_output_tensor(0).data.copy()


class OpenVinoEngine:
    """A converted model, compiled for this machine.

    Attributes:
      name: Of the engine, with its version.
      size: Numbers per frame that it gives.
    """

    def __init__(self, model: "openvino.Model", settings: LoadSettings) -> None:
        """Compiles the model.

        Raises:
          OpenVinoError: It cannot be compiled.
        """
        with _raising():
            self._compile(model, settings)
        self._lock = threading.Lock()  # a request serves one caller at a time

    def _compile(self, model: "openvino.Model", settings: LoadSettings) -> None:
        self.name = f"openvino {openvino_version()}"
        threads = settings.cores()
        compiled = (
            runtime()
            .Core()
            .compile_model(
                model,
                "CPU",
                {
                    "INFERENCE_PRECISION_HINT": _PRECISIONS[settings.precision],
                    # each stream takes a part of the batch on a thread of its own, as in torch
                    "NUM_STREAMS": threads,
                    "INFERENCE_NUM_THREADS": threads,
                    # each worker process would pin its threads to the same first cores, where the decoders are as well
                    "ENABLE_CPU_PINNING": False,
                },
            )
        )
        self.size = int(compiled.outputs[0].partial_shape[-1].get_length())
        self._requests = runtime().AsyncInferQueue(compiled, threads)
        self._requests.set_callback(_keep)

    def outputs(self, frames: np.ndarray) -> np.ndarray:
        """Runs the model; see `Classifier.outputs`."""
        ov = runtime()
        parts = np.array_split(np.ascontiguousarray(frames), min(_PARTS * len(self._requests), len(frames)))
        kept: list[Any] = [None] * len(parts)
        with self._lock:
            try:
                for place, part in enumerate(parts):  # to whichever thread is free: a decoder may share one's core
                    self._requests.start_async({0: ov.Tensor(part, shared_memory=True)}, (kept, place))
                self._requests.wait_all()
                return np.concatenate(kept)
            except MemoryError as error:
                raise BatchTooLargeError(last_line(error)) from None
            finally:
                with contextlib.suppress(Exception):  # no part is freed while a request still reads it
                    self._requests.wait_all()
