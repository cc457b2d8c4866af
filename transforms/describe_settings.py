"""DescribeSettings: how clips are described, and which frames of a clip that takes."""

import math
from dataclasses import dataclass

import numpy as np

from clipscout.transforms.core.classifiers.specs import ClassifierSpec, LoadSettings
from clipscout.transforms.core.duplicates import feature_files
from clipscout.transforms.core.duplicates.feature_files import FeatureModel

#: Of the paper.
FRAMES = 25


@dataclass(frozen=True)
class DescribeSettings:
    """How clips are described.

    Attributes:
      load: The classifier whose last layer describes them, and how it is loaded.
      batch_size: Frames per call of the model.
      stall_seconds: Longest silence of the decoder.
      memory_bytes: Memory cap of the decoder.
      max_pixels: Largest picture that is decoded.
      threads: Most threads of the decoder.
      tracks: The fingerprint of scores that are embeddings of the same model; empty where there are none.
      required: Whether a classifier that cannot be used ends the job: it was asked for.
      named: Whether the classifier was, and is not just that of the job.
    """

    load: LoadSettings
    batch_size: int
    stall_seconds: float
    memory_bytes: int
    max_pixels: int
    threads: int
    tracks: str = ""
    required: bool = False
    named: bool = False

    @property
    def spec(self) -> ClassifierSpec:
        """The classifier."""
        return self.load.spec

    def model(self) -> FeatureModel:
        """Returns by what features are known to come from the same model."""
        shaping = {"classifier": self.spec.fingerprint(), "precision": self.load.precision, "frames": FRAMES}
        return FeatureModel(self.spec.name, feature_files.fingerprint(**shaping))

    def samples(self) -> int:
        """Returns how many frames are taken of a clip: so many that windows of a video model are whole."""
        window = self.spec.window.frames if self.spec.window else 1
        return math.ceil(FRAMES / window) * window


def nearest_within(times: np.ndarray, wanted: np.ndarray, start: float, end: float, apart: float) -> np.ndarray | None:
    """Returns for each wanted time the place of the sample that is nearest to it and lies within a clip.

    Args:
      times: float64[n] seconds of the samples, ascending.
      wanted: float64[k] seconds.
      start: The clip's start in seconds.
      end: Its end, which is no part of it.
      apart: How far a sample may be from the wanted time.

    Returns:
      int64[k]; None where one of them has no sample so near.
    """
    inside = np.flatnonzero((times >= start - 1e-6) & (times < end))
    if not len(inside):
        return None
    away = np.abs(times[inside][None] - wanted[:, None])
    nearest = away.argmin(axis=1)
    return inside[nearest] if (away[np.arange(len(wanted)), nearest] <= apart).all() else None


def windows_of(frames: np.ndarray, size: int) -> np.ndarray:
    """Returns uint8[n, size, height, width, 3]: windows of a video model; the last frame may be repeated."""
    missing = -len(frames) % size
    return np.concatenate([frames, *[frames[-1:]] * missing]).reshape(-1, size, *frames.shape[1:])
