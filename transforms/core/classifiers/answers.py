"""From what is stored of a content to the responses that are wanted now: new actions and prompts decode nothing."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import pyarrow.parquet as pq

from clipscout.transforms.core.classifiers import responses
from clipscout.transforms.core.classifiers.responses import Texts
from clipscout.transforms.core.classifiers.specs import ClassifierSpec
from clipscout.transforms.core.queries.labels import LabelIndex
from clipscout.transforms.core.storage import filesystem, kept, naming, strict_json, tracks
from clipscout.transforms.core.storage.tracks import Stored
from clipscout.transforms.records import ScoredSamples, Scores

Wanted: TypeAlias = Sequence[tuple[str, ...]]


class Answers:
    """Responses from stored scores.

    Args:
      spec: The classifier that made them.
      response: `action`, or `any` for the best of all labels.
      folder: Where the scores lie, `<output>/scores/<fingerprint>`; embeddings of texts are kept there.
      ask_model: Gives what a zero-shot model says of names. Only called for names that no run has asked about.
    """

    def __init__(
        self, spec: ClassifierSpec, response: str, folder: str, ask_model: Callable[[Iterable[str]], Texts]
    ) -> None:
        self._spec, self._any_label, self._folder = spec, response == "any", folder
        self._ask_model = ask_model
        self._index = LabelIndex(spec.labels)
        self._embeddings: dict[str, np.ndarray] = {}

    def asked(self, wanted: Wanted) -> str:
        """Returns what stored responses depend on besides their labels."""
        if self._spec.prompts is None:
            return "labels"
        return naming.digest(json.dumps([asdict(self._spec.prompts), self._any_label, list(wanted)]), 16)

    def kept(self, part: Scores | ScoredSamples) -> Scores:
        """Returns samples with the responses that are worth a column: the best of any label stands there already."""
        best_of_any = self._spec.prompts is None and self._any_label
        wanted = () if best_of_any else part.wanted
        return Scores(
            part.times,
            part.frame_indices,
            wanted,
            part.responses[:, : len(wanted)],
            part.top_labels,
            part.top_scores,
        )

    def of(self, stored: Stored, wanted: Wanted) -> Scores | None:
        """Returns the responses of the wanted labels, or None where the frames have to be scored for them.

        Raises:
          StorageError: The storage did not answer.
          SpecError: A zero-shot model was needed and cannot be loaded.
        """
        try:
            return self._of_texts(stored, wanted) if self._spec.prompts else self._of_labels(stored, wanted)
        except kept.DAMAGE:  # score again
            return None

    def _of_labels(self, stored: Stored, wanted: Wanted) -> Scores | None:
        scores = stored.scores
        if self._any_label:
            return _with(scores, wanted, np.repeat(scores.top_scores[:, None], len(wanted), axis=1))
        new = [labels for labels in wanted if labels not in scores.wanted]
        if new and not stored.has_outputs:
            return None
        ask = partial(responses.of_labels, index=self._index, activation=self._spec.activation)
        said = [ask(outputs, wanted=new, any_label=False).responses for outputs in stored.outputs()] if new else []
        return _with(scores, wanted, _beside(scores, new, said, wanted))

    def _of_texts(self, stored: Stored, wanted: Wanted) -> Scores | None:
        scores = stored.scores
        if stored.asked == self.asked(wanted):
            return tracks.columns_of(scores, wanted)
        if not stored.has_outputs:
            return None
        texts = self._texts({name for labels in wanted for name in labels}, stored.source)
        said = [responses.of_texts(outputs, texts, wanted, self._any_label) for outputs in stored.outputs()]
        fresh = Scores(
            scores.times,
            scores.frame_indices,
            tuple(wanted),
            np.concatenate([part.responses for part in said]),
            tuple(label for part in said for label in part.top_labels),
            np.concatenate([part.top_scores for part in said]),
        )
        if self._any_label or stored.asked != self.asked(scores.wanted):  # asked in other words: nothing of it holds
            return fresh
        new = [labels for labels in wanted if labels not in scores.wanted]
        columns = [fresh.responses[:, [wanted.index(labels) for labels in new]]]
        return _with(fresh, wanted, _beside(scores, new, columns, wanted))

    def _texts(self, names: set[str], file: pq.ParquetFile) -> Texts:
        """Returns the embeddings of names, from storage or from the model, whose answer is kept."""
        assert self._spec.prompts is not None
        size = file.schema_arrow.field("outputs").type.list_size
        background = _Kept(self._folder, "", self._spec.prompts.background)
        kept = {name: _Kept(self._folder, name, self._spec.prompts.templates) for name in names}
        alone = background.read(size)
        for name in names - self._embeddings.keys():
            found = kept[name].read(size)
            if found is None or alone is None:
                texts = self._ask_model(names)
                background.write(texts.background, texts.scale)
                for each in names:
                    kept[each].write(texts.embeddings[each][None], texts.scale)
                return texts
            self._embeddings[name] = found[0][0]
        assert alone is not None
        return Texts({name: self._embeddings[name] for name in names}, *alone)


class _Kept:
    """Embeddings of sentences on storage: a classifier is not loaded again only for its texts."""

    def __init__(self, folder: str, name: str, sentences: Sequence[str]) -> None:
        key = naming.digest(json.dumps([name, list(sentences)]), 20)
        self._uri = filesystem.join(folder, f"texts-{key}.json")

    def read(self, size: int) -> tuple[np.ndarray, float] | None:
        """Returns float32[sentences, size] and the scale, or None."""

        def make(fields: Any) -> tuple[np.ndarray, float] | None:
            found = np.array(fields["embeddings"], np.float32), float(fields["scale"])
            return found if found[0].ndim == 2 and found[0].shape[1] == size else None

        return kept.read(self._uri, make)

    def write(self, embeddings: np.ndarray, scale: float) -> None:
        fields = {"embeddings": embeddings.tolist(), "scale": scale}
        strict_json.write(self._uri, fields)


def _beside(scores: Scores, new: Wanted, said: Sequence[np.ndarray], wanted: Wanted) -> np.ndarray:
    """Returns float32[n, wanted]: what stands there as it is, exact, and beside it what outputs said of new labels.

    Args:
      scores: The samples with the responses that stand there.
      new: The labels of the others.
      said: Their responses, a part of the samples after the other; unused where there are none.
      wanted: The order.
    """
    names = [*scores.wanted, *new]
    every = np.concatenate([scores.responses, np.concatenate(said)], axis=1) if new else scores.responses
    return every[:, [names.index(labels) for labels in wanted]]


def _with(scores: Scores, wanted: Wanted, responses_of: np.ndarray) -> Scores:
    return Scores(scores.times, scores.frame_indices, tuple(wanted), responses_of, scores.top_labels, scores.top_scores)
