"""Features of clips on storage, as Parquet: what a classifier's last layer sees of a clip, beside the clip's name.

`features/<fingerprint>/clips/<content>.parquet` has one clip and is found by its content, so that no later run decodes
it again. `features/<fingerprint>/blocks/<action>/<digest>.parquet` has up to some thousand of one action: what is
compared, and what later runs compare with.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clipscout.transforms.core.storage import filesystem, kept, naming, strict_json

_VERSION = 1
_METADATA = b"clipscout_features"
FOLDER, _CLIPS, _BLOCKS, ENDING = "features", "clips", "blocks", ".parquet"
#: Columns beside the feature.
_FACTS: dict[str, pa.DataType] = {
    "id": pa.string(),
    "action": pa.string(),
    "key": pa.string(),
    "clip": pa.string(),
    "content": pa.string(),
    "score": pa.float64(),
    "frames": pa.int32(),
}
_FEATURE = "feature"


class FeatureFileError(ValueError):
    """A file of features cannot be used; the message is one line that names the file and the field."""


@dataclass(frozen=True)
class FeatureModel:
    """What made features; only those of one model can be compared.

    Attributes:
      name: The classifier's name, for people.
      fingerprint: Digest of all that shapes a feature.
    """

    name: str
    fingerprint: str

    def folder(self, output: str) -> str:
        """Returns the folder of its features below an output."""
        return filesystem.join(output, FOLDER, self.fingerprint)

    def clip_file(self, output: str, content: str) -> str:
        """Returns where the feature of one clip lies, by the digest of the clip's content."""
        return filesystem.join(self.folder(output), _CLIPS, naming.digest(content, 32) + ENDING)

    def block_folder(self, output: str, action: str = "") -> str:
        """Returns the folder of the blocks of an action, or of all actions."""
        return filesystem.join(self.folder(output), _BLOCKS, *([naming.action_folder(action)] if action else []))

    def unusable(self, output: str) -> str:
        """Returns why this model can describe nothing, where an earlier run found that out; else nothing.

        Raises:
          StorageError: The storage did not answer.
        """
        return kept.read(self._note(output), lambda record: str(record["why"])) or ""

    def note_unusable(self, output: str, why: str) -> None:
        """Lets later runs know that this model can describe nothing."""
        strict_json.write(self._note(output), {"why": why})

    def _note(self, output: str) -> str:
        return filesystem.join(self.folder(output), "unusable.json")


def fingerprint(**shaping: Any) -> str:
    """Returns the digest of everything that shapes a feature: weights, preprocessing, precision, frames."""
    return naming.digest(json.dumps({"features": _VERSION, **shaping}, sort_keys=True), 16)


@dataclass(frozen=True, eq=False)
class Features:
    """Features of some clips, a row each.

    Attributes:
      ids: Names of the clips, as the manifests have them.
      actions, keys: Of each clip; empty where it is of no job.
      clips: Where each lies: relative to its output, or as it was named.
      contents: Digests of the files.
      scores: float64[n].
      frames: int32[n], how many frames were averaged.
      vectors: float32[n, size], as they were stored.
    """

    ids: Sequence[str]
    actions: Sequence[str]
    keys: Sequence[str]
    clips: Sequence[str]
    contents: Sequence[str]
    scores: np.ndarray
    frames: np.ndarray
    vectors: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


def joined(parts: Iterable[Features]) -> Features:
    """Returns the rows of several, one after the other; there is one at least."""
    parts = list(parts)
    lists: Any = ([value for part in parts for value in getattr(part, name)] for name in _LISTS)
    arrays: Any = (np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS)
    return parts[0] if len(parts) == 1 else Features(*lists, *arrays)


def chosen(features: Features, places: Sequence[int]) -> Features:
    """Returns some of the rows."""
    lists: Any = ([getattr(features, name)[place] for place in places] for name in _LISTS)
    arrays: Any = (getattr(features, name)[list(places)] for name in _ARRAYS)
    return Features(*lists, *arrays)


_LISTS, _ARRAYS = ("ids", "actions", "keys", "clips", "contents"), ("scores", "frames", "vectors")


