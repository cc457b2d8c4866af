"""The side output that every stage has: its failures."""

from typing import Literal, TypeAlias

from apache_beam.pvalue import TaggedOutput

from clipscout.transforms.failures import Failure

FAILURES: Literal["failures"] = "failures"

#: For annotations: what `failed` returns.
Failed: TypeAlias = TaggedOutput[Literal["failures"], Failure]


def failed(failure: Failure) -> Failed:
    """Sends a failure to the stage's failure output."""
    return TaggedOutput(FAILURES, failure)
