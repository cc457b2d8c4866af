"""`clipscout report` and thresholds of rows: outputs that are old, moved or damaged, and what lies beside the clips."""

import csv
import json
import shutil

import pytest

import clipscout
from clipscout.pipeline import cli, shown
from clipscout.transforms.core.report import curves
from tests.conftest import read_jsonl
from tests.jobs import SHAPES, arguments, main, scene_video


@pytest.fixture(scope="module")
def ran(tmp_path_factory, colour_spec):
    """The output of a job over two videos, its folder and its arguments."""
    folder = tmp_path_factory.mktemp("reported")
    scene_video(folder / "a.mp4", ("grey", 2), ("red", 2), ("blue", 2))
    scene_video(folder / "b.mp4", ("red", 2), ("grey", 3))
    rows = [{"action": colour, "path": f"{folder}/?.mp4"} for colour in ("red", "blue")]
    given = arguments(folder, rows, colour_spec, "--clip_seconds=2", "--top_k=1")
    assert main(given) == 0
    return folder, given


@pytest.fixture
def output(ran, tmp_path):
    """A copy of that output, at another place."""
    return shutil.copytree(ran[0] / "output", tmp_path / "moved")


def test_every_scored_video_has_its_curve_and_every_action_its_plot(output):
    for span in read_jsonl(output / "spans.jsonl"):
        curve = curves.read(str(output), span["key"])
        assert [*curve["responses"]] == ["blue", "red"]
        peak = curve["times"].index(span["peak_seconds"])
        assert curve["responses"][span["action"]][peak] == pytest.approx(span["score"], rel=1e-3)
    assert {path.name for path in output.glob("report/scores/*")} == {"red.svg", "blue.svg"}
    assert (output / "report/funnel.svg").read_text().startswith("<svg")


def test_the_report_of_a_moved_output_is_made_from_what_lies_there(output, capsys):
    expected = {
        key: curves.read(str(output), key) for key in {row["key"] for row in read_jsonl(output / "spans.jsonl")}
    }
    page = (output / "report/index.html").read_bytes()
    shutil.rmtree(output / "report")
    assert cli.main(["report", str(output)]) == 0
    assert capsys.readouterr().out == f"curves     2 made from score tracks\nreport     {output}/report/index.html\n"
    assert (output / "report/index.html").read_bytes() == page
    assert {key: curves.read(str(output), key) for key in expected} == expected
    assert cli.main(["report", str(output)]) == 0
    assert capsys.readouterr().out == f"report     {output}/report/index.html\n"


def test_of_an_output_without_tracks_the_page_is_made_all_the_same(output, capsys):
    shutil.rmtree(output / "report")
    shutil.rmtree(output / "scores")
    assert cli.main(["report", str(output)]) == 0
    assert capsys.readouterr().out == f"report     {output}/report/index.html\n"


def test_an_output_of_an_earlier_version_has_its_report(output):
    summary = json.loads((output / "summary.json").read_text())
    for found in summary["actions"].values():
        for name in ("own_min_scores", "best_per_video", "kept_at"):
            del found[name]
    (output / "summary.json").write_text(json.dumps(summary))
    rows = read_jsonl(output / "videos.jsonl")
    (output / "videos.jsonl").write_text(
        "".join(json.dumps({name: row[name] for name in row if name != "best_responses"}) + "\n" for row in rows)
    )
    shutil.rmtree(output / "report")
    assert cli.main(["report", str(output)]) == 0
    assert (output / "report/index.html").stat().st_size > 50_000


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda output: shutil.rmtree(output), "no report can be made: "),
        (lambda output: (output / "summary.json").unlink(), "no report can be made: "),
        (lambda output: (output / "summary.json").write_text("[1, 2"), "are damaged: "),
        (lambda output: (output / "summary.json").write_text("[]"), "are damaged: "),
        (lambda output: (output / "spans.jsonl").write_text('{"key": 1}\n'), "are damaged: "),
    ],
    ids=["no folder", "no summary", "half a summary", "another summary", "other rows"],
)
def test_what_is_no_output_is_one_line(output, damage, expected, capsys):
    damage(output)
    assert cli.main(["report", str(output)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"clipscout: {output}: ")
    assert expected in line


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["report"], "report needs the output folder of a job"),
        (["report", "a", "b"], "unknown argument 'b'"),
        (["report", "a", "--outptu=x"], "unknown argument '--outptu'"),
    ],
)
def test_a_report_needs_one_folder(given, expected, capsys):
    assert cli.main(given) == 2
    assert expected in capsys.readouterr().err


