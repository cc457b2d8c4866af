"""ScoreVideos: decode and inference in one fused stage, then one score track per video.

Between the decoder and the model nothing is shuffled: frame batches pass by reference and a video never exists in
memory as a whole. What leaves the stage are times and responses.
"""

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.ml.inference.base import RunInference
from apache_beam.typehints.decorators import no_annotations

from clipscout.transforms.core.child.supervisor import Child, ChildError, Limits, Message
from clipscout.transforms.core.classifiers.windows import Placed, Windows, margin_seconds
from clipscout.transforms.core.storage import filesystem, video_store
from clipscout.transforms.core.storage.copies import shared_copy
from clipscout.transforms.flow import AROUND, Flow, GatherByContent, Spread
from clipscout.transforms.inference import ClassifierHandler, Following
from clipscout.transforms.metrics import StageMetrics
from clipscout.transforms.records import DecodeReport, Flush, FrameBatch, Segment, Video
from clipscout.transforms.score_tracks import Assemble, SaveScores
from clipscout.transforms.scoring_settings import ScoringSettings
from clipscout.transforms.stored_scores import FindStored
from clipscout.transforms.tags import FAILURES
from clipscout.transforms.working_ahead import WorksAhead

_STAGE = "ScoreVideos"
_TASK = "video.decode:samples"
#: Frame batches are this part of an inference batch, so that short videos fill it together.
_PARTS_PER_BATCH = 4


class Scored(NamedTuple):
    """`tracks`: ScoredVideo; `failures`: Failure."""

    tracks: beam.PCollection
    failures: beam.PCollection


class _Begun:
    """A segment that a child has been asked for: its copy, while that is needed, or why there is none."""

    def __init__(self, segment: Segment, child: Child, copy: contextlib.AbstractContextManager[str]) -> None:
        self.segment, self.child = segment, child
        self.path, self.copies = "", contextlib.ExitStack()
        self.error: filesystem.StorageError | None = None
        try:
            self.path = self.copies.enter_context(copy)
        except filesystem.StorageError as error:
            self.error = error


