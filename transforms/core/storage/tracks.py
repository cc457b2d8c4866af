"""Score tracks on storage: what a classifier said of each content, under the fingerprint of all that shapes it.

`scores/<fingerprint>/<content>.parquet` is complete once it is there. A content that is scored in segments has a file
for each until the last one is done. A content that cannot be scored for good has a small record instead, so that no
later run waits for it again.
"""

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clipscout.transforms.core.storage import filesystem, kept, naming, strict_json
from clipscout.transforms.records import ScoredSamples, Scores

_VERSION = 3
#: Of 23 bits: outputs are exact to 2^-17 of themselves, which takes a third off the file; those above 0.5, where
#: classifiers that are sure differ by less, stay whole.
_KEPT_BITS = 16
_WHOLE_ABOVE = 0.5
_ROW_GROUP_SAMPLES = 1024
#: How the decoding of stored samples ended, as `Writer.finish` is told.
REPORTED: dict[str, type | tuple[type, ...]] = {
    "frames_decoded": int,
    "decoded_seconds": (int, float),
    "lost_seconds": (int, float),
    "flags": list,
    "shot_boundaries": list,
    "reached_end": bool,
    "engine": str,
}
_SCORES = ("time_seconds", "frame_index", "top_label", "top_score")


def fingerprint(**shaping: Any) -> str:
    """Returns the digest of everything that shapes an output: weights, preprocessing, sampling."""
    return naming.digest(json.dumps({"version": _VERSION, **shaping}, sort_keys=True), 16)


@dataclass(frozen=True)
class TrackFiles:
    """The files of the scores of one content.

    Attributes:
      output: The output folder.
      fingerprint: See `fingerprint`.
      content_key: The content.
    """

    output: str
    fingerprint: str
    content_key: str

    def track(self) -> str:
        """Returns the URI of the complete track."""
        return self._uri(".parquet")

    def segment(self, start_seconds: float, end_seconds: float | None) -> str:
        """Returns the URI of one segment, as long as there is no complete track."""
        end = "end" if end_seconds is None else round(end_seconds * 1000)
        return self._uri(f"-{round(start_seconds * 1000)}-{end}.parquet")

    def failure(self) -> str:
        """Returns the URI of what is recorded where there will be no track."""
        return self._uri(".failure.json")

    def _uri(self, ending: str) -> str:
        return filesystem.join(self.output, f"scores/{self.fingerprint}/{self.content_key}{ending}")


class Writer:
    """Makes the file of some samples as they come; in memory there is only what it will hold, compressed.

    Args:
      asked: What the responses depend on besides `wanted`; see `Stored`.
    """

    def __init__(self, asked: str) -> None:
        self._asked = asked
        self._sink = pa.BufferOutputStream()
        self._writer: pq.ParquetWriter | None = None
        self._wanted: tuple[tuple[str, ...], ...] = ()
        self._waiting: list[pa.Table] = []

    def add(self, part: Scores | ScoredSamples, outputs: np.ndarray | None) -> None:
        """Adds samples, later than those before; outputs are float32[n, size], or None where they are not kept."""
        self._wanted = part.wanted
        columns: dict[str, Any] = {
            "time_seconds": part.times,
            "frame_index": part.frame_indices,
            "top_label": pa.array(part.top_labels, pa.string()),
            "top_score": part.top_scores.astype(np.float32),
        }
        columns |= {f"response_{index}": part.responses[:, index] for index in range(len(part.wanted))}
        if outputs is not None:
            values = pa.array(_rounded(outputs).reshape(-1))
            columns["outputs"] = pa.FixedSizeListArray.from_arrays(values, outputs.shape[1])
        self._waiting.append(pa.table(columns))
        if sum(map(len, self._waiting)) >= _ROW_GROUP_SAMPLES:
            self._write()

    def finish(self, report: dict[str, Any]) -> bytes:
        """Returns the content of the file, with a report about all samples."""
        self._write()
        assert self._writer is not None
        header = strict_json.text({"asked": self._asked, "wanted": self._wanted, "facts": report})
        # a Parquet file has checksums of its columns, not of this
        self._writer.add_key_value_metadata({"clipscout": header, "clipscout-crc32": str(zlib.crc32(header.encode()))})
        self._writer.close()
        return self._sink.getvalue().to_pybytes()

    def _write(self) -> None:
        if not self._waiting:
            return
        table = pa.concat_tables(self._waiting)
        self._waiting = []
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._sink,
                table.schema,
                compression="zstd",
                use_dictionary=["top_label"],
                use_byte_stream_split=["outputs.list.element"] if "outputs" in table.column_names else False,
                write_statistics=False,
                write_page_checksum=True,
            )
        self._writer.write_table(table)


