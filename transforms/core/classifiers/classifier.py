"""A loaded classifier behind one interface: RGB frames and wanted labels in, responses out, numpy at both ends."""

import resource
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from clipscout.transforms.core.classifiers import engines, responses
from clipscout.transforms.core.classifiers.scorer import Scorer, last_line
from clipscout.transforms.core.classifiers.specs import BatchTooLargeError, LoadSettings, SpecError
from clipscout.transforms.core.classifiers.torch_engine import precision_on, resolve_device
from clipscout.transforms.core.queries.labels import LabelIndex


class Classifier:
    """A loaded image or video classifier.

    Attributes:
      device: Where it runs, `cpu` or `cuda`.
      precision: What its arithmetic really is: `fp32`, `bf16` or `fp16`.
      why_torch: Why torch runs it where OpenVINO was to be preferred; else empty.
    """

    def __init__(self, model: nn.Module, settings: LoadSettings) -> None:
        """Prepares the model for inference by the engine that is chosen.

        Raises:
          SpecError: The model cannot be run, or gives another number of scores than there are labels.
        """
        spec = settings.spec
        self._spec = spec
        self.device = resolve_device(settings.device)
        self.precision = precision_on(self.device, settings.precision)
        settings = replace(settings, precision=self.precision)
        self._engine, self.why_torch = engines.chosen(Scorer(model, spec).eval(), settings, self.device)
        self._index = LabelIndex(spec.labels)
        if spec.labels and not spec.describes and self._engine.size != len(spec.labels):
            raise SpecError(f"{spec.name}: the model gives {self._engine.size} scores, labels names {len(spec.labels)}")

    @property
    def engine(self) -> str:
        """What runs it, with its version: `torch 2.14.1` or `openvino 2026.4.1`."""
        return self._engine.name

    def outputs(self, frames: np.ndarray) -> np.ndarray:
        """Runs the model.

        Args:
          frames: uint8[n, height, width, 3] RGB, or uint8[n, frames, height, width, 3] for a video model.

        Returns:
          float32[n, labels] scores; for a zero-shot model float32[n, size] embeddings; for one that describes what its
          last layer sees.

        Raises:
          BatchTooLargeError: Memory ran out; fewer frames at a time may do.
          UnusableClassifierError: The device failed: all that it is asked from now on fails too.
          RuntimeError: The model cannot score them.
        """
        return self._engine.outputs(frames)

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
                raise SpecError(f"{spec.name}: cannot score a {what}: {last_line(error)}{hint}") from error
            if not finite:
                raise SpecError(f"{spec.name} gives scores that are not finite numbers")

    def peak_bytes(self) -> int:
        """Returns the most memory used so far: of the device, or of the process on a CPU."""
        if self.device == "cuda":
            return int(torch.cuda.max_memory_allocated())
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
