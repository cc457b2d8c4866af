"""What features find: variations of real clips, and clips that show something else, at several thresholds."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks import variations
from benchmarks.variations import BASES, VARIATIONS, Base
from clipscout.pipeline import features_job
from clipscout.pipeline.progress import Display
from clipscout.pipeline.stops import Stops
from clipscout.transforms.core.duplicates import feature_files

THRESHOLDS = (0.85, 0.9, 0.93, 0.95, 0.97, 0.98)


def unit_features(folder: Path, classifier: str, bases: Sequence[Base] = BASES) -> dict[tuple[str, str], np.ndarray]:
    """Describes clips and their variations; returns float64[size] of length 1 by (clip, variation)."""
    names = {str(path.absolute()): (base.name, name) for base, name, path in variations.make(folder / "clips", bases)}
    with Stops() as stop, Display("none") as display:
        texts = {"classifier": classifier}
        if features_job.work(",".join(map(_glob, names)), str(folder / "features"), texts, stop, display):
            raise SystemExit("not every clip could be described")
    (block,) = (folder / "features").glob("features/*/blocks/*.parquet")
    model = feature_files.FeatureModel("", block.parents[1].name)
    found = feature_files.read(str(block), model)
    vectors = found.vectors.astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return {names[clip]: vector for clip, vector in zip(found.clips, vectors, strict=True)}


def _glob(path: str) -> str:
    return path.replace(",", "?")


def of_variation(unit: dict[tuple[str, str], np.ndarray], name: str, bases: Sequence[Base] = BASES) -> np.ndarray:
    """Returns the cosine of each clip and its variation."""
    return np.array([unit[base.name, ""] @ unit[base.name, name] for base in bases])


def of_others(unit: dict[tuple[str, str], np.ndarray], same_scene: bool, bases: Sequence[Base] = BASES) -> np.ndarray:
    """Returns the cosine of each two clips of one scene, or of different ones."""
    pairs = [(one, other) for place, one in enumerate(bases) for other in bases[place + 1 :]]
    return np.array([unit[a.name, ""] @ unit[b.name, ""] for a, b in pairs if (a.scene == b.scene) == same_scene])


class Meaning:
    """The measurement; the method yields lines of its table."""

    def __init__(self, folder: Path, repeat: int) -> None:
        self.folder = folder / "meaning"
        del repeat  # what is found does not depend on the day

    def meaning(self) -> Iterator[str]:
        """Of variations how many are found; of different clips how many are taken for the same."""
        unit = unit_features(self.folder, "lite0")
        yield f"| lite0, {len(BASES)} clips | {' | '.join(f'{one:g}' for one in THRESHOLDS)} | least, median |"
        yield f"|---|{'---|' * len(THRESHOLDS)}---|"
        for variation in VARIATIONS:
            near = of_variation(unit, variation.name)
            parts = " | ".join(f"{(near >= one).sum()} of {len(near)}" for one in THRESHOLDS)
            yield f"| {variation.name} | {parts} | {near.min():.3f}, {np.median(near):.3f} |"
        for name, same in (("another moment of the scene", True), ("another scene", False)):
            near = of_others(unit, same)
            parts = " | ".join(f"{(near >= one).sum()} of {len(near)}" for one in THRESHOLDS)
            yield f"| **{name}** | {parts} | {near.max():.3f} at most |"
