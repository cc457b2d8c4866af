"""Signals to the real program: what is said, the exit status, and that nothing of it is left."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from clipscout.pipeline import scratch
from clipscout.pipeline.scratch import Scratch
from clipscout.pipeline.stops import SIGNALS, Stopped, Stops
from tests.jobs import arguments, scene_video
from tests.programs import Program, is_worker, parents_by_process, silent_site, until, url_on

STOPPED = "clipscout: stopped; the same command goes on from what is complete"
WORKER_DIED = (
    "clipscout: a worker process died: it was killed, or memory ran out; the same command goes on from what is complete"
)
BEFORE = "clipscout: stopped before anything was run"
#: Of the two seconds that are promised a busy machine may need more.
SOON_SECONDS = 4


@pytest.fixture
def waiting(tmp_path, colour_spec, request):
    """A program that waits for a site in mid-job, on a terminal or not, with one or two workers."""
    terminal, workers = request.param
    scene_video(tmp_path / "good.mp4", ("grey", 1), ("red", 1))
    with silent_site() as site:
        rows = [{"action": "red", "path": str(tmp_path / "good.mp4")}, {"action": "red", "url": url_on(site)}]
        more = [
            f"--workers={workers}",
            "--allow_private_hosts=127.0.0.1",
            f"--progress={'live' if terminal else 'none'}",
        ]
        given = arguments(tmp_path, rows, colour_spec, *more)
        with Program(tmp_path / "scratch", given, terminal) as program:
            connection, _ = site.accept()
            with connection:
                yield program


def assert_gone(program, since):
    """Nothing runs any more, nothing lies about, and it did not take long."""
    assert time.monotonic() - since < SOON_SECONDS
    until(lambda: not program.processes(), 1)
    assert list(program.scratch.iterdir()) == []


def assert_terminal_is_well(program):
    """The line stands there once, without a traceback, and the cursor is visible."""
    assert program.shown.count("clipscout: ") == 1
    assert "Traceback" not in program.shown
    assert program.shown.rfind("\x1b[?25h") > program.shown.rfind("\x1b[?25l")


on_pipes = pytest.mark.parametrize(
    "waiting", [(False, 1), (False, 2)], indirect=True, ids=["one worker", "two workers"]
)


@pytest.mark.parametrize(
    ("waiting", "times"),
    [((True, 1), 1), ((True, 1), 2), ((True, 2), 2)],
    indirect=["waiting"],
    ids=["once, one worker", "twice, one worker", "twice, two workers"],
)
def test_ctrl_c_ends_in_one_line(waiting, times):
    until(lambda: "\x1b[?25l" in waiting.shown)  # the display is there
    start = time.monotonic()
    waiting.press_ctrl_c(times)
    assert waiting.wait() == 130
    assert_gone(waiting, start)
    assert STOPPED in waiting.shown
    assert_terminal_is_well(waiting)


@on_pipes
def test_sigterm_ends_in_one_line(waiting):
    start = time.monotonic()
    waiting.send(signal.SIGTERM)
    assert waiting.wait() == 128 + signal.SIGTERM
    assert_gone(waiting, start)
    assert waiting.outputs() == ("", f"{STOPPED}\n")


@pytest.mark.parametrize("waiting", [(True, 2)], indirect=True, ids=["two workers"])
def test_a_terminal_that_closes_ends_the_job(waiting):
    start = time.monotonic()
    waiting.close_terminal()
    assert waiting.wait() == 128 + signal.SIGHUP
    assert_gone(waiting, start)


@pytest.mark.parametrize("waiting", [(False, 2)], indirect=True, ids=["two workers"])
def test_a_program_that_is_killed_takes_its_workers_along(waiting):
    waiting.send(signal.SIGKILL)
    assert waiting.wait() == -signal.SIGKILL
    until(lambda: not waiting.processes(), SOON_SECONDS)


def test_what_killed_programs_left_goes_at_the_next_start_and_nothing_of_a_living_one(tmp_path):
    place = tmp_path / "scratch"
    with Program(place, ["--input=x", "--output=y"]) as killed:
        until(lambda: list(place.glob("*/.in-use")))
        killed.send(signal.SIGKILL)
        killed.wait()
    (left,) = place.iterdir()
    (left / "half a video").write_bytes(b"x")
    (place / "clipscout-of-somebody").mkdir()  # without a lock: nobody knows whether it is in use
    living = Scratch(str(place))
    scratch.remove_left(str(place))
    assert sorted(place.iterdir()) == sorted([Path(living.folder), place / "clipscout-of-somebody"])
    living.remove()
    assert list(place.iterdir()) == [place / "clipscout-of-somebody"]


@pytest.mark.parametrize("waiting", [(False, 2)], indirect=True, ids=["two workers"])
@pytest.mark.parametrize("server", [False, True], ids=["workers", "what forks them"])
def test_a_worker_that_is_killed_ends_the_job_in_one_line_whatever_it_was_at(waiting, server):
    workers = [pid for pid in waiting.processes() if is_worker(pid)]
    assert len(workers) == 2
    parents = {parents_by_process()[pid] for pid in workers}
    assert len(parents) == 1  # of what was imported there is one copy
    for pid in parents if server else workers:  # one waits for a site, of the other nothing was asked
        os.kill(pid, signal.SIGKILL)
    assert waiting.wait() == 1
    assert waiting.outputs() == ("", f"{WORKER_DIED}\n")


def test_imports_are_interrupted_in_one_line(tmp_path):
    with Program(tmp_path / "scratch", ["--input=x", "--output=y"]) as program:
        until(lambda: list(program.scratch.glob("clipscout-*")))  # it has begun, and imports for seconds
        start = time.monotonic()
        program.send(signal.SIGINT)
        assert program.wait() == 130
        assert_gone(program, start)
        assert program.outputs() == ("", f"{BEFORE}\n")


def test_what_cannot_be_unwound_ends_all_the_same(tmp_path, colour_spec):
    """Threads of preflight wait for a storage that does not answer, and are not told of signals."""
    with silent_site() as site:
        given = arguments(tmp_path, [], colour_spec, "--output=gs://bucket/out")
        storage = {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{site.getsockname()[1]}"}
        with Program(tmp_path / "scratch", given, environment=storage) as program:
            connection, _ = site.accept()
            start = time.monotonic()
            program.send(signal.SIGINT)
            assert program.wait() == 130
            assert_gone(program, start)
            assert program.outputs() == ("", f"{BEFORE}\n")
            connection.close()


@pytest.fixture
def unshielded():
    """Lets this process hear of a closing terminal, also where nohup shields the tests."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("unshielded")
@pytest.mark.parametrize("number", SIGNALS, ids=str)
def test_a_signal_unwinds_what_runs_in_the_main_thread(number, capfd):
    handlers = [signal.getsignal(one) for one in SIGNALS]
    with Stops() as stop:
        with pytest.raises(Stopped):
            signal.raise_signal(number)
        stop.say()
        stop.say()
        assert stop.status == 128 + number
    assert [signal.getsignal(one) for one in SIGNALS] == handlers
    assert capfd.readouterr().err == f"{BEFORE}\n"


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup leaves it
    try:
        with Stops() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.1)
            assert stop.number == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_the_main_thread_nothing_is_watched():
    handlers = [signal.getsignal(one) for one in SIGNALS]
    seen = []

    def watch():
        with Stops() as stop:
            seen.extend([stop.number, *map(signal.getsignal, SIGNALS)])

    thread = threading.Thread(target=watch)
    thread.start()
    thread.join()
    assert seen == [0, *handlers]
