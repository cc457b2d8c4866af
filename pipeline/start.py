"""The first seconds: Beam takes long to import, and progress and signals are there before it."""

from collections.abc import Sequence
from typing import NoReturn

from pipeline import stops
from pipeline.progress import Display, asked_for
from transforms.core import tally


def start(argv: Sequence[str]) -> NoReturn:
    """Runs the job that the arguments describe, and ends the program with its status."""
    with stops.Stops() as stop, Display(asked_for(argv)) as display:
        stop.on_end = display.abandon
        stop.gentle = False  # nothing to unwind
        with tally.doing("starting", slow_seconds=float("inf")):
            from pipeline import run
        stop.gentle = True
        status = run.stoppable(argv, stop, display)
    stops.leave(status)
