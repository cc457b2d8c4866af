"""Scoring under pressure: memory that runs out, other precisions, a GPU that is not there, segments, counters."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from clipscout.transforms.core.classifiers import loading, specs
from clipscout.transforms.core.classifiers.resolve import resolve
from tests.colours import COLOURS, ColourModel
from tests.conftest import read_jsonl
from tests.jobs import arguments, run_cli, run_measured, run_rows, scene_video


class Hungry(ColourModel):
    """Asks for more memory than any machine has when it is given more than 8 frames."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        if pixels.shape[0] > 8:
            pixels = pixels + torch.zeros([1 << 45])[0]
        mean = pixels[:, :, pixels.shape[2] // 2 :, :].mean(dim=(2, 3))
        return -20.0 * (mean[:, None, :] - self.colours[None]).abs().sum(dim=2)


def spec_of(folder, model):
    folder.mkdir(exist_ok=True)
    torch.jit.script(model).save(str(folder / "model.pt"))
    fields = {"architecture": "torchscript", "weights": "model.pt", "labels": list(COLOURS), "resize": "squash"}
    sizes = {"input_width": 64, "input_height": 64, "mean": [0, 0, 0], "std": [1, 1, 1]}
    (folder / "spec.json").write_text(json.dumps({**fields, **sizes}))
    return str(folder / "spec.json")


def track_of(output):
    (path,) = (output / "scores").glob("*/*.parquet")
    return pq.read_table(path)


def test_a_batch_that_runs_out_of_memory_is_halved_and_the_run_goes_on(tmp_path, colour_spec):
    video = scene_video(tmp_path / "a.mp4", ("grey", 5), ("red", 5))
    rows = [{"action": "red", "path": video}]
    options = ("--frame_stride=1", "--cut=none", "--threads=1", "--trust_checkpoint")
    hungry = spec_of(tmp_path / "hungry", Hungry())
    counters, distributions = run_measured(tmp_path, rows, hungry, *options)
    assert counters["ScoreVideos/batches-halved"] == 3  # 64, 32, 16
    assert counters["ScoreVideos/samples"] == 100
    assert distributions["ScoreVideos/batch-frames"].max == 8
    (tmp_path / "plain").mkdir()
    run_rows(tmp_path / "plain", rows, colour_spec, *options)
    halved, whole = track_of(tmp_path / "output"), track_of(tmp_path / "plain" / "output")
    np.testing.assert_allclose(halved["response_0"], whole["response_0"], atol=1e-5)


@pytest.mark.parametrize("length", [2, 3.3])
def test_a_split_run_gives_the_scores_of_an_unsplit_one(tmp_path, colour_spec, length):
    parts = [(colour, seconds) for colour in COLOURS for seconds in (1.3, 2.1)]
    rows = [{"action": "red", "path": scene_video(tmp_path / "a.mp4", *parts, gop=7)}]
    found = {}
    for segment in (0, length):
        folder = tmp_path / str(segment)
        folder.mkdir()
        status, output = run_rows(folder, rows, colour_spec, f"--segment_seconds={segment}", "--frame_stride=3")
        assert status == 0
        found[segment] = track_of(output), (output / "spans.csv").read_text()
    whole, split = found[0], found[length]
    for column in ("time_seconds", "frame_index", "response_0", "top_score"):
        np.testing.assert_array_equal(split[0][column].to_numpy(), whole[0][column].to_numpy())
    assert split[1] == whole[1]


class Film(ColourModel):
    """The colour of a window: the mean over its frames."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        mean = pixels[:, :, :, pixels.shape[3] // 2 :, :].mean(dim=(2, 3, 4))
        return -20.0 * (mean[:, None, :] - self.colours[None]).abs().sum(dim=2)


def test_a_split_run_of_a_video_model_gives_the_windows_of_an_unsplit_one(tmp_path):
    path = spec_of(tmp_path / "film", Film())
    fields = json.loads(Path(path).read_text())
    Path(path).write_text(json.dumps({**fields, "window_frames": 6, "window_fps": 5, "window_step": 2}))
    parts = [(colour, seconds) for colour in COLOURS for seconds in (1.3, 2.1)]
    rows = [{"action": "red", "path": scene_video(tmp_path / "a.mp4", *parts, gop=7)}]
    found = []
    for segment in (0, 2, 3.3):
        folder = tmp_path / str(segment)
        folder.mkdir()
        status, output = run_rows(
            folder, rows, path, f"--segment_seconds={segment}", "--cut=none", "--trust_checkpoint"
        )
        assert status == 0
        found.append((track_of(output), read_jsonl(output / "videos.jsonl")[0]["decoded_seconds"]))
    (whole, seconds), *splits = found
    # a window every 0.4 s, the first centre between the samples at 0.4 s and 0.6 s
    assert whole["time_seconds"][0].as_py() == pytest.approx(0.5)
    assert np.diff(whole["time_seconds"])[:-1] == pytest.approx(0.4)
    for split, split_seconds in splits:
        for column in ("time_seconds", "response_0", "top_score"):
            np.testing.assert_allclose(split[column].to_numpy(), whole[column].to_numpy(), atol=1e-6)
        assert split_seconds == seconds


def test_keyframe_sampling_runs_through_the_job(tmp_path, colour_spec):
    rows = [{"action": "red", "path": scene_video(tmp_path / "a.mp4", ("grey", 3), ("red", 3), gop=5)}]
    counters, _ = run_measured(tmp_path, rows, colour_spec, "--sampling=keyframes", "--cut=none")
    assert 12 <= counters["ScoreVideos/samples"] <= 14
    assert counters["ScoreVideos/frames-decoded"] == counters["ScoreVideos/samples"]
    # the last key frame is not the end, and nobody knows of shots
    (video,) = read_jsonl(tmp_path / "output/videos.jsonl")
    assert (video["decoded_seconds"], video["flags"]) == (6.0, ["shots_unknown"])
    assert {span["shot_boundaries"] for span in read_jsonl(tmp_path / "output/spans.jsonl")} == {None}


def test_bf16_scores_are_close(colour_spec):
    frames = np.random.default_rng(0).integers(0, 256, (9, 64, 64, 3), np.uint8)
    spec = resolve(colour_spec)
    scores = {
        precision: loading.load(specs.LoadSettings(spec, "cpu", precision)).outputs(frames)
        for precision in ("fp32", "bf16")
    }
    assert scores["bf16"].dtype == np.float32
    np.testing.assert_allclose(scores["bf16"], scores["fp32"], atol=0.05)


def test_parts_of_a_batch_on_several_threads_score_alike(colour_spec):
    frames = np.random.default_rng(0).integers(0, 256, (13, 64, 64, 3), np.uint8)
    spec = resolve(colour_spec)
    one, three = (loading.load(specs.LoadSettings(spec, "cpu", "fp32", threads)).outputs(frames) for threads in (1, 3))
    np.testing.assert_allclose(one, three, atol=1e-6)


def test_a_gpu_that_is_asked_for_and_not_there_stops_the_job(tmp_path, colour_spec):
    given = arguments(tmp_path, [{"action": "red", "path": "a.mp4"}], colour_spec, "--device=cuda")
    done = run_cli(*given, environment={"CUDA_VISIBLE_DEVICES": ""})  # of a machine with a GPU they are hidden
    assert (done.returncode, done.stdout) == (2, "")
    assert "torch finds no usable CUDA device" in done.stderr
    assert f"torch {torch.__version__}, built for CUDA " in done.stderr


def test_a_local_run_ends_with_the_counters_of_each_stage(tmp_path, colour_spec, capsys):
    rows = [{"action": "red", "path": scene_video(tmp_path / "a.mp4", ("grey", 3), ("red", 3))}, {"action": "no"}]
    assert run_rows(tmp_path, rows, colour_spec)[0] == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert "out-queries 1" in lines["ReadQueries"]
    assert "failed-bad_row 1" in lines["ReadQueries"]
    assert "out-videos 1" in lines["DownloadVideos"]
    for name in ("samples 12", "frames-decoded 60", "batches 1", "inference-msec", "decode-wait-msec", "in-bytes"):
        assert name in lines["ScoreVideos"], name
    assert "batch-frames mean 12" in lines["ScoreVideos"]
    assert "peak-device-bytes" in lines["ScoreVideos"]
    assert "out-clips 1" in lines["CutClips"]
