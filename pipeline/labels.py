"""`python -m pipeline.labels --classifier C`: the labels that rows can name, one per line."""

import argparse
import sys
from collections.abc import Sequence

from transforms.core.classifiers.resolve import KINDS, resolve
from transforms.core.classifiers.specs import SpecError


def main(argv: Sequence[str]) -> int:
    """Prints the labels of a classifier and returns the exit status, 2 for one that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.labels", description=__doc__)
    parser.add_argument("--classifier", default="lite0", help=KINDS)
    parser.add_argument("--match", default="", help="only labels that hold this text, whatever its case")
    chosen = parser.parse_args(argv)
    try:
        spec = resolve(chosen.classifier)
    except SpecError as error:
        print(f"clipscout: --classifier: {error}", file=sys.stderr)
        return 2
    if spec.kind == "zero_shot":
        print(f"{spec.name} takes any action: it reads its name", file=sys.stderr)
    found = [label for label in spec.labels if chosen.match.casefold() in label.casefold()]
    for label in found:
        print(label)
    if spec.labels and not found:
        print(f"clipscout: none of its {len(spec.labels)} labels holds {chosen.match!r}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
