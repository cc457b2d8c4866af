"""Elements of decoding and scoring: frame batches, what the classifier said of them, and score tracks."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from clipscout.transforms.records.requests import Video


@dataclass(frozen=True, eq=False, repr=False)
class FrameBatch:
    """Samples of one video on their way to the classifier; never crosses a shuffle.

    Attributes:
      key: The video's key.
      times: float64[n] presentation times in seconds, ascending; for a window that of its centre.
      frame_indices: int64[n] places of the samples among the video's frames, from 0; -1 where not known.
      frames: uint8[n, height, width, 3] RGB, or for a video model windows, uint8[n, frames, height, width, 3].
      wanted: The labels of each response that is asked for.
    """

    key: str
    times: np.ndarray
    frame_indices: np.ndarray
    frames: np.ndarray
    wanted: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        n = len(self.times)
        if self.frames.shape[:1] != (n,) or len(self.frame_indices) != n or self.frames.ndim not in (4, 5):
            raise ValueError(f"times, indices and frames disagree: {self!r}")

    def __repr__(self) -> str:
        return f"FrameBatch({self.key}, frames={self.frames.dtype}{list(self.frames.shape)}, times={self.times[:1]}...)"


@dataclass(frozen=True, eq=False, repr=False)
class ScoredSamples:
    """What the classifier says of one frame batch, without its frames; never crosses a shuffle.

    Attributes:
      key, times, frame_indices, wanted: As in the frame batch.
      responses: float32[n, wanted], the response of each wanted action.
      top_labels: n names, the best label of each sample.
      top_scores: float32[n], the score of that label.
      outputs: float32[n, size], all that the classifier said: scores of its labels, or an embedding; None where that is
        not kept.
      error: Why there are no responses; empty on success.
      engine: What ran the classifier, with its version.
    """

    key: str
    times: np.ndarray
    frame_indices: np.ndarray
    wanted: tuple[tuple[str, ...], ...]
    responses: np.ndarray
    top_labels: tuple[str, ...]
    top_scores: np.ndarray
    outputs: np.ndarray | None = None
    error: str = ""
    engine: str = ""

    def __repr__(self) -> str:
        return f"ScoredSamples({self.key}, responses={list(self.responses.shape)}, error={self.error!r})"


@dataclass(frozen=True)
class Flush:
    """Nothing else is ready: what waits for a full batch goes on now. Only where videos stream through one pass."""


@dataclass(frozen=True)
class Segment:
    """A time range of a video that is decoded on its own.

    Attributes:
      videos: The videos of one content, under their different keys; the first is the one that is decoded.
      index: From 0.
      count: How many segments the content has.
      start_seconds, end_seconds: [start, end); None is the end of the video.
      also: Labels that are scored too, because an earlier run wanted them.
    """

    videos: tuple[Video, ...]
    index: int
    count: int
    start_seconds: float
    end_seconds: float | None
    also: tuple[tuple[str, ...], ...] = ()

    @property
    def video(self) -> Video:
        """The video that is decoded."""
        return self.videos[0]

    def wanted(self) -> tuple[tuple[str, ...], ...]:
        """Returns the labels of every response that is asked for, each once, sorted."""
        return tuple(sorted({*wanted_of(self.videos), *self.also}))


def wanted_of(videos: Iterable[Video]) -> tuple[tuple[str, ...], ...]:
    """Returns the labels of every action that any of the videos is wanted for, each once, sorted."""
    return tuple(sorted({labels for video in videos for labels in video.request.actions().values()}))


@dataclass(frozen=True)
class DecodeReport:
    """How the decoding of one segment ended, and, once it is scored, by what.

    Attributes:
      segment: The segment.
      frames_decoded: Frames that were gone through, with those that nothing needed and that were not decoded.
      decoded_seconds: End of the last decoded frame, from the start of the video stream.
      lost_seconds: How long the pictures last that could not be decoded.
      flags: E.g. `truncated`, `no_timestamps`, `damaged`.
      failure_code, failure_message: Set when it could not be decoded.
      attempts: How often it was tried.
      cpu_msec: Processor time of the decoder in milliseconds.
      reached_end: Whether decoding came to the end of the video.
      shot_boundaries: Times of shot boundaries in seconds.
      engine: What ran the classifier, with its version.
    """

    segment: Segment
    frames_decoded: int = 0
    decoded_seconds: float = 0.0
    lost_seconds: float = 0.0
    flags: tuple[str, ...] = ()
    failure_code: str = ""
    failure_message: str = ""
    attempts: int = 1
    cpu_msec: int = 0
    reached_end: bool = False
    shot_boundaries: tuple[float, ...] = ()
    engine: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class Scores:
    """What is known of some samples of one content, over time.

    Attributes:
      times: float64[n] seconds from the start of the video stream, strictly ascending.
      frame_indices: int64[n].
      wanted: The labels of each response.
      responses: float32[n, wanted].
      top_labels: n label names.
      top_scores: float32[n].
    """

    times: np.ndarray
    frame_indices: np.ndarray
    wanted: tuple[tuple[str, ...], ...]
    responses: np.ndarray
    top_labels: tuple[str, ...]
    top_scores: np.ndarray

    def __post_init__(self) -> None:
        shape = (len(self.times), len(self.wanted))
        if self.responses.shape != shape or len(self.top_labels) != len(self.times):
            raise ValueError(f"responses are {self.responses.shape}, expected {shape}")
        if (np.diff(self.times) <= 0).any():
            raise ValueError("times do not ascend")

    def __repr__(self) -> str:
        return f"Scores(responses={list(self.responses.shape)}, wanted={self.wanted})"


@dataclass(frozen=True, eq=False)
class ScoredSegment:
    """One segment after scoring; what the classifier said of it is on storage already.

    Attributes:
      report: How decoding ended.
      scores: None where the segment failed.
      failure_code, failure_message: Set where it could not be scored or stored.
      reused: Whether an earlier run scored it.
    """

    report: DecodeReport
    scores: Scores | None
    failure_code: str = ""
    failure_message: str = ""
    reused: bool = False

    @property
    def content_key(self) -> str:
        """The content that was scored."""
        return self.report.segment.video.content_key


@dataclass(frozen=True, eq=False)
class StoredTrack:
    """The track of a content that an earlier run, or another video of this one, has scored.

    Attributes:
      videos: The videos of that content.
      scores: Its samples.
      report: How their decoding ended, over all segments.
      reused: Whether an earlier run scored it, and not another video of this one.
    """

    videos: tuple[Video, ...]
    scores: Scores
    report: DecodeReport
    reused: bool = True

    @property
    def content_key(self) -> str:
        """The content that was scored."""
        return self.videos[0].content_key


@dataclass(frozen=True, eq=False, repr=False)
class ScoreTrack:
    """All responses of one video over time; spans can be picked from it again without scoring.

    Attributes:
      key: The video's key.
      actions: The wanted actions, sorted, each with the labels that count as it.
      times: float64[n] seconds from the start of the video stream, strictly ascending.
      frame_indices: int64[n].
      responses: float32[n, actions].
      top_labels: n label names.
      top_scores: float32[n].
      decoded_seconds: End of the last decoded frame.
      frames_decoded: Frames that were gone through, with those that nothing needed and that were not decoded.
      flags: Flags of the decoding.
      shot_boundaries: Shot boundaries in seconds, ascending: the time of the first frame of each new shot.
      lost_seconds: How long the pictures last that could not be decoded.
      engine: What ran the classifier, with its version.
    """

    key: str
    actions: dict[str, tuple[str, ...]]
    times: np.ndarray
    frame_indices: np.ndarray
    responses: np.ndarray
    top_labels: tuple[str, ...]
    top_scores: np.ndarray
    decoded_seconds: float
    frames_decoded: int
    flags: tuple[str, ...] = ()
    shot_boundaries: tuple[float, ...] = ()
    lost_seconds: float = 0.0
    engine: str = ""

    def __post_init__(self) -> None:
        shape = (len(self.times), len(self.actions))
        if self.responses.shape != shape or len(self.top_labels) != len(self.times):
            raise ValueError(f"responses are {self.responses.shape}, expected {shape}")
        if (np.diff(self.times) <= 0).any():
            raise ValueError(f"times of {self.key} do not ascend")

    def __repr__(self) -> str:
        return f"ScoreTrack({self.key}, {sorted(self.actions)}, responses={list(self.responses.shape)})"
