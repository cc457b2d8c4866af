"""`clipscout features VIDEOS`: features of videos that are to stay unseen, for `clipscout mine --reference`."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from clipscout.pipeline import options
from clipscout.pipeline.faults import EXIT_FAULTY_OPTIONS

_PROG = "clipscout features"
_OUTPUT_HELP = "Folder for the features, local or gs://. Default: that of the videos, where one folder is named."
#: Options of `clipscout mine` that mean the same here.
_SHARED = (
    "classifier", "preprocessing", "trust_checkpoint", "precision", "engine", "device", "threads", "batch_size",
    "stall_seconds", "decode_memory_mb", "max_pixels", "progress",
)  # fmt: skip


def main(argv: Sequence[str]) -> int:
    """Describes videos and returns the exit status: 0, 1 where one could not be described, 2 for unusable options."""
    parser = options.Parser(
        prog=_PROG,
        description="Describes videos (clips of a test set, ...) by features, for clipscout mine --reference=FOLDER.",
        allow_abbrev=False,
    )
    text = "Videos: a folder, with all below it, paths or globs, local or gs://, separated by commas."
    parser.add_argument("videos", metavar="VIDEOS", nargs=argparse.OPTIONAL, help=text)
    parser.add_argument("--output", metavar="TEXT", help=_OUTPUT_HELP)
    for option in options.OPTIONS:
        if option.name in _SHARED:
            shown = f" [{option.default}]" if option.default is not None else ""
            parser.add_argument(
                f"--{option.name}", metavar=option.metavar(), help=(option.help + shown).replace("%", "%%")
            )
    try:
        chosen, unknown = parser.parse_known_args(options.with_flags_spelled_out(list(argv)))
    except options.UsageError as error:
        return _refused(str(error))
    if unknown:
        return _refused(str(options.unknown_option_fault(unknown[0], (*_SHARED, "output"))))
    if not chosen.videos:
        return _refused("features needs videos: clipscout features FOLDER, or VIDEOS --output FOLDER")
    from clipscout.pipeline.start import start  # after the page of help, which is there at once

    texts = {name: getattr(chosen, name) for name in _SHARED}
    return start(argv, partial(_loaded, chosen.videos, chosen.output or "", texts))


def _loaded(videos: str, output: str, texts: Mapping[str, str | None]) -> Callable[[Any, Any], int]:
    from clipscout.pipeline import features_job

    return partial(features_job.work, videos, output, texts)


def _refused(fault: str) -> int:
    print(f"clipscout: {fault}", file=sys.stderr)
    return EXIT_FAULTY_OPTIONS
