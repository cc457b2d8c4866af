"""Cases that a hostile reviewer found: names, half-failed cuts, damaged records, rules that changed."""

import json
import os

import pyarrow.parquet as pq
import pytest

from tests.conftest import read_jsonl
from tests.jobs import SHAPES, run_rows, scene_video, summary_of
from tests.media_maker import make_video

OPTIONS = ("--clip_seconds=1", "--top_k=2", "--min_gap_seconds=1")


def test_a_name_with_brackets_is_itself_before_it_is_a_glob(tmp_path, colour_spec):
    video = scene_video(tmp_path / "My video [dQw4w9WgXcQ].mp4", ("red", 1))
    status, output = run_rows(tmp_path, [{"action": "red", "path": video}], colour_spec, "--cut=none")
    assert status == 0
    assert read_jsonl(output / "videos.jsonl")[0]["outcome"] == "result"


@SHAPES
def test_names_that_are_not_utf8_are_videos_as_any_others(tmp_path, colour_spec, shape):
    folder = tmp_path / "in"
    folder.mkdir()
    made = scene_video(tmp_path / "a.mp4", ("red", 1))
    os.rename(made, os.fsencode(folder) + b"/caf\xe9.mp4")
    scene_video(folder / "b.mp4", ("red", 2))
    (folder / "c.mp4").write_text("no video")
    os.rename(folder / "c.mp4", os.fsencode(folder) + b"/\xff\xfe.mp4")
    rows = [{"action": "red", "path": f"{folder}/*.mp4"}]
    more = ["--clip_seconds=1", "--top_k=1", *shape]
    status, output = run_rows(tmp_path, rows, colour_spec, *more)
    assert status == 0
    assert summary_of(output)["adds_up"]
    found = {row["source"].removeprefix(f"{folder}/"): row["outcome"] for row in read_jsonl(output / "videos.jsonl")}
    assert found == {"caf\\udce9.mp4": "result", "b.mp4": "result", "\\udcff\\udcfe.mp4": "failed"}
    assert summary_of(output)["funnel"]["clips"]["written"] == 2
    (failure,) = read_jsonl(output / "failures.jsonl")
    assert "\\udcff\\udcfe.mp4" in failure["message"]
    pq.read_table(output / "videos.parquet")


def test_a_clip_that_cannot_be_stored_is_one_failure_and_the_numbers_add_up(tmp_path, colour_spec):
    video = scene_video(tmp_path / "a.mp4", ("red", 1), ("grey", 3), ("red", 1))
    rows = [{"action": "red", "path": video}]
    _, output = run_rows(tmp_path, rows, colour_spec, *OPTIONS)
    first, second = (output / row["clip"] for row in read_jsonl(output / "spans.jsonl"))
    second.unlink()
    (second / "in the way").mkdir(parents=True)
    status, _ = run_rows(tmp_path, rows, colour_spec, *OPTIONS)
    assert status == 0
    summary = summary_of(output)
    assert summary["adds_up"]
    assert summary["funnel"]["clips"]["written"] == 1
    assert summary["funnel"]["spans"]["failed"] == 1
    assert first.is_file()


def test_a_damaged_record_of_a_clip_costs_a_new_cut(tmp_path, colour_spec):
    rows = [{"action": "red", "path": scene_video(tmp_path / "a.mp4", ("red", 2))}]
    _, output = run_rows(tmp_path, rows, colour_spec, *OPTIONS)
    good = {record: json.loads(record.read_text()) for record in output.glob("clips/*/*.json")}
    assert good
    for damage in ("{", "[]", "{}", {"sizes": None}, {"flags": [5]}, {"frames": 10**30}):
        for record, facts in good.items():
            record.write_text(damage if isinstance(damage, str) else json.dumps({**facts, **damage}))
        assert run_rows(tmp_path, rows, colour_spec, *OPTIONS)[0] == 0
        assert {record: json.loads(record.read_text()) for record in good} == good


@pytest.mark.parametrize(("ending", "damage"), [(".mp4", "cut off"), (".mp4", "other bytes"), (".jpg", "emptied")])
def test_a_clip_that_is_not_whole_is_cut_again(tmp_path, colour_spec, damage, ending):
    rows = [{"action": "red", "path": scene_video(tmp_path / "a.mp4", ("red", 2))}]
    _, output = run_rows(tmp_path, rows, colour_spec, *OPTIONS)
    whole = {path: path.read_bytes() for path in output.glob("clips/*/*.*")}
    hurt = min(output.glob(f"clips/*/*{ending}"))
    content = whole[hurt]
    hurt.write_bytes({"cut off": content[:-9], "emptied": b"", "other bytes": bytes(len(content))}[damage])
    assert run_rows(tmp_path, rows, colour_spec, *OPTIONS)[0] == 0
    assert {path: path.read_bytes() for path in output.glob("clips/*/*.*")} == whole


def test_other_limits_on_decoding_score_anew(tmp_path, colour_spec):
    rows = [{"action": "red", "path": scene_video(tmp_path / "a.mp4", ("grey", 3), ("red", 2))}]
    options = ("--cut=none", "--frame_stride=1")
    _, output = run_rows(tmp_path, rows, colour_spec, *options, "--max_frames=20")
    assert read_jsonl(output / "videos.jsonl")[0]["flags"] == ["frame_cap"]
    assert run_rows(tmp_path, rows, colour_spec, *options)[0] == 2
    assert run_rows(tmp_path, rows, colour_spec, *options, "--replace")[0] == 0
    (row,) = read_jsonl(output / "videos.jsonl")
    assert (row["flags"], row["samples"]) == ([], 50)


def test_a_decoder_at_its_memory_cap_is_one_failure_and_the_job_goes_on(tmp_path, colour_spec):
    make_video(tmp_path / "huge.mp4", 12, size=(5760, 3240), options={"preset": "ultrafast"})
    scene_video(tmp_path / "small.mp4", ("red", 1))
    rows = [{"action": "red", "path": f"{tmp_path}/*.mp4"}]
    status, output = run_rows(tmp_path, rows, colour_spec, "--decode_memory_mb=256", "--cut=none")
    assert status == 0
    found = {os.path.basename(row["source"]): row["code"] for row in read_jsonl(output / "videos.jsonl")}
    assert found == {"huge.mp4": "decode_memory", "small.mp4": ""}
    assert read_jsonl(output / "failures.jsonl")[0]["attempts"] == 2
