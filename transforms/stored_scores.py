"""Scores that are stored: found before anything is decoded, under the content's name."""

from collections.abc import Iterable, Iterator
from functools import partial

import apache_beam as beam

from clipscout.transforms.core.classifiers.answers import Answers
from clipscout.transforms.core.classifiers.specs import SpecError
from clipscout.transforms.core.storage import filesystem, naming, tracks
from clipscout.transforms.core.storage.tracks import Stored, TrackFiles
from clipscout.transforms.core.video.sampling import can_split, segments
from clipscout.transforms.failures import Failure
from clipscout.transforms.flow import Around, Flow
from clipscout.transforms.inference import LazyClassifier
from clipscout.transforms.metrics import StageMetrics
from clipscout.transforms.records import (
    DecodeReport,
    Flush,
    ScoredSegment,
    Segment,
    StoredTrack,
    Video,
    wanted_of,
)
from clipscout.transforms.scoring_settings import ScoringSettings
from clipscout.transforms.tags import Failed, failed

_STAGE = "ScoreVideos"
#: Codes that decoding itself gives, so that the same content gives them again.
REMEMBERED = ("decode_crashed", "decode_timeout", "decode_memory", "no_frames", "no_video", "unreadable_video")
#: Contents whose scores may still wait for a full batch, at most: each has a frame in it.
_MOST_UNDER_WAY = 100_000


class StoredScores(beam.DoFn):
    """What reading and writing scores have in common."""

    def __init__(self, output: str, settings: ScoringSettings) -> None:
        self._output, self._settings = output, settings
        self._fingerprint, self._limits = settings.fingerprint(), settings.limits()
        self._metrics = StageMetrics(_STAGE)

    def setup(self) -> None:
        """Prepares answers from what is stored; no model is loaded."""
        folder = filesystem.join(self._output, "scores", self._fingerprint)
        classifier = LazyClassifier(
            self._settings.load_settings(), self._metrics, anywhere=True
        )  # maybe far from any GPU
        ask_model = partial(LazyClassifier.texts, classifier)
        self._answers = Answers(self._settings.spec, self._settings.response, folder, ask_model)

    def _files(self, content_key: str) -> TrackFiles:
        return TrackFiles(self._output, self._fingerprint, content_key)


class FindStored(StoredScores):
    """Splits contents without stored scores into segments; the others leave with their track, or their failure."""

    def __init__(self, output: str, settings: ScoringSettings, flow: Flow) -> None:
        super().__init__(output, settings)
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
        except (filesystem.StorageError, SpecError) as error:
            code = getattr(error, "code", "scoring_failed")
            self._metrics.count(f"failed-{code}", len(videos))
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

    def _renamed(self, videos: tuple[Video, ...], files: TrackFiles) -> Stored | None:
        """Returns a track that earlier versions stored under the name of a file, not of its picture, and renames it."""
        for video in videos:
            earlier = self._files(naming.content_key(video.content, video.size_bytes)).track()
            if video.picture and (stored := tracks.read(earlier)) is not None:
                filesystem.move(earlier, files.track())
                return stored
        return None

    def _is_whole(self, stored: Stored) -> bool:
        """Tells whether a segment can become part of a track as it is wanted now."""
        try:
            return not self._settings.keep_outputs or bool(stored.has_outputs and list(stored.outputs()))
        except ValueError:  # damaged
            return False

    def _note_under_way(self, content_key: str) -> None:
        self._under_way[content_key] = None
        if len(self._under_way) > _MOST_UNDER_WAY:
            self._under_way.pop(next(iter(self._under_way)))

    def _find(self, videos: tuple[Video, ...]) -> Iterator[Segment | ScoredSegment | StoredTrack | Failure]:
        wanted, files = wanted_of(videos), self._files(videos[0].content_key)
        stored = tracks.read(files.track()) or self._renamed(videos, files)
        scores = stored and self._answers.of(stored, wanted)
        if stored and scores:
            report = report_of(Segment(videos, 0, 1, 0.0, None), stored)
            yield StoredTrack(videos, scores, report, reused=videos[0].content_key not in self._under_way)
            return
        earlier = tracks.read_failure(files, limits=self._limits)
        if earlier and earlier["code"] in REMEMBERED and earlier["code"] not in self._settings.retry_codes:
            self._metrics.count("reused-failures", len(videos))
            for video in videos:
                message = f"{video.request.source}: {earlier['message']}"
                yield Failure(_STAGE, key=video.key, **{**earlier, "message": message})
            return
        # who scores again keeps what is there: an earlier action loses nothing by a new one
        also = stored.scores.wanted if stored and not self._settings.spec.prompts else ()
        for segment in _split(videos, self._settings, also):
            uri = files.segment(segment.start_seconds, segment.end_seconds)
            stored = tracks.read(uri) if segment.count > 1 else None
            scores = stored and self._answers.of(stored, segment.wanted())
            if stored and scores and self._is_whole(stored):
                self._metrics.count("reused-segments")
                yield ScoredSegment(report_of(segment, stored), scores, reused=True)
            else:
                yield segment


def _key(video: Video) -> str:
    return video.key


def _split(
    videos: tuple[Video, ...], settings: ScoringSettings, also: tuple[tuple[str, ...], ...]
) -> Iterator[Segment]:
    """Splits a long video into segments that different workers can take."""
    video, sampling = videos[0], settings.sampling
    container, codec = video.facts.get("container", ""), video.facts.get("codec", "")
    splits = can_split(container, codec, by_index=sampling.frame_stride is not None)
    ranges = segments(video.duration_seconds, settings.segment_seconds if splits else 0)
    for index, (start, end) in enumerate(ranges):
        yield Segment(videos, index, len(ranges), start, end, also)


REPORTED = tracks.REPORTED


def report_of(segment: Segment, stored: Stored) -> DecodeReport:
    """Returns how the decoding of stored scores ended."""
    reported = {name: value for name, value in stored.report.items() if name in REPORTED}
    return DecodeReport(
        segment,
        **{**reported, "flags": tuple(reported["flags"]), "shot_boundaries": tuple(reported["shot_boundaries"])},
    )
