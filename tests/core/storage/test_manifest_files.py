"""The files of a manifest are found without a look at what an output ever stored."""

import os

import pytest

from clipscout.transforms.core.storage import filesystem, kept, manifest_files

NAMES = ["videos.jsonl", "videos.parquet", "videos-00000-of-00002.jsonl", "videos-00001-of-00002.jsonl"]


@pytest.fixture
def output(tmp_path):
    others = ["videos/site-a.jsonl", "videos_for_clips/a.jsonl", "videos-old/a.jsonl", "videos_2.jsonl", "videosjsonl"]
    for name in [*NAMES, *others]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return str(tmp_path)


def test_files_of_a_manifest(output):
    assert manifest_files.find(output, "videos", ".jsonl", ".parquet") == sorted(NAMES)
    assert manifest_files.find(output, "videos", ".parquet") == ["videos.parquet"]
    assert manifest_files.find(output, "spans", ".jsonl") == []


def test_stored_videos_are_not_listed(output, monkeypatch):
    seen, scandir = [], os.scandir

    def scanned(path):
        seen.append(os.path.relpath(path, output))
        return scandir(path)

    monkeypatch.setattr(filesystem.os, "scandir", scanned)
    manifest_files.find(output, "videos", ".jsonl")
    assert not {"videos", "videos_for_clips"} & set(seen)
    assert "." in seen


def test_a_file_of_records_is_read_line_by_line(tmp_path, monkeypatch):
    path = tmp_path / "failures.jsonl"
    path.write_bytes(b'{"a": 1}\n\n{"a": "\xe2\x80\xa8"}\nno json\n{"a": 2}')
    monkeypatch.setattr(filesystem, "read_bytes", None)  # as a whole it may be larger than the memory
    assert list(kept.read_lines(str(path), lambda record: record["a"])) == [1, "\u2028", 2]
