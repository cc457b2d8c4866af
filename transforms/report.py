"""SaveCurves and WriteReport: what people look at."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from clipscout.transforms.core.report import curves, written
from clipscout.transforms.metrics import StageMetrics
from clipscout.transforms.records import Flush, ScoredVideo


class _SaveCurve(beam.DoFn):
    def __init__(self, output: str, smooth_seconds: float) -> None:
        self._output, self._smooth_seconds = output, smooth_seconds
        self._metrics = StageMetrics("SaveCurves")

    def process(self, scored: ScoredVideo | Flush) -> Iterator[str]:
        if isinstance(scored, ScoredVideo):
            with self._metrics.time("save-msec"):
                curves.write(self._output, curves.of_track(scored.track, self._smooth_seconds))
            self._metrics.count("out-curves")
            yield scored.key


@dataclass
class SaveCurves(beam.PTransform):
    """Writes `report/curves/<key>.js`, the responses of each scored video as spans were picked from them.

    Attributes:
      output: The output folder.
      smooth_seconds: Width of the moving average that spans are picked from; 0 for none.
    """

    output: str
    smooth_seconds: float = 0.0

    def expand(self, tracks: beam.PCollection) -> beam.PCollection:
        """Takes ScoredVideo; returns the keys of the videos. A Flush is left out."""
        return tracks | "Save" >> beam.ParDo(_SaveCurve(self.output, self.smooth_seconds))


@dataclass
class WriteReport(beam.PTransform):
    """Writes `report/index.html` and its plots, once the manifests and the summary are there.

    Attributes:
      output: The output folder.
    """

    output: str

    def expand(self, summary: beam.PCollection) -> beam.PCollection:
        """Takes the content of summary.json; returns the same, after the report is written."""
        return summary | "Write" >> beam.Map(_reported, self.output)


def _reported(summary: dict[str, Any], output: str) -> dict[str, Any]:
    written.write(output, summary)
    return summary
