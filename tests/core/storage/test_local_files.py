"""Files on local disk: whole or not at all."""

import hashlib
import os
import stat
import tempfile
from pathlib import Path

import pytest

from clipscout.transforms.core.storage import filesystem
from clipscout.transforms.core.storage.filesystem import StorageError


def names(folder):
    """Returns everything below a folder, temporary files too."""
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*"))


def test_write_makes_folders_and_replaces(tmp_path):
    target = str(tmp_path / "a" / "b" / "c.bin")
    filesystem.write_bytes(target, b"one")
    filesystem.write_bytes(target, b"two\x00")
    assert filesystem.read_bytes(target) == b"two\x00"
    assert names(tmp_path) == ["a", "a/b", "a/b/c.bin"]


def test_written_files_have_the_rights_of_any_other_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    filesystem.write_bytes(str(tmp_path / "ours"), b"")
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_write_in_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    filesystem.write_bytes("plain.txt", b"x")
    assert names(tmp_path) == ["plain.txt"]


def test_failed_write_leaves_nothing_behind(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "kept").write_bytes(b"")
    with pytest.raises(StorageError):
        filesystem.write_bytes(str(tmp_path / "target"), b"data")
    assert names(tmp_path) == ["target", "target/kept"]


def test_interrupted_write_keeps_the_old_file(tmp_path):
    target = tmp_path / "target"
    target.write_bytes(b"old")
    with pytest.raises(TypeError):
        filesystem.write_bytes(str(target), "text is not bytes")
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["target"]


def missing(tmp_path):
    return str(tmp_path / "missing")


def folder(tmp_path):
    return str(tmp_path)


def below_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    return str(tmp_path / "file" / "below")


def too_long(tmp_path):
    return str(tmp_path / ("n" * 300))


@pytest.mark.parametrize("read", [filesystem.read_bytes, filesystem.size_and_digest], ids=["read_bytes", "facts"])
@pytest.mark.parametrize(
    ("place", "code"),
    [(missing, "not_found"), (folder, "not_found"), (below_a_file, "storage_error"), (too_long, "storage_error")],
    ids=["missing", "folder", "below a file", "name too long"],
)
def test_errors_of_reading_have_codes(tmp_path, read, place, code):
    uri = place(tmp_path)
    with pytest.raises(StorageError) as caught:
        read(uri)
    assert caught.value.code == code
    assert uri in str(caught.value)


@pytest.mark.parametrize("place", [below_a_file, too_long], ids=["below a file", "name too long"])
def test_errors_of_writing_have_codes(tmp_path, place):
    uri = place(tmp_path)
    with pytest.raises(StorageError) as caught:
        filesystem.write_bytes(uri, b"")
    assert caught.value.code == "storage_error"


