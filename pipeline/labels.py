"""`clipscout labels --classifier C`: the labels that rows can name, one per line."""

import sys
from collections.abc import Sequence

from clipscout.pipeline import options
from clipscout.pipeline.faults import EXIT_FAULTY_OPTIONS

_CLASSIFIER = next(option for option in options.OPTIONS if option.name == "classifier")


def main(argv: Sequence[str]) -> int:
    """Prints the labels of a classifier and returns the exit status, 2 for one that cannot be used."""
    parser = options.Parser(prog="clipscout labels", description="Labels that rows can name.", allow_abbrev=False)
    shown = f"{_CLASSIFIER.help} [{_CLASSIFIER.default}]"
    parser.add_argument("--classifier", default=_CLASSIFIER.default, metavar="TEXT", help=shown)
    parser.add_argument("--match", default="", metavar="TEXT", help="Only labels that hold this text, in any case.")
    try:
        chosen, unknown = parser.parse_known_args(argv)
    except options.UsageError as error:
        return _refused(str(error))
    if unknown:
        return _refused(str(options.unknown_option_fault(unknown[0], ("classifier", "match"))))
    # after the page of help, which is there at once
    from clipscout.transforms.core.classifiers.resolve import resolve
    from clipscout.transforms.core.classifiers.specs import SpecError

    try:
        spec = resolve(chosen.classifier)
    except SpecError as error:
        return _refused(f"--classifier: {error}")
    if spec.kind == "zero_shot":
        print(f"{spec.name} takes any action: it reads its name", file=sys.stderr)
    found = [label for label in spec.labels if chosen.match.casefold() in label.casefold()]
    for label in found:
        print(label)
    if spec.labels and not found:
        print(f"clipscout: none of its {len(spec.labels)} labels holds {chosen.match!r}", file=sys.stderr)
    return 0


def _refused(fault: str) -> int:
    print(f"clipscout: {fault}", file=sys.stderr)
    return EXIT_FAULTY_OPTIONS
