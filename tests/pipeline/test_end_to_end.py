"""The whole job on made videos, as a user runs it."""

import csv
import gzip

from tests.conftest import read_jsonl
from tests.jobs import by_source, run_rows, scene_video, summary_of
from tests.media_maker import read_video, stamp_of


def test_finds_the_span_of_the_wanted_action(tmp_path, colour_spec):
    scene_video(tmp_path / "a.mp4", ("grey", 8), ("red", 4), ("grey", 8), ("green", 3), ("grey", 5), audio=True)
    rows = [
        {"action": "red", "path": str(tmp_path / "a.mp4"), "split": "train", "note": 7},
        {"action": "green", "path": str(tmp_path / "*.mp4")},
    ]
    status, output = run_rows(tmp_path, rows, colour_spec, "--clip_seconds=4", "--top_k=1", "--min_score=0.5")
    assert status == 0
    spans = {row["action"]: row for row in read_jsonl(output / "spans.jsonl")}
    assert 8 <= spans["red"]["peak_seconds"] < 12
    assert 20 <= spans["green"]["peak_seconds"] < 23
    assert spans["red"]["asks"][0]["extra"] == {"split": "train", "note": 7}
    assert spans["red"]["top_label"] == "red"
    for row in spans.values():
        assert (output / row["clip"]).is_file()
        assert abs(row["clip_duration_seconds"] - 4) < 0.11
        assert row["clip_has_audio"]
    summary = summary_of(output)
    assert summary["adds_up"]
    assert summary["funnel"]["rows"] == {"read": 2, "failed": 0, "matched": 2}
    assert summary["funnel"]["candidates"] == {"found": 2, "merged": 1}
    assert summary["funnel"]["clips"]["written"] == 2
    (video,) = read_jsonl(output / "videos.jsonl")
    assert video["outcome"] == "result"
    assert {ask["action"] for ask in video["asks"]} == {"red", "green"}


def test_clips_hold_exactly_the_frames_of_their_spans(tmp_path, colour_spec):
    scene_video(tmp_path / "a.mp4", ("grey", 3), ("red", 2), ("grey", 7), ("red", 1), ("grey", 2))
    rows = [{"action": "red", "path": str(tmp_path / "a.mp4")}]
    status, output = run_rows(tmp_path, rows, colour_spec, "--clip_seconds=3", "--min_score=0.5", "--sample_fps=10")
    assert status == 0
    spans = read_jsonl(output / "spans.jsonl")
    assert [row["rank"] for row in spans] == [1, 2]
    assert sorted(row["peak_seconds"] // 1 for row in spans) == [3, 12]
    for row in spans:
        first = round(row["start_seconds"] * 10)
        stamps = [stamp_of(picture) for _, picture in read_video(output / row["clip"])]
        assert stamps == list(range(first, first + 30))
        assert row["clip_frames"] == 30
        assert row["clip"] == f"clips/red/{row['key']}_{first * 100}_{first * 100 + 3000}.mp4"


def test_gzip_csv_files_by_glob_and_the_kinetics_columns(tmp_path, colour_spec):
    for name, colours in (("a", ("grey", "red")), ("b", ("blue", "grey"))):
        scene_video(tmp_path / f"{name}.mp4", *((colour, 3) for colour in colours))
        text = f"label,path,classes,split,remark\ncoloured,{tmp_path / name}.mp4,red;blue,{name}-split,x\n"
        (tmp_path / f"queries-{name}.csv.gz").write_bytes(gzip.compress(text.encode("utf-8-sig")))
    more = ["--input", tmp_path / "queries-*.csv.gz", "--cut=none", "--clip_seconds=2", "--top_k=1"]
    status, output = run_rows(tmp_path, None, colour_spec, *more)
    assert status == 0
    rows = read_jsonl(output / "spans.jsonl")
    assert [row["asks"][0]["extra"] for row in rows] == [{"split": f"{n}-split", "remark": "x"} for n in "ab"]
    with open(output / "spans.csv", newline="") as file:
        header, *lines = list(csv.reader(file))
    assert header == ["label", "youtube_id", "time_start", "time_end", "split", "url", "path", "classes"]
    assert lines == [
        [
            "coloured",
            row["key"],
            f"{row['start_seconds']:.3f}",
            f"{row['end_seconds']:.3f}",
            row["asks"][0]["extra"]["split"],
            "",
            row["source"],
            "red;blue",
        ]
        for row in rows
    ]
    again = ["--input", output / "spans.csv", f"--output={tmp_path}/again", "--preflight_only"]
    assert run_rows(tmp_path, None, colour_spec, *again)[0] == 0
    # --cut=none: spans, no clips, and the numbers still add up
    assert [row["clip"] for row in rows] == ["", ""]
    assert not (output / "clips").exists()
    summary = summary_of(output)
    assert summary["adds_up"]
    assert summary["funnel"]["spans"] == {"proposed": 2, "dropped": 0, "failed": 0, "not_cut": 2}
    assert by_source(output)["a.mp4"]["outcome"] == "result"


def test_a_span_file_is_valid_input_again(tmp_path, colour_spec, capsys):
    """The published Kinetics files have these columns; here every label is unknown, so that nothing is fetched."""
    text = "label,youtube_id,time_start,time_end,split\nabseiling,0347ZoDXyP0,95,105,train\n"
    (tmp_path / "kinetics.csv").write_text(text)
    status, _ = run_rows(tmp_path, None, colour_spec, "--input", tmp_path / "kinetics.csv")
    assert status == 2
    whole, reason, cure = capsys.readouterr().err.splitlines()
    assert "`classes`" in cure
    assert whole == "clipscout: --input: not one row can be used"
    where = f"{tmp_path / 'kinetics.csv'}:2"
    assert reason.startswith(
        f"clipscout: --input: {where}: the classifier has no label 'abseiling'; the closest of its 4"
    )
