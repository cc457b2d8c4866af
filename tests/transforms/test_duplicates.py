"""Clips that show the same, in whole jobs: marked, dropped, seen; in both shapes of the graph."""

import json
import shutil
from collections import Counter

import numpy as np
import pytest

from clipscout.transforms.core.child.supervisor import Child
from clipscout.transforms.core.storage import filesystem, naming
from clipscout.transforms.describe_settings import nearest_within
from tests import tiny_clip
from tests.conftest import read_jsonl
from tests.jobs import SHAPES, SHUFFLES, measured_counters, run_rows, summary_of
from tests.transforms.twins import OPTIONS, clip_numbers, patterned, rows_of


@SHAPES
def test_one_picture_in_five_containers_is_scored_once_and_its_clips_are_one_group(tmp_path, videos, grid_spec, shape):
    counts, output = measured_counters(
        tmp_path, [{"action": "red", "path": f"{videos}/*"}], grid_spec, *OPTIONS, *shape
    )
    assert counts["ScoreVideos/saved-segments"] == 4  # a, b, c and worse
    listed = rows_of(output, "videos")
    first = min((row["key"] for name, row in listed.items() if name.startswith(("a.", "copy"))))
    twins = {name for name, row in listed.items() if row["twin_of"]}
    assert {listed[name]["twin_of"] for name in twins} == {first}
    assert twins | {name for name, row in listed.items() if row["key"] == first} == {
        *("a.mp4", "a.mkv", "a.mov", "a.ts", "a.flv", "copy.mp4")
    }
    spans = rows_of(output)
    assert len({row["peak_seconds"] for name, row in spans.items() if name.startswith("a.")}) == 1
    groups = Counter(row["duplicate_group"] for row in spans.values())
    (group,) = set(groups) - {""}
    assert groups == {group: 7, "": 2}
    kept = [row for row in spans.values() if row["kept"]]
    assert {row["source"].rpartition("/")[2] for row in kept if not row["duplicate_group"]} == {"b.mp4", "c.mp4"}
    (of_group,) = [row for row in kept if row["duplicate_group"]]
    assert of_group["id"] == group
    assert of_group["score"] == max(row["score"] for row in spans.values() if row["duplicate_group"])
    by_id = {row["id"]: row for row in spans.values()}
    for row in spans.values():
        assert (row["left_out_by"] == "duplicates") is (not row["kept"])
        if row["duplicate_group"]:  # the edge that ties it
            assert row["nearest_similarity"] >= 0.97
            assert by_id[row["nearest"]]["duplicate_group"] == group
        else:
            assert row["nearest_similarity"] < 0.97
    summary = summary_of(output)
    assert clip_numbers(output) == {"written": 9, "duplicates": 6, "kept": 3}
    assert summary["adds_up"]
    assert summary["compared"]["groups"] == 1
    assert sum(summary["compared"]["nearest_similarity"].values()) == summary["compared"]["clips"] == 9
    assert summary["duplicates"]["similarity"] == 0.97


def test_both_shapes_write_the_same_rows(tmp_path, videos, grid_spec):
    found = []
    for shape in ((), SHUFFLES):
        rows = [{"action": "red", "path": f"{videos}/*"}]
        _, output = run_rows(tmp_path, rows, grid_spec, *OPTIONS, "--duplicates=drop", *shape)
        found.append([(output / f"{one}.jsonl").read_bytes() for one in ("spans", "videos", "dropped")])
        shutil.rmtree(output)
    assert found[0] == found[1]


