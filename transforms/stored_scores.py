"""Scores on their way to storage and back: found before anything is decoded, saved as soon as a segment is scored."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import apache_beam as beam
import numpy as np

from transforms.core import storage, tracks
from transforms.core.answers import Answers
from transforms.core.classifiers.specs import SpecError
from transforms.core.sampling import can_split, segments
from transforms.core.tracks import Place, Stored, Writer
from transforms.failures import Failure
from transforms.flow import Around, Flow
from transforms.grouping import of_type, only
from transforms.inference import Following, LazyClassifier
from transforms.metrics import StageMetrics
from transforms.records import (
    DecodeReport,
    Flush,
    ScoredSamples,
    ScoredSegment,
    ScoredVideo,
    Scores,
    ScoreTrack,
    Segment,
    StoredTrack,
    Video,
    wanted_of,
)
from transforms.scoring_rule import ScoringRule
from transforms.tags import Failed, failed

_STAGE = "ScoreVideos"
#: Codes that decoding itself gives, so that the same content gives them again.
_REMEMBERED = ("decode_crashed", "decode_timeout", "decode_memory", "no_frames", "no_video", "unreadable_video")
#: Contents whose scores may still wait for a full batch, at most: each has a frame in it.
_MOST_UNDER_WAY = 100_000


class _Scores(beam.DoFn):
    """What reading and writing scores have in common."""

    def __init__(self, output: str, rule: ScoringRule) -> None:
        self._output, self._rule = output, rule
        self._fingerprint = rule.fingerprint()
        self._metrics = StageMetrics(_STAGE)

    def setup(self) -> None:
        rule = self._rule.load_rule()
        if rule.device == "cuda":  # this step may be far from any GPU
            rule = replace(rule, device="cpu", precision="fp32")
        folder = storage.join(self._output, "scores", self._fingerprint)
        ask_model = partial(LazyClassifier.texts, LazyClassifier(rule, self._metrics))
        self._answers = Answers(self._rule.spec, self._rule.response, folder, ask_model)

    def _place(self, content_key: str) -> Place:
        return Place(self._output, self._fingerprint, content_key)


class FindStored(_Scores):
    """Splits contents without stored scores into segments; the others leave with their track, or their failure."""

    def __init__(self, output: str, rule: ScoringRule, flow: Flow) -> None:
        super().__init__(output, rule)
        self._flow = flow

    def start_bundle(self) -> None:
        """Forgets what is under way."""
        self._under_way: dict[str, None] = {}

    def process(
        self, keyed: tuple[str, Iterable[Video]] | Flush
    ) -> Iterator[Segment | ScoredSegment | StoredTrack | Flush | Around | Failed]:
        """Takes the videos of one content, which are scored once; a Flush passes."""
        if isinstance(keyed, Flush):
            yield keyed
            return
        videos = tuple(sorted(keyed[1], key=_key))
        self._metrics.count("in-videos", len(videos))
        if self._flow.streams and keyed[0] in self._under_way:
            yield Flush()  # what is wanted here may wait for a full batch
        try:
            found = list(self._find(videos))
        except (storage.StorageError, SpecError) as error:
            code = getattr(error, "code", "scoring_failed")
            for video in videos:
                yield failed(Failure(_STAGE, code, str(error), key=video.key))
            return
        for record in found:
            if isinstance(record, Segment):
                self._note_under_way(keyed[0])
                yield record
            elif isinstance(record, Failure):
                yield failed(record)
            else:
                yield self._flow.around(record)

    def _note_under_way(self, content_key: str) -> None:
        self._under_way[content_key] = None
        if len(self._under_way) > _MOST_UNDER_WAY:
            self._under_way.pop(next(iter(self._under_way)))

    def _find(self, videos: tuple[Video, ...]) -> Iterator[Segment | ScoredSegment | StoredTrack | Failure]:
        wanted, place = wanted_of(videos), self._place(videos[0].content_key)
        stored = tracks.read(place.track())
        scores = stored and self._answers.of(stored, wanted)
        if stored and scores:
            self._metrics.count("reused-tracks", len(videos))
            yield StoredTrack(videos, scores, _report(Segment(videos, 0, 1, 0.0, None), stored))
            return
        earlier = tracks.read_failure(place, limits=self._rule.limits())
        if earlier and earlier["code"] in _REMEMBERED and earlier["code"] not in self._rule.retry_codes:
            self._metrics.count("reused-failures", len(videos))
            for video in videos:
                message = f"{video.request.source}: {earlier['message']}"
                yield Failure(_STAGE, key=video.key, **{**earlier, "message": message})
            return
        # who scores again keeps what is there: an earlier action loses nothing by a new one
        also = stored.scores.wanted if stored and not self._rule.spec.prompts else ()
        for segment in _split(videos, self._rule, also):
            uri = place.segment(segment.start_seconds, segment.end_seconds)
            stored = tracks.read(uri) if segment.count > 1 else None
            scores = stored and self._answers.of(stored, segment.wanted())
            if stored and scores:
                self._metrics.count("reused-segments")
                yield ScoredSegment(_report(segment, stored), scores, reused=True)
            else:
                yield segment


def _key(video: Video) -> str:
    return video.key


def _split(videos: tuple[Video, ...], rule: ScoringRule, also: tuple[tuple[str, ...], ...]) -> Iterator[Segment]:
    """Splits a long video into segments that different workers can take."""
    video, sampling = videos[0], rule.sampling
    container, codec = video.facts.get("container", ""), video.facts.get("codec", "")
    splits = can_split(container, codec, by_index=sampling.frame_stride is not None)
    ranges = segments(video.duration_seconds, rule.segment_seconds if splits else 0)
    for place, (start, end) in enumerate(ranges):
        yield Segment(videos, place, len(ranges), start, end, also)


_REPORTED = ("frames_decoded", "decoded_seconds", "flags", "cuts", "reached_end")


def _report(segment: Segment, stored: Stored) -> DecodeReport:
    facts = {name: value for name, value in stored.facts.items() if name in _REPORTED}
    return DecodeReport(segment, **{**facts, "flags": tuple(facts["flags"]), "cuts": tuple(facts["cuts"])})


def _facts(report: DecodeReport) -> dict[str, Any]:
    return {name: getattr(report, name) for name in _REPORTED}


class SaveScores(_Scores):
    """Stores what was scored of a segment when its last batch has left the model.

    A segment's samples come one after the other, and its report behind them: it is fused with the model.
    """

    def start_bundle(self) -> None:
        """Begins with no segment."""
        self._begin()

    def _begin(self) -> None:
        self._parts: list[Scores] = []
        self._writer: Writer | None = None
        self._error = ""

    def process(self, item: ScoredSamples | Following) -> Iterator[ScoredSegment | StoredTrack | Flush]:
        """Takes what the model said of frame batches, and the report that follows the last of a segment."""
        if isinstance(item, ScoredSamples):
            self._add(item)
        elif isinstance(item, DecodeReport):
            yield self._finished(item)
            self._begin()
        else:
            yield item

    def _add(self, samples: ScoredSamples) -> None:
        self._error = self._error or samples.error
        if self._error:
            return
        if self._writer is None:
            self._writer = Writer(self._answers.asked(samples.wanted))
        self._writer.add(self._answers.kept(samples), samples.outputs)
        self._parts.append(
            Scores(
                samples.times,
                samples.frame_indices,
                samples.wanted,
                samples.responses,
                samples.top_labels,
                samples.top_scores,
            )
        )

    def _finished(self, report: DecodeReport) -> ScoredSegment:
        if report.failure_code:
            return ScoredSegment(report, None, report.failure_code, report.failure_message)
        if self._error:
            return ScoredSegment(report, None, "scoring_failed", self._error)
        segment = report.segment
        if self._writer is None:  # no sample: of a long video's last seconds that is no fault
            return ScoredSegment(report, _joined([]))
        place = self._place(segment.video.content_key)
        uri = place.track() if segment.count == 1 else place.segment(segment.start_seconds, segment.end_seconds)
        try:
            tracks.write(uri, self._writer.finish(_facts(report)))
        except storage.StorageError as error:
            return ScoredSegment(report, None, error.code, f"its scores cannot be stored: {error}")
        self._metrics.count("saved-segments")
        return ScoredSegment(report, _joined(self._parts))


class Assemble(_Scores):
    """Joins the segments of a content to its track, and gives it to each video of that content."""

    def process(self, keyed: tuple[str, Iterable[Any]] | Flush) -> Iterator[ScoredVideo | Flush | Failed]:
        """Takes all scored segments of a content, or its stored track; a Flush passes."""
        if isinstance(keyed, Flush):
            yield keyed
            return
        records = list(keyed[1])
        stored = only(records, StoredTrack)
        if stored is not None:
            yield from self._videos(stored.videos, stored.scores, stored.report, reused=True)
            return
        by_place = {record.report.segment.place: record for record in of_type(records, ScoredSegment)}
        parts = [by_place[place] for place in sorted(by_place)]
        videos = parts[0].report.segment.videos
        broken = next((part for part in parts if part.failure_code), None)
        if broken is not None:
            yield from self._failures(videos, broken.failure_code, broken.failure_message, broken.report.attempts)
            return
        scores = _joined([part.scores for part in parts if part.scores is not None])
        if not len(scores.times):
            yield from self._failures(videos, "no_frames", "no sample in the video", 1)
            return
        report = _joined_report(parts)
        try:
            if len(parts) > 1:
                self._join_files(parts, report)
            tracks.forget_failure(self._place(keyed[0]))
        except storage.StorageError as error:
            yield from self._failures(videos, error.code, f"its scores cannot be stored: {error}", 1)
            return
        yield from self._videos(videos, scores, report, reused=all(part.reused for part in parts))

    def _videos(
        self, videos: tuple[Video, ...], scores: Scores, report: DecodeReport, *, reused: bool
    ) -> Iterator[ScoredVideo]:
        for video in videos:
            own = wanted_of([video])
            if self._rule.spec.prompts and own != scores.wanted:  # its best label is one of its own
                stored = tracks.read(self._place(video.content_key).track())
                scores = (stored and self._answers.of(stored, own)) or scores
            self._metrics.count("out-tracks")
            yield ScoredVideo(video, _track(video, scores, report), reused)

    def _join_files(self, parts: list[ScoredSegment], report: DecodeReport) -> None:
        """Writes the track of a long video from its segments, which are gone then."""
        segments_of = [part.report.segment for part in parts]
        place = self._place(parts[0].content_key)
        uris = [place.segment(segment.start_seconds, segment.end_seconds) for segment in segments_of]
        writer = Writer(self._answers.asked(segments_of[0].wanted()))
        for part, uri in zip(parts, uris, strict=True):
            if part.scores is None or not len(part.scores.times):
                continue
            stored = tracks.read(uri)
            if stored is None:
                raise storage.StorageError(f"{uri}: vanished, or was damaged", "storage_error")
            writer.add(self._answers.kept(part.scores), stored.outputs())
        tracks.write(place.track(), writer.finish(_facts(report)))
        for uri in uris:
            storage.delete(uri)

    def _failures(self, videos: tuple[Video, ...], code: str, message: str, attempts: int) -> Iterator[Failed]:
        """Records a failure that stays, so that the next run does not wait for the same video again."""
        if code in _REMEMBERED:
            facts = {"code": code, "message": message, "attempts": attempts, "limits": self._rule.limits()}
            with contextlib.suppress(storage.StorageError):  # then it is tried again
                tracks.write_failure(self._place(videos[0].content_key), facts)
        for video in videos:
            self._metrics.count(f"failed-{code}")
            message_of = f"{video.request.source}: {message}"
            yield failed(Failure(_STAGE, code, message_of, video.key, attempts=attempts))


def _joined(parts: list[Scores]) -> Scores:
    """Joins samples that follow each other."""
    parts = [part for part in parts if len(part.times)]
    if not parts:
        nothing = np.zeros(0)
        return Scores(nothing, nothing.astype(np.int64), (), np.zeros((0, 0), np.float32), (), nothing)
    return Scores(
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.frame_indices for part in parts]),
        parts[0].wanted,
        np.concatenate([part.responses for part in parts]).astype(np.float32),
        tuple(label for part in parts for label in part.top_labels),
        np.concatenate([part.top_scores for part in parts]).astype(np.float32),
    )


def _joined_report(parts: list[ScoredSegment]) -> DecodeReport:
    reports = [part.report for part in parts]
    return replace(
        reports[0],
        frames_decoded=sum(report.frames_decoded for report in reports),
        decoded_seconds=max(report.decoded_seconds for report in reports),
        flags=tuple(sorted({flag for report in reports for flag in report.flags})),
        cuts=tuple(sorted(cut for report in reports for cut in report.cuts)),
        reached_end=reports[-1].reached_end,
    )


def _track(video: Video, scores: Scores, report: DecodeReport) -> ScoreTrack:
    """Returns what is known of one video: the responses of its own actions."""
    actions = video.request.actions()
    columns = [scores.wanted.index(labels) for labels in actions.values()]
    return ScoreTrack(
        key=video.key,
        actions=actions,
        times=scores.times,
        frame_indices=scores.frame_indices,
        responses=scores.responses[:, columns],
        top_labels=scores.top_labels,
        top_scores=scores.top_scores,
        decoded_seconds=report.decoded_seconds,
        frames_decoded=report.frames_decoded,
        flags=report.flags,
        cuts=report.cuts,
    )
