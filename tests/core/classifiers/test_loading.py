"""Classifiers that cannot be used say why in one line that names file and field; hostile weights run nothing."""

import hashlib
import io
import json
import os
import pickle
import urllib.request
import zipfile

import numpy as np
import pytest
import torch
from torchvision import models

from clipscout.transforms.core.classifiers import architectures, loading, specs, weight_files
from clipscout.transforms.core.classifiers.resolve import resolve
from clipscout.transforms.core.classifiers.specs import LoadSettings, Prompts, SpecError
from tests.colours import COLOURS, ColourModel

LABELS = list(COLOURS)
FIELDS = {"architecture": "torchvision:mobilenet_v3_small", "weights": "w.pt", "labels": LABELS}
SMALL = {"resize": "squash", "input_width": 64, "input_height": 64}


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    return models.get_model("mobilenet_v3_small", weights=None, num_classes=len(LABELS)).state_dict()


@pytest.fixture
def spec(tmp_path, state):
    """Writes a spec file with its weights; returns its path. Fields that are None are left out."""

    def write(content=state, **fields):
        if content is not None:
            torch.save(content, tmp_path / "w.pt")
        fields = {**FIELDS, **SMALL, **fields}
        (tmp_path / "spec.json").write_text(json.dumps({k: v for k, v in fields.items() if v is not None}))
        return str(tmp_path / "spec.json")

    return write


def fault(path, **settings):
    """Returns the one line that a classifier's fault gives."""
    with pytest.raises(SpecError) as caught:
        loading.load(LoadSettings(resolve(path), "cpu", **settings))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_good_weights_load_however_training_wrapped_them(spec, state):
    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    outputs = []
    for weights in (state, {"state_dict": state}, {"model": {f"module.{name}": v for name, v in state.items()}}):
        outputs.append(loading.load(LoadSettings(resolve(spec(weights)), "cpu")).outputs(frames))
    np.testing.assert_array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(outputs[0], outputs[2])
    np.testing.assert_allclose(outputs[0].sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"wights": "w.pt"}, "unknown field 'wights'"),
        ({"architecture": None}, "the field 'architecture' is missing"),
        ({"architecture": "resnet18"}, "architecture is 'resnet18', expected torchvision:NAME"),
        ({"architecture": "torchvision:resnet1"}, "architecture torchvision:resnet1"),
        ({"architecture": "timm:nothing_like_it"}, "architecture timm:nothing_like_it"),
        ({"architecture": "module:json:nothing"}, "architecture module:json:nothing"),
        ({"architecture": "module:no_such_package:make"}, "No module named 'no_such_package'"),
        ({"architecture": "module:json:JSONEncoder"}, "JSONEncoder"),
        ({"weights": None}, "the field 'weights' is missing"),
        ({"weights": "other.pt"}, "weights: "),
        ({"labels": None}, "the field 'labels' is missing"),
        ({"labels": "labels.txt"}, "labels: "),
        ({"labels": []}, "labels: there are none"),
        ({"labels": ["a", ""]}, "labels: there are none, or an empty one"),
        ({"labels": [*LABELS, "one more"]}, "size mismatch for classifier.3.weight"),
        ({"activation": "relu"}, "activation is 'relu'"),
        ({"kind": "audio"}, "kind is 'audio'"),
        ({"kind": "zero_shot"}, "open_clip models alone are zero_shot"),
        ({"window_frames": 4, "kind": "image"}, "window_frames is for kind video"),
        ({"prompts": ["a {}"]}, "prompts is for kind zero_shot"),
        ({"window_frames": 0}, "window_frames is 0"),
        ({"input_width": "64"}, "input_width is '64'"),
        ({"mean": [0, 0]}, "mean is (0.0, 0.0), expected three numbers"),
        ({"mean": [0, 0, float("nan")]}, "expected three numbers"),
        ({"std": [1, 1, 0]}, "std is (1.0, 1.0, 0.0)"),
        ({"resize": "fit"}, "resize is 'fit'"),
        ({"resize": "crop", "shorter_side": 32}, "shorter_side is 32, less than 64 x 64"),
        ({"resize": "crop", "resize_width": 100, "resize_height": 50}, "resize_width and resize_height are 100 x 50"),
        ({"sha256": "abc"}, "sha256 is 'abc', expected 64 hexadecimal digits"),
        ({"sha256": "0" * 64}, "the spec says " + "0" * 64),
    ],
)
def test_each_fault_of_a_spec_names_the_file_and_the_field(spec, fields, said):
    path = spec(**fields)
    line = fault(path)
    assert said in line
    assert path in line or "w.pt" in line or fields["architecture"] in line


