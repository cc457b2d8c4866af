"""What must stay unseen, and what earlier runs have: not collected again, in whole jobs."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq

from tests.jobs import run_rows
from tests.media_maker import make_video
from tests.transforms.twins import OPTIONS, clip_numbers, described, rows_of


def test_a_reference_is_not_collected(tmp_path, videos, grid_spec, capsys):
    (tmp_path / "test_set").mkdir()
    shutil.copy(videos / "worse.mp4", tmp_path / "test_set" / "held_out.mp4")
    shutil.copy(videos / "b.mp4", tmp_path / "test_set" / "other.mkv")
    assert described(tmp_path / "test_set", tmp_path / "reference", grid_spec) == 0
    assert f"--reference={tmp_path}/reference" in capsys.readouterr().out
    rows = [{"action": "red", "path": f"{videos}/[ac].mp4"}]
    _, output = run_rows(tmp_path, rows, grid_spec, *OPTIONS, f"--reference={tmp_path}/reference")
    assert clip_numbers(output) == {"written": 2, "seen": 1, "kept": 1}
    row = rows_of(output)["a.mp4"]
    assert row["seen_as"] == f"{tmp_path}/test_set/held_out.mp4"
    assert row["seen_similarity"] > 0.97
    assert not row["kept"]
    assert rows_of(output)["c.mp4"]["kept"]


def test_features_follow_the_folder_they_are_of(tmp_path, videos, grid_spec, capsys):
    folder = tmp_path / "set"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(videos / name, folder)
    (folder / "broken.mp4").write_bytes(b"\0" * 100)
    assert described(folder, tmp_path / "out", grid_spec) == 1
    shown = capsys.readouterr()
    assert "features   2 of 3 videos, by grid.json" in shown.out
    assert f"clipscout: unreadable_video: {folder}/broken.mp4: " in shown.err
    (folder / "broken.mp4").unlink()
    (folder / "a.mp4").unlink()
    assert described(folder, tmp_path / "out", grid_spec) == 0
    assert len(list((tmp_path / "out").glob("features/*/blocks/*.parquet"))) == 1
    _, output = run_rows(
        tmp_path, [{"action": "red", "path": f"{videos}/?.mp4"}], grid_spec, *OPTIONS, f"--reference={tmp_path}/out"
    )
    assert [name for name, row in rows_of(output).items() if row["left_out_by"]] == ["b.mp4"]


def test_a_later_run_does_not_collect_what_an_earlier_one_has(tmp_path, videos, grid_spec):
    first, second = ([{"action": "red", "path": f"{videos}/{name}"}] for name in ("[ab].mp4", "[c]*.mp4"))
    run_rows(tmp_path, first, grid_spec, *OPTIONS)
    second += [{"action": "red", "path": f"{videos}/worse.mp4"}]
    _, output = run_rows(tmp_path, second, grid_spec, *OPTIONS, "--duplicates=drop")
    assert clip_numbers(output) == {"written": 3, "seen": 2, "kept": 1}
    (earlier,) = {row["seen_as"] for row in rows_of(output, "dropped").values()}
    assert earlier.startswith("clips/red/file-a-")
    assert (output / earlier).is_file()
    # with both asked for again nothing was seen before
    _, output = run_rows(tmp_path, [*first, *second], grid_spec, *OPTIONS)
    assert clip_numbers(output) == {"written": 5, "duplicates": 2, "kept": 3}
    # a clip that is gone is no reference
    run_rows(tmp_path, first, grid_spec, *OPTIONS)
    (output / earlier).unlink()
    _, output = run_rows(tmp_path, [{"action": "red", "path": f"{videos}/worse.mp4"}], grid_spec, *OPTIONS)
    assert rows_of(output)["worse.mp4"]["seen_as"] != earlier


def test_a_daily_job_holds_the_days_before_against_its_clips(tmp_path, videos, grid_spec):
    def day(date, *names):
        rows = [{"action": "red", "path": f"{videos}/{name}"} for name in names]
        dated = ("--output", f"{tmp_path}/days/{{date}}", f"--date={date}")
        run_rows(tmp_path, rows, grid_spec, *OPTIONS, *dated)
        return tmp_path / "days" / date

    day("2026-03-01", "a.mp4", "b.mp4")
    output = day("2026-03-02", "worse.mp4", "c.mp4", "b.mp4")
    assert clip_numbers(output) == {"written": 3, "seen": 2, "kept": 1}
    assert rows_of(output)["worse.mp4"]["seen_as"].startswith(f"{tmp_path}/days/2026-03-01/clips/red/file-a")
    output = day("2026-02-01", "a.mp4")  # days after are none before
    assert clip_numbers(output) == {"written": 1, "kept": 1}


def test_a_reference_of_another_model_is_refused_before_anything_runs(tmp_path, videos, grid_spec, capsys):
    run_rows(tmp_path, [{"action": "red", "path": f"{videos}/a.mp4"}], grid_spec, *OPTIONS)
    other = json.loads(Path(grid_spec).read_text())
    path = grid_spec.replace("grid.json", "other.json")
    with open(path, "w") as file:
        json.dump({**other, "mean": [0.1, 0, 0]}, file)
    capsys.readouterr()
    (tmp_path / "more").mkdir()
    rows = [{"action": "red", "path": f"{videos}/a.mp4"}]
    status, output = run_rows(tmp_path / "more", rows, path, *OPTIONS, f"--reference={tmp_path}/output")
    assert status == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{tmp_path}/output: holds features of other models only" in line
    assert not output.exists()


def test_a_reference_that_is_damaged_within_ends_the_job_in_one_line(tmp_path, videos, grid_spec, capsys):
    described(videos / "b.mp4", tmp_path / "reference", grid_spec)
    (block,) = (tmp_path / "reference").glob("features/*/blocks/*.parquet")
    content = bytearray(block.read_bytes())
    content[len(content) // 3] ^= 0xFF
    block.write_bytes(content)
    capsys.readouterr()
    rows = [{"action": "red", "path": f"{videos}/a.mp4"}]
    status, output = run_rows(tmp_path, rows, grid_spec, *OPTIONS, f"--reference={tmp_path}/reference")
    (line,) = capsys.readouterr().err.splitlines()
    assert status in (1, 2)
    assert str(block) in line
    assert list(output.glob("clips/red/*.mp4")) or status == 2  # what was made stays


def test_an_output_that_is_its_own_reference_sees_nothing_twice(tmp_path, videos, grid_spec):
    rows = [{"action": "red", "path": f"{videos}/?.mp4"}]
    run_rows(tmp_path, rows, grid_spec, *OPTIONS)
    for named in (tmp_path / "output", next((tmp_path / "output").glob("features/*/blocks/*/*.parquet"))):
        status, output = run_rows(tmp_path, rows, grid_spec, *OPTIONS, f"--reference={named}")
        assert status == 0
        assert clip_numbers(output) == {"written": 3, "kept": 3}


def test_earlier_clips_that_are_all_gone_are_no_reference(tmp_path, videos, grid_spec):
    _, output = run_rows(tmp_path, [{"action": "red", "path": f"{videos}/[abc]*"}], grid_spec, *OPTIONS)
    shutil.rmtree(output / "clips")
    _, output = run_rows(tmp_path, [{"action": "red", "path": f"{videos}/worse.mp4"}], grid_spec, *OPTIONS)
    assert clip_numbers(output) == {"written": 1, "kept": 1}


def test_a_video_of_one_frame_is_described_by_it(tmp_path, grid_spec):
    (tmp_path / "one").mkdir()
    make_video(tmp_path / "one" / "frame.mp4", 1)
    assert described(tmp_path / "one", tmp_path / "reference", grid_spec) == 0
    (block,) = (tmp_path / "reference").glob("features/*/blocks/*.parquet")
    table = pq.read_table(block)
    assert table["frames"].to_pylist() == [1]
    assert table["feature"].type.list_size == 48


def test_with_replace_nothing_that_the_output_had_is_a_reference(tmp_path, videos, grid_spec):
    run_rows(tmp_path, [{"action": "red", "path": f"{videos}/a.mp4"}], grid_spec, *OPTIONS)
    rows = [{"action": "red", "path": f"{videos}/worse.mp4"}]
    _, output = run_rows(tmp_path, rows, grid_spec, *OPTIONS, "--replace")
    assert clip_numbers(output) == {"written": 1, "kept": 1}


def test_features_that_cannot_be_stored_are_a_line_each(tmp_path, videos, grid_spec, capsys):
    (tmp_path / "file").write_text("in the place of a folder")
    assert described(videos / "a.mp4", tmp_path / "file", grid_spec) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"clipscout: storage_error: {videos}/a.mp4: ")
