"""Progress of a job while it runs: one live display on a terminal, elsewhere now and then a line, to stderr.

A thread reads what the job's processes keep of their tallies. It begins with the program, so that a slow start is seen.
"""

import contextlib
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from clipscout.pipeline.standing import Course, Standing, plain
from clipscout.transforms.core import tally

if TYPE_CHECKING:  # only a terminal needs it
    from rich.console import Console, RenderableType

MODES = ("auto", "live", "lines", "none")
_LOOK_SECONDS = 0.5
#: Between two lines; and between two lines that say the same but for the time.
_LINE_SECONDS, _SAME_LINE_SECONDS = 10.0, 60.0
_BAR_CHARACTERS = 24
_SHOW_CURSOR = b"\x1b[?25h"


def asked_for(argv: Sequence[str]) -> str:
    """Returns how progress is to be shown, from arguments that nobody has judged yet: `live`, `lines` or `none`."""
    text = " ".join(argument for argument in argv if "\n" not in argument)
    named = re.findall(r"(?:^| )--progress[= ](\w+)", text)
    mode = named[-1] if named else "auto"
    if mode in MODES[1:]:
        return mode
    return "live" if sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb" else "lines"


class _View(Protocol):
    """Where a standing is shown."""

    def show(self, standing: Standing, totals: tally.Totals, now: float) -> None:
        """Shows it, if it is time to."""

    def close(self) -> None:
        """Leaves a terminal as it was."""


class Lines:
    """Lines for logs: nothing of a short job, then one every ten seconds at most.

    What delays a start is announced at once: until something is counted there is nothing else to say.

    Args:
      start: When the program began.
    """

    def __init__(self, start: float) -> None:
        self._last_seconds, self._last_text = start, ""
        self._announced: set[str] = set()

    def show(self, standing: Standing, totals: tally.Totals, now: float) -> None:
        """Prints a line, if it is time to."""
        if not totals.counts:
            for activity in totals.doing:
                if activity.seconds(now) >= activity.slow_seconds and activity.what not in self._announced:
                    self._announced.add(activity.what)
                    _print(f"clipscout: {plain(activity.what)} ... ({activity.seconds(now):.0f} s)")
        text = standing.line().partition("; ")[2]
        if not text:  # between two steps there is nothing to say
            return
        waited = now - self._last_seconds
        if waited >= (_SAME_LINE_SECONDS if text == self._last_text else _LINE_SECONDS):
            self._last_seconds, self._last_text = now, text
            _print(f"clipscout: {standing.line()}")

    def close(self) -> None:
        """Does nothing: lines leave a terminal as it is."""


def _print(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # nobody reads any more
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def table(standing: Standing, width: int) -> "RenderableType":
    """Returns the live display's content.

    Args:
      standing: How the job stands.
      width: Of the terminal, in characters.
    """
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    shown = Table.grid(padding=(0, 2))
    shown.add_column(no_wrap=True)
    shown.add_column(no_wrap=True, justify="right")
    if bars := width >= 60:
        shown.add_column(width=_BAR_CHARACTERS)
    shown.add_column(no_wrap=True, overflow="ellipsis")
    for stage in standing.stages:
        bar = (
            [ProgressBar(stage.known, stage.done, _BAR_CHARACTERS, complete_style="cyan", finished_style="green")]
            if bars
            else []
        )
        shown.add_row(Text(stage.name), Text(f"{stage.done:,}/{stage.known:,}"), *bar, Text(stage.note))
    rest = Table.grid(padding=(0, 2))
    rest.add_column(no_wrap=True)
    rest.add_column(no_wrap=True, overflow="ellipsis")
    for name, text in standing.figures():
        rest.add_row(Text(name), Text(text, style="red" if name == "failed" else ""))
    for text in standing.doing[:3]:
        rest.add_row(Text("now"), Text(text))
    rest.add_row(Text("time"), Text(standing.clock()))
    both = Table.grid()
    for part in (shown, rest):
        if part.row_count:
            both.add_row(part)
    return both


class Live:
    """The live display. What is printed to stderr meanwhile appears above it.

    Args:
      console: The terminal; stderr's, unless a test has its own.
    """

    def __init__(self, console: "Console | None" = None) -> None:
        from rich import live
        from rich.console import Console

        self._console = console or Console(stderr=True, force_terminal=True, markup=False, emoji=False, highlight=False)
        # stdout is not this display's, and may lead to a file; the report at the end takes the display's place
        self._live = live.Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False)
        self._started = False

    def show(self, standing: Standing, totals: tally.Totals, now: float) -> None:
        """Draws the display anew."""
        if not self._started:
            if standing.seconds < tally.SLOW_SECONDS:  # what is over at once leaves no flicker
                return
            self._started = True
            self._live.start()
        self._live.update(table(standing, self._console.width), refresh=True)

    def close(self) -> None:
        """Takes the display away."""
        self._started = False
        with contextlib.suppress(OSError, ValueError):  # the terminal is gone
            self._live.stop()


class Display:
    """Shows progress from a thread of its own, from entering the context until it is closed.

    Args:
      mode: `live`, `lines` or `none`.
    """

    def __init__(self, mode: str) -> None:
        self._mode = mode
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._closing = contextlib.ExitStack()
        self._view: _View | None = None
        self._drawing = threading.Lock()

    def __enter__(self) -> "Display":
        if self._mode != "none":
            start = time.monotonic()
            try:
                folder = tempfile.mkdtemp(prefix="clipscout-progress-")
            except OSError:  # no place for temporary files; the job itself will tell where it needs one
                self._mode = "none"
                return self
            self._closing.callback(shutil.rmtree, folder, ignore_errors=True)
            self._closing.enter_context(tally.kept_in(folder))
            self._view = view = Live() if self.is_live else Lines(start)
            self._thread = threading.Thread(target=self._look, args=(folder, start, view), name="clipscout-progress")
            self._thread.daemon = True
            self._closing.callback(self._end, self._thread, view)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_live(self) -> bool:
        """Whether somebody looks on, at a terminal."""
        return self._mode == "live"

    def close(self) -> None:
        """Ends the display; what is printed from now on stays. Safe to call any number of times."""
        self._closing.close()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Takes the display away for as long as something is printed that is to stay."""
        with self._drawing:
            if self._view is not None:
                self._view.close()
            yield

    def abandon(self) -> None:
        """Leaves the display as it is, from any thread, where there is no time to close: the program ends now."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(_LOOK_SECONDS / 2)  # a drawing that has begun
        if self.is_live:
            with contextlib.suppress(OSError):
                os.write(2, b"\n" + _SHOW_CURSOR)

    def _end(self, thread: threading.Thread, view: _View) -> None:
        self._over.set()
        thread.join()
        view.close()

    def _look(self, folder: str, start: float, view: _View) -> None:
        course = Course(start)
        with contextlib.suppress(OSError, ValueError):  # a terminal that is gone
            while not self._over.wait(_LOOK_SECONDS):
                now, totals = time.monotonic(), tally.read(folder)
                with self._drawing:
                    view.show(course.at(now, totals), totals, now)
