"""The responses of one video over time, as the report draws them: small enough for a page, every peak in it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clipscout.transforms.core.spans import peaks
from clipscout.transforms.core.storage import filesystem, strict_json
from clipscout.transforms.records import Scores, ScoreTrack

FOLDER = "report/curves"
#: More samples are thinned out: each part of the curve keeps its highest and its lowest. Of very many actions those are
#: kept whose responses are highest somewhere in the video.
MOST_SAMPLES, MOST_ACTIONS = 6000, 24
_DIGITS = 4
#: A page that was opened from disk may load scripts and no data.
_BEFORE, _AFTER = "clipscout.curve(JSON.parse(", "));\n"


def path_of(key: str) -> str:
    """Returns the file of a video's curve, relative to the output folder."""
    return f"{FOLDER}/{key}.js"


def of_track(track: ScoreTrack, smooth_seconds: float = 0.0) -> dict[str, Any]:
    """Returns the curve of a track; see `curve`. It is smoothed as spans are picked from it."""
    responses = {
        action: peaks.smooth(track.times, track.responses[:, column], smooth_seconds)
        for column, action in enumerate(track.actions)
    }
    samples = track.times, track.top_labels, track.top_scores
    return curve(track.key, *samples, responses, track.shot_boundaries, track.decoded_seconds)


def of_stored(
    key: str,
    scores: Scores,
    actions: Mapping[str, Sequence[str]],
    boundaries: Sequence[float],
    seconds: float,
    smooth_seconds: float = 0.0,
) -> dict[str, Any]:
    """Returns the curve of a stored track, with those of its actions that were scored when it was stored.

    Args:
      key: The video's key.
      scores: The stored samples.
      actions: The labels that stand for each action.
      boundaries: Times of shot boundaries in seconds.
      seconds: End of the last decoded frame.
      smooth_seconds: Width of the moving average that spans are picked from; 0 for none.
    """
    known = {action: tuple(sorted(set(labels))) for action, labels in actions.items()}
    responses = {
        action: peaks.smooth(scores.times, scores.responses[:, scores.wanted.index(labels)], smooth_seconds)
        for action, labels in known.items()
        if labels in scores.wanted
    }
    return curve(key, scores.times, scores.top_labels, scores.top_scores, responses, boundaries, seconds)


def curve(
    key: str,
    times: np.ndarray,
    top_labels: Sequence[str],
    top_scores: np.ndarray,
    responses: Mapping[str, np.ndarray],
    boundaries: Sequence[float],
    seconds: float,
) -> dict[str, Any]:
    """Returns what the page draws of one video, as plain values.

    Args:
      key: The video's key.
      times: float64[n] seconds, ascending.
      top_labels: n names.
      top_scores: float32[n].
      responses: float32[n] of each action.
      boundaries: Times of shot boundaries in seconds.
      seconds: End of the last decoded frame.

    Returns:
      `key`, `seconds`, `shots`; `times`, and for each of these `labels` (as places in `names`), `label_scores`, and in
      `responses` each action's: numbers of four digits, None where the response is not finite; `thinned`, whether
      samples were left out; `left_out`, how many actions were.
    """
    kept = sorted(responses, key=lambda action: -np.max(np.nan_to_num(responses[action]), initial=0))[:MOST_ACTIONS]
    left_out = len(responses) - len(kept)
    responses = {action: values for action, values in responses.items() if action in kept}
    chosen = _thinned(np.stack(list(responses.values())) if responses else top_scores[None])
    names = sorted({top_labels[index] for index in chosen})
    places = {name: place for place, name in enumerate(names)}
    return {
        "key": key,
        "seconds": round(seconds, 3),
        "shots": [round(time, 3) for time in boundaries],
        "thinned": len(chosen) < len(times),
        "left_out": left_out,
        "times": [round(float(times[index]), 3) for index in chosen],
        "names": names,
        "labels": [places[top_labels[index]] for index in chosen],
        "label_scores": _numbers(top_scores[chosen]),
        "responses": {action: _numbers(values[chosen]) for action, values in responses.items()},
    }


def _thinned(rows: np.ndarray) -> list[int]:
    """Returns the indices of the samples that are kept, ascending, for float32[rows, n]."""
    count = rows.shape[1]
    if count <= MOST_SAMPLES:
        return list(range(count))
    edges = np.linspace(0, count, max(1, MOST_SAMPLES // (2 * len(rows))) + 1).astype(int)
    kept = set[int]()
    for row in np.where(np.isfinite(rows), rows, 0.0):
        for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            kept |= {start + int(row[start:end].argmax()), start + int(row[start:end].argmin())}
    return sorted(kept)


def _numbers(values: np.ndarray) -> list[float | None]:
    return [float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None for value in values.tolist()]


def at_most(drawn: Mapping[str, Any], count: int) -> dict[str, Any]:
    """Returns a curve for a small picture: the highest response of each of so many parts of the time."""
    step = max(1, -(-len(drawn["times"]) // count))
    if step == 1:
        return dict(drawn)
    starts = range(0, len(drawn["times"]), step)
    highest = {
        action: [max((value for value in row[at : at + step] if value is not None), default=None) for at in starts]
        for action, row in drawn["responses"].items()
    }
    return {**drawn, "times": [drawn["times"][at] for at in starts], "responses": highest, "thinned": True}


def write(output: str, drawn: Mapping[str, Any]) -> None:
    """Stores a curve where the page looks for it."""
    # as text within the script: in its own syntax a name such as __proto__ would be another thing
    data = f"{_BEFORE}{json.dumps(strict_json.text(drawn), ensure_ascii=False)}{_AFTER}".encode()
    filesystem.write_bytes(filesystem.join(output, path_of(drawn["key"])), data)


def read(output: str, key: str) -> dict[str, Any] | None:
    """Returns a stored curve, None where there is none, or one that is damaged.

    Raises:
      StorageError: The storage did not answer.
    """
    try:
        text = filesystem.read_bytes(filesystem.join(output, path_of(key))).decode()
        found = json.loads(json.loads(text.removeprefix(_BEFORE).removesuffix(_AFTER)))
        return found if isinstance(found, dict) and {"times", "responses", "shots", "seconds"} <= {*found} else None
    except filesystem.StorageError as error:
        if error.code != "not_found":
            raise
    except (FileNotFoundError, ValueError, TypeError):
        pass
    return None
