"""ScoreVideos: decode and inference in one fused stage, then one score track per video.

Between the decoder and the model nothing is shuffled: frame batches pass by reference and a video never exists in
memory as a whole. What leaves the stage are times and responses.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any, Literal, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.ml.inference.base import RunInference
from apache_beam.pvalue import TaggedOutput
from apache_beam.typehints.decorators import no_annotations

from transforms.core import storage, tracks
from transforms.core.child import Child, ChildError, Limits, Message
from transforms.core.classifiers.specs import ClassifierSpec, LoadRule
from transforms.core.sampling import Sampling, can_split, segments
from transforms.core.windows import Placed, Windows, margin_seconds
from transforms.grouping import GroupByVideo
from transforms.inference import ClassifierHandler
from transforms.metrics import StageMetrics
from transforms.records import DecodeReport, FrameBatch, Segment, Video
from transforms.stored_scores import STORED, Assemble, FindStored
from transforms.tags import FAILURES

_STAGE = "ScoreVideos"
_REPORTS: Literal["reports"] = "reports"
#: Frame batches are this part of an inference batch, so that short videos fill it together.
_PARTS_PER_BATCH = 4


@dataclass(frozen=True)
class ScoringRule:
    """Everything that shapes the scoring stage.

    Attributes:
      spec: The classifier.
      sampling: Which frames are scored.
      response: `action`, or `any` for the best of all labels.
      device: `auto`, `cpu` or `cuda`.
      batch_size: Frames per call of the model.
      stall_seconds: Longest silence of the decoder.
      memory_bytes: Memory cap of the decoder.
      max_pixels, max_frames: Largest picture, and most frames of a segment, that are decoded.
      segment_seconds: Longest segment; 0 does not split.
      precision: `fp32`, `bf16` or `fp16`.
      threads: Threads of the classifier on a CPU, and most threads of the decoder.
      trust_checkpoint: Whether weights may run code of their own while they are loaded.
      model_copies: Copies of the model that the processes of a worker share; 0 gives each process its own.
      retry_codes: Codes of earlier permanent failures that are tried again.
    """

    spec: ClassifierSpec
    sampling: Sampling
    response: str
    device: str
    batch_size: int
    stall_seconds: float
    memory_bytes: int
    max_pixels: int
    max_frames: int
    segment_seconds: float
    precision: str
    threads: int
    trust_checkpoint: bool = False
    model_copies: int = 0
    retry_codes: tuple[str, ...] = ()

    def limits(self) -> list[Any]:
        """Returns what a failed video may be retried for, besides its content: other limits, or another decoder."""
        return [self.stall_seconds, self.memory_bytes, self.max_pixels, version("av")]

    def load_rule(self) -> LoadRule:
        """Returns how the classifier is loaded."""
        return LoadRule(self.spec, self.device, self.precision, self.threads, self.trust_checkpoint)

    def fingerprint(self) -> str:
        """Returns the digest of what shapes a score (not of what only shapes speed)."""
        return tracks.fingerprint(
            classifier=self.spec.fingerprint(),
            sampling=asdict(self.sampling),
            response=self.response,
            precision=self.precision,
            max_frames=self.max_frames,
        )


class Scored(NamedTuple):
    """`tracks`: ScoredVideo; `failures`: Failure."""

    tracks: beam.PCollection
    failures: beam.PCollection


class _Split(beam.DoFn):
    """Splits long videos into segments that different workers can take."""

    def __init__(self, rule: ScoringRule) -> None:
        self._rule = rule

    def process(self, video: Video) -> Iterator[Segment]:
        sampling, facts = self._rule.sampling, video.facts
        splits = can_split(
            facts.get("container", ""), facts.get("codec", ""), by_index=sampling.frame_stride is not None
        )
        ranges = segments(video.duration_seconds, self._rule.segment_seconds if splits else 0)
        for place, (start, end) in enumerate(ranges):
            yield Segment(video, place, len(ranges), start, end)


class _Decode(beam.DoFn):
    """Streams the samples of a segment out of the decoder child."""

    def __init__(self, output: str, rule: ScoringRule) -> None:
        self._output, self._rule = output, rule
        self._metrics = StageMetrics(_STAGE)

    def setup(self) -> None:
        self._child = Child(Limits(self._rule.stall_seconds, memory_bytes=self._rule.memory_bytes))

    def teardown(self) -> None:
        self._child.close()

    def process(self, segment: Segment) -> Iterator[FrameBatch | TaggedOutput[Literal["reports"], DecodeReport]]:
        video = segment.video
        report = DecodeReport(segment)
        window = self._rule.spec.window
        windows = window and Windows(window, self._rule.sampling, segment.start_seconds, segment.end_seconds)
        try:
            with storage.local_copy(storage.resolve(self._output, video.uri)) as path:
                for message in self._messages(path, segment):
                    if "report" in message.facts:
                        facts = message.facts["report"]
                        lists = {name: tuple(facts[name]) for name in ("flags", "cuts")}
                        report = DecodeReport(segment, **{**facts, **lists})
                    elif "times" in message.facts:
                        batch = _frame_batch(video, message)
                        yield from _windowed(batch, windows) if windows else [batch]
            if windows and report.reached_end:
                yield from _placed_batches(video, windows.finish())
        except storage.StorageError as error:
            report = DecodeReport(segment, failure_code=error.code, failure_message=str(error))
        except ChildError as error:
            code = f"decode_{error.kind}" if error.fatal else error.kind
            attempts = 2 if error.fatal else 1
            report = DecodeReport(segment, failure_code=code, failure_message=str(error), attempts=attempts)
        self._metrics.count("in-segments")
        self._metrics.count("frames-decoded", report.frames_decoded)
        self._metrics.observe("decode-msec", report.cpu_msec)
        yield TaggedOutput(_REPORTS, report)

    def _messages(self, path: str, segment: Segment) -> Iterator[Message]:
        """Yields the child's messages; after its first death those already seen are left out."""
        rule = self._rule
        request = {
            "path": path,
            "sampling": asdict(rule.sampling),
            "frame_rule": asdict(rule.spec.preprocessing.frame_rule()),
            "batch_frames": max(1, rule.batch_size // _PARTS_PER_BATCH),
            "start_seconds": segment.start_seconds,
            "end_seconds": segment.end_seconds,
            "margin_seconds": margin_seconds(rule.spec.window, rule.sampling, segment.video.frame_rate),
            "max_pixels": rule.max_pixels,
            "max_frames": rule.max_frames,
            "threads": rule.threads,
        }
        seen = 0
        for attempt in (1, 2):
            place = 0
            try:
                for message in self._waited(self._child.call("decode:samples", request)):
                    place += 1
                    if place > seen:
                        seen = place
                        yield message
                return
            except ChildError as error:
                if not error.fatal or attempt == 2:
                    raise

    def _waited(self, messages: Iterator[Message]) -> Iterator[Message]:
        """Observes how long the worker waits for the decoder: near 0 where decoding keeps ahead of inference."""
        while True:
            before = time.monotonic()
            message = next(messages, None)
            self._metrics.observe("decode-wait-msec", round((time.monotonic() - before) * 1000))
            if message is None:
                return
            self._metrics.count("in-bytes", len(message.payload))
            yield message


def _frame_batch(video: Video, message: Message) -> FrameBatch:
    facts = message.facts
    return FrameBatch(
        key=video.key,
        times=np.array(facts["times"], np.float64),
        frame_indices=np.array(facts["frame_indices"], np.int64),
        frames=np.frombuffer(message.payload, np.uint8).reshape(facts["shape"]),
        wanted=tuple(video.request.actions().values()),
    )


def _windowed(batch: FrameBatch, windows: Windows) -> Iterator[FrameBatch]:
    """Yields the windows that the samples of a batch complete."""
    for time_seconds, index, frame in zip(batch.times, batch.frame_indices, batch.frames, strict=True):
        yield from _placed_batches(batch, windows.add(float(time_seconds), int(index), frame))


def _placed_batches(of: Video | FrameBatch, placed: Iterable[Placed]) -> Iterator[FrameBatch]:
    wanted = tuple(of.request.actions().values()) if isinstance(of, Video) else of.wanted
    for centre, index, frames in placed:
        yield FrameBatch(of.key, np.array([centre]), np.array([index]), frames[None], wanted)


@dataclass
class _DecodeAndInfer(beam.PTransform):
    """Segments to scored samples and reports, in one fused stage: hints that differed would cut it in two."""

    output: str
    rule: ScoringRule

    @no_annotations  # Beam knows no tuples of collections
    def expand(self, segments_of: beam.PCollection) -> tuple[beam.PCollection, beam.PCollection]:
        rule = self.rule
        decoded = segments_of | "Decode" >> beam.ParDo(_Decode(self.output, rule)).with_outputs(
            _REPORTS, main="batches"
        )
        handler = ClassifierHandler(rule.load_rule(), rule.batch_size, rule.response, rule.model_copies)
        return decoded.batches | "Infer" >> RunInference(handler), decoded[_REPORTS]


@dataclass
class ScoreVideos(beam.PTransform):
    """Scores the samples of each video; scores that are stored already are read instead.

    Attributes:
      output: The output folder.
      rule: How to sample and score.
      hints: Beam's resource hints for the workers that decode and score; those of the other steps have none.
    """

    output: str
    rule: ScoringRule
    hints: Mapping[str, str] = field(default_factory=dict)

    @no_annotations  # Beam knows no named tuples of collections
    def expand(self, videos: beam.PCollection) -> Scored:
        """Returns a track per video, and a failure for each video that has none."""
        fingerprint, limits = self.rule.fingerprint(), self.rule.limits()
        found = videos | "FindStored" >> beam.ParDo(
            FindStored(self.output, fingerprint, limits, self.rule.retry_codes)
        ).with_outputs(STORED, FAILURES, main="pending")
        # shuffled before and after: what is hinted is neither fused with a download nor with a cut
        segments_of = found.pending | "Split" >> beam.ParDo(_Split(self.rule)) | "SpreadSegments" >> beam.Reshuffle()
        score = _DecodeAndInfer(self.output, self.rule).with_resource_hints(**self.hints)
        samples, reports = segments_of | "DecodeAndInfer" >> score
        # stored tracks come this way too: what follows is spread over the workers by it
        joined = (samples, reports, found[STORED]) | "Join" >> beam.Flatten() | GroupByVideo()
        assemble = Assemble(self.output, fingerprint, limits)
        assembled = joined | "Assemble" >> beam.ParDo(assemble).with_outputs(FAILURES, main="tracks")
        failures = (found[FAILURES], assembled[FAILURES]) | "Failures" >> beam.Flatten()
        return Scored(assembled.tracks, failures)
