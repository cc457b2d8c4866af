"""What `--preflight_only` forecasts, held against what the job then does."""

import json
import re
from pathlib import Path

import pytest

from clipscout.pipeline.run import main
from clipscout.transforms.core.classifiers import loading
from tests.colours import ColourModel
from tests.jobs import arguments, read_jsonl, scene_video
from tests.transforms.test_inference import Film, spec_of


def forecast(capsys, tmp_path, rows, classifier, *more):
    """Returns the lines of the forecast of a job."""
    assert main([*arguments(tmp_path, rows, classifier, *more), "--preflight_only"]) == 0
    assert not (tmp_path / "output").exists()
    said = capsys.readouterr().out.splitlines()
    start = next(index for index, line in enumerate(said) if line.startswith("forecast "))
    return [line[11:] for line in said[start:-1]]


@pytest.fixture
def videos(tmp_path):
    return [scene_video(tmp_path / f"{name}.mp4", ("red", 4), ("green", 4 + 2 * name)) for name in range(3)]


@pytest.mark.parametrize("sampling", [("--sample_fps=2",), ("--frame_stride=3",), ("--sample_fps=1000",)])
def test_own_files_are_looked_into(sampling, videos, tmp_path, colour_spec, capsys):
    rows = [{"action": "red", "path": str(tmp_path / "*.mp4")}, {"action": "green", "path": videos[0]}]
    told = forecast(capsys, tmp_path, rows, colour_spec, *sampling)
    assert told[0] == "3 videos, 30 seconds of video:"
    assert told[1] == "  3 files of your own: 10 s on average of the 3 looked into; decoding measured on 3"
    samples = int(re.match(r"([\d,]+) samples; decoding: ", told[2])[1].replace(",", ""))
    assert re.match(r"scoring: \S+ CPU-seconds \(measured: \S+ per second and core, openvino \S+, fp32\)$", told[3])
    assert told[5].startswith("together: about ")
    assert re.search(r"at most 4 clips of the videos' own bit rate$", told[6])  # 10 s each: one of a video and action
    assert "videos," not in told[6]  # they are used in place
    assert main(arguments(tmp_path, rows, colour_spec, *sampling)) == 0
    done = sum(row["samples"] for row in read_jsonl(tmp_path / "output/videos.jsonl"))
    assert samples == pytest.approx(done, abs=3)


def test_what_cannot_be_looked_into_is_assumed_and_said(tmp_path, colour_spec, capsys):
    rows = [
        {"action": "red", "query": "something red", "max_videos": 30},
        {"action": "red", "query": "something else"},
        {"action": "green", "url": "dQw4w9WgXcQ"},
        {"action": "red", "url": "dQw4w9WgXcQ"},
    ]
    told = forecast(capsys, tmp_path, rows, colour_spec, "--max_videos=9", "--forecast_video_seconds=90")
    assert told[0] == "40 videos, 60 minutes of video:"
    assert told[1].startswith(
        "  40 videos of the web at most, assumed: 90 s each (--forecast_video_seconds), 144 lines, "
    )
    assert told[2].startswith("7,200 samples; ")
    assert "36 MB videos, " in told[-1]
    told = forecast(capsys, tmp_path, rows, colour_spec, "--forecast_samples_per_second=20", "--cut=none")
    assert told[3] == "scoring: 20 minutes of one worker (20 per second, as --forecast_samples_per_second says)"
    assert not any("cutting" in line or "clips" in line for line in told)


def test_a_file_that_is_broken_or_not_there_spoils_nothing(videos, tmp_path, colour_spec, capsys):
    (tmp_path / "broken.mp4").write_bytes(b"none")
    rows = [{"action": "red", "path": str(tmp_path / "*.mp4")}, {"action": "red", "path": str(tmp_path / "none*.avi")}]
    told = forecast(capsys, tmp_path, rows, colour_spec)
    assert told[1] == "  4 files of your own: 10 s on average of the 3 looked into; decoding measured on 3"


def test_rows_of_which_nothing_is_known_have_no_forecast(tmp_path, colour_spec, capsys):
    rows = [{"action": "red", "path": str(tmp_path / "none*.avi")}]
    assert main([*arguments(tmp_path, rows, colour_spec), "--preflight_only"]) == 0
    assert "forecast" not in capsys.readouterr().out


def test_windows_are_counted_by_their_step(tmp_path, capsys):
    path = Path(spec_of(tmp_path / "film", Film()))
    path.write_text(json.dumps({**json.loads(path.read_text()), "window_frames": 6, "window_fps": 5, "window_step": 2}))
    rows = [{"action": "red", "url": "dQw4w9WgXcQ"}]
    told = forecast(capsys, tmp_path, rows, path, "--forecast_samples_per_second=1", "--trust_checkpoint")
    assert told[2].startswith("600 windows; ")


def test_a_classifier_that_is_gone_leaves_the_rest_of_the_forecast(videos, tmp_path, capsys):
    """Scores that are stored need none, so that the check does not load it."""
    path = spec_of(tmp_path / "film", ColourModel())
    rows = [{"action": "red", "path": videos[0]}]
    assert main(arguments(tmp_path, rows, path, "--trust_checkpoint")) == 0
    capsys.readouterr()
    loading.forget()
    given = arguments(tmp_path, rows, path, "--preflight_only")  # a program, which nobody trusts now
    assert main(given) == 0
    told = capsys.readouterr().out
    assert "scoring: not known; spec.json: architecture torchscript: " in told
    assert "storage: " in told
