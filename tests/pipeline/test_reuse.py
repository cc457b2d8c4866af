"""What was scored is not scored again: for new actions and prompts, and for the same content under another name."""

import shutil

import pytest
import torch

from tests import tiny_clip
from tests.conftest import read_jsonl
from tests.jobs import SHAPES, arguments, assert_same_rows, main, run_measured, scene_video
from tests.pipeline.test_kinds import small, spec

LESS = ("--clip_seconds=2", "--min_score=0.05", "--frame_stride=2", "--cut=none")


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reuse")
    return scene_video(folder / "a.mp4", ("grey", 3), ("red", 2), ("green", 3), ("blue", 2), ("grey", 2))


@pytest.fixture(scope="module")
def zero_shot(tmp_path_factory):
    """A small open_clip model of random weights, as an option's value."""
    folder = tmp_path_factory.mktemp("clip")
    return tiny_clip.save(folder)


def assert_answered_from_the_track(folder, video, classifier, first, then, *more):
    """Runs two query files, the second into the output of the first, and compares with a run of the second alone."""
    (folder / "fresh").mkdir()
    rows = [{"path": video, **row} for row in first]
    run_measured(folder, rows, classifier, *LESS)
    rows = [{"path": video, **row} for row in then]
    counters, _ = run_measured(folder, rows, classifier, *LESS, *more, "--replace")
    assert counters["ScoreVideos/reused-tracks"] == 1
    assert "ScoreVideos/in-segments" not in counters
    run_measured(folder / "fresh", rows, classifier, *LESS, *more)
    assert read_jsonl(folder / "output/spans.jsonl")
    paths = (folder / "output/spans.jsonl", folder / "fresh/output/spans.jsonl")
    assert_same_rows(*(path.read_text() for path in paths))
    return counters


@pytest.mark.parametrize(
    ("then", "more"),
    [
        ([{"action": "red"}, {"action": "green"}], []),
        ([{"action": "red", "classes": ["blue", "green"]}], []),
        ([{"action": "red"}], ["--response=any"]),
    ],
    ids=["new action", "other classes", "any label"],
)
def test_a_track_answers_what_was_not_asked_before(tmp_path, video, then, more):
    model = small()
    torch.save(model.state_dict(), tmp_path / "w.pt")
    chosen = spec(tmp_path, "torchvision:resnet18", "w.pt")
    counters = assert_answered_from_the_track(tmp_path, video, chosen, [{"action": "red"}], then, *more)
    assert "ScoreVideos/models-loaded" not in counters


@pytest.mark.parametrize(
    ("then", "more"),
    [
        ([{"action": "red"}, {"action": "a green field"}], []),
        ([{"action": "red"}], ["--prompts=a picture of {}.;{} as such", "--background_prompts=nothing at all"]),
        ([{"action": "red"}, {"action": "blue"}], ["--response=any"]),
    ],
    ids=["new action", "other prompts", "any name"],
)
def test_a_track_of_embeddings_answers_new_texts(tmp_path, video, zero_shot, then, more):
    assert_answered_from_the_track(tmp_path, video, zero_shot, [{"action": "red"}], then, *more)
    rows = [{"path": video, **row} for row in then]
    counters, _ = run_measured(tmp_path, rows, zero_shot, *LESS, *more)
    assert counters["ScoreVideos/reused-tracks"] == 1
    assert "ScoreVideos/models-loaded" not in counters  # its texts are kept too


def test_without_outputs_a_new_action_is_scored_and_the_earlier_one_stays(tmp_path, video, colour_spec):
    options = (*LESS, "--keep_outputs=false")
    for action, decoded in (("red", True), ("blue", True), ("red", False), ("blue", False)):
        counters, _ = run_measured(tmp_path, [{"path": video, "action": action}], colour_spec, *options)
        assert ("ScoreVideos/in-segments" in counters) is decoded, action
    assert len(list((tmp_path / "output/scores").rglob("*.parquet"))) == 1


def test_a_file_under_another_name_is_not_scored_again(tmp_path, video, colour_spec):
    run_measured(tmp_path, [{"path": video, "action": "red"}], colour_spec, *LESS)
    shutil.copy(video, tmp_path / "renamed.mp4")
    rows = [{"path": str(tmp_path / "renamed.mp4"), "action": "red"}]
    counters, _ = run_measured(tmp_path, rows, colour_spec, *LESS)
    assert counters["ScoreVideos/reused-tracks"] == 1
    assert "ScoreVideos/in-segments" not in counters
    assert {row["key"] for row in read_jsonl(tmp_path / "output/spans.jsonl")} == {
        row["key"] for row in read_jsonl(tmp_path / "output/videos.jsonl")
    }


@pytest.mark.parametrize("keep", ["true", "false"])
@SHAPES
def test_one_content_under_several_names_is_scored_once_in_a_run(tmp_path, video, colour_spec, shape, keep):
    wanted = {"b": "red", "c": "red", "d": "blue"}
    for name in wanted:
        shutil.copy(video, tmp_path / f"{name}.mp4")
    rows = [{"path": str(tmp_path / f"{name}.mp4"), "action": action} for name, action in wanted.items()]
    given = arguments(tmp_path, rows, colour_spec, *LESS, *shape, f"--keep_outputs={keep}")
    assert main(given) == 0
    assert len(list((tmp_path / "output/scores").rglob("*.parquet"))) == 1
    spans = read_jsonl(tmp_path / "output/spans.jsonl")
    peaks = {(row["action"], row["peak_seconds"], round(row["score"], 4)) for row in spans if row["rank"] == 1}
    assert len(peaks) == 2  # b and c agree
    assert len({row["key"] for row in spans}) == 3


@SHAPES
def test_zero_shot_videos_of_one_content_have_best_labels_of_their_own(tmp_path, video, zero_shot, shape):
    for name in "bd":
        shutil.copy(video, tmp_path / f"{name}.mp4")
    rows = [{"path": str(tmp_path / "b.mp4"), "action": "red"}, {"path": str(tmp_path / "d.mp4"), "action": "blue"}]
    assert main(arguments(tmp_path, rows, zero_shot, *LESS, *shape)) == 0
    spans = read_jsonl(tmp_path / "output/spans.jsonl")
    assert {(row["action"], row["top_label"]) for row in spans} == {("red", "red"), ("blue", "blue")}
