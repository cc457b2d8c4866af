"""Records of earlier runs: damaged ones are told of and count as none; pipes and devices are never opened."""

import os
import socket
import time

import pytest

from clipscout.transforms.core.child.supervisor import Child, ChildError, Limits
from clipscout.transforms.core.storage import filesystem, kept
from clipscout.transforms.core.storage.filesystem import StorageError
from clipscout.transforms.core.storage.video_store import VideoStore
from clipscout.transforms.failures import Failure

DAMAGED = {"nothing": b"", "half": b'{"a": 1', "another type": b"[1]", "no text": b"\xff\xfe", "deep": b"[" * 100_000}
DAMAGED |= {
    "half a character": b'{"a": 1, "b": "\\ud800"}',
    "no number": b'{"a": 1, "b": NaN}',
    "large": b'{"a": %d}' % 10**30,
}


def number(record):
    return kept.fields(record, {"a": int})["a"]


def test_a_record_is_read_and_a_missing_one_is_none(tmp_path, caplog):
    (tmp_path / "a.json").write_text('{"a": 1, "b": 2}')
    assert kept.read(str(tmp_path / "a.json"), number) == 1
    assert kept.read(str(tmp_path / "b.json"), number) is None
    assert caplog.messages == []


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_record_is_told_and_none(tmp_path, caplog, content):
    (tmp_path / "a.json").write_bytes(content)
    assert kept.read(str(tmp_path / "a.json"), number) is None
    assert caplog.messages == [f"{tmp_path}/a.json is damaged; the job goes on as if it were not there"]


@pytest.mark.parametrize("value", ["1", 1.5, True, None, [1]])
def test_a_field_of_another_type_is_damage(value):
    with pytest.raises(ValueError, match="a is"):
        kept.fields({"a": value}, {"a": int})


def test_damaged_lines_cost_themselves(tmp_path, caplog):
    lines = [b'{"a": 1}', *DAMAGED.values(), b'{"a": "x"}', b'{"a": 2}']
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    assert list(kept.read_lines(str(tmp_path / "a.jsonl"), number)) == [1, 2]
    assert [message.split()[0] for message in caplog.messages] == [
        f"{tmp_path}/a.jsonl:{line}" for line in range(3, 11)
    ]


@pytest.fixture(params=["pipe", "device", "socket", "link to a device"])
def no_file(request, tmp_path):
    path = tmp_path / "x"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "device":
        yield "/dev/zero"
        return
    elif request.param == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
            yield str(path)
        return
    else:
        path.symlink_to("/dev/zero")
    yield str(path)


def test_what_is_no_file_is_never_opened(no_file):
    def copy():
        with filesystem.local_copy(no_file):
            pass

    started = time.monotonic()
    for call in (filesystem.read_bytes, filesystem.size_and_digest, filesystem.stamp, lambda _: copy()):
        with pytest.raises(StorageError, match="not a file") as caught:
            call(no_file)
        assert caught.value.code == "not_found"
    assert time.monotonic() - started < 2


@pytest.fixture
def child():
    child = Child(Limits(stall_seconds=20))
    yield child
    child.close()


def test_the_child_gives_the_digest_of_a_file(child, tmp_path):
    (tmp_path / "a").write_bytes(b"a" * (40 << 20))
    *signs, last = child.call("child.hashing:digest", {"path": str(tmp_path / "a")})
    assert len(signs) == 3
    assert (last.fields["size_bytes"], last.fields["content"]) == filesystem.size_and_digest(str(tmp_path / "a"))


@pytest.mark.parametrize(("path", "code"), [("/nowhere", "not_found"), ("/dev/zero", "not_found"), ("/", "not_found")])
def test_what_the_child_cannot_read_has_the_storages_code(child, path, code):
    with pytest.raises(ChildError) as caught:
        list(child.call("child.hashing:digest", {"path": path}))
    assert caught.value.kind == code


@pytest.mark.parametrize("content", [*DAMAGED.values(), b'{"asked": {}}', b'{"asked": {}, "stage": "a", "code": 5}'])
def test_a_damaged_failure_of_an_earlier_run_is_none(tmp_path, content):
    store = VideoStore(str(tmp_path), "videos_for_clips")
    store.note_failure(Failure("FetchBetterVideos", "removed", "gone", key="k"), {})
    assert store.failure("k", {}).code == "removed"
    (tmp_path / "videos_for_clips/k.failure.json").write_bytes(content)
    assert store.failure("k", {}) is None
