"""The supervised child: whatever happens to it reaches the caller as a ChildError, and the next request is served."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from clipscout.transforms.core.child.supervisor import Child, ChildError, ChildStartError, Limits
from tests.media_maker import make_video, stamp_of

FRAMES = 400


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A video of many small frames: decoding it is far ahead of no one."""
    return make_video(tmp_path_factory.mktemp("child") / "a.mp4", FRAMES)


@pytest.fixture(scope="module")
def large_video(tmp_path_factory):
    """Frames of 25 MB each."""
    grey = np.full((2160, 3840, 3), 90, np.uint8)
    return make_video(tmp_path_factory.mktemp("child") / "4k.mp4", 10, size=(3840, 2160), picture=lambda index: grey)


@pytest.fixture
def child():
    child = Child(Limits(stall_seconds=20))
    yield child
    child.close()


def request(path, batch_frames=1, **rest):
    return {
        "path": path,
        "sampling": {"frame_stride": 1},
        "frame_settings": {"mode": "native"},
        "batch_frames": batch_frames,
        **rest,
    }


def stamps(child, path):
    """Returns the numbers of all frames that a child decodes."""
    found = []
    for message in child.call("video.decode:samples", request(path, 16)):
        if "shape" in message.fields:
            pictures = np.frombuffer(message.payload, np.uint8).reshape(message.fields["shape"])
            found += [stamp_of(picture) for picture in pictures]
    return found


def is_gone(pid, seconds=5.0):
    """Tells whether a process ends, or is a zombie, within some seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(") ")[2].startswith("Z"):
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def group_of(pid):
    """Returns the ids of all processes of a process group."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.getpgid(int(entry)) == pid:
                    found.append(int(entry))
            except ProcessLookupError:
                continue
    return found


def test_one_process_serves_many_requests(child, video):
    assert stamps(child, video) == list(range(FRAMES))
    pid = child._process.pid
    assert stamps(child, video) == list(range(FRAMES))
    assert child._process.pid == pid


def test_payloads_are_writable(child, video):
    message = next(child.call("video.decode:samples", request(video)))
    assert np.frombuffer(message.payload, np.uint8).flags.writeable


def test_refused_input_is_the_tasks_own_code_and_keeps_the_process(child, video, tmp_path):
    (tmp_path / "a.mp4").write_text("<html></html>")
    list(child.call("video.probing:probe", {"path": video}))
    pid = child._process.pid
    with pytest.raises(ChildError, match="no readable video container") as caught:
        list(child.call("video.decode:samples", request(str(tmp_path / "a.mp4"))))
    assert (caught.value.kind, caught.value.fatal) == ("unreadable_video", False)
    assert stamps(child, video) == list(range(FRAMES))
    assert child._process.pid == pid


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV], ids=["kill", "segfault"])
def test_a_killed_child_is_a_crash_and_the_next_request_is_served(child, video, number):
    messages = child.call("video.decode:samples", request(video))
    next(messages)
    pid = child._process.pid
    os.kill(pid, number)
    with pytest.raises(ChildError, match=number.name) as caught:
        list(messages)
    assert (caught.value.kind, caught.value.fatal) == ("crashed", True)
    assert is_gone(pid)
    assert stamps(child, video) == list(range(FRAMES))


def test_a_child_killed_between_requests_is_a_crash_once(child, video):
    list(child.call("video.probing:probe", {"path": video}))
    os.kill(child._process.pid, signal.SIGKILL)
    with pytest.raises(ChildError) as caught:
        list(child.call("video.probing:probe", {"path": video}))
    assert caught.value.kind == "crashed"
    *_, answer = child.call("video.probing:probe", {"path": video})  # behind signs of life
    assert answer.fields["width"] == 192


@pytest.mark.parametrize("kind", ["small", "large"])
def test_a_frozen_child_is_a_timeout(video, large_video, kind):
    """Large answers are frozen half-sent: the child sends ahead as far as the socket takes it."""
    child = Child(Limits(stall_seconds=1))
    messages = child.call("video.decode:samples", request(video if kind == "small" else large_video))
    next(messages)
    time.sleep(0.3)
    pid = child._process.pid
    os.kill(pid, signal.SIGSTOP)
    rescue = threading.Timer(6, os.kill, (pid, signal.SIGKILL))  # or the test would hang with the child
    rescue.start()
    started = time.monotonic()
    with pytest.raises(ChildError) as caught:
        list(messages)
    took = time.monotonic() - started
    rescue.cancel()
    assert (caught.value.kind, caught.value.fatal) == ("timeout", True)
    assert took < 4
    assert is_gone(pid)
    assert stamps(child, video) == list(range(FRAMES))
    child.close()


