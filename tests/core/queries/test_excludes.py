"""Exclude files: whatever separates their columns, and however they are written; they guard somebody's test set."""

import gzip
import io

import pytest

from clipscout.transforms.core.queries import excludes, query_files
from clipscout.transforms.core.storage.filesystem import StorageError
from clipscout.transforms.queries import read_excludes


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ids.csv", b"label,youtube_id\na,---QUuC4vJs\n"),
        ("ids.csv", b"label;youtube_id\na;---QUuC4vJs\n"),
        ("ids.csv", "\ufefflabel\tyoutube_id\r\na\t---QUuC4vJs\r\n".encode("utf-16-le")),
        ("ids.csv", b"---QUuC4vJs\n"),
        ("ids.txt", b"# ids\n---QUuC4vJs\n"),
        ("ids.txt", "\ufeff---QUuC4vJs\r\n".encode("utf-16-le")),
        ("ids.csv", b'\nsep=;\nlabel; "youtube_id"\na;---QUuC4vJs\n'),
        ("ids.csv", b"youtube_id\n'---QUuC4vJs\n"),
        ("empty.csv", b""),
    ],
)
def test_ids(name, content):
    lines = query_files.text_lines(io.BufferedReader(io.BytesIO(content)))
    assert list(excludes.read(lines, query_files.delimiter_of(name))) == (["---QUuC4vJs"] if content else [])


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("ids.txt", b"youtu.be/---QUuC4vJs\n", "line 1: 'youtu.be/---QUuC4vJs' is no id"),
        ("ids.txt", b"# ids\n---QUuC4vJs # the first\n", "line 2: '---QUuC4vJs # the first' is no id"),
        ("ids.txt", "---QUuC4vJs\n".encode("utf-16-le"), "line 1: .* is no id"),
        ("ids.jsonl", b'{"youtube_id": "---QUuC4vJs"}\n', "line 1: .* is no id"),
        ("ids.csv", b'youtube_id,title\n"---QUuC4vJs,a\n--QUuC4vJsA,b\n', "line 3: not valid CSV"),
        ("ids.csv", b"youtube_id,title\n---QUuC4vJs," + b"a" * 200_000, "line 2: not valid CSV"),
        ("ids.csv", b"a,---QUuC4vJs\n", "line 1: none of the 2 columns is youtube_id"),
    ],
)
def test_what_would_exclude_nothing_is_a_fault(name, content, fault):
    lines = query_files.text_lines(io.BufferedReader(io.BytesIO(content)))
    with pytest.raises(ValueError, match=fault):
        list(excludes.read(lines, query_files.delimiter_of(name)))


def test_a_damaged_file_ends_the_job_in_one_line(tmp_path):
    (tmp_path / "ids.txt.gz").write_bytes(gzip.compress(b"---QUuC4vJs\n" * 1000)[:-9])
    with pytest.raises(StorageError, match=r"--exclude: .*gz: Compressed file ended"):
        list(read_excludes(None, (str(tmp_path / "ids.txt.gz"),)))
