"""Clipscout from Python: what `clipscout mine` and `clipscout labels` do, with values in place of a command line.

The job runs in a process of its own: what it does to memory, threads and signals it does not do to a notebook.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from clipscout.pipeline.faults import EXIT_FAULTY_OPTIONS
from clipscout.pipeline.results import Results
from clipscout.transforms.core.storage import strict_json

#: A row, as a query file has it: `action`, one of `query`, `url` and `path`, and the rest.
Row = Mapping[str, Any]
_STOP_SECONDS = 10.0
_PROGRAM = ("-m", "clipscout.pipeline.beside")
#: A line of progress: no reason for anything.
_PROGRESS = re.compile(r"clipscout: (\d+:\d\d:\d\d|.* \.\.\. \()")
_SEMICOLONS = ("prompts", "background_prompts")


class OptionsError(ValueError):
    """The options, or what they name, cannot be used; nothing was run.

    Attributes:
      faults: A line for each reason.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = list(faults)


class JobError(RuntimeError):
    """The job failed, or a signal ended it; the message is what it said last. What is complete is kept."""


def mine(queries: Any, output: str | os.PathLike[str], **options: Any) -> Results:
    """Mines candidate clips, and returns when they are there.

    Args:
      queries: Rows as mappings (a list, or anything that is iterated), a pandas DataFrame of them, or the path or glob
        of query files. A cell that is missing (None or not a number) is left out.
      output: The output folder, local or gs://. A call with the same folder continues where the last one stopped.
      **options: Options of `clipscout mine` by their names: numbers, texts, paths, True and False, and lists where
        several values are meant.

    Raises:
      OptionsError: An option, or what it names, cannot be used.
      JobError: The job failed.
      KeyboardInterrupt: It was stopped; the same call goes on from what is complete.
    """
    with query_file(queries) as path:
        status, lines = _ran([path, os.fspath(output)], options)
    if status == 0:
        return Results(os.fspath(output))
    if status == EXIT_FAULTY_OPTIONS:
        raise OptionsError(lines)
    raise JobError("\n".join(lines[-10:]) or f"the job ended with status {status}")


def labels(classifier: str | os.PathLike[str] = "lite0") -> list[str]:
    """Returns the labels that rows can name, in the model's order; none of a zero-shot classifier, which needs none.

    Raises:
      OptionsError: The classifier cannot be used.
    """
    from clipscout.transforms.core.classifiers.resolve import resolve
    from clipscout.transforms.core.classifiers.specs import SpecError

    try:
        return list(resolve(os.fspath(classifier)).labels)
    except SpecError as error:
        raise OptionsError([f"--classifier: {error}"]) from None


def arguments(queries: str, output: str, options: Mapping[str, Any]) -> list[str]:
    """Returns a command line that says the same as values do.

    Raises:
      OptionsError: A value cannot stand on one.
    """
    arguments = {**options, "input": queries, "output": output}
    faults = [f"{name} is {value!r}, no text, number or list" for name, value in arguments.items() if not _fits(value)]
    faults += [f"{name} is the argument before the options" for name in ("input", "output") if name in options]
    if faults:
        raise OptionsError(faults)
    return [f"--{name}={_text(name, value)}" for name, value in arguments.items() if value is not None]


def _fits(value: Any) -> bool:
    parts = value if isinstance(value, list | tuple) else [value]
    return all(part is None or isinstance(part, str | bool | int | float | os.PathLike) for part in parts)


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return (";" if name in _SEMICOLONS else ",").join(_text(name, part) for part in value)
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)


@contextlib.contextmanager
def query_file(queries: Any) -> Iterator[str]:
    """Gives the path of a query file that holds the rows; it is removed at the end of the context.

    Raises:
      OptionsError: They are no rows.
    """
    if isinstance(queries, str | os.PathLike):
        yield os.fspath(queries)
        return
    rows = queries.to_dict("records") if hasattr(queries, "to_dict") and not isinstance(queries, Mapping) else queries
    with tempfile.TemporaryDirectory(prefix="clipscout-queries-") as folder:
        path = os.path.join(folder, "queries.jsonl")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(map(_line, _each(rows)))
        yield path


def _each(rows: Any) -> Iterable[Row]:
    if isinstance(rows, Mapping):
        raise OptionsError(["queries: expected rows, and this is one row; put it into a list"])
    if not isinstance(rows, Iterable):
        raise OptionsError([f"queries: expected rows or the path of a query file, not {rows!r}"])
    return rows


def _line(row: Any) -> str:
    """Returns a row as a line of JSON, without the cells that are missing."""
    if not isinstance(row, Mapping):
        raise OptionsError([f"queries: expected rows as mappings, and one is {row!r}"])
    kept = {str(name): value for name, value in row.items() if value is not None and value == value}
    cells = {name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in kept.items()}
    try:
        return f"{strict_json.text(cells)}\n"
    except (TypeError, ValueError) as error:
        raise OptionsError([f"queries: {error}"]) from None


def _ran(places: Sequence[str], options: Mapping[str, Any]) -> tuple[int, list[str]]:
    """Runs the command, shows what it says on stderr as it comes, and returns its status and those lines."""
    command = [sys.executable, *_PROGRAM, *arguments(places[0], places[1], options)]
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    # Ctrl-C of a terminal comes to this process alone, which hands it on once
    with subprocess.Popen(command, **pipes, text=True, errors="replace", process_group=0) as running:
        assert running.stderr is not None
        lines = []
        try:
            for line in running.stderr:
                if not _PROGRESS.match(line):
                    lines.append(line.rstrip("\n").removeprefix("clipscout: "))
                sys.stderr.write(line)
            status = running.wait()
        except BaseException:
            running.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(_STOP_SECONDS)
            running.kill()
            sys.stderr.write(running.stderr.read())  # that it is stopped
            raise
    if status == 128 + signal.SIGINT:
        raise KeyboardInterrupt
    return status, lines
