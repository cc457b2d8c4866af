"""Elements from a row to a fetched video."""

from dataclasses import dataclass, field
from typing import Any

from clipscout.transforms.core.storage import naming


@dataclass(frozen=True, slots=True)
class ActionQuery:
    """One input row: an action, and where to look for it.

    Attributes:
      action: The label that is mined for, as the user wrote it.
      query, url, path: Search text, web address, or file (or glob); exactly one is not empty.
      row: Where the row stands, `file:line`.
      classes: Classifier labels that count as this action; empty means the action's own name.
      max_videos: The row's own cap on videos found; None means the job's.
      min_score: The row's own weakest response that may become a span; None means the job's.
      extra: Every other column of the row, carried through to the outputs.
    """

    action: str
    row: str
    query: str = ""
    url: str = ""
    path: str = ""
    classes: tuple[str, ...] = ()
    max_videos: int | None = None
    min_score: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.action:
            raise ValueError("the row has no action")
        named = [name for name in ("query", "url", "path") if getattr(self, name)]
        if len(named) != 1:
            has = " and ".join(named) or "none"
            raise ValueError(f"a row needs exactly one of query, url (or youtube_id) and path; this one has {has}")


@dataclass(frozen=True, slots=True)
class Ask:
    """One query's wish for one video.

    Attributes:
      action: The wanted action.
      labels: The classifier labels that count as the action.
      row: The row that asked, `file:line`.
      rank: Place of the video among what the row found, from 1.
      query: The search text, URL or path that found it.
      extra: The row's other columns.
      min_score: The row's own weakest response that may become a span; None means the job's.
    """

    action: str
    labels: tuple[str, ...]
    row: str
    rank: int = 1
    query: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    min_score: float | None = None


@dataclass(frozen=True, slots=True)
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

    def min_scores(self, usual: float) -> dict[str, float]:
        """Returns for each action the weakest response that may become a span: the lowest that one of its rows wants.

        Args:
          usual: What a row wants that names none.
        """
        found: dict[str, list[float]] = {}
        for ask in self.asks:
            found.setdefault(ask.action, []).append(usual if ask.min_score is None else ask.min_score)
        return {action: min(scores) for action, scores in found.items()}


@dataclass(frozen=True, slots=True)
class Video:
    """A fetched file with probed facts.

    Attributes:
      key: The video's key.
      uri: Where the file lies: absolute, or relative to the output folder for stored downloads.
      request: The request it answers.
      size_bytes: Size of the file.
      content: Digest of the content, e.g. `sha256:...`.
      picture: Digest of its picture's packets, the same in another container; empty where that is not known.
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
    picture: str = ""

    @property
    def content_key(self) -> str:
        """A name for what is scored: the same picture is scored once, whatever its key and its container."""
        return naming.content_key(self.content, self.size_bytes, self.picture)

    @property
    def in_place(self) -> bool:
        """Whether it is a file of the user, used where it lies, and not one that is stored below the output."""
        return self.uri == self.request.path


@dataclass(frozen=True, slots=True)
class Twin:
    """A video whose content another video of the run has as well.

    Attributes:
      key: Its key.
      of: The key of the first of all that have the content.
    """

    key: str
    of: str
