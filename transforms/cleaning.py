"""CleanClips: what becomes of earlier clips that the manifests do not name any more."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.typehints.decorators import no_annotations

from clipscout.transforms.core.results import funnel
from clipscout.transforms.core.storage import filesystem, stale
from clipscout.transforms.core.storage.stale import Leftover


class _Clean(beam.DoFn):
    """Removes what may go, if that is asked for; what cannot be removed is no failed job, and the reason is told."""

    def __init__(self, output: str, remove: bool) -> None:
        self._output, self._remove = output, remove

    def start_bundle(self) -> None:
        self._refused = False
        self._a_row_failed: bool | None = None

    def process(
        self, leftover: Leftover, totals: Mapping[str, Any], _written: Iterable[str]
    ) -> Iterator[tuple[str, Any]]:
        removed = False
        if self._a_row_failed is None:
            self._a_row_failed = funnel.a_row_failed(totals)
        goes = leftover.may_go(a_row_failed=self._a_row_failed)
        if self._remove and goes and not self._refused:  # a storage that refused once is not asked for each clip
            try:
                stale.remove(self._output, leftover)
                removed = True
            except filesystem.StorageError as error:
                self._refused = True
                yield "error", (leftover.names, str(error))
        if leftover.is_clip:
            yield "removed" if removed else "kept", 1
            if not goes:
                yield "waiting", 1


@dataclass
class CleanClips(beam.PTransform):
    """Counts the clips that the manifests do not name; removes those that may go, if asked to.

    Attributes:
      output: The output folder.
      remove: Whether they are to be removed.
    """

    output: str
    remove: bool

    @no_annotations  # Beam knows no tuples of collections
    def expand(self, inputs: tuple[beam.PCollection, beam.PCollection, beam.PCollection]) -> beam.PCollection:
        """Takes leftovers, the funnel's (name, total) pairs and the paths of the manifests, which are there by then.

        Returns:
          (name, value) tallies: `removed` and `kept` clips, `waiting` ones of the latter; `error`, why no more went.
        """
        leftovers, totals, written = inputs
        side = beam.pvalue.AsDict(totals), beam.pvalue.AsIter(written)
        return leftovers | beam.ParDo(_Clean(self.output, self.remove), *side)