def test_exists_is_for_files(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert filesystem.exists(str(tmp_path / "file"))
    assert not filesystem.exists(str(tmp_path))
    assert not filesystem.exists(str(tmp_path / "missing"))


@pytest.mark.parametrize("shelf", [None, "/dev/shm"], ids=["same filesystem", "shared memory"])
def test_move_in(tmp_path, shelf):
    data = os.urandom(3 << 20)
    with tempfile.TemporaryDirectory(dir=shelf or tmp_path.parent) as scratch:
        local = Path(scratch, "local")
        local.write_bytes(data)
        filesystem.move_in(str(local), str(tmp_path / "deep" / "target"))
        assert not local.exists()
    assert (tmp_path / "deep" / "target").read_bytes() == data
    assert names(tmp_path) == ["deep", "deep/target"]


def test_move_in_replaces(tmp_path):
    (tmp_path / "local").write_bytes(b"new")
    (tmp_path / "target").write_bytes(b"old")
    filesystem.move_in(str(tmp_path / "local"), str(tmp_path / "target"))
    assert (tmp_path / "target").read_bytes() == b"new"


def test_move_in_of_nothing_is_an_error_and_leaves_nothing(tmp_path):
    with pytest.raises(StorageError) as caught:
        filesystem.move_in(str(tmp_path / "missing"), str(tmp_path / "target"))
    assert caught.value.code == "not_found"
    assert names(tmp_path) == []


def test_failed_move_keeps_the_local_file(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "kept").write_bytes(b"")
    (tmp_path / "local").write_bytes(b"data")
    with pytest.raises(StorageError):
        filesystem.move_in(str(tmp_path / "local"), str(tmp_path / "target"))
    assert names(tmp_path) == ["local", "target", "target/kept"]


def test_delete(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    filesystem.delete(str(tmp_path / "file"))
    filesystem.delete(str(tmp_path / "file"))
    assert names(tmp_path) == []


def test_delete_tells_other_errors(tmp_path):
    with pytest.raises(StorageError) as caught:
        filesystem.delete(below_a_file(tmp_path))
    assert caught.value.code == "storage_error"


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("", ["a/b/one.txt", "a/two.txt", "ab/three.txt", "four.txt"]),
        ("a/", ["a/b/one.txt", "a/two.txt"]),
        ("a", ["a/b/one.txt", "a/two.txt", "ab/three.txt"]),
        ("a/b/o", ["a/b/one.txt"]),
        ("missing/", []),
        ("zzz", []),
    ],
    ids=["all", "folder", "letters", "name", "missing folder", "no match"],
)
def test_list_files(tmp_path, prefix, expected):
    for name in ("four.txt", "ab/three.txt", "a/two.txt", "a/b/one.txt"):
        filesystem.write_bytes(str(tmp_path / name), b"")
    (tmp_path / "empty").mkdir()
    assert filesystem.list_files(str(tmp_path), prefix) == expected


def test_list_files_of_a_missing_folder(tmp_path):
    assert filesystem.list_files(str(tmp_path / "missing")) == []


def test_facts(tmp_path):
    (tmp_path / "file").write_bytes(b"abc" * 1000)
    digest = hashlib.sha256(b"abc" * 1000).hexdigest()
    assert filesystem.size_and_digest(str(tmp_path / "file")) == (3000, f"sha256:{digest}")


def test_local_copy_of_a_local_file_is_itself(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    with filesystem.local_copy(str(tmp_path / "file")) as path:
        assert path == str(tmp_path / "file")
    assert (tmp_path / "file").exists()


@pytest.mark.parametrize(
    ("output", "uri", "expected"),
    [
        ("/out", "videos/a.mp4", "/out/videos/a.mp4"),
        ("/out", "/in/a.mp4", "/in/a.mp4"),
        ("/out", "gs://b/a.mp4", "gs://b/a.mp4"),
        ("gs://b/out", "videos/a.mp4", "gs://b/out/videos/a.mp4"),
        ("gs://b/out/", "videos/a.mp4", "gs://b/out/videos/a.mp4"),
    ],
)
def test_resolve(output, uri, expected):
    assert filesystem.resolve(output, uri) == expected


def test_only_empty_folders_right_below_are_removed(tmp_path):
    for name in ("empty", "full", "deep/empty"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "full/file").write_bytes(b"")
    (tmp_path / "file").write_bytes(b"")
    filesystem.remove_empty_folders(str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"full", "deep", "file"}
    filesystem.remove_empty_folders(str(tmp_path / "none"))


def test_a_file_that_is_written_piece_by_piece_appears_whole_or_not_at_all(tmp_path):
    uri = str(tmp_path / "folder/rows.jsonl")

    def broken():
        yield b"half"
        raise KeyError

    with pytest.raises(KeyError), filesystem.writing(uri) as file:
        file.writelines(broken())
    assert not list((tmp_path / "folder").iterdir())
    with filesystem.writing(uri) as file:
        file.writelines([b"a\n", b"b\n"])
        assert not filesystem.exists(uri)
    assert filesystem.read_bytes(uri) == b"a\nb\n"
    assert filesystem.list_files(str(tmp_path)) == ["folder/rows.jsonl"]
