"""`clipscout report OUTPUT`: the report of an output that is there already, old or moved."""

import argparse
import sys
from collections.abc import Sequence

from clipscout.pipeline import options
from clipscout.pipeline.faults import EXIT_FAULTY_OPTIONS


def main(argv: Sequence[str]) -> int:
    """Writes the report of an output and returns the exit status, 2 where the folder holds no results."""
    parser = options.Parser(
        prog="clipscout report",
        description="Writes OUTPUT/report/index.html from what a finished job left there, and curves that are missing.",
        allow_abbrev=False,
    )
    parser.add_argument("output", metavar="OUTPUT", nargs=argparse.OPTIONAL, help="The output folder, local or gs://.")
    try:
        chosen, unknown = parser.parse_known_args(argv)
    except options.UsageError as error:
        return _refused(str(error))
    if unknown:
        return _refused(str(options.unknown_option_fault(unknown[0], ())))
    if not chosen.output:
        return _refused("report needs the output folder of a job: clipscout report OUTPUT")
    # after the page of help, which is there at once
    from clipscout.transforms.core.report import page, written
    from clipscout.transforms.core.storage import filesystem, strict_json

    try:
        summary = strict_json.loads(filesystem.read_bytes(filesystem.join(chosen.output, "summary.json")))
        keys = written.write(chosen.output, summary)
        restored = written.restore_curves(chosen.output, keys, summary["settings"])
    except filesystem.StorageError as error:
        return _refused(f"{chosen.output}: no report can be made: {error}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return _refused(f"{chosen.output}: its summary or manifests are damaged: {type(error).__name__}: {error}")
    if restored:
        print(f"curves     {restored} made from score tracks")
    print(f"report     {filesystem.join(chosen.output, page.INDEX)}")
    return 0


def _refused(fault: str) -> int:
    print(f"clipscout: {fault}", file=sys.stderr)
    return EXIT_FAULTY_OPTIONS
