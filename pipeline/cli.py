"""The command `clipscout`: its first word says what is started. Imports nothing that takes time: pages come at once."""

import difflib
import os
import signal
import sys
from collections.abc import Sequence

from clipscout import __version__
from clipscout.pipeline import options
from clipscout.pipeline.faults import EXIT_FAULTY_OPTIONS

COMMANDS = {
    "mine": "queries in, spans and clips out",
    "labels": "the labels of a classifier, which rows can name",
    "features": "features of videos that are to stay unseen, for mine --reference",
    "report": "the page of an output: clips, scores, a threshold to choose, failures",
}
_PAGE = f"""\
usage: clipscout COMMAND [OPTIONS]

Mines candidate clips for video action datasets.

{chr(10).join(f"  {name:<8} {text}" for name, text in COMMANDS.items())}

  clipscout COMMAND --help lists its options; clipscout --version tells the version.
  Options without a command are those of mine.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command, that of the program where no arguments are given, and returns its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # as in `clipscout labels | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python writes what is left at its end
        return 128 + signal.SIGPIPE
    return status


def _run(arguments: list[str]) -> int:
    first = arguments[0] if arguments else "--help"
    if first in ("-h", "--help"):
        print(_PAGE, end="", file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else EXIT_FAULTY_OPTIONS
    if first == "--version":
        print(f"clipscout {__version__}")
        return 0
    command, rest = ("mine", arguments) if first.startswith("-") else (first, arguments[1:])
    if command == "mine" and options.asks_for_help(rest):
        options.parser().print_help()
        return 0
    if command == "mine":
        from clipscout.pipeline.start import start

        start(rest)
    if command == "labels":
        from clipscout.pipeline import labels

        return labels.main(rest)
    if command == "features":
        from clipscout.pipeline import features

        return features.main(rest)
    if command == "report":
        from clipscout.pipeline import report

        return report.main(rest)
    close = difflib.get_close_matches(command, COMMANDS, n=1)
    hint = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(COMMANDS)}"
    print(f"clipscout: unknown command {command!r}; {hint}", file=sys.stderr)
    return EXIT_FAULTY_OPTIONS
