"""Every element that flows between stages: frozen, validated on construction, small but for frame batches."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clipscout.transforms.core.storage import naming

#: Flag of a clip whose video has a sound on its site, apart from the picture, that is not in the clip.
SOUND_NOT_FETCHED = "sound_not_fetched"


@dataclass(frozen=True)
class ActionQuery:
    """One input row: an action, and where to look for it.

    Attributes:
      action: The label that is mined for, as the user wrote it.
      query, url, path: Search text, web address, or file (or glob); exactly one is not empty.
      row: Where the row stands, `file:line`.
      classes: Classifier labels that count as this action; empty means the action's own name.
      max_videos: The row's own cap on videos found; None means the job's.
      extra: Every other column of the row, carried through to the outputs.
    """

    action: str
    row: str
    query: str = ""
    url: str = ""
    path: str = ""
    classes: tuple[str, ...] = ()
    max_videos: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.action:
            raise ValueError("the row has no action")
        given = [name for name in ("query", "url", "path") if getattr(self, name)]
        if len(given) != 1:
            has = " and ".join(given) or "none"
            raise ValueError(f"a row needs exactly one of query, url (or youtube_id) and path; this one has {has}")


@dataclass(frozen=True)
class Ask:
    """One query's wish for one video.

    Attributes:
      action: The wanted action.
      labels: The classifier labels that count as the action.
      row: The row that asked, `file:line`.
      rank: Place of the video among what the row found, from 1.
      query: The search text, URL or path that found it.
      extra: The row's other columns.
    """

    action: str
    labels: tuple[str, ...]
    row: str
    rank: int = 1
    query: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class VideoRequest:
    """One video to fetch, with every ask for it.

    Attributes:
      key: The video's key.
      asks: Who wants it, and why.
      url, path: Where it is; exactly one is not empty.
      listed: What a search or listing said of it (title, channel, duration, ...).
      refusals: In how many runs before a site refused it.
    """

    key: str
    asks: tuple[Ask, ...]
    url: str = ""
    path: str = ""
    listed: dict[str, Any] = field(default_factory=dict)
    refusals: int = 0

    def __post_init__(self) -> None:
        if not self.key or not self.asks or bool(self.url) == bool(self.path):
            raise ValueError(f"a request needs a key, an ask, and a url or a path: {self!r}")

    @property
    def source(self) -> str:
        """The URL or path that the video comes from, as it may be shown."""
        return naming.without_login(self.url) or self.path

    def actions(self) -> dict[str, tuple[str, ...]]:
        """Returns the wanted actions in order of their name, each with all labels that any ask gives it."""
        wanted: dict[str, set[str]] = {}
        for ask in self.asks:
            wanted.setdefault(ask.action, set()).update(ask.labels)
        return {action: tuple(sorted(wanted[action])) for action in sorted(wanted)}


@dataclass(frozen=True)
class Video:
    """A fetched file with probed facts.

    Attributes:
      key: The video's key.
      uri: Where the file lies: absolute, or relative to the output folder for stored downloads.
      request: The request it answers.
      size_bytes: Size of the file.
      content: Digest of the content, e.g. `sha256:...`.
      modified_ns: Of a local file that is used in place, when it was changed last, before it was hashed; else 0.
      duration_seconds: Claimed duration, None where the container does not tell.
      width, height: Picture size in pixels as displayed (rotated, square pixels).
      frame_rate: Average frames per second, 0 where unknown.
      facts: What the site says of it (title, channel, licence, ...).
      reused: Whether an earlier run stored it; for the summary alone, no row of a manifest tells.
    """

    key: str
    uri: str
    request: VideoRequest
    size_bytes: int
    content: str
    duration_seconds: float | None
    width: int
    height: int
    frame_rate: float
    facts: dict[str, Any] = field(default_factory=dict)
    reused: bool = False
    modified_ns: int = 0

    @property
    def content_key(self) -> str:
        """A name for the content: what has the same content is scored once, whatever its key."""
        return naming.digest(f"{self.content} {self.size_bytes}", 32)

    @property
    def in_place(self) -> bool:
        """Whether it is a file of the user, used where it lies, and not one that is stored below the output."""
        return self.uri == self.request.path


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
      place: From 0.
      count: How many segments the content has.
      start_seconds, end_seconds: [start, end); None is the end of the video.
      also: Labels that are scored too, because an earlier run wanted them.
    """

    videos: tuple[Video, ...]
    place: int
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
    """How the decoding of one segment ended.

    Attributes:
      segment: The segment.
      frames_decoded: Frames that came out of the decoder.
      decoded_seconds: End of the last decoded frame, from the start of the video stream.
      lost_seconds: How long the pictures last that could not be decoded.
      flags: E.g. `truncated`, `no_timestamps`, `damaged`.
      failure_code, failure_message: Set when it could not be decoded.
      attempts: How often it was tried.
      cpu_msec: Processor time of the decoder in milliseconds.
      reached_end: Whether decoding came to the end of the video.
      shot_boundaries: Times of shot boundaries in seconds.
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
      frames_decoded: Frames that came out of the decoder.
      flags: Flags of the decoding.
      shot_boundaries: Shot boundaries in seconds, ascending: the time of the first frame of each new shot.
      lost_seconds: How long the pictures last that could not be decoded.
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

    def __post_init__(self) -> None:
        shape = (len(self.times), len(self.actions))
        if self.responses.shape != shape or len(self.top_labels) != len(self.times):
            raise ValueError(f"responses are {self.responses.shape}, expected {shape}")
        if (np.diff(self.times) <= 0).any():
            raise ValueError(f"times of {self.key} do not ascend")

    def __repr__(self) -> str:
        return f"ScoreTrack({self.key}, {sorted(self.actions)}, responses={list(self.responses.shape)})"


@dataclass(frozen=True)
class ScoredVideo:
    """A video with its track.

    Attributes:
      video: The video.
      track: What was scored of it.
      reused: Whether nothing had to be decoded: an earlier run, or a video of the same content, was scored before.
    """

    video: Video
    track: ScoreTrack
    reused: bool = False

    @property
    def key(self) -> str:
        """The video's key."""
        return self.video.key