def write(uri: str, model: FeatureModel, features: Features) -> None:
    """Writes features; the file appears complete or not at all, and the same features give the same bytes.

    Raises:
      StorageError: It cannot be written.
    """
    columns = [getattr(features, name) for name in (*_LISTS, "scores", "frames")]
    arrays = [pa.array(column, kind) for column, kind in zip(columns, _FACTS.values(), strict=True)]
    size = features.vectors.shape[1]
    flat = pa.array(np.ascontiguousarray(features.vectors, np.float32).reshape(-1))
    about = {"version": _VERSION, "model": model.name, "fingerprint": model.fingerprint, "size": size}
    table = pa.table(
        [*arrays, pa.FixedSizeListArray.from_arrays(flat, size)], [*_FACTS, _FEATURE]
    ).replace_schema_metadata({_METADATA: json.dumps(about)})
    sink = pa.BufferOutputStream()
    # numbers of a network's inside hardly shrink, and are read many times over
    kinds = dict.fromkeys(_FACTS, "zstd") | {f"{_FEATURE}.list.element": "none"}
    pq.write_table(table, sink, compression=kinds, use_dictionary=["action"], write_page_checksum=True)
    filesystem.write_bytes(uri, sink.getvalue().to_pybytes())


def read(uri: str, model: FeatureModel, *, vectors: bool = True) -> Features:
    """Returns what a file holds.

    Args:
      uri: Local or gs://.
      model: What its features have to be made by.
      vectors: Whether the features are wanted too; without them they are float32[n, 0], and not looked at.

    Raises:
      FeatureFileError: It is damaged, holds features of another model, or numbers that are not finite.
      StorageError: It is not there, or cannot be read.
    """
    try:
        file = opened(uri, model)
        table = file.read(columns=[*_FACTS, *([_FEATURE] if vectors else [])], use_threads=False)
    except (pa.ArrowException, OSError, *kept.DAMAGE) as error:
        raise _unreadable(uri, error) from error
    for name in _FACTS:
        if table[name].null_count:
            raise FeatureFileError(f"{uri}: field {name}: has empty values")
    size = _about(file)["size"]
    features = Features(
        **{name + "s": table[name].to_pylist() for name in ("id", "action", "key", "clip", "content")},
        scores=table["score"].to_numpy(),
        frames=table["frames"].to_numpy(),
        vectors=_vectors(uri, table[_FEATURE], size) if vectors else np.zeros((len(table), 0), np.float32),
    )
    wrong = np.flatnonzero(~np.isfinite(features.vectors).all(axis=1))
    if len(wrong):
        name = features.clips[wrong[0]]
        raise FeatureFileError(f"{uri}: field {_FEATURE}: that of {name} holds numbers that are not finite")
    return features


def _vectors(uri: str, column: pa.ChunkedArray, size: int) -> np.ndarray:
    values = column.combine_chunks()
    if values.null_count or values.flatten().null_count:
        raise FeatureFileError(f"{uri}: field {_FEATURE}: has empty values")
    return values.flatten().to_numpy(zero_copy_only=False).reshape(len(values), size)


def opened(uri: str, model: FeatureModel) -> pq.ParquetFile:
    """Opens a file of features and looks at what it says of itself.

    Raises:
      FeatureFileError: It is no such file, or of another model.
      StorageError: It is not there, or cannot be read.
    """
    try:
        content = pa.BufferReader(filesystem.read_bytes(uri)) if filesystem.is_remote(uri) else _mapped(uri)
        file = pq.ParquetFile(content, page_checksum_verification=True)
        schema, about = file.schema_arrow, _about(file)
        size = kept.fields(about, {"size": int, "model": str, "fingerprint": str, "version": int})["size"]
    except filesystem.StorageError:
        raise
    except (pa.ArrowException, OSError, *kept.DAMAGE) as error:
        raise _unreadable(uri, error) from error
    if about["fingerprint"] != model.fingerprint:
        raise FeatureFileError(
            f"{uri}: field fingerprint: holds features of {about['model']} ({about['fingerprint']}), and this "
            f"job's are of {model.name} ({model.fingerprint}); only those of one model can be compared"
        )
    for name, kind in {**_FACTS, _FEATURE: pa.list_(pa.float32(), size)}.items():
        if name not in schema.names:
            raise FeatureFileError(f"{uri}: field {name}: is missing")
        if not schema.field(name).type.equals(kind):
            raise FeatureFileError(f"{uri}: field {name}: is {schema.field(name).type}, expected {kind}")
    return file


def _mapped(uri: str) -> pa.MemoryMappedFile:
    filesystem.stamp(uri)
    return pa.memory_map(uri)


def _about(file: pq.ParquetFile) -> dict[str, Any]:
    metadata = file.schema_arrow.metadata or {}
    if _METADATA not in metadata:
        raise ValueError("it is no file of features that Clipscout made")
    return dict(json.loads(metadata[_METADATA]))


def _unreadable(uri: str, error: BaseException) -> FeatureFileError:
    why = " ".join(str(error).split())[:200] or type(error).__name__
    return FeatureFileError(f"{uri}: not a file of features, or a damaged one: {why}")
