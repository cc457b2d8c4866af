"""Comparing many clips, and describing them: time and memory, against plain numpy, faiss and the bare model."""

import itertools
import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import apache_beam as beam
import numpy as np
from apache_beam.runners.runner import create_runner

from benchmarks import material
from benchmarks.processes import RIVALS_FOLDER, install, measure
from clipscout.pipeline.options import LOCAL_RUNNER
from clipscout.transforms.comparing import MARK, DuplicateSettings
from clipscout.transforms.core.duplicates import feature_files
from clipscout.transforms.core.duplicates.feature_files import FeatureModel
from clipscout.transforms.core.duplicates.similarity import Described, Nearest, compare
from clipscout.transforms.describing import rows_of
from clipscout.transforms.duplicates import DropDuplicates
from clipscout.transforms.records import CandidateSpan, Clip

#: Numbers of a feature of lite0, and its default.
SIZE, SIMILARITY = 1280, 0.93
_MODEL = FeatureModel("bench", "bench")
#: Of so many clips one is a near copy of another.
_COPY_OF = 10
_BLOCK, _OWN_BLOCK, _AT_ONCE = 2000, 4096, 1000


def features(count: int, seed: int = 0) -> np.ndarray:
    """Returns float32[count, 1280], as sparse as those of a network's inside; a tenth are near copies of others."""
    random = np.random.default_rng(seed)
    found = np.maximum(random.standard_normal((count, SIZE), np.float32), 0)
    copies = random.choice(count, count // _COPY_OF, replace=False)
    found[copies] = found[random.permutation(count)[: len(copies)]]
    found[copies] += 0.05 * random.standard_normal((len(copies), SIZE), np.float32)
    return found


def prepare(folder: Path, count: int) -> None:
    """Writes the features of so many clips, as describing them leaves them."""
    parts = (features(min(_AT_ONCE, count - start), start) for start in range(0, count, _AT_ONCE))
    for clip, vector in zip(_clips(count), itertools.chain.from_iterable(parts), strict=True):
        uri = _MODEL.clip_file(str(folder), clip.sha256)
        feature_files.write(uri, _MODEL, rows_of([clip], [25], [vector]))


def transform(folder: Path, count: int) -> int:
    """Runs the stage itself on one action of so many clips, without their files; returns how many are duplicates."""
    shutil.rmtree(_MODEL.block_folder(str(folder)), ignore_errors=True)
    drop = DropDuplicates(str(folder), DuplicateSettings(MARK, SIMILARITY, own=False), _MODEL)
    with beam.Pipeline(runner=create_runner(LOCAL_RUNNER)) as pipeline:
        made = pipeline | beam.Create([count]) | beam.FlatMap(_clips)
        nothing = pipeline | "Nothing" >> beam.Create([])
        matches = (nothing, made, nothing) | "DropDuplicates" >> drop
        left_out = matches | beam.Filter(lambda match: match.left_out_by) | beam.combiners.Count.Globally()
        _ = left_out | beam.Map(partial(_tell, str(folder / "left_out")))
    return int((folder / "left_out").read_text())


def _clips(count: int) -> Iterator[Clip]:
    for number in range(count):
        span = CandidateSpan(f"file-{number}", "an action", 0.0, 10.0, 5.0, -1, number / count, 1, "", 0.0)
        yield Clip(span, f"clips/an_action/file-{number}_0_10000.mp4", 10.0, 250, 224, 224, False, f"{number}")


def _tell(path: str, number: int) -> None:
    Path(path).write_text(json.dumps(number))


def own(count: int) -> int:
    """Compares all pairs by the project's core, block by block, without files or Beam; returns ties."""
    vectors = features(count)
    names = np.array([f"{number:08}" for number in range(count)], object)
    blocks = [
        Described(names[start : start + _OWN_BLOCK], vectors[start : start + _OWN_BLOCK])
        for start in range(0, count, _OWN_BLOCK)
    ]
    nearest = [Nearest(len(block)) for block in blocks]
    return sum(
        len(compare(blocks[left], blocks[right], SIMILARITY, nearest[left], nearest[right]))
        for left in range(len(blocks))
        for right in range(left, len(blocks))
    )


def numpy_alone(count: int) -> int:
    """The same question in plain numpy: pairs at the threshold, the nearest of each; the upper triangle in blocks."""
    vectors = features(count)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    nearest = np.full(count, -1.0, np.float32)
    pairs = 0
    for left in range(0, count, _BLOCK):
        for right in range(left, count, _BLOCK):
            products = unit[left : left + _BLOCK] @ unit[right : right + _BLOCK].T
            if left == right:
                np.fill_diagonal(products, -1)
            pairs += int(np.count_nonzero(products >= SIMILARITY)) // (2 if left == right else 1)
            for start, largest in ((left, products.max(axis=1)), (right, products.max(axis=0))):
                part = nearest[start : start + _BLOCK]
                np.maximum(part, largest, out=part)
    return pairs


def faiss_alone(count: int) -> int:
    """The same question to faiss: its exact range search; returns the pairs at the threshold."""
    import faiss

    vectors = features(count)
    faiss.normalize_L2(vectors)
    index = faiss.IndexFlatIP(SIZE)
    index.add(vectors)
    limits, _, _ = index.range_search(vectors, SIMILARITY)
    return (int(limits[-1]) - count) // 2


class Duplicates:
    """The measurements; the method yields lines of their tables."""

    SIZES = (1_000, 10_000, 50_000)

    def __init__(self, folder: Path, repeat: int) -> None:
        self.folder, self.repeat = folder, repeat

    def duplicates(self) -> Iterator[str]:
        """Comparing, describing, and what both cost a job."""
        yield from self._comparing()
        yield ""
        yield from self._describing()
        yield ""
        yield from self._job()

    def _comparing(self) -> Iterator[str]:
        yield f"| clips x {SIZE} | the stage | peak memory | core alone | numpy | ratio to it | faiss range search |"
        yield "|---|---|---|---|---|---|---|"
        has_faiss = install("faiss-cpu", RIVALS_FOLDER)
        for count in self.SIZES:
            prepare(self.folder / "compared", count)
            stage = measure("comparing", "transform", count, self.folder / "compared")
            cells = [f"{stage['seconds']:.1f} s", f"{stage['peak_mb']:,.0f} MB"]
            alone = measure("comparing", "own", count, "-")["seconds"]
            plain = measure("comparing", "numpy_alone", count, "-")["seconds"]
            cells += [f"{alone:.2f} s", f"{plain:.2f} s", f"{alone / plain:.2f}x"]
            if has_faiss and count <= self.SIZES[1]:
                cells.append(f"{measure('comparing', 'faiss_alone', count, '-')['seconds']:.1f} s")
            else:
                cells.append("-")
            yield f"| {count:,} | {' | '.join(cells)} |"

    def _describing(self) -> Iterator[str]:
        source = material.video(self.folder, "224_10s", 224, 224, 25, 10)
        clips = material.variants(self.folder, source, 80)
        start = measure("describing", self.folder / "described", *clips[:2])
        found = measure("describing", self.folder / "described", *clips)
        frames = 25 * (len(clips) - 2)
        rate = frames / (found["seconds"] - start["seconds"])
        bare = measure("inference", "lite0", "fp32", 25 * 80, "own", repeat=self.repeat)
        bare_rate = bare["samples"] / bare["seconds"]
        yield "| lite0, clips of 10 s at 224x224 | frames described per second | the bare model | ratio |"
        yield "|---|---|---|---|"
        yield f"| {len(clips)} clips | {rate:,.0f}/s | {bare_rate:,.0f}/s | {rate / bare_rate:.2f} |"

    def _job(self) -> Iterator[str]:
        source = material.video(self.folder, "144p_4min", 256, 144, 15, 240)
        queries = material.queries(self.folder, "default", material.variants(self.folder, source, 16), "mountain bike")
        seconds = {}
        for mode in ("off", "mark"):
            output = self.folder / f"duplicates_{mode}"
            seconds[mode] = measure("command", queries, output, f"--duplicates={mode}")["seconds"]
        cost = seconds["mark"] / seconds["off"] - 1
        yield f"the default job: off {seconds['off']:.1f} s, mark {seconds['mark']:.1f} s, {100 * cost:+.1f}%"
