"""Exclude files: whatever separates their columns, and however they are written; they guard somebody's test set."""

import io

import pytest

from transforms.core import excludes, rows


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ids.csv", b"label,youtube_id\na,---QUuC4vJs\n"),
        ("ids.csv", b"label;youtube_id\na;---QUuC4vJs\n"),
        ("ids.csv", "\ufefflabel\tyoutube_id\r\na\t---QUuC4vJs\r\n".encode("utf-16-le")),
        ("ids.csv", b"---QUuC4vJs\n"),
        ("ids.txt", b"# ids\n---QUuC4vJs\n"),
        ("ids.txt", "\ufeff---QUuC4vJs\r\n".encode("utf-16-le")),
        ("empty.csv", b""),
    ],
)
def test_ids(name, content):
    lines = rows.text_lines(io.BufferedReader(io.BytesIO(content)))
    assert list(excludes.read(lines, rows.delimiter_of(name))) == (["---QUuC4vJs"] if content else [])
