"""Ways to run the job in tests, and videos whose scenes have known colours."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from clipscout.pipeline import preflight
from clipscout.pipeline.run import configure, main, run
from tests.colours import COLOURS
from tests.conftest import read_jsonl
from tests.media_maker import make_video, stamped

#: Where the values of a manifest lie in the names, or in the storage's own digest.
PLACES = ("id", "key", "uri", "source", "content", "asks", "clip", "poster")
SCORES = ("score", "top_score")
#: The manifests whose rows are the same wherever and however a job ran, but for names of places and rounding.
MANIFESTS = ("spans.jsonl", "videos.jsonl", "failures.jsonl")
ROOT = Path(__file__).parent.parent
RATE = 10


def scenes(*parts, rate=RATE):
    """Returns (frame count, picture function) for (colour, seconds) parts."""
    colours = [colour for colour, seconds in parts for _ in range(round(seconds * rate))]
    return len(colours), lambda index: stamped(index, background=COLOURS[colours[index]])


#: Options that let the local runner shuffle as for several workers, with threads of this process in their place.
SHUFFLES = ("--direct_num_workers=2", "--direct_running_mode=multi_threading")
#: The two shapes of the graph.
SHAPES = pytest.mark.parametrize("shape", [(), SHUFFLES], ids=["streams", "shuffles"])


def scene_video(path, *parts, **settings):
    """Writes a video of (colour, seconds) scenes at 10 frames/s and returns its path as text."""
    count, picture = scenes(*parts)
    return make_video(path, count, rate=RATE, picture=picture, **settings)


def arguments(folder, rows, classifier, *more):
    """Writes `rows` as the query file of `folder` and returns the job's arguments; the output is `folder/output`.

    The scenes of the tests' videos are shots: spans ignore them unless a test says otherwise. Nor is progress shown: on
    a busy machine it would stand among what a test compares.
    """
    queries = folder / "queries.jsonl"
    if rows is not None:
        queries.write_text("".join(json.dumps(row) + "\n" for row in rows))
    where = ["--input", str(queries), "--output", str(folder / "output"), "--classifier", str(classifier)]
    return [*where, "--shots=ignore", "--progress=none", *map(str, more)]


def run_rows(folder, rows, classifier, *more):
    """Runs the job in this process; returns exit status and output folder."""
    return main(arguments(folder, rows, classifier, *more)), folder / "output"


def run_measured(folder, rows, classifier, *more):
    """Runs the job in this process; returns {"Stage/name": counter} and {"Stage/name": distribution}."""
    config, beam_options = configure(arguments(folder, rows, classifier, *more))
    assert preflight.check(config, beam_options) == []
    result = run(config, beam_options)
    result.wait_until_finish()
    return measured(result)


def measured(result):
    """Returns the counters and distributions of a finished pipeline, by "namespace/name", summed over its steps."""
    metrics = result.metrics().query()
    counters, distributions = {}, {}
    for counter in metrics["counters"]:
        name = f"{counter.key.metric.namespace}/{counter.key.metric.name}"
        counters[name] = counters.get(name, 0) + counter.result
    for distribution in metrics["distributions"]:
        distributions[f"{distribution.key.metric.namespace}/{distribution.key.metric.name}"] = distribution.result
    return counters, distributions


def run_cli(*given, environment=None):
    """Runs `python -m pipeline` as a process of its own and returns it with its output as text."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *map(str, given)],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def without_places(text):
    """Returns a manifest's rows without what names a place, in an order that no place shapes, and their scores."""
    rows = [json.loads(line) for line in filter(None, text.split("\n"))]
    bare = [{name: value for name, value in row.items() if name not in (*PLACES, *SCORES)} for row in rows]
    for row in bare:
        row["best_responses"] = sorted(row.get("best_responses", ()))
    order = sorted(range(len(rows)), key=lambda place: repr(bare[place]))
    scores = [rows[place].get(name, 0) for place in order for name in SCORES]
    best = [score for place in order for _, score in sorted(rows[place].get("best_responses", {}).items())]
    return [bare[place] for place in order], scores + best


def assert_same_rows(text, other):
    """Compares two manifests but for places; scores may differ by 1e-4."""
    (rows, scores), (other_rows, other_scores) = without_places(text), without_places(other)
    assert rows == other_rows
    assert scores == pytest.approx(other_scores, abs=1e-4)


def assert_same_results(files, others):
    """Compares outputs, each as {name: bytes}: the same files; when the job ended may differ, and what it reused."""
    assert {*files} == {*others}
    assert {name for name in files if files[name] != others[name]} <= {"summary.json", "report/index.html"}
    pages = [output["report/index.html"] for output in (files, others)]
    finished = [json.loads(output["summary.json"])["finished"].encode() for output in (files, others)]
    assert pages[0].replace(finished[0], finished[1]) == pages[1]
    ends = [{**json.loads(output["summary.json"]), "finished": None, "reused": None} for output in (files, others)]
    assert ends[0] == ends[1]


def summary_of(output):
    """Returns the content of summary.json."""
    return json.loads((output / "summary.json").read_text())


def by_source(output, name="videos"):
    """Returns the rows of a manifest by the file name of their source (the last one where there are several)."""
    return {Path(row["source"]).name: row for row in read_jsonl(output / f"{name}.jsonl")}


def measured_counters(folder, rows, classifier, *more):
    """Runs the job in this process; returns {"Stage/name": counter} and the output folder."""
    return run_measured(folder, rows, classifier, *more)[0], folder / "output"