@dataclass(frozen=True)
class CandidateSpan:
    """`[start, end)` in seconds around a peak of one action's response.

    Attributes:
      key: The video's key.
      action: The wanted action.
      start_seconds, end_seconds: The span.
      peak_seconds: Time of the sample with the strongest response.
      peak_frame: Place of that sample among the video's frames; -1 where not known.
      score: The response there, smoothed where that is wanted.
      rank: Place among the action's spans in the video, from 1.
      top_label, top_score: The classifier's best label of the peak, and its score.
      shot_boundaries: How many shot boundaries it holds.
    """

    key: str
    action: str
    start_seconds: float
    end_seconds: float
    peak_seconds: float
    peak_frame: int
    score: float
    rank: int
    top_label: str
    top_score: float
    shot_boundaries: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.start_seconds < self.end_seconds:
            raise ValueError(f"a span needs 0 <= start < end, not {self.start_seconds} and {self.end_seconds}")


@dataclass(frozen=True)
class VideoSpans:
    """The spans of one scored video, over all its actions; may be empty.

    Attributes:
      video: The video.
      spans: Its spans.
      decoded_seconds: End of the last decoded frame.
      samples: How many samples were scored.
      flags: Flags of the decoding.
      notes: Why an action has no span, a sentence each.
      dropped: (rule, number) of the spans that a rule of the selection took out.
      better: The same video in a better quality, which clips are cut from; None where there is none.
      source_flags: What is to be said of the video that clips are cut from.
      lost_seconds: How long the pictures last that could not be decoded.
      reused: Whether all of its track was stored by an earlier run; for the summary alone.
    """

    video: Video
    spans: tuple[CandidateSpan, ...]
    decoded_seconds: float
    samples: int
    flags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    dropped: tuple[tuple[str, int], ...] = ()
    better: Video | None = None
    source_flags: tuple[str, ...] = ()
    lost_seconds: float = 0.0
    reused: bool = False

    @property
    def source(self) -> Video:
        """The video that clips are cut from."""
        return self.better or self.video

    @property
    def key(self) -> str:
        """The video's key."""
        return self.video.key


@dataclass(frozen=True)
class EarlierClip:
    """A file of a clip (the clip, its poster or its record) that lies below the output.

    Attributes:
      key: The key of the video that it was cut from.
      name: The file, relative to the output folder.
    """

    key: str
    name: str


@dataclass(frozen=True)
class Clip:
    """A span cut into a playable file.

    Attributes:
      span: The span.
      path: The file, relative to the output folder; empty where no clip is wanted.
      duration_seconds: Probed duration of the picture.
      frames: Probed number of frames.
      width, height: Probed picture size in pixels.
      has_audio: Whether the clip has sound.
      sha256: Digest of the file.
      flags: E.g. `audio_dropped`, `sound_not_fetched`.
      start_seconds, end_seconds: What of the video it shows: the span to the frame, more where nothing is re-encoded.
      poster: A picture of its peak, relative to the output folder; empty where none is wanted.
      audio_missing_seconds: For how long its sound is silence because the video has none there, or none that can be
        decoded.
      reused: Whether an earlier run cut it; for the summary alone.
    """

    span: CandidateSpan
    path: str
    duration_seconds: float
    frames: int
    width: int
    height: int
    has_audio: bool
    sha256: str
    flags: tuple[str, ...] = ()
    start_seconds: float | None = None
    end_seconds: float | None = None
    poster: str = ""
    audio_missing_seconds: float = 0.0
    reused: bool = False

    @property
    def key(self) -> str:
        """The video's key."""
        return self.span.key