def test_a_second_run_decodes_and_describes_nothing(tmp_path, videos, grid_spec, monkeypatch):
    rows = [{"action": "red", "path": f"{videos}/?.mp4"}]
    _, output = run_rows(tmp_path, rows, grid_spec, *OPTIONS)
    before = {path: path.read_bytes() for path in output.glob("features/**/*.parquet")}
    assert len(before) == 4  # three clips and a block
    asked = []
    real = Child.call
    monkeypatch.setattr(Child, "call", lambda self, task, *given: asked.append(task) or real(self, task, *given))
    first = (output / "spans.jsonl").read_bytes()
    counts, _ = measured_counters(tmp_path, rows, grid_spec, *OPTIONS)
    assert counts["DescribeClips/reused-features"] == 3
    assert "video.decode:samples" not in asked
    assert (output / "spans.jsonl").read_bytes() == first
    assert {path: path.read_bytes() for path in output.glob("features/**/*.parquet")} == before


def test_another_threshold_compares_again_and_replaces_nothing(tmp_path, videos, grid_spec):
    rows = [{"action": "red", "path": f"{videos}/*"}]
    _, output = run_rows(tmp_path, rows, grid_spec, *OPTIONS)
    for options, expected in (
        (("--duplicate_similarity=0.5",), {"written": 9, "duplicates": 8, "kept": 1}),
        (("--duplicate_similarity=1",), None),
        (("--duplicates=off",), {"written": 9, "kept": 9}),
    ):
        status, output = run_rows(tmp_path, rows, grid_spec, *OPTIONS, *options)
        assert status == 0
        assert expected is None or clip_numbers(output) == expected
        assert summary_of(output)["adds_up"]
    assert {row["nearest_similarity"] for row in rows_of(output).values()} == {None}


def test_what_is_dropped_leaves_the_manifests_and_comes_back(tmp_path, videos, grid_spec):
    rows = [{"action": "red", "path": f"{videos}/*"}]
    _, output = run_rows(tmp_path, rows, grid_spec, *OPTIONS)
    marked, clips = rows_of(output), {path.name for path in output.glob("clips/*/*")}
    for _ in range(2):
        status, output = run_rows(tmp_path, rows, grid_spec, *OPTIONS, "--duplicates=drop")
        assert status == 0
        kept, dropped = rows_of(output), rows_of(output, "dropped")
        assert {**kept, **dropped}.keys() == marked.keys()
        assert len(dropped) == 6
        assert summary_of(output)["actions"]["red"]["kept"] == 3
        for name, row in dropped.items():
            places = {field: row[field].replace("dropped/", "clips/") for field in ("clip", "poster")}
            assert {**row, **places} == marked[name]
            assert (output / row["clip"]).is_file()
            assert (output / row["poster"]).is_file()
        assert {path.name for path in output.glob("clips/*/*.mp4")} == {
            row["clip"].rpartition("/")[2] for row in kept.values()
        }
        assert {path.name for path in [*output.glob("clips/*/*"), *output.glob("dropped/*/*")]} == clips
        assert len((output / "spans.csv").read_text().splitlines()) == 4
        assert summary_of(output)["stale_clips"] == 0
        assert sum(row["clips"] for row in read_jsonl(output / "videos.jsonl")) == 3
    run_rows(tmp_path, rows, grid_spec, *OPTIONS)
    assert rows_of(output) == marked
    assert {path.name for path in output.glob("clips/*/*")} == clips
    assert not [path for path in output.glob("dropped*/**") if path.is_file()]
    assert not list(output.glob("dropped*.jsonl"))


def test_a_clip_that_cannot_be_decoded_is_kept_and_told_of(tmp_path, videos, grid_spec, monkeypatch):
    real = Child.call

    def call(self, task, request, *limits):
        if task == "video.decode:samples" and "/clips/" in request["path"] and "file-b" in request["path"]:
            task = "video.nothing:dies"
        return real(self, task, request, *limits)

    monkeypatch.setattr(Child, "call", call)
    status, output = run_rows(tmp_path, [{"action": "red", "path": f"{videos}/?.mp4"}], grid_spec, *OPTIONS)
    assert status == 0
    (failure,) = read_jsonl(output / "failures.jsonl")
    assert (failure["stage"], failure["code"]) == ("DescribeClips", "decode_crashed")
    assert rows_of(output)["b.mp4"]["kept"]
    assert clip_numbers(output) == {"written": 3, "kept": 3}
    assert summary_of(output)["compared"]["clips"] == 2
    assert summary_of(output)["adds_up"]


