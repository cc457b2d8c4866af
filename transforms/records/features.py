"""Elements of the comparison of clips: what a classifier sees of a clip, and what a clip is like."""

from dataclasses import dataclass

import numpy as np

from clipscout.transforms.records.spans import Clip

#: Why a clip is left out of the dataset: its video gives another one; it shows what must stay unseen, or an earlier run
#: has; another clip shows the same.
ONE_PER_VIDEO, SEEN, DUPLICATES = "one_per_video", "seen", "duplicates"


@dataclass(frozen=True, eq=False, repr=False)
class ClipFeature:
    """What a classifier's last layer sees of a clip.

    Attributes:
      clip: The clip.
      vector: float32[size], the mean over some of its frames.
      frames: How many these are.
      reused: Whether an earlier run made it; for the summary alone.
    """

    clip: Clip
    vector: np.ndarray
    frames: int
    reused: bool = False

    def __post_init__(self) -> None:
        if self.vector.ndim != 1 or not np.isfinite(self.vector).all():
            raise ValueError(f"the feature of {self.clip.path} is no row of finite numbers")

    def __repr__(self) -> str:
        return f"ClipFeature({self.clip.path}, float32[{len(self.vector)}])"


@dataclass(frozen=True, slots=True)
class DecodedClip:
    """How the decoding of a clip ended; it follows the clip's frames.

    Attributes:
      clip: The clip.
      code, message: Set where it could not be decoded.
      attempts: How often it was tried.
    """

    clip: Clip
    code: str = ""
    message: str = ""
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class ClipMatch:
    """What a clip is like, and whether it is kept; every clip has one.

    Attributes:
      key: The key of the clip's video.
      id: The clip's span.
      action: The clip's action.
      left_out_by: Why it is not kept: `one_per_video`, `seen`, `duplicates`; empty where it is kept.
      group: The kept clip of its duplicate group, which may be itself; empty where it is in none.
      nearest: The clip of this run that is nearest to it; of a clip in a group the edge that ties it.
      nearest_similarity: The cosine of both; None where it was compared with none.
      seen_as: The item of a reference that is nearest to it, where that is too near.
      seen_similarity: The cosine of both.
      is_described: Whether it was compared at all.
      not_compared: Why no classifier can compare it with others.
    """

    key: str
    id: str
    action: str
    left_out_by: str = ""
    group: str = ""
    nearest: str = ""
    nearest_similarity: float | None = None
    seen_as: str = ""
    seen_similarity: float | None = None
    is_described: bool = False
    not_compared: str = ""