def test_the_total_time_counts_only_waiting(video):
    child = Child(Limits(stall_seconds=20, total_seconds=1.0))
    list(child.call("video.probing:probe", {"path": video}))  # starting up and importing are over
    messages = child.call("video.decode:samples", request(video))
    next(messages)
    time.sleep(1.2)
    assert len(list(messages)) == FRAMES
    os.kill(child._process.pid, signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(ChildError) as caught:
        list(child.call("video.probing:probe", {"path": video}))
    assert caught.value.kind == "timeout"
    assert 0.9 < time.monotonic() - started < 3
    child.close()


@pytest.mark.parametrize(
    ("megabytes", "batch_frames"), [(400, 32), (200, 1)], ids=["our own array", "inside the decoder"]
)
def test_the_memory_cap_is_an_error_of_its_own(video, large_video, megabytes, batch_frames):
    child = Child(Limits(memory_bytes=megabytes << 20))
    with pytest.raises(ChildError) as caught:
        list(child.call("video.decode:samples", request(large_video, batch_frames)))
    assert (caught.value.kind, caught.value.fatal) == ("memory", True)
    assert stamps(child, video) == list(range(FRAMES))
    child.close()


@pytest.mark.parametrize("task", ["video.probing:probe", "clips.cutting:cut", "video.decode:samples"])
def test_every_task_reports_the_memory_cap(large_video, tmp_path, task):
    """FFmpeg tells of its own failed allocations as invalid data, or as no frame at all."""
    child = Child(Limits(memory_bytes=128 << 20), str(tmp_path))
    spans = [{"start_seconds": 0, "end_seconds": 0.4, "path": str(tmp_path / "clip.mp4")}]
    with pytest.raises(ChildError) as caught:
        list(child.call(task, request(large_video, spans=spans)))
    assert caught.value.kind == "memory"
    child.close()


def test_a_child_that_cannot_start_is_no_fault_of_the_request_and_the_next_one_is_served(child, video, monkeypatch):
    monkeypatch.setenv("PYTHONMALLOC", "nonsense")  # no interpreter starts with it
    with pytest.raises(ChildStartError, match="child processes do not start: Python "):
        list(child.call("video.probing:probe", {"path": video}))
    assert not issubclass(ChildStartError, (ChildError, OSError))  # stages make failures of these
    monkeypatch.delenv("PYTHONMALLOC")
    assert stamps(child, video) == list(range(FRAMES))


def test_a_cap_too_small_for_the_interpreter_is_a_failure_of_the_child(video):
    child = Child(Limits(memory_bytes=1 << 10))
    for _ in range(2):
        with pytest.raises(ChildError) as caught:
            list(child.call("video.probing:probe", {"path": video}))
        assert caught.value.fatal
    child.close()


def test_a_bug_in_a_task_is_a_crash_that_names_it(child):
    with pytest.raises(ChildError, match=r"exit status 1: AttributeError.*no_such_task") as caught:
        list(child.call("video.decode:no_such_task", {}))
    assert caught.value.kind == "crashed"


def test_stopping_early_leaves_a_usable_child(child, video):
    messages = child.call("video.decode:samples", request(video))
    next(messages)
    pid = child._process.pid
    messages.close()
    assert is_gone(pid)
    assert stamps(child, video) == list(range(FRAMES))


def test_close_leaves_no_process(video):
    child = Child(Limits())
    messages = child.call("video.decode:samples", request(video))
    next(messages)
    pid = child._process.pid
    assert group_of(pid) == [pid]
    child.close()
    assert group_of(pid) == []
    child.close()


def test_a_child_is_replaced_after_its_share_of_requests(video):
    child = Child(Limits(requests=2))
    pids = []
    for _ in range(5):
        list(child.call("video.probing:probe", {"path": video}))
        pids.append(child._process.pid)
    assert [pids.index(pid) for pid in pids] == [0, 0, 2, 2, 4]
    assert is_gone(pids[0])
    assert is_gone(pids[2])
    child.close()


PARENT = """
import sys
from clipscout.transforms.core.child.supervisor import Child, Limits
child = Child(Limits())
messages = child.call("video.decode:samples", {"path": sys.argv[1], "sampling": {"frame_stride": 1},
    "frame_settings": {"mode": "native"}, "batch_frames": 1})
next(messages)
print(child._process.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "terminate"])
def test_the_child_dies_with_its_parent(video, number):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, video], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as parent:
        pid = int(parent.stdout.readline())
        assert group_of(pid) == [pid]
        parent.send_signal(number)
        parent.wait()
    assert is_gone(pid, 3)


def test_the_child_loads_neither_beam_nor_torch(child, video):
    import torch  # noqa: F401 - the parent has it; the child shall not

    list(child.call("video.decode:samples", request(video)))
    spans = [{"start_seconds": 90, "end_seconds": 91, "path": "/nowhere/clip.mp4"}]
    list(child.call("clips.cutting:cut", {"path": video, "spans": spans}))
    with open(f"/proc/{child._process.pid}/maps") as file:
        loaded = file.read()
    with open("/proc/self/maps") as file:
        ours = file.read()
    assert "libavcodec" in loaded
    assert "libtorch" in ours
    for heavy in ("libtorch", "apache_beam", "grpc", "pyarrow"):
        assert heavy not in loaded
