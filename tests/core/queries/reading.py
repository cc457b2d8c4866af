"""Reads query files that are given as texts."""

import io

from clipscout.transforms.core.queries import query_files
from clipscout.transforms.records import ActionQuery

URL = "https://www.youtube.com/watch?v=-8Appls4ZFg"


def read(content, name="q.jsonl"):
    """Returns all that a file gives."""
    content = content if isinstance(content, bytes) else content.encode()
    return list(query_files.read(io.BufferedReader(io.BytesIO(content)), name))


def only(content, name="q.jsonl"):
    """Returns the one query that a file gives."""
    (query,) = read(content, name)
    assert isinstance(query, ActionQuery), query
    return query