def test_a_model_without_a_last_layer_compares_nothing_and_says_so(tmp_path, videos, colour_spec, capsys):
    rows = [{"action": "red", "path": f"{videos}/?.mp4"}]
    status, output = run_rows(tmp_path, rows, colour_spec, *OPTIONS)
    assert status == 0
    assert not read_jsonl(output / "failures.jsonl")
    assert clip_numbers(output) == {"written": 3, "kept": 3}
    assert "duplicates not looked for: colours.json" in capsys.readouterr().out
    counts, _ = measured_counters(tmp_path, rows, colour_spec, *OPTIONS)
    assert "DescribeClips/in-clips" not in counts  # it is known now: no model is loaded for it
    status, _ = run_rows(tmp_path, rows, colour_spec, *OPTIONS, "--duplicates=drop")
    assert status == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "clipscout: --duplicate_features: colours.json: cannot be run on cpu in fp32: no layer of it"
    )


def test_another_classifier_describes(tmp_path, videos, colour_spec, grid_spec):
    rows = [{"action": "red", "path": f"{videos}/*"}]
    status, output = run_rows(tmp_path, rows, colour_spec, *OPTIONS, f"--duplicate_features={grid_spec}")
    assert status == 0
    assert clip_numbers(output) == {"written": 9, "duplicates": 6, "kept": 3}


def test_actions_are_apart_unless_all_are_compared(tmp_path, videos, grid_spec):
    rows = [
        {"action": "red", "path": f"{videos}/a.mp4"},
        {"action": "rot", "classes": ["red"], "path": f"{videos}/a.mkv"},
    ]
    _, output = run_rows(tmp_path, rows, grid_spec, *OPTIONS)
    assert clip_numbers(output) == {"written": 2, "kept": 2}
    _, output = run_rows(tmp_path, rows, grid_spec, *OPTIONS, "--duplicate_scope=all")
    assert clip_numbers(output) == {"written": 2, "duplicates": 1, "kept": 1}


