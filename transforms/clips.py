"""CutClips: one playable file per span; a clip that is there already is not cut again."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindows
from apache_beam.typehints.decorators import no_annotations

from clipscout.transforms.clip_cutter import ClipCutter, CutOutcome, CutSettings
from clipscout.transforms.core.duplicates.groups import Choice
from clipscout.transforms.core.web.lanes import Lanes
from clipscout.transforms.metrics import StageMetrics
from clipscout.transforms.records import ONE_PER_VIDEO, CandidateSpan, Clip, VideoSpans
from clipscout.transforms.slots import Slots
from clipscout.transforms.tags import FAILURES, Failed, failed

_NOT_WANTED: Literal["not_wanted"] = "not_wanted"
#: Videos whose clips are still to be cut while others are scored, at most.
_MOST_AHEAD = 64

_CutOutput: TypeAlias = Clip | Failed | TaggedOutput[Literal["not_wanted"], CandidateSpan]


class Cut(NamedTuple):
    """`clips`: Clip; `not_wanted`: spans left uncut by `--cut=none`; `failures`: Failure."""

    clips: beam.PCollection
    not_wanted: beam.PCollection
    failures: beam.PCollection


class _Cut(beam.DoFn):
    """Cuts in lanes of its own, so that the next videos are decoded and scored meanwhile."""

    def __init__(self, output: str, settings: CutSettings, choice: Choice | None) -> None:
        self._output, self._settings, self._slots, self._choice = output, settings, Slots(), choice
        self._metrics = StageMetrics("CutClips")

    def setup(self) -> None:
        make = partial(ClipCutter, self._output, self._settings, self._slots.get())
        self._lanes: Lanes[VideoSpans, CutOutcome] = Lanes(self._settings.lanes, make, _MOST_AHEAD)

    def teardown(self) -> None:
        self._lanes.close()

    def process(self, proposal: VideoSpans) -> Iterator[_CutOutput]:
        if self._settings.mode == "none":
            yield from (TaggedOutput(_NOT_WANTED, span) for span in proposal.spans)
            return
        self._metrics.count("in-spans", len(proposal.spans))
        while self._lanes.full:
            yield from self._outputs(self._lanes.take())
        self._lanes.put(proposal)
        while not self._lanes.empty():
            yield from self._outputs(self._lanes.take())

    def finish_bundle(self) -> Iterator[Any]:
        while self._lanes.ahead:
            for output in self._outputs(self._lanes.take()):
                if isinstance(output, TaggedOutput):
                    yield TaggedOutput(output.tag, GlobalWindows.windowed_value_at_end_of_window(output.value))
                else:
                    yield GlobalWindows.windowed_value_at_end_of_window(output)

    def _outputs(self, outcome: CutOutcome) -> Iterator[Clip | Failed]:
        """Counts an outcome: a lane is a thread, and Beam's counters know only the one that runs the step."""
        for clip in _chosen(outcome.clips, self._choice):
            self._metrics.count("reused-clips" if clip.reused else "out-clips")
            yield clip
        for failure in outcome.failures:
            self._metrics.count(f"failed-{failure.code}")
            yield failed(failure)
        if outcome.size_bytes:
            self._metrics.count("out-bytes", outcome.size_bytes)


def _chosen(clips: tuple[Clip, ...], choice: Choice | None) -> Iterator[Clip]:
    """Yields the clips of a video; all but one are left out where that is the rule."""
    kept = choice.of([(clip.id, clip.span.score) for clip in clips]) if choice and clips else ""
    for clip in clips:
        yield replace(clip, left_out_by=ONE_PER_VIDEO) if kept and clip.id != kept else clip


@dataclass
class CutClips(beam.PTransform):
    """Cuts every span to `clips/<action>/<key>_<start_ms>_<end_ms>.mp4` below the output.

    Attributes:
      output: The output folder.
      settings: How clips are cut.
      one_per_video: Which clip of a video is kept, where it gives one only; the others are left out.
    """

    output: str
    settings: CutSettings
    one_per_video: Choice | None = None

    @no_annotations  # Beam knows no named tuples of collections
    def expand(self, proposals: beam.PCollection) -> Cut:
        """Returns clips, and a failure for each span without one."""
        do_fn = _Cut(self.output, self.settings, self.one_per_video)
        cut = proposals | "Cut" >> beam.ParDo(do_fn).with_outputs(FAILURES, _NOT_WANTED, main="clips")
        return Cut(cut.clips, cut[_NOT_WANTED], cut[FAILURES])
