"""The ModelHandler: frame batches in, scored samples out; one bad item never fails its neighbours."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from apache_beam.ml.inference.base import ModelHandler

from clipscout.transforms.core.classifiers.responses import Responses, Texts, of_nothing
from clipscout.transforms.core.classifiers.specs import BatchTooLargeError, LoadSettings, UnusableClassifierError
from clipscout.transforms.core.storage import filesystem
from clipscout.transforms.metrics import StageMetrics
from clipscout.transforms.records import (
    ClipFeature,
    DecodedClip,
    DecodeReport,
    Flush,
    FrameBatch,
    ScoredSamples,
    ScoredSegment,
    StoredTrack,
)

if TYPE_CHECKING:  # torch: seconds, and only where there is something to score
    from clipscout.transforms.core.classifiers.classifier import Classifier

_MOST_WINDOWS = 8

#: What travels behind the frames of a segment, so that it arrives after what they scored.
Following: TypeAlias = DecodeReport | ScoredSegment | StoredTrack | Flush
#: All that passes the model: the frames' own results, and what travels behind them.
Behind: TypeAlias = Following | DecodedClip | ClipFeature


class LazyClassifier:
    """Loads its classifier at the first batch, so that a run with nothing left to score loads no model.

    It may live in another process than its callers (`model_copies`), so that every method takes and gives numpy. Every
    method raises UnusableClassifierError where it cannot be loaded: that is no fault of the batch, and ends the job.

    Args:
      settings: What to load and how.
      metrics: The stage's.
      anywhere: Whether a machine without the GPU that the rule asks for loads it on its processor: texts are few.
      option: Which option names it.
    """

    def __init__(
        self, settings: LoadSettings, metrics: StageMetrics, *, anywhere: bool = False, option: str = "classifier"
    ) -> None:
        self._settings, self._metrics, self._anywhere, self._option = settings, metrics, anywhere, option
        self._loaded: Classifier | None = None
        self._lock = threading.Lock()

    def _get(self) -> "Classifier":
        with self._lock:
            if self._loaded is None:
                try:
                    with self._metrics.time("load-msec"):
                        from clipscout.transforms.core.classifiers import loading

                        # the very rule where it can be followed: a process loads one classifier for all its steps
                        settings = loading.as_here(self._settings) if self._anywhere else self._settings
                        self._loaded = loading.load(settings)
                except (ValueError, RuntimeError, filesystem.StorageError, ImportError, OSError, MemoryError) as error:
                    why = " ".join(str(error).split()) or type(error).__name__
                    raise UnusableClassifierError(f"--{self._option}: {why}") from error
                self._metrics.count("models-loaded")
            return self._loaded

    def outputs(self, frames: np.ndarray) -> np.ndarray:
        """See `Classifier.outputs`."""
        return self._get().outputs(frames)

    def respond(self, outputs: np.ndarray, wanted: Sequence[Sequence[str]], any_label: bool) -> Responses:
        """See `Classifier.respond`."""
        return self._get().respond(outputs, wanted, any_label)

    def texts(self, names: Iterable[str]) -> Texts:
        """See `ZeroShotClassifier.texts`."""
        from clipscout.transforms.core.classifiers.zero_shot import ZeroShotClassifier

        classifier = self._get()
        assert isinstance(classifier, ZeroShotClassifier)
        return classifier.texts(names)

    def engine(self) -> str:
        """See `Classifier.engine`."""
        return self._get().engine

    def peak_bytes(self) -> int:
        """See `Classifier.peak_bytes`."""
        return self._get().peak_bytes()


def batch_sizes(load: LoadSettings, batch_size: int) -> tuple[int, int]:
    """Returns how many frames a batch has, and how many items (frames, or windows of them) a call of the model."""
    per_item = load.spec.window.frames if load.spec.window else 1
    if per_item > 1:  # a batch of windows has one for each thread at least
        batch_size = max(batch_size, per_item * min(load.cores(), _MOST_WINDOWS))
    return batch_size, max(1, batch_size // per_item)


class ClassifierHandler(ModelHandler[FrameBatch | Behind, ScoredSamples | Behind, LazyClassifier]):
    """Runs a classifier under Beam's RunInference.

    Elements are batches of one video's samples; Beam joins them, also over videos, up to `batch_size` frames. What is
    no batch of frames passes through in its place.

    Args:
      load: What to load and how.
      batch_size: Frames per call of the model.
      response: `action` or `any` (the best of all labels, as the notebook's step 5).
      keep_outputs: Whether all that the classifier says is handed on, beside the responses.
      model_copies: Copies of the model that the processes of a worker share; 0 gives each process its own.
      stage: Whose metrics count what is done.
      option: Which option names the classifier.
    """

    def __init__(
        self,
        load: LoadSettings,
        batch_size: int,
        response: str = "action",
        keep_outputs: bool = True,
        model_copies: int = 0,
        stage: str = "ScoreVideos",
        option: str = "classifier",
    ) -> None:
        batch_size, self._items = batch_sizes(load, batch_size)
        # minimum = maximum: Beam would otherwise try other sizes to learn the best one
        super().__init__(
            min_batch_size=batch_size,
            max_batch_size=batch_size,
            element_size_fn=partial(_weight, flush=batch_size + 1),
            model_copies=model_copies or None,
        )
        self._load, self._option = load, option
        self._any_label, self._keep_outputs = response == "any", keep_outputs
        self._stage, self._metrics = stage, StageMetrics(stage)

    def load_model(self) -> LazyClassifier:
        """Returns a holder that loads at first use."""
        return LazyClassifier(self._load, self._metrics, option=self._option)

    def run_inference(
        self,
        batch: Sequence[FrameBatch | Behind],
        model: LazyClassifier,
        inference_args: Mapping[str, Any] | None = None,
    ) -> Iterable[ScoredSamples | Behind]:
        """Scores several frame batches in one call of the model per picture size.

        Returns a list (a generator would escape Beam's accounting), one result per element; an element that cannot be
        scored gets a result with its error.
        """
        results: dict[int, ScoredSamples | Behind] = {}
        by_shape: dict[tuple[int, ...], dict[int, FrameBatch]] = {}
        for index, element in enumerate(batch):
            if isinstance(element, FrameBatch):
                by_shape.setdefault(element.frames.shape[1:], {})[index] = element
            else:
                results[index] = element
        for elements in by_shape.values():
            try:
                results.update(zip(elements, self._score(model, list(elements.values())), strict=True))
            except (RuntimeError, ValueError):  # one at a time, to find the one that fails
                for index, element in elements.items():
                    results[index] = self._score_alone(model, element)
        return [results[index] for index in range(len(batch))]

    def _score_alone(self, model: LazyClassifier, element: FrameBatch) -> ScoredSamples:
        try:
            return self._score(model, [element])[0]
        except (RuntimeError, ValueError) as error:
            self._metrics.count("failed-batches")
            count = len(element.times)
            nothing = np.zeros((count, len(element.wanted)), np.float32), ("",) * count, np.zeros(count, np.float32)
            return ScoredSamples(
                element.key, element.times, element.frame_indices, element.wanted, *nothing, error=str(error)
            )

    def _score(self, model: LazyClassifier, elements: Sequence[FrameBatch]) -> list[ScoredSamples]:
        frames = elements[0].frames if len(elements) == 1 else np.concatenate([e.frames for e in elements])
        outputs, engine = self._outputs(model, frames), model.engine()
        scored, start = [], 0
        for element in elements:
            own = outputs[start : start + len(element.times)]
            start += len(element.times)
            if not np.isfinite(own).all():
                raise ValueError("the classifier gave scores that are not finite numbers")
            said = model.respond(own, element.wanted, self._any_label) if element.wanted else of_nothing(len(own))
            kept = own if self._keep_outputs else None
            samples = element.key, element.times, element.frame_indices, element.wanted
            scored.append(ScoredSamples(*samples, *said, outputs=kept, engine=engine))
        return scored

    def _outputs(self, model: LazyClassifier, frames: np.ndarray) -> np.ndarray:
        """Runs the model on so many items at a time; a call that runs out of memory is halved, for good."""
        outputs: list[np.ndarray] = []
        start = 0
        while start < len(frames):
            part = frames[start : start + self._items]
            try:
                with self._metrics.time("inference-msec"):
                    outputs.append(model.outputs(part))
            except BatchTooLargeError:
                if len(part) == 1:
                    raise
                self._items = max(1, len(part) // 2)
                self._metrics.count("batches-halved")
                continue
            start += len(part)
            self._metrics.count("batches")
            self._metrics.count("samples", len(part))
            self._metrics.observe("batch-frames", part.size // (part.shape[-3] * part.shape[-2] * 3))
            self._metrics.observe("peak-device-bytes", model.peak_bytes())
        return np.concatenate(outputs) if len(outputs) > 1 else outputs[0]

    def get_num_bytes(self, batch: Sequence[FrameBatch | Behind]) -> int:
        """Returns the size of the frames; Beam's default would pickle them to find out."""
        return sum(element.frames.nbytes for element in batch if isinstance(element, FrameBatch))

    def get_metrics_namespace(self) -> str:
        """Returns the namespace of RunInference's own metrics."""
        return self._stage


def _weight(element: FrameBatch | Behind, flush: int) -> int:
    """Returns how many frames of a batch an element takes; a stored track waits for no batch."""
    if isinstance(element, FrameBatch):
        return len(element.times) * (element.frames.shape[1] if element.frames.ndim == 5 else 1)
    return flush if isinstance(element, Flush | StoredTrack) else 0
