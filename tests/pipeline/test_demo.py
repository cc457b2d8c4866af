"""The demo, as `make demo` runs it, on the real weights and the real videos of its packages."""

import json

import av
import pytest

from demo import run_demo
from tests.conftest import read_jsonl
from tests.jobs import by_source, run_rows, summary_of


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Folder of a finished demo."""
    folder = tmp_path_factory.mktemp("demo")
    assert run_demo.run(folder) == 0
    return folder


def best(output):
    """Returns the best span of each action in the untrimmed minute."""
    rows = [row for row in read_jsonl(output / "spans.jsonl") if row["source"].endswith("/untrimmed_minute.mp4")]
    return {row["action"]: row for row in rows if row["rank"] == 1}


def test_the_bike_ride_is_found_in_the_untrimmed_minute(demo):
    start, end = run_demo.BIKE_RIDE_SECONDS
    ride = best(demo / "results")["riding a bike"]
    assert start <= ride["peak_seconds"] < end
    # the span is one shot of the ride, from the cut between the taxis and the cyclist on, and the clip is there
    assert ride["start_seconds"] == pytest.approx(start + 3.04, abs=1e-3)
    assert start + 5 < ride["end_seconds"] <= end
    assert ride["shot_boundaries"] == 0
    assert (demo / "results" / ride["clip"]).is_file()
    assert abs(by_source(demo / "results")["untrimmed_minute.mp4"]["decoded_seconds"] - 60) < 0.1


def test_every_sample_query_ends_in_clips_that_play(demo):
    output = demo / "results"
    summary = summary_of(output)
    assert summary["adds_up"]
    assert summary["failures"] == {}
    assert {row["outcome"] for row in by_source(output).values()} == {"result"}
    spans = read_jsonl(output / "spans.jsonl")
    assert {row["action"] for row in spans} == {query["action"] for query in run_demo.QUERIES}
    for row in spans:
        with av.open(str(output / row["clip"])) as container:
            frames = sum(1 for _ in container.decode(video=0))
        assert frames == row["clip_frames"] > 0


def test_an_absent_action_scores_lower_than_the_present_one(demo, tmp_path):
    minute = str(demo / "videos_in/untrimmed_minute.mp4")
    present = next(query for query in run_demo.QUERIES if query["action"] == "riding a bike")
    absent = {"playing piano": ["grand piano", "upright"], "driving a snowplow": ["snowplow"], "baking": ["bakery"]}
    rows = [{"action": present["action"], "classes": present["classes"], "path": minute}]
    rows += [{"action": action, "classes": classes, "path": minute} for action, classes in absent.items()]
    status, output = run_rows(tmp_path, rows, "lite0", "--cut=none", "--top_k=1", "--sample_fps=0.5")
    assert status == 0
    scores = {action: row["score"] for action, row in best(output).items()}
    ride = scores.pop("riding a bike")
    assert set(scores) == set(absent)
    assert all(score < ride / 2 for score in scores.values()), (ride, scores)


def test_the_demo_runs_again_in_place(demo, capsys):
    minute = demo / "videos_in/untrimmed_minute.mp4"
    made = minute.stat().st_mtime_ns
    manifest = (demo / "results/spans.jsonl").read_bytes()
    assert run_demo.run(demo) == 0
    assert minute.stat().st_mtime_ns == made
    assert (demo / "results/spans.jsonl").read_bytes() == manifest
    printed = capsys.readouterr().out
    assert " written" in printed
    assert "riding a bike" in printed
    assert str(demo / "results/clips") in printed
    assert json.loads((demo / "results/summary.json").read_text())["stale_clips"] == 0
