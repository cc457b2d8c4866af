"""Many threads in one process, as on a GPU worker: one model serves them all, and the results are the same."""

import threading

from clipscout.pipeline.run import main
from clipscout.transforms.inference import ClassifierHandler
from tests.conftest import read_jsonl
from tests.jobs import arguments, run_measured, scene_video


def test_threads_of_one_process_share_one_model(tmp_path, colour_spec, monkeypatch):
    real, threads_seen = ClassifierHandler.run_inference, set()

    def run_inference(self, batch, model, inference_args=None):
        threads_seen.add(threading.get_ident())
        return real(self, batch, model, inference_args)

    monkeypatch.setattr(ClassifierHandler, "run_inference", run_inference)
    for name, start in (("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 2), ("f", 1)):
        scene_video(tmp_path / f"{name}.mp4", ("grey", start), ("red", 1), ("blue", 1), ("grey", 6 - start))
    rows = [{"action": colour, "path": str(tmp_path / "*.mp4")} for colour in ("red", "blue")]
    given = ("--clip_seconds=2", "--min_score=0.5", "--batch_size=8")
    assert main([*arguments(tmp_path, rows, colour_spec, *given), f"--output={tmp_path / 'alone'}"]) == 0
    threads = ("--direct_num_workers=4", "--direct_running_mode=multi_threading")
    counters, _ = run_measured(tmp_path, rows, colour_spec, *given, *threads)
    assert counters["ScoreVideos/models-loaded"] == 1
    assert len(threads_seen) > 2
    for name in ("spans.jsonl", "videos.jsonl", "failures.jsonl"):
        assert (tmp_path / "output" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    assert len(read_jsonl(tmp_path / "output/spans.jsonl")) == 12
