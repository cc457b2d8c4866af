"""Worker processes of the local runner that end with the program, silently, and leave Ctrl-C to it.

Beam's own are started through a shell, print a traceback each when the terminal interrupts them, and outlive a program
that is killed until they notice that their connection is gone.
"""

import contextlib
import logging
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from apache_beam.portability import python_urns
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.worker import sdk_worker_main

from clipscout.pipeline import parents

_LOOK_SECONDS = 0.2
_WAITS_FOR_PROCESS = "run_worker"
_BEAMS_THREADS = ("read_grpc_client_inputs", "beam_")


class WorkerProcesses(FnApiRunner):
    """Beam's local runner, whose worker processes are started by this module."""

    def run_via_runner_api(self, pipeline_proto: Any, options: Any) -> Any:
        """Runs a pipeline; what starts its workers is put in the place of Beam's own command."""
        # the shell gives its place to Python, and ignored signals are ignored from the first moment
        command = f"trap '' INT HUP; exec {shlex.quote(sys.executable)} -m clipscout.pipeline.worker {os.getpid()}"
        for environment in pipeline_proto.components.environments.values():
            if environment.urn == python_urns.SUBPROCESS_SDK:
                environment.payload = command.encode()
        return super().run_via_runner_api(pipeline_proto, options)


@contextlib.contextmanager
def broken_connections_are_silent(on_death: Callable[[], None]) -> Iterator[None]:
    """While it holds, Beam's threads that wait for a worker process say nothing when it dies.

    Args:
      on_death: Called then, in such a thread: where nothing was asked of the process yet, Beam waits for it for ever.
    """
    tell = threading.excepthook

    def hook(caught: threading.ExceptHookArgs) -> None:
        name = "" if caught.thread is None else caught.thread.name
        if name.startswith(_WAITS_FOR_PROCESS):
            on_death()
        elif not name.startswith(_BEAMS_THREADS):
            tell(caught)

    threading.excepthook = hook
    try:
        yield
    finally:
        if threading.excepthook is hook:
            threading.excepthook = tell


def _end_with(parent: int) -> None:
    """Ends this process once its parent is gone.

    Linux can do so before connections break, which Beam would tell of at length: the signal comes when the thread of
    the parent ends that started this process, and that one waits for this process.
    """
    parents.end_with(parent, signal.SIGKILL)
    threading.Thread(target=_watch, args=(parent,), name="clipscout-parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


def main(argv: list[str]) -> None:
    """Works for the program that started this process, until either ends."""
    _end_with(int(argv[1]))
    # it warns of a folder that only containers have
    logging.getLogger(sdk_worker_main.__name__).setLevel(logging.ERROR)
    # what fails in a step reaches the program as the job's error; Beam prints the traceback here too
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until this process ends
    sdk_worker_main.main(argv)


if __name__ == "__main__":
    main(sys.argv)
