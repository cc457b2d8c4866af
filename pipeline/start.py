"""The first seconds of a job: Beam takes long to import, and progress and signals are there before it."""

import atexit
import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from typing import NoReturn, TypeAlias

from clipscout.pipeline import stops, worker_server
from clipscout.pipeline.progress import Display, asked_for
from clipscout.pipeline.scratch import Scratch, remove_left
from clipscout.transforms.core import tally


def leave_torch_for_later() -> None:
    """Lets Beam's RunInference do without its model manager, which it can, and which imports torch and scipy.

    These take two thirds of a start, also where every score is there already. For programs of ours alone: whoever
    builds a pipeline of their own may want the manager.
    """
    sys.modules.setdefault("apache_beam.ml.inference.model_manager", None)  # type: ignore[arg-type]


#: What a program does, once Beam may be imported: it takes the watch and the display, and returns the exit status.
Work: TypeAlias = Callable[[stops.Stops, Display], int]


def start(argv: Sequence[str], loaded: Callable[[], Work] | None = None) -> NoReturn:
    """Runs the job that the arguments describe, and ends the program with its status.

    Args:
      argv: The arguments; of `clipscout mine` unless told otherwise.
      loaded: Imports another job, and returns it.
    """
    stop = stops.Stops()
    stop.gentle = False  # nothing to unwind
    with stop:
        # temporary files of this process, its workers and their children lie in one place, and go with it
        with contextlib.suppress(OSError):  # no such place: the job itself will tell where it needs one
            parent = tempfile.gettempdir()
            remove_left(parent)
            scratch = Scratch(parent)
            stop.scratch = os.environ["TMPDIR"] = tempfile.tempdir = scratch.folder
            atexit.register(scratch.remove)
        if loaded is None:
            worker_server.start_ahead(argv)
        with Display(asked_for(argv)) as display:
            stop.on_end = display.abandon
            with tally.doing("starting", slow_seconds=float("inf")):
                leave_torch_for_later()
                from clipscout.pipeline import run

                work = loaded() if loaded else partial(run.mine, argv)
            stop.gentle = True
            status = run.stoppable(work, stop, display)
    stop.leave(status)
