"""A child that decodes or cuts has no network and writes below its folder alone, also below Python."""

import json
import os
import subprocess
import sys

import pytest

from clipscout.transforms.core.child import confinement
from clipscout.transforms.core.child.supervisor import Child, Limits
from tests.media_maker import make_video

#: Tries things in a process that is confined; prints what succeeded.
PROGRAM = """
import ctypes, json, os, socket, subprocess, sys, threading
from clipscout.transforms.core.child import confinement

own, foreign, kernel, native = json.loads(sys.argv[1])
libc = ctypes.CDLL(None)
if not kernel:
    confinement.keep_files = confinement.keep_network = lambda *_: False
confinement.confine(own)
done = []

def attempt(name, act):
    try:
        result = act()
        if result is not False and result != -1:
            done.append(name)
    except OSError:
        pass

for name, folder in (("own", own), ("foreign", foreign)):
    if not folder:
        continue
    if native:
        attempt(f"{name} write", lambda: libc.open(os.fsencode(f"{folder}/new"), os.O_WRONLY | os.O_CREAT, 0o600))
        attempt(f"{name} folder", lambda: libc.mkdir(os.fsencode(f"{folder}/made"), 0o700))
        attempt(f"{name} removed", lambda: libc.unlink(os.fsencode(f"{folder}/old")))
        attempt(f"{name} cut off", lambda: libc.truncate(os.fsencode(f"{folder}/long"), 0))
    else:
        attempt(f"{name} write", lambda: open(f"{folder}/new", "w"))
        attempt(f"{name} folder", lambda: os.mkdir(f"{folder}/made"))
        attempt(f"{name} removed", lambda: os.unlink(f"{folder}/old"))
        attempt(f"{name} cut off", lambda: os.truncate(f"{folder}/long", 0))
attempt("read", lambda: open(f"{foreign}/long").read() == "text")
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK):
        make = (lambda *given: libc.socket(*given, 0)) if native else socket.socket
        attempt(f"{family.name} {kind.name}", lambda: make(family, kind))
attempt("program", lambda: not libc.system(b"true") if native else subprocess.run(["true"]))
attempt("signal", lambda: libc.kill(os.getppid(), 0) if native else -1)
write = lambda: libc.open(os.fsencode(f"{foreign}/other"), os.O_WRONLY | os.O_CREAT, 0o600)
thread = threading.Thread(target=attempt, args=("thread", write))
if native:
    thread.start()
    thread.join()
print(json.dumps(sorted(done)))
"""


def succeeded(tmp_path, *, with_own=True, kernel=True, native=True):
    """Returns what a confined process could do, own folder and foreign one."""
    folders = []
    for name in ("own", "foreign"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "old").touch()
        (folder / "long").write_text("text")
        folders.append(str(folder))
    given = json.dumps([folders[0] if with_own else "", folders[1], kernel, native])
    done = subprocess.run([sys.executable, "-c", PROGRAM, given], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


OWN = ["own cut off", "own folder", "own removed", "own write"]


@pytest.fixture
def landlock():
    """Skips where the kernel has none that is tested: conftest tells and counts it. The guard is tested anywhere."""
    version = confinement._libc().syscall(confinement._CREATE_RULESET, None, 0, confinement._ASK_VERSION)
    if version < 6:
        pytest.skip(f"the kernel has version {version} of Landlock, and version 6 is tested")


@pytest.mark.parametrize("native", [True, False], ids=["C", "Python"])
def test_the_kernel_refuses_all_but_the_own_folder(tmp_path, landlock, native):
    assert succeeded(tmp_path, native=native) == [*OWN, "read"]


def test_without_a_folder_nothing_can_be_written(tmp_path, landlock):
    assert succeeded(tmp_path, with_own=False) == ["read"]


def test_the_guard_refuses_the_same_to_python_code_where_the_kernel_cannot(tmp_path):
    assert succeeded(tmp_path, kernel=False, native=False) == [*OWN, "read"]


def test_the_child_is_confined_in_all_its_threads(tmp_path, landlock):
    source = make_video(tmp_path / "a.mp4", 50)
    (tmp_path / "own").mkdir()
    child = Child(Limits(), str(tmp_path / "own"))
    spans = [
        {"start_seconds": 0.4, "end_seconds": 1.6, "path": str(tmp_path / place)} for place in ("own/a.mp4", "b.mp4")
    ]
    own, foreign = (m.fields for m in child.call("clips.cutting:cut", {"path": source, "spans": spans}) if m.fields)
    assert own["frames"] == 30
    assert foreign["code"] == "cut_failed"
    assert not (tmp_path / "b.mp4").exists()
    threads = f"/proc/{child._process.pid}/task"
    for thread in os.listdir(threads):
        with open(f"{threads}/{thread}/status") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file)
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    child.close()


def test_a_child_is_not_told_the_secrets_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    source = make_video(tmp_path / "a.mp4", 5)
    for web in (False, True):
        child = Child(Limits(), web=web)
        list(child.call("video.probing:probe", {"path": source}))
        with open(f"/proc/{child._process.pid}/environ", "rb") as file:
            told = file.read()
        child.close()
        assert b"hush" not in told
        assert b"LC_ALL=C.UTF-8" in told