def test_one_clip_per_video_is_its_strongest_and_counted_apart(tmp_path, grid_spec):
    video = patterned(tmp_path / "a.mp4", 0, seconds=9)
    options = ("--clip_seconds=2", "--top_k=3", "--min_score=0.5", "--sample_fps=5", "--duplicate_similarity=1")
    _, output = run_rows(tmp_path, [{"action": "red", "path": video}], grid_spec, *options, "--one_clip_per_video")
    rows = read_jsonl(output / "spans.jsonl")
    assert [row["left_out_by"] for row in rows] == ["", "one_per_video", "one_per_video"]
    assert rows[0]["score"] == max(row["score"] for row in rows)
    assert clip_numbers(output) == {"written": 3, "one_per_video": 2, "kept": 1}
    drawn = set()
    for seed in range(8):
        more = ("--one_clip_per_video", "--duplicate_keep=draw", f"--duplicate_seed={seed}")
        run_rows(tmp_path, [{"action": "red", "path": video}], grid_spec, *options, *more)
        drawn |= {row["id"] for row in read_jsonl(output / "spans.jsonl") if row["kept"]}
    assert len(drawn) > 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--reference=none.parquet",), "--reference: no file matches 'none.parquet'"),
        (
            ("--duplicates=off", "--reference=x"),
            "--reference is for clips that are compared, and --duplicates is 'off'",
        ),
        (("--cut=none", "--one_clip_per_video"), "--one_clip_per_video is for clips that are compared, and --cut is"),
        (("--duplicate_similarity=2",), "--duplicate_similarity is '2', expected a number from 0 to 1"),
        (("--duplicate_features=resnet",), "--duplicate_features: unknown classifier 'resnet'"),
        (("--duplicates=remove",), "--duplicates is 'remove', expected one of mark, drop, off"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(tmp_path, videos, grid_spec, capsys, options, told):
    status, output = run_rows(tmp_path, [{"action": "red", "path": f"{videos}/a.mp4"}], grid_spec, *OPTIONS, *options)
    assert status == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert not output.exists()


def test_a_damaged_feature_of_an_earlier_run_is_made_anew(tmp_path, videos, grid_spec):
    rows = [{"action": "red", "path": f"{videos}/?.mp4"}]
    _, output = run_rows(tmp_path, rows, grid_spec, *OPTIONS)
    first = (output / "spans.jsonl").read_bytes()
    path = next(output.glob("features/*/clips/*.parquet"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    counts, _ = measured_counters(tmp_path, rows, grid_spec, *OPTIONS)
    assert (counts["DescribeClips/reused-features"], counts["DescribeClips/out-features"]) == (2, 1)
    assert path.read_bytes() == whole
    assert (output / "spans.jsonl").read_bytes() == first


@pytest.fixture(scope="module")
def zero_shot(tmp_path_factory):
    """A small open_clip model of random weights, as an option's value."""
    folder = tmp_path_factory.mktemp("clip")
    return tiny_clip.save(folder)


def test_embeddings_that_scoring_stored_describe_clips(tmp_path, videos, zero_shot, monkeypatch):
    asked = []
    real = Child.call

    def call(self, task, request, *limits):
        asked.append((task, "/clips/" in request.get("path", "")))
        return real(self, task, request, *limits)

    monkeypatch.setattr(Child, "call", call)
    rows = [{"action": "red", "path": f"{videos}/[abc].mp4"}]
    options = ("--clip_seconds=2", "--top_k=1", "--sample_fps=10")
    counts, output = measured_counters(tmp_path, rows, zero_shot, *options)
    assert counts["DescribeClips/features-from-tracks"] == 3
    assert ("video.decode:samples", True) not in asked
    assert summary_of(output)["compared"]["clips"] == 3
    # sampled too seldom for that, the clips are decoded: the features are nearly the same
    first = {row["id"]: row["nearest_similarity"] for row in read_jsonl(output / "spans.jsonl")}
    shutil.rmtree(output / "features")
    counts, _ = measured_counters(tmp_path, rows, zero_shot, *options, f"--duplicate_features={zero_shot}")
    assert counts["DescribeClips/features-from-tracks"] == 3  # the same model by another option
    shutil.rmtree(output)
    counts, _ = measured_counters(tmp_path, rows, zero_shot, "--clip_seconds=2", "--top_k=1", "--sample_fps=1")
    assert "DescribeClips/features-from-tracks" not in counts
    assert counts["DescribeClips/out-features"] == 3
    assert min(first.values()) > 0


@pytest.mark.parametrize(
    ("times", "places"),
    [
        ([0.1, 0.9, 1.1, 1.9, 2.5], [1, 2]),
        ([1.4], [0, 0]),
        ([0.0, 3.0], None),
        ([], None),
        ([1.1], None),
    ],
)
def test_samples_near_the_wanted_times_and_within_the_clip_count(times, places):
    found = nearest_within(np.array(times), np.array([0.8, 1.2]), 0.5, 2.0, 0.25 if times != [1.4] else 0.7)
    assert places == (None if found is None else found.tolist())


def test_a_damaged_block_is_made_anew_and_one_of_an_earlier_run_counts_as_none(tmp_path, videos, grid_spec, caplog):
    rows = [{"action": "red", "path": f"{videos}/[ab].mp4"}]
    _, output = run_rows(tmp_path, rows, grid_spec, *OPTIONS)
    (block,) = output.glob("features/*/blocks/*/*.parquet")
    whole, first = block.read_bytes(), (output / "spans.jsonl").read_bytes()
    block.write_bytes(whole[:100])
    assert run_rows(tmp_path, rows, grid_spec, *OPTIONS)[0] == 0
    assert block.read_bytes() == whole
    assert (output / "spans.jsonl").read_bytes() == first
    block.write_bytes(whole[:100])
    status, _ = run_rows(tmp_path, [{"action": "red", "path": f"{videos}/worse.mp4"}], grid_spec, *OPTIONS)
    assert status == 0
    assert f"{block} is damaged" in caplog.text
    assert clip_numbers(output) == {"written": 1, "kept": 1}


def test_on_google_cloud_clips_are_compared_set_aside_and_remembered(tmp_path, videos, grid_spec, cloud):
    output = "gs://clipscout-test/out"
    rows = [{"action": "red", "path": f"{videos}/[ab].mp4"}, {"action": "red", "path": f"{videos}/worse.mp4"}]
    for _ in range(2):  # the second run brings back what the first has set aside, and sets it aside again
        status, _ = run_rows(tmp_path, rows, grid_spec, *OPTIONS, "--duplicates=drop", "--output", output)
        assert status == 0
        summary = json.loads(filesystem.read_bytes(f"{output}/summary.json"))
        assert {name: number for name, number in summary["funnel"]["clips"].items() if number} == {
            "written": 3,
            "duplicates": 1,
            "kept": 2,
        }
        names = filesystem.list_files(output)
        assert len([name for name in names if name.startswith("clips/") and name.endswith(".mp4")]) == 2
        assert len([name for name in names if name.startswith("dropped/")]) == 3
    cloud.forget()
    later = [{"action": "red", "path": f"{videos}/copy.mp4"}]
    status, _ = run_rows(tmp_path, later, grid_spec, *OPTIONS, "--output", output)
    assert status == 0
    (row,) = [json.loads(line) for line in filesystem.read_bytes(f"{output}/spans.jsonl").splitlines()]
    assert row["seen_as"].startswith("clips/red/file-")


def test_worker_processes_find_the_same(tmp_path, videos, grid_spec):
    found = []
    for options in ((), ("--workers=2",)):
        rows = [{"action": "red", "path": f"{videos}/*"}]
        status, output = run_rows(tmp_path, rows, grid_spec, *OPTIONS, *options)
        assert status == 0
        found.append((output / "spans.jsonl").read_bytes())
        shutil.rmtree(output)
    assert found[0] == found[1]


def test_each_action_has_its_answer_of_one_picture_in_two_containers(tmp_path, videos, grid_spec):
    rows = [
        {"action": "red", "path": f"{videos}/a.mp4"},
        {"action": "warm", "classes": ["red", "grey"], "path": f"{videos}/a.mkv"},
    ]
    counts, output = measured_counters(tmp_path, rows, grid_spec, *OPTIONS)
    assert counts["ScoreVideos/in-segments"] <= 2  # the second may ask for what the first was not asked
    spans = rows_of(output)
    assert {name: row["action"] for name, row in spans.items()} == {"a.mp4": "red", "a.mkv": "warm"}
    assert [row["twin_of"] != "" for row in rows_of(output, "videos").values()].count(True) == 1
    assert summary_of(output)["twins"] == 1


def test_a_track_of_an_earlier_version_is_found_and_renamed(tmp_path, videos, grid_spec):
    rows = [{"action": "red", "path": f"{videos}/b.mp4"}]
    _, output = run_rows(tmp_path, rows, grid_spec, *OPTIONS)
    (track,) = output.glob("scores/*/*.parquet")
    (video,) = read_jsonl(output / "videos.jsonl")
    earlier = track.with_stem(naming.content_key(video["content"], video["size_bytes"]))
    track.rename(earlier)
    counts, _ = measured_counters(tmp_path, rows, grid_spec, *OPTIONS)
    assert counts["ScoreVideos/reused-tracks"] == 1
    assert "ScoreVideos/in-segments" not in counts
    assert track.exists()
    assert not earlier.exists()