def _rounded(values: np.ndarray) -> np.ndarray:
    """Returns float32 values without the bits that only take space."""
    values, dropped = np.ascontiguousarray(values, np.float32), 23 - _KEPT_BITS
    bits = values.view(np.uint32)
    rounded = (((bits >> (dropped - 1)) + 1) >> 1 << dropped).astype(np.uint32).view(np.float32)
    return np.where(np.abs(values) > _WHOLE_ABOVE, values, rounded)


@dataclass(frozen=True, eq=False)
class Stored:
    """What a file holds.

    Attributes:
      scores: Samples, with the responses of what was wanted when they were scored.
      asked: What those responses depend on besides the labels; they hold for those who ask the same.
      report: What was said to `Writer.finish`, `REPORTED` among it.
      source: The file, for `outputs`.
    """

    scores: Scores
    asked: str
    report: dict[str, Any]
    source: pq.ParquetFile

    @property
    def has_outputs(self) -> bool:
        """Whether all that the classifier said was kept."""
        return "outputs" in self.source.schema_arrow.names

    def outputs(self) -> Iterator[np.ndarray]:
        """Yields float32[some, size], all that the classifier said, a part of the samples after the other.

        Raises:
          ValueError: The file is damaged.
        """
        try:
            for group in range(self.source.num_row_groups):
                column = self.source.read_row_group(group, columns=["outputs"])["outputs"].combine_chunks()
                yield column.flatten().to_numpy().reshape(len(column), column.type.list_size)
        except (pa.ArrowException, OSError, *kept.DAMAGE) as error:
            raise ValueError(f"damaged outputs: {error}") from error


def read(uri: str) -> Stored | None:
    """Returns the samples of a file, or None where there is none, or one that is damaged or not ours.

    Raises:
      StorageError: The storage did not answer.
    """
    try:
        content = pa.BufferReader(filesystem.read_bytes(uri)) if filesystem.is_remote(uri) else pa.memory_map(uri)
        file = pq.ParquetFile(content, page_checksum_verification=True)
        metadata = file.schema_arrow.metadata or file.metadata.metadata
        header = json.loads(metadata[b"clipscout"])
        if int(metadata.get(b"clipscout-crc32", 0)) not in (0, zlib.crc32(metadata[b"clipscout"])):
            raise ValueError("its header is damaged")
        report = {"lost_seconds": 0.0, "engine": "torch", **header["facts"]}  # which earlier versions did not tell
        wanted = tuple(map(tuple, header["wanted"]))
        table = file.read(columns=[*_SCORES, *(f"response_{index}" for index in range(len(wanted)))])
        responses = [table[f"response_{index}"].to_numpy() for index in range(len(wanted))]
        scores = Scores(
            times=table["time_seconds"].to_numpy(),
            frame_indices=table["frame_index"].to_numpy(),
            wanted=wanted,
            responses=np.stack(responses, axis=1) if responses else np.zeros((len(table), 0), np.float32),
            top_labels=tuple(table["top_label"].to_pylist()),
            top_scores=table["top_score"].to_numpy(),
        )
        if "cuts" in report:  # as earlier versions called them
            report["shot_boundaries"] = report.pop("cuts")
        return Stored(scores, header["asked"], {**report, **kept.fields(report, REPORTED)}, file)
    except filesystem.StorageError as error:
        if error.code != "not_found":
            raise
    except FileNotFoundError:
        pass
    except (pa.ArrowException, OSError, *kept.DAMAGE):
        kept.tell_damaged(uri)
    return None


def write_failure(files: TrackFiles, record: dict[str, Any]) -> None:
    """Records that a content cannot be scored: what `read_failure` compares, and `code`, `message` and `attempts`."""
    strict_json.write(files.failure(), record)


def read_failure(files: TrackFiles, **expected: Any) -> dict[str, Any] | None:
    """Returns a recorded failure, or None where there is none under the same limits."""

    def make(record: Any) -> dict[str, Any] | None:
        fits = all(record[name] == value for name, value in expected.items())
        return kept.fields(record, {"code": str, "message": str, "attempts": int}) if fits else None

    return kept.read(files.failure(), make)


def forget_failure(files: TrackFiles) -> None:
    """Forgets what was recorded: the content was scored."""
    filesystem.delete(files.failure())


def columns_of(scores: Scores, wanted: Sequence[tuple[str, ...]]) -> Scores | None:
    """Returns the same samples with the responses of other labels, if all of these are there."""
    if any(labels not in scores.wanted for labels in wanted):
        return None
    places = [scores.wanted.index(labels) for labels in wanted]
    return Scores(
        scores.times,
        scores.frame_indices,
        tuple(wanted),
        scores.responses[:, places],
        scores.top_labels,
        scores.top_scores,
    )
