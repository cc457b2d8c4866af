"""What a worker cannot load, start or run ends the job at once, in one line: no video is at fault."""

import json
import os
import shutil

import numpy as np
import pytest
import torch

from clipscout.pipeline.run import main
from clipscout.transforms.core.classifiers import loading, specs
from clipscout.transforms.core.classifiers.resolve import resolve
from clipscout.transforms.core.classifiers.scorer import Scorer
from clipscout.transforms.core.classifiers.specs import UnusableClassifierError
from clipscout.transforms.core.classifiers.torch_engine import TorchEngine
from clipscout.transforms.core.storage import filesystem
from tests.conftest import COLOURS, ColourModel, read_jsonl
from tests.jobs import ROOT, arguments, scene_video

FACTORY = """
from pathlib import Path
from tests.conftest import ColourModel

PLACE = Path(__file__).parent

def make(num_classes):
    with open(PLACE / "asked", "a") as asked:
        asked.write("x")
    if (PLACE / "broken").exists():
        raise RuntimeError("no kernel image is available for this device")
    return ColourModel()
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Path of a spec whose factory is an installed package's; it fails once there is a file `broken` beside it."""
    package = tmp_path / "installed"
    package.mkdir()
    (package / "factory_of_colours.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package), str(ROOT), os.environ["PYTHONPATH"]]))
    fields = {"architecture": "module:factory_of_colours:make", "labels": list(COLOURS), "resize": "squash"}
    sizes = {"input_width": 64, "input_height": 64, "mean": [0, 0, 0], "std": [1, 1, 1]}
    (package / "spec.json").write_text(json.dumps({**fields, **sizes}))
    loading.forget()
    yield package
    loading.forget()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_load_that_fails_on_a_worker_ends_the_job_at_once(tmp_path, installed, capsys, workers):
    for name in "abc":
        scene_video(tmp_path / f"{name}.mp4", ("grey", 1 + ord(name) % 3), ("red", 2))  # contents differ
    first, every = ([{"action": "red", "path": f"{tmp_path}/{name}.mp4"}] for name in "a?")
    options = ("--clip_seconds=2",)
    assert main(arguments(tmp_path, first, installed / "spec.json", *options)) == 0
    before = {name: (tmp_path / "output" / name).read_bytes() for name in ("summary.json", "failures.jsonl")}
    (installed / "broken").touch()
    (installed / "asked").unlink(missing_ok=True)
    loading.forget()
    capsys.readouterr()
    # the output has scores of this classifier, so that preflight does not load it
    assert main(arguments(tmp_path, every, installed / "spec.json", *options, f"--workers={workers}")) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("clipscout: the job failed: --classifier: ")
    assert line.endswith("no kernel image is available for this device")
    assert len((installed / "asked").read_text()) <= workers  # not for each batch, nor for each video
    assert {name: (tmp_path / "output" / name).read_bytes() for name in before} == before
    # with a sound installation the same command completes the job
    (installed / "broken").unlink()
    shutil.rmtree(installed / "__pycache__", ignore_errors=True)
    assert main(arguments(tmp_path, every, installed / "spec.json", *options)) == 0
    assert len(read_jsonl(tmp_path / "output/videos.jsonl")) == 3


@pytest.mark.parametrize("workers", [1, 2])
def test_an_installation_whose_children_do_not_start_ends_the_job(tmp_path, colour_spec, capsys, monkeypatch, workers):
    """A decoder that is not installed is no damage of a video, which would be remembered."""
    scene_video(tmp_path / "a.mp4", ("red", 1))
    given = arguments(tmp_path, [{"action": "red", "path": f"{tmp_path}/a.mp4"}], colour_spec, f"--workers={workers}")
    broken = tmp_path / "broken/av"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('libavcodec.so: cannot open shared object file')")
    monkeypatch.syspath_prepend(str(broken.parent))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(broken.parent), str(ROOT), os.environ["PYTHONPATH"]]))
    assert main(given) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("clipscout: the job failed: child processes do not start: ")
    assert line.endswith("libavcodec.so: cannot open shared object file")
    assert not (tmp_path / "output/failures.jsonl").exists()
    monkeypatch.undo()
    assert main([*given, "--workers=1"]) == 0


class Lost(ColourModel):
    """A model whose device is lost after it was loaded, as a GPU is by an illegal access."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        if pixels.shape[0] > 2:
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nmore")
        return super().forward(pixels)


def test_a_device_that_fails_is_no_fault_of_a_batch(colour_spec):
    spec = resolve(colour_spec)
    engine = TorchEngine(Scorer(Lost(), spec), specs.LoadSettings(spec, "cpu", threads=1), "cpu")
    engine.graph = engine._eager(Scorer(Lost(), spec))  # a trace would forget the condition
    frames = np.zeros((3, 64, 64, 3), np.uint8)
    with pytest.raises(UnusableClassifierError, match=r"CUDA error: an illegal memory access was encountered$"):
        engine.outputs(frames)
    assert engine.outputs(frames[:2]).shape == (2, len(COLOURS))


def test_what_ends_a_job_is_caught_with_no_fault_of_an_item():
    """Stages turn these into failures of the item at hand."""
    assert not issubclass(UnusableClassifierError, (ValueError, RuntimeError, OSError, filesystem.StorageError))


def test_texts_are_embedded_by_the_model_that_scores_where_there_is_a_gpu(colour_spec, monkeypatch):
    """The step that answers from stored embeddings loads no second copy beside it; far from a GPU it loads one."""
    settings = specs.LoadSettings(resolve(colour_spec), "cuda", "fp16", threads=1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert loading.as_here(settings) is settings
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert (loading.as_here(settings).device, loading.as_here(settings).precision) == ("cpu", "fp32")
    assert loading.load(loading.as_here(settings)).device == "cpu"