@SHAPES
def test_a_threshold_of_a_row_wins_over_the_option(tmp_path, colour_spec, shape):
    scene_video(tmp_path / "a.mp4", ("grey", 2), ("red", 2), ("blue", 2))
    rows = [
        {"action": "strict", "classes": ["red"], "path": f"{tmp_path}/a.mp4", "min_score": 1.5},
        {"action": "free", "classes": ["red"], "path": f"{tmp_path}/a.mp4", "min_score": 0},
        {"action": "usual", "classes": ["green"], "path": f"{tmp_path}/a.mp4"},
        # of two rows for one video the lower one holds, as each of them wants what it wants
        {"action": "both", "classes": ["red"], "path": f"{tmp_path}/a.mp4", "min_score": 0.2},
        {"action": "both", "classes": ["red"], "path": f"{tmp_path}/?.mp4", "min_score": 1.5},
    ]
    given = arguments(tmp_path, rows, colour_spec, "--min_score=0.9", "--top_k=1", "--cut=none", *shape)
    assert main(given) == 0
    spans = read_jsonl(tmp_path / "output/spans.jsonl")
    assert {span["action"] for span in spans} == {"free", "both"}
    (both,) = [span for span in spans if span["action"] == "both"]
    assert [ask["min_score"] for ask in both["asks"]] == [0.2, 1.5]
    (video,) = read_jsonl(tmp_path / "output/videos.jsonl")
    assert any("below min_score 1.5" in note for note in video["notes"])
    assert any("below min_score 0.9" in note for note in video["notes"])
    assert video["best_responses"]["strict"] == pytest.approx(both["score"])
    summary = json.loads((tmp_path / "output/summary.json").read_text())
    assert summary["actions"]["both"]["own_min_scores"] == 2
    assert summary["actions"]["usual"]["best_per_video"]["videos"] == 1


def test_a_person_sorts_spans_by_score_without_code(ran):
    with open(ran[0] / "output/spans_by_score.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    spans = {span["id"]: span for span in read_jsonl(ran[0] / "output/spans.jsonl")}
    assert {row["id"] for row in rows} == {*spans}
    for action in ("red", "blue"):
        found = [row for row in rows if row["action"] == action]
        assert [row["action_rank"] for row in found] == ["1", "2"]
        scores = [spans[row["id"]]["score"] for row in found]
        assert scores == sorted(scores, reverse=True)


def test_a_clip_alone_tells_what_it_is_and_a_new_score_is_told_too(ran, output):
    _, given = ran
    for span in read_jsonl(output / "spans.jsonl"):
        beside = json.loads((output / span["clip"]).with_suffix(".json").read_text())
        assert {name: beside[name] for name in ("action", "score", "key", "source", "licence")} == {
            name: span[name] for name in ("action", "score", "key", "source", "licence")
        }
    record = (output / span["clip"]).with_suffix(".json")
    old = json.loads(record.read_text())
    record.write_text(json.dumps({**old, "score": 0.1, "title": "of yesterday"}))
    before = (output / span["clip"]).stat().st_mtime_ns
    assert main([*given, f"--output={output}"]) == 0
    assert json.loads(record.read_text()) == old
    assert (output / span["clip"]).stat().st_mtime_ns == before  # told anew, not cut anew


def test_one_span_is_shown_with_its_clip_and_its_curve(output, capsys):
    results = clipscout.Results(str(output))
    rows = results.spans.to_pylist()
    page = shown.one(str(output), rows[0])
    assert page.count("<video") == page.count("<polyline") == 1
    assert '<video src="data:video/mp4;base64,' in page
    assert shown.grid(str(output), rows).count("<polyline") == len(rows)
    assert results._repr_html_().count("<img") == len(rows)
    clipscout.show(output, rows[0])
    clipscout.show(results, rows[0]["id"])
    one, again = capsys.readouterr().out.splitlines()
    assert one == again
    assert rows[0]["clip"] in one
    clipscout.show(str(output))
    assert len(capsys.readouterr().out.splitlines()) == len(rows)
    with pytest.raises(KeyError, match=r"no span of .* has the id 'x'"):
        results.show("x")
    (output / rows[0]["clip"]).unlink()
    shutil.rmtree(output / "report")
    assert "<img" in shown.one(str(output), rows[0])  # its poster in the place of the clip
