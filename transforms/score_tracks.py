"""Scores on their way to storage: saved as soon as a segment is scored, and joined to a track per content."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from clipscout.transforms.core.classifiers.specs import SpecError
from clipscout.transforms.core.storage import filesystem, tracks
from clipscout.transforms.core.storage.tracks import Writer
from clipscout.transforms.failures import Failure
from clipscout.transforms.grouping import of_type, only
from clipscout.transforms.inference import Following
from clipscout.transforms.records import (
    DecodeReport,
    Flush,
    ScoredSamples,
    ScoredSegment,
    ScoredVideo,
    Scores,
    ScoreTrack,
    StoredTrack,
    Video,
    wanted_of,
)
from clipscout.transforms.stored_scores import REMEMBERED, REPORTED, StoredScores
from clipscout.transforms.tags import Failed, failed

_STAGE = "ScoreVideos"


class SaveScores(StoredScores):
    """Stores what was scored of a segment when its last batch has left the model.

    A segment's samples come one after the other, and its report behind them: it is fused with the model.
    """

    def start_bundle(self) -> None:
        """Begins with no segment."""
        self._begin()

    def _begin(self) -> None:
        self._parts: list[Scores] = []
        self._writer: Writer | None = None
        self._error = self._engine = ""
        self._keys: set[str] = set()

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
        self._keys.add(samples.key)
        self._error = self._error or samples.error
        if self._error:
            return
        self._engine = samples.engine
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
        report = replace(report, engine=self._engine)
        assert self._keys <= {report.segment.video.key}, (self._keys, report.segment.video.key)
        if report.failure_code:
            return ScoredSegment(report, None, report.failure_code, report.failure_message)
        if self._error:
            return ScoredSegment(report, None, "scoring_failed", self._error)
        segment = report.segment
        if self._writer is None:  # no sample: of a long video's last seconds that is no fault
            return ScoredSegment(report, _joined([]))
        files = self._files(segment.video.content_key)
        uri = files.track() if segment.count == 1 else files.segment(segment.start_seconds, segment.end_seconds)
        try:
            filesystem.write_bytes(uri, self._writer.finish(_reported(report)))
        except filesystem.StorageError as error:
            return ScoredSegment(report, None, error.code, f"its scores cannot be stored: {error}")
        self._metrics.count("saved-segments")
        if segment.count == 1:  # told at once: what joins the segments may wait for all videos
            self._metrics.count("out-tracks", len(segment.videos))
        return ScoredSegment(report, _joined(self._parts))


class Assemble(StoredScores):
    """Joins the segments of a content to its track, and gives it to each video of that content."""

    def process(self, keyed: tuple[str, Iterable[Any]] | Flush) -> Iterator[ScoredVideo | Flush | Failed]:
        """Takes all scored segments of a content, or its stored track; a Flush passes."""
        if isinstance(keyed, Flush):
            yield keyed
            return
        records = list(keyed[1])
        stored = only(records, StoredTrack)
        if stored is not None:
            yield from self._videos(stored.videos, stored.scores, stored.report, reused=stored.reused)
            return
        by_index = {record.report.segment.index: record for record in of_type(records, ScoredSegment)}
        parts = [by_index[index] for index in sorted(by_index)]
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
            tracks.forget_failure(self._files(keyed[0]))
        except filesystem.StorageError as error:
            yield from self._failures(videos, error.code, f"its scores cannot be stored: {error}", 1)
            return
        reused = all(part.reused for part in parts)
        yield from self._videos(videos, scores, report, reused=reused, counted=len(parts) == 1)

    def _videos(
        self, videos: tuple[Video, ...], scores: Scores, report: DecodeReport, *, reused: bool, counted: bool = False
    ) -> Iterator[ScoredVideo | Failed]:
        for video in videos:
            try:
                its_own = self._answered_alone(video, scores)
            except (filesystem.StorageError, SpecError) as error:
                yield from self._failures((video,), getattr(error, "code", "scoring_failed"), str(error), 1)
                continue
            if not counted:
                self._metrics.count("reused-tracks" if reused else "out-tracks")
            yield ScoredVideo(video, _track(video, its_own, report), reused)

    def _answered_alone(self, video: Video, scores: Scores) -> Scores:
        """Returns scores in which a zero-shot video's best label is one of its own."""
        own = wanted_of([video])
        if not self._settings.spec.prompts or own == scores.wanted:
            return scores
        stored = tracks.read(self._files(video.content_key).track())
        return (stored and self._answers.of(stored, own)) or scores

    def _join_files(self, parts: list[ScoredSegment], report: DecodeReport) -> None:
        """Writes the track of a long video from its segments, which are gone then."""
        segments_of = [part.report.segment for part in parts]
        files = self._files(parts[0].content_key)
        uris = [files.segment(segment.start_seconds, segment.end_seconds) for segment in segments_of]
        read = [(part.scores, tracks.read(uri)) for part, uri in zip(parts, uris, strict=True) if _samples_of(part)]
        if any(stored is None for _, stored in read):
            if tracks.read(files.track()) is None:
                raise filesystem.StorageError(f"{files.track()}: a segment of it vanished, or was damaged")
            return  # another attempt at this bundle has joined them already
        has_outputs = all(stored is not None and stored.has_outputs for _, stored in read)
        writer = Writer(self._answers.asked(segments_of[0].wanted()))
        for scores, stored in read:
            assert scores is not None
            assert stored is not None
            outputs = np.concatenate(list(stored.outputs())) if has_outputs else None
            writer.add(self._answers.kept(scores), outputs)
        filesystem.write_bytes(files.track(), writer.finish(_reported(report)))
        for uri in uris:
            filesystem.delete(uri)

    def _failures(self, videos: tuple[Video, ...], code: str, message: str, attempts: int) -> Iterator[Failed]:
        """Records a failure that stays, so that the next run does not wait for the same video again."""
        if code in REMEMBERED:
            record = {"code": code, "message": message, "attempts": attempts, "limits": self._limits}
            with contextlib.suppress(filesystem.StorageError):  # then it is tried again
                tracks.write_failure(self._files(videos[0].content_key), record)
        for video in videos:
            self._metrics.count(f"failed-{code}")
            message_of = f"{video.request.source}: {message}"
            yield failed(Failure(_STAGE, code, message_of, video.key, attempts=attempts))


def _samples_of(part: ScoredSegment) -> int:
    return 0 if part.scores is None else len(part.scores.times)


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
        lost_seconds=sum(report.lost_seconds for report in reports),
        flags=tuple(sorted({flag for report in reports for flag in report.flags})),
        shot_boundaries=tuple(sorted(time for report in reports for time in report.shot_boundaries)),
        reached_end=reports[-1].reached_end,
        engine=", ".join(sorted({report.engine for report in reports if report.engine})),
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
        shot_boundaries=report.shot_boundaries,
        lost_seconds=report.lost_seconds,
        engine=report.engine,
    )


def _reported(report: DecodeReport) -> dict[str, Any]:
    return {name: getattr(report, name) for name in REPORTED}
