"""From what a classifier said of a sample to the responses of the wanted actions. No torch here: stored outputs too."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from clipscout.transforms.core.queries.labels import LabelIndex


class Responses(NamedTuple):
    """What a classifier says of n samples.

    Attributes:
      responses: float32[n, actions].
      top_labels: n names, the best of all labels per sample.
      top_scores: float32[n], their scores.
    """

    responses: np.ndarray
    top_labels: tuple[str, ...]
    top_scores: np.ndarray


class Texts(NamedTuple):
    """What a zero-shot model compares frames with.

    Attributes:
      embeddings: Name to float32[size], normalised.
      background: float32[sentences, size].
      scale: What similarities are multiplied by before the softmax.
    """

    embeddings: Mapping[str, np.ndarray]
    background: np.ndarray
    scale: float


def of_labels(
    outputs: np.ndarray, index: LabelIndex, activation: str, wanted: Sequence[Sequence[str]], any_label: bool
) -> Responses:
    """Turns scores of labels into responses.

    Args:
      outputs: float32[n, labels].
      index: The labels.
      activation: What made scores of the model's output: of a sigmoid's the largest counts, others are summed.
      wanted: The labels of each action.
      any_label: Let the response be the best score of any label (the notebook's step 5).
    """
    top = outputs.argmax(axis=1)
    top_scores = outputs[np.arange(len(outputs)), top]
    columns = [outputs[:, index.indices(names)] for names in wanted]
    if any_label:
        pooled = [top_scores for _ in columns]
    elif activation == "sigmoid":
        pooled = [column.max(axis=1) for column in columns]
    else:
        pooled = [column.sum(axis=1) for column in columns]
    return Responses(_stacked(pooled, len(outputs)), tuple(index.labels[number] for number in top), top_scores)


def of_nothing(count: int) -> Responses:
    """Returns the responses of so many samples of which no action is asked."""
    return Responses(np.zeros((count, 0), np.float32), ("",) * count, np.zeros(count, np.float32))


def of_texts(outputs: np.ndarray, texts: Texts, wanted: Sequence[Sequence[str]], any_label: bool) -> Responses:
    """Turns image embeddings into responses: softmax shares against the background (arXiv 2103.00020, section 3.1.4).

    Args:
      outputs: float32[n, size] embeddings.
      texts: Of every wanted name, and the background's.
      wanted: The names of each action; their shares are summed.
      any_label: Let the response be the best share of any wanted name.
    """
    names = list(dict.fromkeys(name for action in wanted for name in action))
    logits = {name: texts.scale * outputs @ texts.embeddings[name] for name in names}
    background = texts.scale * outputs @ texts.background.T
    responses = [_shares([logits[name] for name in action], background).sum(axis=1) for action in wanted]
    joint = _shares([logits[name] for name in names], background)
    best = joint.argmax(axis=1) if names else np.zeros(len(outputs), np.int64)
    scores = joint[np.arange(len(outputs)), best] if names else np.zeros(len(outputs), np.float32)
    if any_label:
        responses = [scores for _ in wanted]
    return Responses(
        _stacked(responses, len(outputs)), tuple(names[index] for index in best), scores.astype(np.float32)
    )


def _shares(logits: list[np.ndarray], background: np.ndarray) -> np.ndarray:
    """Returns float[n, len(logits)]: the softmax of the logits together with the background's, without the latter."""
    together = np.concatenate([np.stack(logits, axis=1) if logits else background[:, :0], background], axis=1)
    shares = np.exp(together - together.max(axis=1, keepdims=True))
    return (shares / shares.sum(axis=1, keepdims=True))[:, : len(logits)]


def _stacked(columns: Sequence[np.ndarray], rows: int) -> np.ndarray:
    return np.stack(columns, axis=1).astype(np.float32) if columns else np.zeros((rows, 0), np.float32)
