"""OpenVINO in torch's place: the same outputs or none; what was converted once is kept, and never trusted blindly."""

import json
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models

from clipscout.transforms.core.classifiers import engines, loading, openvino_cache, openvino_engine, torch_engine
from clipscout.transforms.core.classifiers.classifier import Classifier
from clipscout.transforms.core.classifiers.padding import folded
from clipscout.transforms.core.classifiers.resolve import resolve
from clipscout.transforms.core.classifiers.scorer import Scorer
from clipscout.transforms.core.classifiers.specs import LoadSettings, SpecError, UnusableClassifierError
from clipscout.transforms.core.classifiers.torch_engine import TorchEngine
from tests.colours import COLOURS, ColourModel
from tests.jobs import arguments, main, read_jsonl, scene_video, summary_of
from tests.transforms.test_inference import Hungry, spec_of

LABELS = list(COLOURS)
FRAMES = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), np.uint8)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, in which a folder per model appears."""
    monkeypatch.setenv("CLIPSCOUT_CACHE", str(tmp_path / "cache"))
    loading.forget()
    yield tmp_path / "cache/openvino"
    loading.forget()  # other tests have the same specs, and nothing of these tests' engines


@pytest.fixture
def uninstall(monkeypatch):
    """A function after which OpenVINO is as if it were not installed."""

    def uninstalled():
        monkeypatch.setattr(engines, "openvino_version", lambda: None)
        loading.forget()

    return uninstalled


@pytest.fixture
def spec(tmp_path):
    """The spec of a small model with weights of its own."""
    torch.manual_seed(0)
    torch.save(models.squeezenet1_1(num_classes=len(LABELS)).state_dict(), tmp_path / "w.pt")
    fields = {"architecture": "torchvision:squeezenet1_1", "weights": "w.pt", "labels": LABELS, "resize": "squash"}
    (tmp_path / "spec.json").write_text(json.dumps({**fields, "input_width": 64, "input_height": 64}))
    return resolve(str(tmp_path / "spec.json"))


def load(spec, engine="auto", **settings):
    return loading._loaded.__wrapped__(LoadSettings(spec, "cpu", engine=engine, threads=2, **settings))


class Rounded(nn.Module):
    """A model with an operation that OpenVINO does not have."""

    def __init__(self, num_classes):
        super().__init__()
        self.layer = nn.Linear(3, num_classes)

    def forward(self, pixels):
        return self.layer(torch.special.bessel_j0(pixels.mean((2, 3))))


def rounded(num_classes):
    return Rounded(num_classes)


@pytest.fixture
def unconvertible(tmp_path, spec):
    torch.save(Rounded(len(LABELS)).state_dict(), tmp_path / "own.pt")
    fields = {"architecture": f"module:{__name__}:rounded", "weights": "own.pt", "labels": LABELS, "resize": "squash"}
    (tmp_path / "own.json").write_text(json.dumps({**fields, "input_width": 64, "input_height": 64}))
    return resolve(str(tmp_path / "own.json"))


def test_auto_takes_openvino_once_it_agreed_on_real_frames(spec, cache):
    classifier = load(spec)
    assert classifier.engine == f"openvino {openvino_engine.openvino_version()}"
    classifier.try_out(3)
    classifier.outputs(np.full((2, 64, 64, 3), 7, np.uint8))
    assert not cache.exists()  # frames without a picture prove nothing
    found = classifier.outputs(FRAMES)
    np.testing.assert_allclose(found, load(spec, "torch").outputs(FRAMES), atol=1e-5)
    assert len(list(cache.iterdir())) == 1


def test_what_is_kept_is_not_converted_again(spec, cache, monkeypatch):
    first = load(spec).outputs(FRAMES)

    def fails(*_):
        raise AssertionError("converted again")

    monkeypatch.setattr(openvino_engine, "converted", fails)
    again = load(spec)
    np.testing.assert_array_equal(again.outputs(FRAMES), first)
    assert again.engine.startswith("openvino")


@pytest.mark.parametrize("harm", ["cut off", "zeroed", "no digests", "no weights", "other digests"])
def test_a_damaged_cache_is_told_and_made_anew(harm, spec, cache, caplog):
    expected = load(spec).outputs(FRAMES)
    (folder,) = cache.iterdir()
    weights = (folder / "model.bin").read_bytes()
    if harm == "cut off":
        (folder / "model.bin").write_bytes(weights[: len(weights) // 2])
    elif harm == "zeroed":
        (folder / "model.bin").write_bytes(bytes(len(weights)))
    elif harm == "no digests":
        (folder / "digests.json").write_text("{")
    elif harm == "no weights":
        (folder / "model.bin").unlink()
    else:
        (folder / "digests.json").write_text('["a"]')
    np.testing.assert_allclose(load(spec).outputs(FRAMES), expected, atol=1e-6)
    (line,) = (record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)
    assert line.startswith(f"{folder} cannot be used, and is made anew: ")
    assert "\n" not in line
    assert (folder / "model.bin").read_bytes() == weights


def test_other_weights_versions_and_precisions_have_entries_of_their_own(spec, cache, tmp_path, monkeypatch):
    load(spec).outputs(FRAMES)
    near = load(spec, precision="bf16")
    near.outputs(FRAMES)
    torch.manual_seed(1)
    torch.save(models.squeezenet1_1(num_classes=len(LABELS)).state_dict(), tmp_path / "w.pt")
    load(spec).outputs(FRAMES)
    precisions = {"fp32", near.precision}
    assert len(list(cache.iterdir())) == len(precisions) + 1
    monkeypatch.setattr(openvino_cache, "_version", lambda package: "0")
    load(spec).outputs(FRAMES)
    assert len(list(cache.iterdir())) == len(precisions) + 2


def test_a_cache_that_cannot_be_written_costs_a_line_and_no_more(spec, cache, caplog):
    cache.parent.mkdir()
    cache.write_text("a file")
    classifier = load(spec)
    np.testing.assert_allclose(classifier.outputs(FRAMES), load(spec, "torch").outputs(FRAMES), atol=1e-5)
    assert classifier.engine.startswith("openvino")
    (line,) = (record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)
    assert line.startswith(f"the converted classifier cannot be kept in {cache}: ")
    assert cache.read_text() == "a file"


def test_a_model_of_ones_own_code_is_not_kept(colour_spec, cache):
    """Its code may change while its weights stay."""
    assert load(resolve(colour_spec)).engine.startswith("openvino")
    load(resolve(colour_spec)).outputs(FRAMES)
    assert not cache.exists()


def test_what_is_not_installed_or_does_not_convert_runs_in_torch_and_says_why(spec, unconvertible, uninstall):
    classifier = load(unconvertible)
    assert classifier.engine.startswith("torch ")
    assert classifier.why_torch.startswith("OpenVINO cannot run it (")
    assert classifier.outputs(FRAMES).shape == (len(FRAMES), len(LABELS))
    uninstall()
    classifier = load(spec)
    assert classifier.engine.startswith("torch ")
    assert classifier.why_torch.startswith("OpenVINO is not installed (pip install 'clipscout[cpu]'")
    assert load(spec, "torch").why_torch == ""


def test_openvino_by_name_is_taken_or_the_job_does_not_start(spec, unconvertible, uninstall):
    assert load(spec, "openvino").engine.startswith("openvino")
    with pytest.raises(SpecError, match=r"own.json: cannot be run by --engine=openvino: OpenVINO cannot run it \("):
        load(unconvertible, "openvino")
    uninstall()
    with pytest.raises(SpecError, match="OpenVINO is not installed"):
        load(spec, "openvino")


@pytest.mark.parametrize("engine", ["auto", "openvino"])
def test_an_engine_that_differs_on_real_frames_is_left(engine, spec, cache, monkeypatch, caplog):
    """The conversion of another model stands for one that goes wrong only on what pictures show."""
    settings = LoadSettings(spec, "cpu", engine=engine, threads=1)
    scorers = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        scorers.append(Scorer(models.squeezenet1_1(num_classes=len(LABELS)).eval(), spec))
    reference, other = (TorchEngine(scorer, settings, "cpu") for scorer in scorers)
    model = openvino_engine.converted(other.graph, spec)
    monkeypatch.setattr(engines, "example", lambda spec, count: torch.zeros(count, 3, 64, 64, dtype=torch.uint8))
    wrong = openvino_engine.OpenVinoEngine(model, settings)
    compared = engines.Compared(
        wrong, lambda frames: engines._settled(wrong, model, reference, settings, lambda: reference, frames)
    )
    if engine == "openvino":
        with pytest.raises(
            UnusableClassifierError, match="cannot be run by --engine=openvino: OpenVINO's outputs differ"
        ):
            compared.outputs(FRAMES)
    else:
        np.testing.assert_array_equal(compared.outputs(FRAMES), reference.outputs(FRAMES))
        assert compared.name == reference.name
        assert "spec.json runs in torch: OpenVINO's outputs differ from torch's by" in caplog.text
    assert not cache.exists()


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_bf16_is_near_and_not_the_same_where_the_processor_has_it(spec, engine):
    exact, near = load(spec, engine), load(spec, engine, precision="bf16")
    apart = np.abs(exact.outputs(FRAMES) - near.outputs(FRAMES)).max()
    assert exact.precision == "fp32"
    assert apart == 0 if near.precision == "fp32" else 0 < apart < 0.05


@pytest.mark.parametrize(("machine", "capability", "precision"), [
    ("x86_64", "AVX2", "fp32"), ("x86_64", "AVX512", "bf16"), ("aarch64", "DEFAULT", "bf16"),
])  # fmt: skip
def test_no_processor_imitates_bf16(monkeypatch, machine, capability, precision):
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert torch_engine.precision_on("cpu", "bf16") == precision
    assert torch_engine.precision_on("cuda", "bf16") == "bf16"
    assert torch_engine.precision_on("cpu", "fp32") == "fp32"


def test_a_job_says_that_its_processor_has_no_bf16(tmp_path, spec, monkeypatch, capsys):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    rows = [{"action": "red", "path": scene_video(tmp_path / "a.mp4", ("red", 1))}]
    assert main(arguments(tmp_path, rows, tmp_path / "spec.json", "--precision=bf16", "--cut=none")) == 0
    assert "clipscout: this processor has no bf16: spec.json runs in fp32\n" in capsys.readouterr().err


def test_several_callers_at_once_get_their_own(spec):
    classifier = load(spec)
    batches = [FRAMES[[index]] for index in range(len(FRAMES))] * 4
    expected = [classifier.outputs(batch) for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        for found, alone in zip(pool.map(classifier.outputs, batches), expected, strict=True):
            np.testing.assert_array_equal(found, alone)


def test_batches_of_any_size_and_layout(spec):
    classifier, plain = load(spec), load(spec, "torch")
    for frames in (FRAMES[:1], FRAMES[:2], FRAMES[:5], FRAMES[::2], FRAMES[:, :, ::-1]):
        np.testing.assert_allclose(classifier.outputs(frames), plain.outputs(np.ascontiguousarray(frames)), atol=1e-5)


def test_nothing_is_told_to_its_makers():
    """The package that would is as if it were not installed; `nothing_leaves_the_machine` watches this process."""
    program = (
        "import sys\nfrom clipscout.transforms.core.classifiers import openvino_engine\n"
        "openvino_engine.runtime()\nassert sys.modules['openvino_telemetry'] is None\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_padding_that_is_folded_gives_the_same():
    class Padded(nn.Conv2d):
        def __init__(self, size, stride, padding, groups=1):
            super().__init__(4, 4, size, stride, groups=groups)
            self.static_padding = nn.ZeroPad2d(padding)

        def forward(self, pixels):
            return super().forward(self.static_padding(pixels))

    shapes = [
        (3, 2, (0, 1, 0, 1)),
        (5, 2, (1, 2, 1, 2)),
        (3, 1, (1, 1, 1, 1)),
        (3, 2, (0, 1, 1, 1)),
        (5, 1, (2, 2, 2, 2)),
    ]
    torch.manual_seed(0)
    model = nn.Sequential(*(Padded(*shape, groups) for shape in shapes for groups in (1, 4))).eval()
    pictures = [torch.rand(2, 4, side, side) for side in (224, 97, 64)]
    with torch.inference_mode():
        expected = [model(pixels) for pixels in pictures]
        for pixels, numbers in zip(pictures, expected, strict=True):
            torch.testing.assert_close(folded(model)(pixels), numbers, rtol=0, atol=1e-5)
    assert not any(isinstance(module, nn.ZeroPad2d) for module in model.modules())


def test_the_label_file_has_torchvisions_labels():
    assert list(resolve("lite0").labels) == models.EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"]


def test_a_colour_is_seen_by_either(colour_spec):
    frames = np.stack([np.full((64, 64, 3), COLOURS[name], np.uint8) for name in LABELS])
    for engine in ("torch", "openvino"):
        assert load(resolve(colour_spec), engine).outputs(frames).argmax(1).tolist() == list(range(len(LABELS)))


def test_a_classifier_says_what_runs_it():
    spec = resolve("lite0")
    classifier = Classifier(ColourModelOf1000(), LoadSettings(spec, "cpu", engine="torch", threads=1))
    assert classifier.engine == f"torch {torch.__version__}"


class ColourModelOf1000(ColourModel):
    def forward(self, pixels):
        return super().forward(pixels).repeat(1, 250)


def test_a_program_with_branches_runs_in_torch(tmp_path):
    """Of more than eight frames it would ask for more memory than any machine has: OpenVINO dies of that branch."""
    classifier = load(resolve(spec_of(tmp_path / "hungry", Hungry())), trust_checkpoint=True)
    assert classifier.why_torch == "its graph has branches or loops"
    assert classifier.outputs(FRAMES).shape == (len(FRAMES), len(LABELS))


def test_the_default_classifier_imports_no_torchvision():
    """That takes two seconds, which a job with another classifier than torchvision's is spared."""
    program = (
        "import sys\nfrom clipscout.transforms.core.classifiers import loading, resolve, specs\n"
        "loading.load(specs.LoadSettings(resolve.resolve('lite0'), 'cpu', threads=1))\n"
        "assert 'torchvision' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=100)


def test_what_scored_is_told_of_each_video_and_of_the_job(tmp_path, colour_spec, capsys, uninstall):
    rows = [{"action": "red", "path": scene_video(tmp_path / "a.mp4", ("red", 2))}]
    names = []
    for name in ("openvino", "torch"):
        folder = tmp_path / name
        folder.mkdir()
        assert main(arguments(folder, rows, colour_spec, f"--engine={name}", "--cut=none")) == 0
        (video,) = read_jsonl(folder / "output/videos.jsonl")
        assert summary_of(folder / "output")["engines"] == {video["engine"]: 1}
        assert f"\nscored by  {video['engine']}\n" in capsys.readouterr().out
        names.append(video["engine"].split()[0])
    assert names == ["openvino", "torch"]
    uninstall()
    assert main([*arguments(tmp_path, rows, colour_spec), "--preflight_only"]) == 0
    said = capsys.readouterr().err
    assert said.startswith(
        "clipscout: colours.json runs in torch: OpenVINO is not installed (pip install 'clipscout[cpu]'"
    )
