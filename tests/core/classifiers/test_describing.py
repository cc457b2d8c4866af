"""What the last layer of a classifier sees, of every kind; and what has none."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision import models

from clipscout.transforms.core.classifiers import loading
from clipscout.transforms.core.classifiers.architectures import build
from clipscout.transforms.core.classifiers.resolve import resolve
from clipscout.transforms.core.classifiers.specs import ClassifierSpec, LoadSettings, Preprocessing, SpecError, Window

PREPROCESSING = Preprocessing("squash", 64, 64, 0, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
LABELS = ("a", "b", "c", "d", "e")


def spec_of(folder, architecture, model, window=None):
    torch.save(model.state_dict(), folder / "w.pt")
    return ClassifierSpec("mine", architecture, str(folder / "w.pt"), LABELS, PREPROCESSING, window=window)


def pixels_of(frames):
    mean, std = (torch.tensor(one) for one in (PREPROCESSING.mean, PREPROCESSING.std))
    return ((torch.from_numpy(frames) / 255 - mean) / std).movedim(-1, 1).float()


def described(spec, frames, **how):
    try:
        return loading.load(LoadSettings(replace(spec, describes=True), **how)).outputs(frames)
    finally:
        loading.forget()


def frames_of(count, *more):
    return np.random.default_rng(0).integers(0, 256, (count, *more, 64, 64, 3), np.uint8)


def resnet(pixels, model):
    return model.avgpool(torch.nn.Sequential(*list(model.children())[:-2])(pixels)).flatten(1)


def densenet(pixels, model):
    return torch.relu(model.features(pixels)).mean(dim=(2, 3))


def squeezenet(pixels, model):
    return model.features(pixels).mean(dim=(2, 3))


def mobilenet(pixels, model):
    return model.classifier[:3](model.features(pixels).mean(dim=(2, 3)))


@pytest.mark.parametrize("engine", ["torch", "openvino"])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet18", resnet),
        ("densenet121", densenet),
        ("squeezenet1_1", squeezenet),
        ("mobilenet_v3_small", mobilenet),
    ],
)
def test_a_feature_is_what_the_last_layer_sees(tmp_path, name, expected, engine):
    torch.manual_seed(0)
    model = models.get_model(name, num_classes=len(LABELS)).eval()
    frames = frames_of(3)
    found = described(spec_of(tmp_path, f"torchvision:{name}", model), frames, engine=engine)
    with torch.inference_mode():
        np.testing.assert_allclose(found, expected(pixels_of(frames), model).numpy(), rtol=1e-3, atol=1e-3)


def test_a_video_model_describes_windows(tmp_path):
    torch.manual_seed(0)
    model = models.video.r3d_18(num_classes=len(LABELS)).eval()
    frames = frames_of(2, 4)
    found = described(spec_of(tmp_path, "torchvision:r3d_18", model, Window(4, 8.0, 4)), frames)
    assert found.shape == (2, 512)
    with torch.inference_mode():
        seen = torch.nn.Sequential(*list(model.children())[:-1])(pixels_of(frames)).flatten(1)
    np.testing.assert_allclose(found, seen.numpy(), rtol=1e-3, atol=1e-3)


def test_lite0_has_features_of_its_own_fingerprint():
    spec = resolve("lite0")
    assert described(spec, np.zeros((2, 224, 224, 3), np.uint8)).shape == (2, 1280)
    assert replace(spec, describes=True).fingerprint() != spec.fingerprint()


def test_a_model_that_cannot_be_frozen_describes_too(tmp_path, monkeypatch):
    torch.manual_seed(0)
    model = models.resnet18(num_classes=len(LABELS)).eval()
    monkeypatch.setattr(torch.jit, "freeze", lambda *_: (_ for _ in ()).throw(RuntimeError("not today")))
    frames = frames_of(9)
    found = described(spec_of(tmp_path, "torchvision:resnet18", model), frames, engine="torch", threads=4)
    with torch.inference_mode():
        np.testing.assert_allclose(found, resnet(pixels_of(frames), model).numpy(), rtol=1e-3, atol=1e-3)


def test_a_model_without_a_last_layer_says_so(colour_spec):
    with pytest.raises(SpecError, match="no layer of it gives its scores"):
        described(resolve(colour_spec), frames_of(1))


def test_the_scores_are_those_of_before():
    spec = resolve("lite0")
    assert "describes" not in str(build(LoadSettings(spec)))
    assert spec.fingerprint() == replace(spec, describes=False).fingerprint()
