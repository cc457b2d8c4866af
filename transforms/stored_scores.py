"""Scores that are stored: found before anything is decoded, and joined to a track per video after."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, Literal, TypeAlias

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import TaggedOutput

from transforms.core import storage, tracks
from transforms.failures import Failure
from transforms.grouping import of_type, only
from transforms.metrics import StageMetrics
from transforms.records import DecodeReport, ScoredSamples, ScoredVideo, ScoreTrack, Video
from transforms.tags import Failed, failed

_STAGE = "ScoreVideos"
STORED: Literal["stored"] = "stored"
#: Codes that decoding itself gives, so that the same content gives them again.
_REMEMBERED = ("decode_crashed", "decode_timeout", "decode_memory", "no_frames", "no_video", "unreadable_video")

_FindOutput: TypeAlias = Video | Failed | TaggedOutput[Literal["stored"], ScoredVideo]


class FindStored(beam.DoFn):
    """Lets videos through whose scores are not stored yet; the others leave with their track, or their failure.

    Args:
      output: The output folder.
      fingerprint: Of the scores.
      limits: Of decoding, and by what; under other ones a failure is no longer decided.
      retry_codes: Codes of failures that are tried again.
    """

    def __init__(self, output: str, fingerprint: str, limits: list[Any], retry_codes: tuple[str, ...]) -> None:
        self._output, self._fingerprint = output, fingerprint
        self._limits, self._retry_codes = limits, retry_codes
        self._metrics = StageMetrics(_STAGE)

    def process(self, video: Video) -> Iterator[_FindOutput]:
        """Looks a video up by its content, and by what is wanted of it."""
        place = self._output, self._fingerprint, video.key
        wanted: dict[str, Any] = video.request.actions()
        try:
            track = tracks.read(*place, video.content, wanted)
            earlier = (
                None if track is not None else tracks.read_failure(*place, content=video.content, limits=self._limits)
            )
        except storage.StorageError as error:
            yield failed(Failure(_STAGE, error.code, str(error), key=video.key))
            return
        if track is not None:
            self._metrics.count("reused-tracks")
            yield TaggedOutput(STORED, ScoredVideo(video, track))
        elif earlier and earlier["code"] in _REMEMBERED and earlier["code"] not in self._retry_codes:
            self._metrics.count("reused-failures")
            yield failed(Failure(_STAGE, key=video.key, **earlier))
        else:
            yield video


class Assemble(beam.DoFn):
    """Joins the scored samples of a video to its track, and stores it; for the arguments see `FindStored`."""

    def __init__(self, output: str, fingerprint: str, limits: list[Any]) -> None:
        self._output, self._fingerprint, self._limits = output, fingerprint, limits
        self._metrics = StageMetrics(_STAGE)

    def process(self, keyed: tuple[str, Iterable[Any]]) -> Iterator[ScoredVideo | Failed]:
        """Takes all samples and reports of a video, or its stored track."""
        key, records = keyed[0], list(keyed[1])
        if stored := only(records, ScoredVideo):
            yield stored
            return
        by_place = {report.segment.place: report for report in of_type(records, DecodeReport)}
        reports = [by_place[place] for place in sorted(by_place)]
        video = reports[0].segment.video
        samples = sorted(of_type(records, ScoredSamples), key=lambda part: part.times[0])
        broken = next((report for report in reports if report.failure_code), None)
        unscored = next((part.error for part in samples if part.error), "")
        if broken or unscored or not samples:
            code: str = broken.failure_code if broken else "scoring_failed" if unscored else "no_frames"
            message = (broken.failure_message if broken else unscored) or "no sample in the video"
            self._metrics.count(f"failed-{code}")
            attempts = broken.attempts if broken else 1
            message = f"{video.request.source}: {message}"
            yield self._failed(video, Failure(_STAGE, code, message, key, attempts=attempts))
            return
        track = join_samples(reports, samples)
        try:
            tracks.write(self._output, self._fingerprint, track, video.content)
        except storage.StorageError as error:
            yield failed(Failure(_STAGE, error.code, f"its scores cannot be stored: {error}", key=key))
            return
        self._metrics.count("out-tracks")
        yield ScoredVideo(video, track)

    def _failed(self, video: Video, failure: Failure) -> Failed:
        """Records a failure that stays, so that the next run does not wait for the same video again."""
        if failure.code in _REMEMBERED:
            told = {"code": failure.code, "message": failure.message, "attempts": failure.attempts}
            facts = {**told, "content": video.content, "limits": self._limits}
            with contextlib.suppress(storage.StorageError):  # then it is tried again
                tracks.write_failure(self._output, self._fingerprint, failure.key, facts)
        return failed(failure)


def join_samples(reports: list[DecodeReport], samples: list[ScoredSamples]) -> ScoreTrack:
    """Joins the scored samples of one video, sorted by time, and the reports of its segments to a track."""
    video = reports[0].segment.video
    return ScoreTrack(
        key=video.key,
        actions=video.request.actions(),
        times=np.concatenate([part.times for part in samples]),
        frame_indices=np.concatenate([part.frame_indices for part in samples]),
        responses=np.concatenate([part.responses for part in samples]).astype(np.float32),
        top_labels=tuple(label for part in samples for label in part.top_labels),
        top_scores=np.concatenate([part.top_scores for part in samples]).astype(np.float32),
        decoded_seconds=max(report.decoded_seconds for report in reports),
        frames_decoded=sum(report.frames_decoded for report in reports),
        flags=tuple(sorted({flag for report in reports for flag in report.flags})),
        cuts=tuple(sorted(cut for report in reports for cut in report.cuts)),
    )
