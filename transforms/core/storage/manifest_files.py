"""Names of a manifest's files: `spans.jsonl` and `spans.parquet`, or `spans-00003-of-00008.jsonl` of several shards."""

import json
import re
from collections.abc import Iterator
from typing import Any

from clipscout.transforms.core.storage import filesystem

#: `dropped` holds the spans that a run with `--duplicates=drop` left out; other runs have none.
DROPPED = "dropped"
MANIFESTS = ("videos", "spans", "failures", DROPPED)
JSON_LINES, PARQUET = ".jsonl", ".parquet"


def name(manifest: str, shard: int, shards: int, ending: str = JSON_LINES) -> str:
    """Returns the name of one file of a manifest below the output folder."""
    return f"{manifest}{ending}" if shards == 1 else f"{manifest}-{shard:05d}-of-{shards:05d}{ending}"


def manifest_of(name: str) -> str:
    """Returns which manifest a file is of."""
    return re.split(r"[-.]", name)[0]


def rows(output: str, manifest: str) -> Iterator[dict[str, Any]]:
    """Yields the rows of a manifest in JSON Lines, one file of it at a time.

    Raises:
      StorageError: It is not there, or cannot be read.
    """
    names = find(output, manifest, JSON_LINES)
    if not names:
        raise missing(output, manifest + JSON_LINES)
    for file in names:
        with filesystem.local_copy(filesystem.join(output, file)) as path, open(path, encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def missing(output: str, file: str) -> filesystem.StorageError:
    """Returns the error for a file that a finished job leaves."""
    where = filesystem.join(output, file)
    return filesystem.StorageError(f"{where}: no results are there; no job has ended in this folder", "not_found")


def find(output: str, manifest: str, *endings: str) -> list[str]:
    """Returns the names of a manifest's files in an output; a user's file whose name only begins so is none of them.

    Raises:
      StorageError: The output cannot be listed.
    """
    pattern = re.compile(rf"{manifest}(-\d{{5}}-of-\d{{5}})?({'|'.join(map(re.escape, endings))})")
    # with what follows the name: below `videos/` there may be millions
    found = (name for after in ".-" for name in filesystem.walk_files(output, manifest + after))
    return sorted(filter(pattern.fullmatch, found))
