"""gs:// with names as people give them: each is one object, whatever URLs and globs make of its letters."""

from pathlib import Path

import pytest

from clipscout.transforms.core.storage import filesystem
from clipscout.transforms.core.storage.filesystem import StorageError
from clipscout.transforms.core.storage.matching import match_files
from tests.conftest import BUCKET

NAMES = {
    "plain": "a.mp4",
    "space": "two words .mp4",
    "number sign": "a#1.mp4",
    "question mark": "who?.mp4",
    "percent": "100%.mp4",
    "looks quoted": "a%20b%2Fc.mp4",
    "not ASCII": "Übung 试验 🎬.mp4",
    "all together": "a b#1?ü.mp4",
    "brackets": "title [dQw4w9WgXcQ].mp4",
    "star": "best * of.mp4",
    "of URLs": "a+b&c=d;e,f:g@h$i!j~k|l^m`n.mp4",
    "quotes": 'it\'s "so".mp4',
    "slashes": "x//y.mp4",
    "backslash": "a\\b.mp4",
    "line break": "a\nb.mp4",
}
FOLDER = f"gs://{BUCKET}/in put"


@pytest.fixture(params=NAMES.values(), ids=NAMES)
def uri(request, cloud):
    """The URI of an object with a strange name, among others that a glob would take it for."""
    for other in ("a0.mp4", "whom.mp4", "title d.mp4", "best and worst of.mp4"):
        filesystem.write_bytes(f"{FOLDER}/{other}", b"another")
    return f"{FOLDER}/{request.param}"


def test_a_name_survives_writing_reading_listing_and_deletion(uri, tmp_path):
    name = uri.removeprefix(f"{FOLDER}/")
    assert not filesystem.exists(uri)
    filesystem.write_bytes(uri, b"first")
    assert filesystem.exists(uri)
    assert filesystem.size(uri) == 5
    assert filesystem.read_bytes(uri) == b"first"
    assert name in filesystem.list_files(FOLDER)
    (tmp_path / "local").write_bytes(b"second")
    filesystem.move_in(str(tmp_path / "local"), uri)
    with filesystem.local_copy(uri) as path:
        assert Path(path).read_bytes() == b"second"
    assert filesystem.size_and_digest(uri)[0] == 6
    filesystem.delete(uri)
    assert name not in filesystem.list_files(FOLDER)
    assert len(filesystem.list_files(FOLDER)) == 4


def test_a_name_that_exists_is_itself_before_it_is_a_glob(uri):
    filesystem.write_bytes(uri, b"")
    assert match_files(uri) == [uri]


def test_a_glob_finds_the_name(uri):
    filesystem.write_bytes(uri, b"")
    assert uri in match_files(f"{FOLDER}/**.mp4")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("in/*.mp4", ["in/a.mp4", "in/b.mp4"]),
        ("in/**.mp4", ["in/a.mp4", "in/b.mp4", "in/deep/c.mp4"]),
        ("in/?.mp4", ["in/a.mp4", "in/b.mp4"]),
        ("in/[b-z].mp4", ["in/b.mp4"]),
        ("in/[!b].mp4", ["in/a.mp4"]),
        ("*/a.mp4", ["in/a.mp4"]),
        ("in/", ["in/a.mp4", "in/a.mp4.txt", "in/b.mp4"]),
        ("**", ["in/a.mp4", "in/a.mp4.txt", "in/b.mp4", "in/deep/c.mp4"]),
        ("in/a.mp4", ["in/a.mp4"]),
        ("in/a", []),
        ("in/*.mkv", []),
        ("none/*", []),
    ],
)
def test_globs_match_as_on_local_disk(cloud, tmp_path, pattern, expected):
    for name in ("in/a.mp4", "in/b.mp4", "in/a.mp4.txt", "in/deep/c.mp4"):
        filesystem.write_bytes(f"gs://{BUCKET}/{name}", b"")
        filesystem.write_bytes(str(tmp_path / name), b"")
    filesystem.write_bytes(f"gs://{BUCKET}/in/folder/", b"")  # as some tools put folders
    assert match_files(f"gs://{BUCKET}/{pattern}") == [f"gs://{BUCKET}/{name}" for name in expected]
    assert match_files(f"{tmp_path}/{pattern}") == [f"{tmp_path}/{name}" for name in expected]


@pytest.mark.parametrize("pattern", ["a.mp4", "*.mp4"])
def test_a_glob_in_a_bucket_that_does_not_exist_names_it(cloud, pattern):
    with pytest.raises(StorageError, match="the bucket no-such-bucket does not exist"):
        match_files(f"gs://no-such-bucket/{pattern}")


@pytest.mark.parametrize(
    "uri",
    ["gs://", "gs:///a", f"gs://{BUCKET}", f"gs://{BUCKET}/", "gs://-bad-/a", f"gs://{BUCKET}/\udc80"],
    ids=["nothing", "no bucket", "bucket", "bucket and slash", "bad bucket", "not Unicode"],
)
def test_what_names_no_object_is_not_found(cloud, uri):
    for call in (
        filesystem.read_bytes,
        filesystem.size_and_digest,
        filesystem.exists,
        lambda uri: filesystem.write_bytes(uri, b""),
    ):
        with pytest.raises(StorageError) as caught:
            call(uri)
        assert caught.value.code == "not_found"
    assert cloud.requests == []
