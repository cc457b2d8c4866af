"""Checkpoints of the package `ar`: all nine trunks against a plain re-implementation that shares no code."""

import pytest
import torch
from torch import nn
from torchvision import models

from clipscout.transforms.core.classifiers import ar

_CLASSES = 7


class _PlainInception(nn.Module):
    """torchvision's own forward pass up to the pooled features, after the documented change of the input."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        net = self.net
        red = x[:, 0:1] * (0.229 / 0.5) + (0.485 - 0.5) / 0.5
        green = x[:, 1:2] * (0.224 / 0.5) + (0.456 - 0.5) / 0.5
        blue = x[:, 2:3] * (0.225 / 0.5) + (0.406 - 0.5) / 0.5
        x = net.Conv2d_2b_3x3(net.Conv2d_2a_3x3(net.Conv2d_1a_3x3(torch.cat([red, green, blue], 1))))
        x = nn.functional.max_pool2d(x, 3, 2)
        x = nn.functional.max_pool2d(net.Conv2d_4a_3x3(net.Conv2d_3b_1x1(x)), 3, 2)
        for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"):
            x = getattr(net, f"Mixed_{name}")(x)
        return x.mean(dim=(2, 3))


def _plain_features(name, net, x):
    if name.startswith("resnet"):
        x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
        return net.layer4(net.layer3(net.layer2(net.layer1(x)))).mean(dim=(2, 3))
    if name.startswith("densenet"):
        return net.features(x).relu().mean(dim=(2, 3))
    if name == "mobilenet_v2":
        return net.features(x).mean(dim=(2, 3))
    return _PlainInception(net)(x)


def _settle(net):
    """Random statistics for batch norm: with fresh ones an exchanged layer could pass unseen."""
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.7, 1.3)
    return net.eval()


def save_checkpoint(name, path, classes):
    """Writes a checkpoint with random weights; returns the plain implementation of it, pixels to log-probabilities."""
    torch.manual_seed(3)
    options = {"init_weights": False} if name == "inception_v3" else {}
    net = _settle(models.get_model(name, weights=None, **options))
    head = net.classifier[-1] if name == "mobilenet_v2" else getattr(net, "fc", None) or net.classifier
    linear = nn.Linear(head.in_features, classes)
    torch.save(_checkpoint(name, net, linear), path)
    return lambda pixels: linear(_plain_features(name, net, pixels)).log_softmax(dim=-1)


def _checkpoint(name, net, linear):
    """Names the tensors of a torchvision model as the format does: places in a Sequential called `features`."""
    if name.startswith("resnet"):
        places = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool"]
        renamed = {place: f"features.{number}" for number, place in enumerate(places)}
    elif name == "inception_v3":
        places = ["", "Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "-", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "-"]
        places += [f"Mixed_{part}" for part in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")]
        renamed = {place: f"features.{number}" for number, place in enumerate(places) if place}
    else:
        renamed = {"features": "features.0"}
    state = {}
    for key, value in net.state_dict().items():
        first, _, rest = key.partition(".")
        if first in renamed:
            state[f"{renamed[first]}.{rest}"] = value
    state.update({f"classifier.{key}": value for key, value in linear.state_dict().items()})
    config = {"feature_extractor": name, "n_classes": linear.out_features, "pretrained": False}
    return {"config": config, "model": state, "optimizer": {"lr": 0.1}}


@pytest.mark.parametrize("name", ar.TRUNKS)
def test_every_trunk_scores_as_a_plain_implementation(name, tmp_path):
    plain = save_checkpoint(name, tmp_path / "ar.pt", _CLASSES)
    model = ar.build(torch.load(tmp_path / "ar.pt", weights_only=True)).eval()
    pixels = torch.randn(2, 3, 128, 128)
    with torch.inference_mode():
        expected = plain(pixels)
        found = model(pixels)
    assert expected.exp().std() > 1e-3  # the models say something
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("checkpoint", "said"),
    [
        ({}, "holds 'config' and 'model'"),
        ({"config": {"feature_extractor": "vgg", "n_classes": 4}, "model": {}}, "feature_extractor is 'vgg'"),
        ({"config": {"feature_extractor": "resnet18", "n_classes": 0}, "model": {}}, "n_classes is 0"),
        ({"config": {"feature_extractor": "resnet18", "n_classes": "4"}, "model": {}}, "n_classes is '4'"),
    ],
)
def test_what_is_no_checkpoint_is_refused(checkpoint, said):
    with pytest.raises(ValueError, match=said):
        ar.build(checkpoint)
