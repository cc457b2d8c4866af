"""Before and after a job: preflight alone, the date, and a job that fails for its many failures once all is written."""

import datetime
import json
import signal
import socket
import subprocess
import sys

import deno
import pytest

from clipscout.pipeline.config import ConfigError
from clipscout.pipeline.run import configure, main
from tests.conftest import read_jsonl
from tests.jobs import ROOT, arguments, scene_video, summary_of


@pytest.fixture
def half_broken(tmp_path, colour_spec):
    """Arguments of a job of four items (two rows, two videos) of which two end as a failure."""
    scene_video(tmp_path / "good.mp4", ("grey", 1), ("red", 1))
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    rows = [{"action": "red", "path": str(tmp_path / "*.mp4")}, {"action": "pink", "path": str(tmp_path / "*.mp4")}]
    return arguments(tmp_path, rows, colour_spec, "--clip_seconds=1")


def test_too_many_failures_fail_the_job_after_everything_is_written(tmp_path, half_broken, capsys):
    assert main([*half_broken, "--max_failure_ratio=0.49"]) == 1
    told = capsys.readouterr()
    failed = "clipscout: the job failed: 50% of its rows, videos or spans did, 49% are allowed"
    ahead = "clipscout: 1 of 2 rows cannot be used; the job goes on with the others (--preflight_only lists them)"
    assert told.err.splitlines() == [ahead, failed]
    assert "1 unreadable_video" in told.out
    assert summary_of(tmp_path / "output")["failure_ratio"] == 0.5
    assert len(read_jsonl(tmp_path / "output/failures.jsonl")) == 2
    spans = read_jsonl(tmp_path / "output/spans.jsonl")
    assert spans
    assert all((tmp_path / "output" / row["clip"]).is_file() for row in spans)


@pytest.mark.parametrize("more", [[], ["--max_failure_ratio=0.5"]])
def test_as_many_failures_as_allowed_are_no_failed_job(half_broken, more):
    assert main([*half_broken, *more]) == 0


def test_a_job_of_which_every_video_failed_has_failed_whatever_is_allowed(tmp_path, colour_spec, capsys):
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    given = arguments(tmp_path, [{"action": "red", "path": str(tmp_path / "bad.mp4")}], colour_spec)
    assert main([*given, "--max_failure_ratio=1"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"clipscout: the job failed: not one video could be scored: {tmp_path}/bad.mp4: ")
    assert len(read_jsonl(tmp_path / "output/failures.jsonl")) == 1  # everything is written


def test_videos_alone_decide_where_every_row_is_good(tmp_path, colour_spec):
    scene_video(tmp_path / "good.mp4", ("red", 1))
    for name in ("bad", "worse"):
        (tmp_path / f"{name}.mp4").write_bytes(b"no video")
    rows = [{"action": "red", "path": str(tmp_path / "*.mp4")}]
    assert main([*arguments(tmp_path, rows, colour_spec), "--max_failure_ratio=0.6"]) == 1
    assert summary_of(tmp_path / "output")["failure_ratio"] == 2 / 3


def test_rejections_by_a_rule_are_no_failures(tmp_path, colour_spec):
    scene_video(tmp_path / "short.mp4", ("red", 1))
    given = arguments(tmp_path, [{"action": "red", "path": str(tmp_path / "short.mp4")}], colour_spec)
    assert main([*given, "--min_video_seconds=60", "--max_failure_ratio=0"]) == 0
    assert summary_of(tmp_path / "output")["failure_ratio"] == 0


def test_a_bug_still_shows_its_traceback(tmp_path, half_broken, monkeypatch):
    monkeypatch.setattr("clipscout.transforms.core.results.funnel.assemble", None)
    with pytest.raises(Exception, match="not callable"):
        main(half_broken)


def test_a_job_that_cannot_write_says_so_in_one_line(tmp_path, half_broken, capsys):
    (tmp_path / "output/videos.jsonl").mkdir(parents=True)
    assert main(half_broken) == 1
    error = capsys.readouterr().err
    assert error.splitlines()[1:] == [f"clipscout: the job failed: {tmp_path}/output/videos.jsonl: is a folder"]
    assert not (tmp_path / "output/summary.json").exists()


def test_a_stopped_job_ends_in_one_line_and_goes_on_with_the_same_command(tmp_path, colour_spec):
    scene_video(tmp_path / "good.mp4", ("grey", 1), ("red", 1))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        page = f"http://127.0.0.1:{silent.getsockname()[1]}/video.mp4"
        rows = [{"action": "red", "path": str(tmp_path / "good.mp4")}, {"action": "red", "url": page}]
        given = arguments(tmp_path, rows, colour_spec, "--clip_seconds=1", "--allow_private_hosts=127.0.0.1")
        command = [sys.executable, "-m", "pipeline", *given, "--download_attempts=1"]
        job = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        silent.settimeout(60)
        asker, _ = silent.accept()  # the job waits for an answer now
        job.send_signal(signal.SIGINT)
        assert job.communicate(timeout=30) == (
            "",
            "clipscout: stopped; the same command goes on from what is complete\n",
        )
        assert job.returncode == 130
        asker.settimeout(30)
        while asker.recv(4096):  # until the process that asked has ended too
            pass
    assert not (tmp_path / "output/summary.json").exists()
    assert main([*given, "--download_attempts=1"]) == 0  # nobody listens any more
    assert summary_of(tmp_path / "output")["adds_up"]
    assert len(read_jsonl(tmp_path / "output/spans.jsonl")) == 2


def test_preflight_alone_finds_no_fault_and_leaves_nothing(tmp_path, half_broken, capsys):
    assert main([*half_broken, "--preflight_only"]) == 0
    assert "the job can start; nothing was run" in capsys.readouterr().out
    assert not (tmp_path / "output").exists()


def test_preflight_keeps_the_results_of_other_settings(tmp_path, half_broken):
    assert main(half_broken) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "output").rglob("*") if path.is_file()}
    assert main([*half_broken, "--clip_seconds=2", "--replace", "--preflight_only"]) == 0
    assert {path: path.read_bytes() for path in (tmp_path / "output").rglob("*") if path.is_file()} == before