def test_a_label_file_of_the_wrong_size_is_named(spec, tmp_path):
    (tmp_path / "labels.txt").write_text("red\ngreen\n\n")
    torch.jit.script(ColourModel()).save(str(tmp_path / "w.pt"))
    line = fault(spec(None, architecture="torchscript", labels="labels.txt"), trust_checkpoint=True)
    assert line.endswith("the model gives 4 scores, labels names 2")


def test_a_truncated_checkpoint_and_other_files_are_no_checkpoints(spec, tmp_path):
    path = spec()
    whole = (tmp_path / "w.pt").read_bytes()
    for content in (whole[: len(whole) // 2], b"<html>", b"", pickle.dumps({"a": 1})):
        (tmp_path / "w.pt").write_bytes(content)
        assert "w.pt" in fault(path)


def test_weights_that_are_not_numbers_are_refused(spec, state):
    name = "features.0.0.weight"
    line = fault(spec({**state, name: state[name] * float("nan")}))
    assert f"w.pt: {name} holds numbers that are not finite" in line


def test_the_right_sha256_passes(spec, tmp_path):
    unnamed = loading.load(LoadSettings(resolve(spec()), "cpu"))
    digest = hashlib.sha256((tmp_path / "w.pt").read_bytes()).hexdigest()
    loaded = loading.load(LoadSettings(resolve(spec(None, sha256=digest.upper())), "cpu"))
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    outputs = loaded.outputs(frames)
    np.testing.assert_array_equal(outputs, unnamed.outputs(frames))
    assert loaded.respond(outputs, [tuple(LABELS)]).top_labels == tuple(LABELS[best] for best in outputs.argmax(axis=1))


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("architecture", ["torchvision:mobilenet_v3_small", "ar", "open_clip:RN50"])
def test_weights_that_run_code_are_refused_unless_trusted(spec, tmp_path, architecture):
    labels = None if architecture.startswith("open_clip") else LABELS
    path = spec({"config": Bomb(tmp_path / "ran")}, architecture=architecture, labels=labels)
    assert "--trust_checkpoint" in fault(path)
    assert not (tmp_path / "ran").exists()
    fault(path, trust_checkpoint=True)  # it is still no model
    assert (tmp_path / "ran").is_dir()


class Writes(torch.nn.Module):
    """Maps a file of its own choice when it scores, and so writes it."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        written = torch.from_file(self.path, shared=True, size=4, dtype=torch.float32)
        return pixels.mean(dim=(1, 2, 3))[:, None] + written.fill_(1)[None]


def test_torchscript_could_write_files_and_is_refused_unless_trusted(spec, tmp_path):
    target = tmp_path / "written"
    torch.jit.script(Writes(str(target))).save(str(tmp_path / "w.pt"))
    path = spec(None, architecture="torchscript", activation="none")
    line = fault(path)
    assert "architecture torchscript" in line
    assert "--trust_checkpoint" in line
    assert not target.exists()
    loading.load(LoadSettings(resolve(path), "cpu", trust_checkpoint=True)).outputs(np.zeros((2, 64, 64, 3), np.uint8))
    assert target.read_bytes() == np.ones(4, np.float32).tobytes()


def exported(path, rewrite=lambda name, data: data):
    model = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 4)).eval()
    whole = io.BytesIO()
    torch.export.save(torch.export.export(model, (torch.zeros(2, 3, 64, 64),)), whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            target.writestr(name, rewrite(name, source.read(name)))


def test_an_exported_model_could_hide_a_pickle_and_is_refused_unless_trusted(spec, tmp_path):
    """Its loader unpickles, at the latest the constants that it calls opaque."""
    bomb = pickle.dumps(Bomb(tmp_path / "ran"))
    meta = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}

    def hidden(name, data):
        return json.dumps({"config": {"x": meta}}).encode() if name.endswith("model_constants_config.json") else data

    exported(tmp_path / "w.pt", hidden)
    with zipfile.ZipFile(tmp_path / "w.pt", "a") as archive:
        root = archive.namelist()[0].partition("/")[0]
        archive.writestr(f"{root}/data/constants/opaque_obj_0", bomb)
    path = spec(None, architecture="torch_export")
    assert "--trust_checkpoint" in fault(path)
    assert not (tmp_path / "ran").exists()
    fault(path, trust_checkpoint=True)
    assert (tmp_path / "ran").is_dir()


def test_an_export_with_a_fixed_batch_says_how_to_mend_it(spec, tmp_path):
    exported(tmp_path / "w.pt")
    path = spec(None, architecture="torch_export")
    assert "export it with a dynamic batch dimension" in fault(path, trust_checkpoint=True)


class Branching(torch.nn.Module):
    """Says something else for a lone picture; a trace of two would forget that."""

    def forward(self, pixels):
        mean = pixels.mean(dim=(2, 3))
        return torch.cat([mean, mean[:, :1]], 1) if pixels.shape[0] > 1 else torch.zeros(1, 4)


def branching(num_classes):
    return Branching()


class OneAtATime(torch.nn.Module):
    """Was made for one picture, as exports often are."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.mean(dim=(2, 3)).view(1, 3)


class SmallBatches(torch.nn.Module):
    """Takes what the first trials are, and no more."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        if pixels.shape[0] > 2:
            raise ValueError("two at most")
        return pixels.mean(dim=(2, 3))


@pytest.mark.parametrize(("model", "batch", "fits"), [(OneAtATime(), 64, 1), (SmallBatches(), 64, 2)])
def test_a_model_that_takes_no_batches_of_the_jobs_size_is_found_before_the_job(spec, tmp_path, model, batch, fits):
    torch.jit.script(model).save(str(tmp_path / "w.pt"))
    path = spec(None, architecture="torchscript", labels=LABELS[:3])
    classifier = loading.load(LoadSettings(resolve(path), "cpu", threads=1, trust_checkpoint=True))
    classifier.try_out(fits)
    with pytest.raises(SpecError, match=f"cannot score a batch of {batch}: .*--batch_size=1") as caught:
        classifier.try_out(batch)
    assert "\n" not in str(caught.value)


def test_what_a_frozen_graph_would_falsify_runs_as_it_is(spec):
    path = spec(None, architecture=f"module:{__name__}:branching", weights=None, activation="none")
    classifier = loading.load(LoadSettings(resolve(path), "cpu", threads=1))
    frames = np.full((3, 64, 64, 3), 200, np.uint8)
    assert classifier.outputs(frames[:1]).tolist() == [[0, 0, 0, 0]]
    assert (classifier.outputs(frames) != 0).all()


class Bright(torch.nn.Module):
    """Asks what is in the pictures, which a trace would answer once for all."""

    def forward(self, pixels):
        mean = pixels.mean(dim=(1, 2, 3))
        sign = 1.0 if mean.max() > 0 else -1.0
        return mean[:, None] * torch.tensor([[0.0, 0.0, 0.0, 0.0]]) + sign


def bright(num_classes):
    return Bright()


class Named(torch.nn.Module):
    """Returns what is no tensor."""

    def forward(self, pixels):
        return {"scores": pixels.mean(dim=(2, 3))}


def named(num_classes):
    return Named()


def test_a_branch_on_what_pictures_hold_is_taken_for_each_batch(spec):
    path = spec(None, architecture=f"module:{__name__}:bright", weights=None, activation="none")
    classifier = loading.load(LoadSettings(resolve(path), "cpu", threads=1))
    for brightness, expected in ((255, 1), (0, -1)):
        outputs = classifier.outputs(np.full((2, 64, 64, 3), brightness, np.uint8))
        assert (outputs == expected).all(), brightness


def test_a_model_that_returns_no_tensor_says_what_it_returns(spec):
    path = spec(None, architecture=f"module:{__name__}:named", weights=None)
    assert "it returned a dict, expected a tensor" in fault(path)


def test_a_misspelled_field_is_named_with_the_one_that_is_meant(spec):
    assert "unknown field 'activaton'; did you mean 'activation'?" in fault(spec(activaton="softmax"))


def test_unknown_names_say_what_there_is():
    for name, said in (
        ("resnet", "expected lite0"),
        ("torchvision:resnet18:V9", "resnet18 has no weights 'V9'; it has IMAGENET1K_V1"),
        ("torchvision:fcn_resnet50", "no image or video classification model"),
        ("open_clip:local-dir:/models/x", "name the files instead"),
        ("open_clip:ViT-Z", "open_clip has no model 'ViT-Z'; the closest are ViT-"),
        ("open_clip:ViT-B-32:nothing.pt", "published: openai"),
        ("open_clip:ViT-S-32", "has no published weights; name a file"),
    ):
        with pytest.raises(SpecError) as caught:
            resolve(name)
        assert said in str(caught.value)


def test_an_unreachable_hub_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setattr(urllib.request, "_opener", None)  # one that an earlier test made knows no proxy
    assert "architecture torchvision:resnet18" in fault("torchvision:resnet18")


@pytest.mark.parametrize(
    ("name", "frames", "fps", "size"),
    [("r3d_18", 16, 15, 112), ("mvit_v2_s", 16, 7.5, 224), ("s3d", 128, 15, 224), ("swin3d_t", 32, 15, 224)],
)
def test_torchvisions_video_models_bring_their_windows_and_labels(name, frames, fps, size):
    found = resolve(f"torchvision:{name}")
    assert (found.kind, found.window.frames, found.window.fps, found.window.step) == ("video", frames, fps, frames // 2)
    assert (found.preprocessing.input_width, found.preprocessing.input_height) == (size, size)
    assert len(found.labels) == 400
    assert "making pizza" in found.labels


def test_pooling_sums_probabilities_and_maximises_sigmoids(spec, tmp_path):
    torch.jit.script(ColourModel()).save(str(tmp_path / "w.pt"))
    outputs = np.array([[0.2, 0.5, 0.1, 0.2]], np.float32)
    wanted = [("red", "green"), ("grey",)]
    for activation, expected in (("softmax", [0.7, 0.2]), ("sigmoid", [0.5, 0.2])):
        path = spec(None, architecture="torchscript", activation=activation)
        classifier = loading.load(LoadSettings(resolve(path), "cpu", trust_checkpoint=True))
        said = classifier.respond(outputs, wanted)
        np.testing.assert_allclose(said.responses, [expected])
        assert said.top_labels == ("green",)
        np.testing.assert_allclose(classifier.respond(outputs, wanted, any_label=True).responses, [[0.5, 0.5]])


def test_prompts_need_a_place_for_the_action():
    with pytest.raises(ValueError, match=r"has no \{\}"):
        Prompts(templates=("a photo",))
    with pytest.raises(ValueError, match="background"):
        Prompts(background=())


def test_fetched_weights_are_kept_once_per_content(monkeypatch, tmp_path):
    monkeypatch.setenv("CLIPSCOUT_CACHE", str(tmp_path))
    assert weight_files.cache_folder() == tmp_path
    monkeypatch.delenv("CLIPSCOUT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weight_files.cache_folder() == tmp_path / "clipscout"
    (tmp_path / "w").write_bytes(b"one")
    assert weight_files.digest(str(tmp_path / "w")) == f"sha256:{hashlib.sha256(b'one').hexdigest()}"
    (tmp_path / "w").write_bytes(b"three")
    assert weight_files.digest(str(tmp_path / "w")) == f"sha256:{hashlib.sha256(b'three').hexdigest()}"


def test_a_fingerprint_follows_the_content_of_the_weights_and_not_their_place(spec, state, tmp_path):
    before = resolve(spec()).fingerprint()
    os.rename(tmp_path / "w.pt", tmp_path / "moved.pt")
    assert resolve(spec(None, weights="moved.pt")).fingerprint() == before
    torch.save({**state, "classifier.3.bias": state["classifier.3.bias"] + 1}, tmp_path / "moved.pt")
    assert resolve(spec(None, weights="moved.pt")).fingerprint() != before


def test_first_line_is_short():
    assert len(architectures.first_line(ValueError("x" * 10_000))) == 400
    assert architectures.first_line(ValueError("loading:\n\tsize mismatch")) == "loading: size mismatch"
    assert specs.LoadSettings.__dataclass_fields__["trust_checkpoint"].default is False
