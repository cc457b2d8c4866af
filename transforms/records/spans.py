"""Elements from scored videos to clips."""

from dataclasses import dataclass

from clipscout.transforms.core.storage import naming
from clipscout.transforms.records.requests import Video
from clipscout.transforms.records.samples import ScoreTrack

#: Flag of a clip whose video has a sound on its site, apart from the picture, that is not in the clip.
SOUND_NOT_FETCHED = "sound_not_fetched"


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


@dataclass(frozen=True, slots=True)
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

    @property
    def id(self) -> str:
        """Its name, the same in every run."""
        return naming.span_id(self.action, self.key, self.start_seconds, self.end_seconds)

    def __post_init__(self) -> None:
        if not 0 <= self.start_seconds < self.end_seconds:
            raise ValueError(f"a span needs 0 <= start < end, not {self.start_seconds} and {self.end_seconds}")


@dataclass(frozen=True, slots=True)
class VideoSpans:
    """The spans of one scored video, over all its actions; may be empty.

    Attributes:
      video: The video.
      spans: Its spans.
      decoded_seconds: End of the last decoded frame.
      samples: How many samples were scored.
      flags: Flags of the decoding.
      notes: Why an action has no span, a sentence each.
      strongest: (action, response) pairs: the best response of each action in the video, as spans are picked from it.
      dropped: (rule, number) of the spans that a rule of the selection took out.
      better: The same video in a better quality, which clips are cut from; None where there is none.
      source_flags: What is to be said of the video that clips are cut from.
      lost_seconds: How long the pictures last that could not be decoded.
      engine: What ran the classifier, with its version.
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
    engine: str = ""
    reused: bool = False
    strongest: tuple[tuple[str, float], ...] = ()

    @property
    def source(self) -> Video:
        """The video that clips are cut from."""
        return self.better or self.video

    @property
    def key(self) -> str:
        """The video's key."""
        return self.video.key


@dataclass(frozen=True, slots=True)
class EarlierClip:
    """A file of a clip (the clip, its poster or its record) that lies below the output.

    Attributes:
      key: The key of the video that it was cut from.
      name: The file, relative to the output folder.
    """

    key: str
    name: str


@dataclass(frozen=True, slots=True)
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
      scored: The content that was scored to find it; its score track has that name.
      left_out_by: `one_per_video` where its video gives another clip.
      not_compared: Why no classifier can compare it with others.
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
    scored: str = ""
    left_out_by: str = ""
    not_compared: str = ""

    @property
    def key(self) -> str:
        """The video's key."""
        return self.span.key

    @property
    def id(self) -> str:
        """The name of its span, the same in every run."""
        return self.span.id