def test_preflight_lists_all_faults_of_every_kind(tmp_path, half_broken, capsys, monkeypatch):
    monkeypatch.setattr(deno, "find_deno_bin", lambda: "/nowhere/deno")
    (tmp_path / "file").write_text("")
    more = ["--exclude=/nowhere/ids.csv", f"--output={tmp_path}/file/out", "--cookies=/nowhere/cookies.txt"]
    assert main([*half_broken, *more, "--preflight_only", "--input=/nowhere/q.csv", "--gpu=nvidia-l4"]) == 2
    lines = capsys.readouterr().err.splitlines()
    expected = ["--gpu=nvidia-l4 is for", "--input: no file", "--exclude: no file", "--output: cannot write"]
    expected += ["--cookies: the file cannot be read", "yt-dlp's JavaScript runtime does not start"]
    for part in expected:
        assert sum(part in line for line in lines) == 1, (part, lines)
    assert len(lines) == len(expected)


def test_own_files_need_no_runtime_of_yt_dlp(tmp_path, half_broken, colour_spec, capsys, monkeypatch):
    monkeypatch.setattr(deno, "find_deno_bin", lambda: "/nowhere/deno")
    assert main([*half_broken, "--preflight_only"]) == 0
    given = arguments(tmp_path, [{"action": "red", "query": "red things"}], colour_spec, "--preflight_only")
    assert main(given) == 2
    assert "yt-dlp's JavaScript runtime does not start" in capsys.readouterr().err


def test_a_classifier_that_cannot_be_loaded_is_named_beside_other_faults(half_broken, tmp_path, capsys):
    (tmp_path / "broken.pt").write_bytes(b"")
    spec = {"architecture": "torchscript", "weights": "broken.pt", "labels": ["red"]}
    (tmp_path / "broken.json").write_text(json.dumps(spec))
    given = [*half_broken, f"--classifier={tmp_path}/broken.json", "--exclude=/nowhere/ids.csv"]
    assert main(given) == 2
    assert [line.split(":")[1] for line in capsys.readouterr().err.splitlines()] == [" --exclude", " --classifier"]


