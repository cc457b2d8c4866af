"""The ModelHandler: frame batches in, scored samples out; one bad item never fails its neighbours."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from apache_beam.ml.inference.base import ModelHandler

from transforms.core.classifiers.specs import LoadRule
from transforms.metrics import StageMetrics
from transforms.records import FrameBatch, ScoredSamples


class LazyClassifier:
    """Loads its classifier at the first batch, so that a run with nothing left to score loads no model."""

    def __init__(self, rule: LoadRule, metrics: StageMetrics) -> None:
        self._rule, self._metrics = rule, metrics
        self._loaded: Any = None

    def get(self) -> Any:
        """Returns the loaded `TorchClassifier`."""
        if self._loaded is None:
            from transforms.core.classifiers import torch_models

            with self._metrics.time("load-msec"):
                self._loaded = torch_models.load(self._rule)
            self._metrics.count("models-loaded")
        return self._loaded


class ClassifierHandler(ModelHandler[FrameBatch, ScoredSamples, LazyClassifier]):
    """Runs a classifier under Beam's RunInference.

    Elements are batches of one video's samples; Beam joins them, also over videos, up to `batch_size` frames.

    Args:
      load: What to load and how.
      batch_size: Frames per call of the model.
      response: `action` or `any` (the best of all labels, as the notebook's step 5).
    """

    def __init__(self, load: LoadRule, batch_size: int, response: str) -> None:
        # minimum = maximum: Beam would otherwise try other sizes to learn the best one
        super().__init__(min_batch_size=batch_size, max_batch_size=batch_size, element_size_fn=_frames_in)
        self._load, self._batch_size, self._response = load, batch_size, response
        self._metrics = StageMetrics("ScoreVideos")

    def load_model(self) -> LazyClassifier:
        """Returns a holder that loads at first use."""
        return LazyClassifier(self._load, self._metrics)

    def run_inference(
        self, batch: Sequence[FrameBatch], model: LazyClassifier, inference_args: Mapping[str, Any] | None = None
    ) -> Iterable[ScoredSamples]:
        """Scores several frame batches in one call of the model per picture size.

        Returns a list (a generator would escape Beam's accounting), one result per element; an element that cannot be
        scored gets a result with its error.
        """
        classifier = model.get()
        results: dict[int, ScoredSamples] = {}
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for place, element in enumerate(batch):
            by_shape.setdefault(element.frames.shape[1:], []).append(place)
        for places in by_shape.values():
            elements = [batch[place] for place in places]
            try:
                results.update(zip(places, self._score(classifier, elements), strict=True))
            except (RuntimeError, ValueError):  # one at a time, to find the one that fails
                for place in places:
                    results[place] = self._score_alone(classifier, batch[place])
        return [results[place] for place in range(len(batch))]

    def _score_alone(self, classifier: Any, element: FrameBatch) -> ScoredSamples:
        try:
            return self._score(classifier, [element])[0]
        except (RuntimeError, ValueError) as error:
            self._metrics.count("failed-batches")
            nothing = np.zeros((len(element.times), len(element.wanted)), np.float32)
            labels = np.zeros(len(element.times), np.int32)
            return ScoredSamples(
                element.key,
                element.times,
                element.frame_indices,
                nothing,
                labels,
                labels.astype(np.float32),
                str(error),
            )

    def _score(self, classifier: Any, elements: Sequence[FrameBatch]) -> list[ScoredSamples]:
        frames = elements[0].frames if len(elements) == 1 else np.concatenate([e.frames for e in elements])
        scores = self._scores(classifier, frames)
        scored, start = [], 0
        for element in elements:
            own = scores[start : start + len(element.times)]
            start += len(element.times)
            if not np.isfinite(own).all():
                raise ValueError("the classifier gave scores that are not finite numbers")
            top = own.argmax(axis=1)
            top_scores = own[np.arange(len(own)), top]
            if self._response == "any":
                responses = np.repeat(top_scores[:, None], len(element.wanted), axis=1)
            else:
                responses = classifier.responses(own, element.wanted)
            scored.append(
                ScoredSamples(
                    element.key, element.times, element.frame_indices, responses, top.astype(np.int32), top_scores
                )
            )
        return scored

    def _scores(self, classifier: Any, frames: np.ndarray) -> np.ndarray:
        """Scores frames in calls of at most `batch_size`; a call that runs out of memory is halved, for good."""
        scores: list[np.ndarray] = []
        start = 0
        while start < len(frames):
            part = frames[start : start + self._batch_size]
            try:
                with self._metrics.time("inference-msec"):
                    scores.append(classifier.scores(part))
            except classifier.out_of_memory_errors as error:
                if len(part) == 1 or not classifier.is_out_of_memory(error):
                    raise
                classifier.release_memory()
                self._batch_size = max(1, len(part) // 2)
                self._metrics.count("batches-halved")
                continue
            start += len(part)
            self._metrics.count("batches")
            self._metrics.count("samples", len(part))
            self._metrics.observe("batch-frames", len(part))
            self._metrics.observe("peak-device-bytes", classifier.peak_bytes())
        return np.concatenate(scores) if len(scores) > 1 else scores[0]

    def get_num_bytes(self, batch: Sequence[FrameBatch]) -> int:
        """Returns the size of the frames; Beam's default would pickle them to find out."""
        return sum(element.frames.nbytes for element in batch)

    def get_metrics_namespace(self) -> str:
        """Returns the namespace of RunInference's own metrics."""
        return "ScoreVideos"


def _frames_in(batch: FrameBatch) -> int:
    return len(batch.times)
