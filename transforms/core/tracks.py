"""Score tracks on storage: one Parquet file per video under the fingerprint of everything that shapes a score.

A video that cannot be scored for good has a small record there instead, so that no later run waits for it again.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from transforms.core import storage
from transforms.records import ScoreTrack

_VERSION = 2


def fingerprint(**shaping: Any) -> str:
    """Returns the digest of everything that shapes a score: weights, preprocessing, sampling, response."""
    text = json.dumps({"version": _VERSION, **shaping}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def path(score_fingerprint: str, key: str) -> str:
    """Returns the path of a track relative to the output."""
    return f"scores/{score_fingerprint}/{key}.parquet"


def _failure_uri(output: str, score_fingerprint: str, key: str) -> str:
    return storage.join(output, f"scores/{score_fingerprint}/{key}.failure.json")


def write(output: str, score_fingerprint: str, track: ScoreTrack, content: str) -> None:
    """Writes a track, and forgets an earlier failure.

    Args:
      output: The output folder.
      score_fingerprint: See `fingerprint`.
      track: The track.
      content: Digest of the video file that was scored.
    """
    actions = list(track.actions)
    columns: dict[str, Any] = {
        "time_seconds": track.times,
        "frame_index": track.frame_indices,
        "top_label": pa.array(track.top_labels, pa.string()).dictionary_encode(),
        "top_score": track.top_scores,
    }
    columns |= {f"response_{place}": track.responses[:, place] for place in range(len(actions))}
    facts = {
        "key": track.key,
        "content": content,
        "actions": {action: list(labels) for action, labels in track.actions.items()},
        "decoded_seconds": track.decoded_seconds,
        "frames_decoded": track.frames_decoded,
        "flags": list(track.flags),
        "cuts": list(track.cuts),
    }
    table = pa.table(columns).replace_schema_metadata({"clipscout": json.dumps(facts)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    storage.write_bytes(storage.join(output, path(score_fingerprint, track.key)), sink.getvalue().to_pybytes())
    storage.delete(_failure_uri(output, score_fingerprint, track.key))


def read(
    output: str, score_fingerprint: str, key: str, content: str, wanted: dict[str, Sequence[str]]
) -> ScoreTrack | None:
    """Returns the stored track of the wanted actions, or None where there is none that fits.

    A track fits when it was scored from the same content and holds every wanted action with the same labels.
    """
    uri = storage.join(output, path(score_fingerprint, key))
    try:
        table = pq.read_table(pa.BufferReader(storage.read_bytes(uri)), page_checksum_verification=True)
    except storage.StorageError as error:
        if error.code == "not_found":
            return None
        raise
    except (pa.ArrowException, OSError):  # not ours, or damaged: score again
        return None
    try:
        return _track(table, key, content, wanted)
    except (ValueError, KeyError, TypeError, AttributeError):  # a Parquet file, but none of ours
        return None


def write_failure(output: str, score_fingerprint: str, key: str, facts: dict[str, Any]) -> None:
    """Records that a video cannot be scored.

    Args:
      output: The output folder.
      score_fingerprint: See `fingerprint`.
      key: The video.
      facts: What `read_failure` compares, and `code`, `message` and `attempts`.
    """
    storage.write_bytes(_failure_uri(output, score_fingerprint, key), json.dumps(facts).encode())


def read_failure(output: str, score_fingerprint: str, key: str, **expected: Any) -> dict[str, Any] | None:
    """Returns a recorded failure, or None where there is none of the same content under the same limits."""
    try:
        facts = json.loads(storage.read_bytes(_failure_uri(output, score_fingerprint, key)))
        fits = all(facts[name] == value for name, value in expected.items())
        return {name: facts[name] for name in ("code", "message", "attempts")} if fits else None
    except storage.StorageError as error:
        if error.code == "not_found":
            return None
        raise
    except (ValueError, KeyError, TypeError):  # damaged, or not ours: try the video again
        return None


def _track(table: pa.Table, key: str, content: str, wanted: dict[str, Sequence[str]]) -> ScoreTrack | None:
    facts = json.loads((table.schema.metadata or {}).get(b"clipscout", b"{}"))
    stored = {action: tuple(labels) for action, labels in facts.get("actions", {}).items()}
    if facts.get("content") != content or any(stored.get(a) != tuple(labels) for a, labels in wanted.items()):
        return None
    places = [list(stored).index(action) for action in wanted]
    responses = [table[f"response_{place}"].to_numpy() for place in places]
    return ScoreTrack(
        key=key,
        actions={action: tuple(labels) for action, labels in wanted.items()},
        times=table["time_seconds"].to_numpy(),
        frame_indices=table["frame_index"].to_numpy(),
        responses=np.stack(responses, axis=1) if responses else np.zeros((len(table), 0), np.float32),
        top_labels=tuple(table["top_label"].to_pylist()),
        top_scores=table["top_score"].to_numpy(),
        decoded_seconds=facts["decoded_seconds"],
        frames_decoded=facts["frames_decoded"],
        flags=tuple(facts["flags"]),
        cuts=tuple(facts["cuts"]),
    )
