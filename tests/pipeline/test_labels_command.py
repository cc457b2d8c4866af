"""`clipscout labels`, and actions without a label."""

import subprocess
import sys

from clipscout.pipeline import labels
from tests.conftest import read_jsonl
from tests.jobs import ROOT, run_rows, scene_video


def test_it_lists_the_labels_that_rows_can_name():
    done = subprocess.run(
        [sys.executable, "-m", "clipscout", "labels", "--classifier=torchvision:r3d_18", "--match=PIZZA"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["making pizza"]


def test_all_labels_come_in_the_models_order(colour_spec, capsys):
    assert labels.main(["--classifier", colour_spec]) == 0
    assert capsys.readouterr().out.split() == ["red", "green", "blue", "grey"]


def test_a_classifier_that_cannot_be_used_is_one_line(capsys):
    assert labels.main(["--classifier=nothing"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_action_without_a_label_names_the_closest_five_and_nothing_is_fetched(tmp_path, colour_spec):
    video = scene_video(tmp_path / "a.mp4", ("red", 1))
    rows = [{"action": "reddish", "path": video}, {"action": "red", "path": "/nowhere.mp4"}]
    status, output = run_rows(tmp_path, rows, colour_spec)
    assert status == 1  # not one row led to a video
    _, failure = read_jsonl(output / "failures.jsonl")
    assert failure["code"] == "unknown_label"
    assert failure["message"].startswith(f"{tmp_path}/queries.jsonl:1: the classifier has no label 'reddish'")
    assert "'red', " in failure["message"]
    assert read_jsonl(output / "videos.jsonl") == []