def test_a_broken_classifier_is_named_beside_an_output_that_cannot_be_written(half_broken, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    (tmp_path / "broken.pt").write_bytes(b"")
    spec = {"architecture": "torchscript", "weights": "broken.pt", "labels": ["red"]}
    (tmp_path / "broken.json").write_text(json.dumps(spec))
    assert main([*half_broken, f"--classifier={tmp_path}/broken.json", f"--output={tmp_path}/file/out"]) == 2
    assert [line.split(":")[1] for line in capsys.readouterr().err.splitlines()] == [" --output", " --classifier"]


def test_a_failed_look_at_the_output_leaves_no_folder(tmp_path, half_broken):
    assert main([*half_broken, f"--output={tmp_path}/deep/{'long' * 100}", "--preflight_only"]) == 2
    assert not (tmp_path / "deep").exists()


@pytest.mark.parametrize("content", ["[]", "{", '"text"', "[" * 100_000])
def test_a_damaged_record_of_the_settings_is_one_line(tmp_path, half_broken, capsys, content):
    (tmp_path / "output").mkdir()
    (tmp_path / "output/job.json").write_text(content)
    assert main(half_broken) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("job.json is damaged; remove it to start anew")


def test_ctrl_c_during_preflight_is_one_line(half_broken, capsys, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("clipscout.pipeline.rows_ahead.look", stop)
    assert main(half_broken) == 130
    assert capsys.readouterr().err == "clipscout: stopped before anything was run\n"


@pytest.mark.parametrize("output", ["gs://", "gs:/bucket/out", "s3://bucket/out", "GS://bucket/out", " gs://b/out"])
def test_an_output_that_is_no_place_we_know_is_one_line(half_broken, capsys, output):
    assert main([*half_broken, f"--output={output}"]) == 2
    assert capsys.readouterr().err == f"clipscout: --output is {output!r}, expected a folder, or gs://BUCKET/FOLDER\n"


def test_an_option_that_cannot_be_used_hides_no_other_fault(tmp_path, half_broken, capsys):
    (tmp_path / "broken.pt").write_bytes(b"")
    spec = {"architecture": "torchscript", "weights": "broken.pt", "labels": ["red"]}
    (tmp_path / "broken.json").write_text(json.dumps(spec))
    more = ["--clip_seconds=long", "--num_workers=abc", "--date", "--proxi=x", "--cookies=/nowhere/cookies.txt"]
    more += ["--runner=DataflowRunner", "--gpu=nvidia-l4", "--flexrs_goal=COST_OPTIMIZED", "--exclude=/nowhere/ids.csv"]
    assert main([*half_broken, *more, f"--classifier={tmp_path}/broken.json"]) == 2
    lines = capsys.readouterr().err.splitlines()
    expected = ["--clip_seconds is 'long'", "--num_workers: invalid int", "--date: expected one", "'--proxi'"]
    expected += [
        "right_fit and --flexrs_goal",
        "--project is",
        "--region is",
        "--temp_location is",
        "_image is missing",
    ]
    expected += [f"--{name}: '/" for name in ("input", "output", "exclude", "cookies")]  # not on gs://
    expected += ["--cookies: the file cannot be read", "--exclude: no file matches", "--classifier: "]
    expected += [f"--classifier: '{tmp_path}/broken.pt'"]
    for part in expected:
        assert any(part in line for line in lines), (part, lines)
    assert len(lines) == len(set(lines)) == len(expected)


def test_what_is_missing_hides_no_other_fault_and_is_told_once(capsys):
    assert main(["--output", "--exclude=/nowhere/ids.csv"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "clipscout: argument --output: expected one argument",
        "clipscout: --input is missing",
        "clipscout: --exclude: no file matches '/nowhere/ids.csv'",
    ]


def test_a_flag_does_not_swallow_the_option_behind_it(half_broken):
    config, _ = configure([*half_broken, "--preflight_only", "--labels={'team': 'video'}", "--replace", "--top_k=3"])
    assert (config.preflight_only, config.replace, config.spans.top_k) == (True, True, 3)


@pytest.mark.parametrize("more", [["--proxi=http://user:word@proxy"], ["--proxi", "http://user:word@proxy"]])
def test_the_value_of_an_unknown_option_is_not_printed(half_broken, capsys, more):
    assert main([*half_broken, *more]) == 2
    assert capsys.readouterr().err == "clipscout: unknown argument '--proxi'; did you mean --proxy?\n"


def test_the_date_stands_in_paths(tmp_path, colour_spec):
    scene_video(tmp_path / "a.mp4", ("grey", 1), ("red", 1))
    row = json.dumps({"action": "red", "path": str(tmp_path / "a.mp4")})
    (tmp_path / "queries-2026-05-04.jsonl").write_text(row)
    where = [f"--input={tmp_path}/queries-{{date}}.jsonl", f"--output={tmp_path}/{{date}}/out"]
    assert main([*where, f"--classifier={colour_spec}", "--date=2026-05-04", "--cut=none"]) == 0
    assert summary_of(tmp_path / "2026-05-04/out")["funnel"]["rows"]["read"] == 1


def test_the_date_is_todays_in_utc_unless_given(tmp_path, colour_spec):
    config, _ = configure(arguments(tmp_path, [], colour_spec, "--exclude=ids-{date}.csv"))
    today = datetime.datetime.now(datetime.UTC).date()
    assert today - datetime.timedelta(days=1) <= config.date <= today
    assert config.excludes == (f"ids-{config.date.isoformat()}.csv",)


def test_a_date_that_is_none_is_one_fault(tmp_path, colour_spec):
    with pytest.raises(ConfigError) as caught:
        configure(arguments(tmp_path, [], colour_spec, "--date=tomorrow", "--exclude=ids-{date}.csv"))
    assert list(map(str, caught.value.faults)) == ["--date is 'tomorrow', expected a date as YYYY-MM-DD"]


def test_an_empty_text_means_that_an_option_is_not_given(tmp_path, colour_spec):
    """As the forms of templates send what was left out."""
    given = arguments(tmp_path, [], colour_spec)
    empty = [f"--{name}=" for name in ("clip_seconds", "top_k", "cut", "replace", "proxy", "sample_fps", "gpu", "date")]
    assert configure([*given, *empty])[0] == configure(given)[0]