class _Decode(WorksAhead):
    """Streams the samples of segments out of decoder children, in the order of the segments.

    Args:
      output: The output folder.
      settings: How to sample.
      children: How many decode at once: the first one's samples are handed on while the others work ahead, as far as
        their queues go. More than one is for a pass, which says by Flush when no other segment is at hand.
    """

    def __init__(self, output: str, settings: ScoringSettings, children: int) -> None:
        super().__init__(Limits(settings.stall_seconds, memory_bytes=settings.memory_bytes), children)
        self._output, self._settings = output, settings
        self._metrics = StageMetrics(_STAGE)

    def process(self, element: Segment | Following) -> Iterator[FrameBatch | Following]:
        if self._count > 1 and isinstance(element, Segment):
            self._waiting.append(self._begun(element))
        else:
            self._waiting.append(element)
        while self._waiting and (not self._free or isinstance(element, Flush) or not self._is_begun()):
            yield from self._first()

    def _is_begun(self) -> bool:
        return isinstance(self._waiting[0], _Begun)

    def _begun(self, segment: Segment) -> _Begun:
        begun = _Begun(segment, self._free.pop(), self._copy_of_any(segment.videos))
        if begun.error is None:
            begun.child.send_ahead(_TASK, self._request(begun))
        return begun

    def _first(self) -> Iterator[FrameBatch | Following]:
        """Yields what belongs to the element that came first."""
        first = self._waiting.popleft()
        if isinstance(first, Segment | _Begun):
            with self._slot:  # also while its frames are scored: they lie in memory
                begun = self._begun(first) if isinstance(first, Segment) else first
                try:
                    with begun.copies:
                        yield from self._decoded(begun)
                finally:
                    self._free.append(begun.child)
        else:
            yield first

    def _decoded(self, begun: _Begun) -> Iterator[FrameBatch | Following]:
        segment = begun.segment
        report = DecodeReport(segment)
        window = self._settings.spec.window
        windows = window and Windows(window, self._settings.sampling, segment.start_seconds, segment.end_seconds)
        try:
            if begun.error is not None:
                raise begun.error
            messages = begun.child.call_again(_TASK, self._request(begun))
            for message in self._waited(segment, messages):
                if "report" in message.fields:
                    fields = message.fields["report"]
                    lists = {name: tuple(fields[name]) for name in ("flags", "shot_boundaries")}
                    report = DecodeReport(segment, **{**fields, **lists})
                elif "times" in message.fields:
                    batch = _frame_batch(segment, message)
                    yield from _windowed(segment, batch, windows) if windows else [batch]
            for video in segment.videos:
                if video.uri == begun.path:
                    video_store.check_unchanged(video)
            if windows and report.reached_end:
                yield from _placed_batches(segment, windows.finish())
        except filesystem.StorageError as error:
            report = DecodeReport(segment, failure_code=error.code, failure_message=str(error))
        except ChildError as error:
            code = error.code("decode")
            report = DecodeReport(segment, failure_code=code, failure_message=str(error), attempts=error.attempts)
        self._metrics.count("in-segments")
        self._metrics.count("frames-decoded", report.frames_decoded)
        self._metrics.observe("decode-msec", report.cpu_msec)
        yield report

    @contextlib.contextmanager
    def _copy_of_any(self, videos: tuple[Video, ...]) -> Iterator[str]:
        """Gives a local path to read a content from: of the first of its videos whose file can be read, else the last.

        Raises:
          StorageError: The last one's file cannot be fetched either.
        """
        *others, last = dict.fromkeys(filesystem.resolve(self._output, video.uri) for video in videos)
        with contextlib.ExitStack() as copies:
            found = ""
            for uri in others:
                with contextlib.suppress(filesystem.StorageError):
                    path = copies.enter_context(shared_copy(uri))
                    found = path if os.access(path, os.R_OK) else ""
                if found:
                    break
            yield found or copies.enter_context(shared_copy(last))

    def _request(self, begun: _Begun) -> dict[str, Any]:
        settings, segment = self._settings, begun.segment
        return {
            "path": begun.path,
            "sampling": asdict(settings.sampling),
            "frame_settings": asdict(settings.spec.preprocessing.frame_settings()),
            "batch_frames": max(1, settings.batch_size // _PARTS_PER_BATCH),
            "start_seconds": segment.start_seconds,
            "end_seconds": segment.end_seconds,
            "margin_seconds": margin_seconds(settings.spec.window, settings.sampling, segment.video.frame_rate),
            "max_pixels": settings.max_pixels,
            "max_frames": settings.max_frames,
            "threads": settings.threads,
        }

    def _waited(self, segment: Segment, messages: Iterator[Message]) -> Iterator[Message]:
        """Observes how long the worker waits for the decoder: near 0 where decoding keeps ahead of inference."""
        while True:
            before = time.monotonic()
            with self._metrics.doing(f"decoding {segment.video.key}"):
                message = next(messages, None)
            self._metrics.observe("decode-wait-msec", round((time.monotonic() - before) * 1000))
            if message is None:
                return
            self._metrics.count("in-bytes", len(message.payload))
            yield message


def _frame_batch(segment: Segment, message: Message) -> FrameBatch:
    fields = message.fields
    return FrameBatch(
        key=segment.video.key,
        times=np.array(fields["times"], np.float64),
        frame_indices=np.array(fields["frame_indices"], np.int64),
        frames=np.frombuffer(message.payload, np.uint8).reshape(fields["shape"]),
        wanted=segment.wanted(),
    )


def _windowed(segment: Segment, batch: FrameBatch, windows: Windows) -> Iterator[FrameBatch]:
    """Yields the windows that the samples of a batch complete."""
    for time_seconds, index, frame in zip(batch.times, batch.frame_indices, batch.frames, strict=True):
        yield from _placed_batches(segment, windows.add(float(time_seconds), int(index), frame))


def _placed_batches(segment: Segment, placed: Iterable[Placed]) -> Iterator[FrameBatch]:
    for centre, index, frames in placed:
        yield FrameBatch(segment.video.key, np.array([centre]), np.array([index]), frames[None], segment.wanted())


@dataclass
class _DecodeAndInfer(beam.PTransform):
    """Segments to stored scores, in one fused stage: hints that differed would cut it in two."""

    output: str
    settings: ScoringSettings
    ahead: bool

    def expand(self, segments_of: beam.PCollection) -> beam.PCollection:
        settings = self.settings
        handler = ClassifierHandler(
            settings.load_settings(),
            settings.batch_size,
            settings.response,
            settings.keep_outputs,
            settings.model_copies,
        )
        decode = _Decode(self.output, settings, settings.decoders if self.ahead else 1)
        decoded = segments_of | "Decode" >> beam.ParDo(decode)
        return decoded | "Infer" >> RunInference(handler) | "Save" >> beam.ParDo(SaveScores(self.output, settings))


@dataclass
class ScoreVideos(beam.PTransform):
    """Scores the samples of each content; scores that are stored already are read instead.

    Attributes:
      output: The output folder.
      settings: How to sample and score.
      flow: Whether videos stream through this stage, or are shuffled before and after it.
      hints: Beam's resource hints for the workers that decode and score; those of the other steps have none.
    """

    output: str
    settings: ScoringSettings
    flow: Flow
    hints: Mapping[str, str] = field(default_factory=dict)

    @no_annotations  # Beam knows no named tuples of collections
    def expand(self, videos: beam.PCollection) -> Scored:
        """Takes videos (and where they stream, Flush); returns a track per video, or a failure."""
        find = beam.ParDo(FindStored(self.output, self.settings, self.flow)).with_outputs(
            AROUND, FAILURES, main="pending"
        )
        found = videos | "ByContent" >> GatherByContent(self.flow) | "FindStored" >> find
        # shuffled before and after: what is hinted is neither fused with a download nor with a cut
        segments_of = found.pending | "SpreadSegments" >> Spread(self.flow)
        score = _DecodeAndInfer(self.output, self.settings, self.flow.streams).with_resource_hints(**self.hints)
        saved = segments_of | "DecodeAndInfer" >> score
        if not self.flow.streams:
            saved = (saved, found[AROUND]) | "Join" >> beam.Flatten()
        assemble = beam.ParDo(Assemble(self.output, self.settings)).with_outputs(FAILURES, main="tracks")
        assembled = saved | "Gather" >> GatherByContent(self.flow) | "Assemble" >> assemble
        failures = (found[FAILURES], assembled[FAILURES]) | "Failures" >> beam.Flatten()
        return Scored(assembled.tracks, failures)
