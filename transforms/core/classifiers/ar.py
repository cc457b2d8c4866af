"""Checkpoints of the package `ar` (activity-recognition), the one that the reference notebook loads.

A checkpoint is a dict with `config` (feature_extractor, n_classes) and `model` (a state dict); what else is in it
belongs to the optimizer. The module is features -> flatten -> dropout -> linear -> log_softmax.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torchvision import models

_RESNET = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool")
_INCEPTION = (
    *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "pool", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "pool"),
    *("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    *("Mixed_7a", "Mixed_7b", "Mixed_7c"),
)
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TRUNKS = (
    *("resnet18", "resnet50", "resnet101", "densenet121", "densenet161", "densenet169", "densenet201"),
    *("mobilenet_v2", "inception_v3"),
)


class _InceptionInput(nn.Module):
    """From ImageNet's normalisation to the one that Inception was trained on: x * (s / 0.5) + (m - 0.5) / 0.5."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = [deviation / 0.5 for deviation in _IMAGENET_STD]
        self.shift = [(mean - 0.5) / 0.5 for mean in _IMAGENET_MEAN]

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Takes and returns float[n, 3, h, w]."""
        channels = [
            pixels[:, channel : channel + 1] * self.scale[channel] + self.shift[channel] for channel in range(3)
        ]
        return torch.cat(channels, dim=1)


class ArModel(nn.Module):
    """Trunk and linear layer of a checkpoint; gives log-probabilities."""

    def __init__(self, trunk: str, classes: int) -> None:
        super().__init__()
        self.features, inputs = _trunk(trunk)
        self.dropout = nn.Dropout(0.5)
        self.classifier = nn.Linear(inputs, classes)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Takes float[n, 3, h, w], returns float[n, classes]."""
        features = self.features(pixels).flatten(1)
        return self.classifier(self.dropout(features)).log_softmax(dim=-1)


def _trunk(name: str) -> tuple[nn.Sequential, int]:
    """Returns the features of a trunk, and how many numbers they give."""
    options: dict[str, Any] = {"init_weights": False} if name == "inception_v3" else {}
    model: Any = models.get_model(name, weights=None, **options)
    pool = nn.AdaptiveAvgPool2d((1, 1))
    if name.startswith("resnet"):
        return nn.Sequential(*(getattr(model, part) for part in _RESNET)), model.fc.in_features
    if name.startswith("densenet"):
        return nn.Sequential(model.features, nn.ReLU(), pool), model.classifier.in_features
    if name == "mobilenet_v2":
        return nn.Sequential(model.features, pool), model.last_channel
    parts = [nn.MaxPool2d(3, 2) if part == "pool" else getattr(model, part) for part in _INCEPTION]
    return nn.Sequential(_InceptionInput(), *parts, pool), model.fc.in_features


def build(checkpoint: Mapping[str, Any]) -> ArModel:
    """Builds the model of a loaded checkpoint.

    Args:
      checkpoint: With `config` and `model`.

    Raises:
      ValueError: It is none, or its weights do not fit its configuration.
    """
    config, state = checkpoint.get("config"), checkpoint.get("model")
    if not isinstance(config, Mapping) or not isinstance(state, Mapping):
        raise ValueError("an ar checkpoint holds 'config' and 'model', and this one does not")
    trunk, classes = config.get("feature_extractor"), config.get("n_classes")
    if trunk not in TRUNKS:
        raise ValueError(f"config.feature_extractor is {trunk!r}, expected one of {', '.join(TRUNKS)}")
    if not isinstance(classes, int) or not 1 <= classes <= 1_000_000:
        raise ValueError(f"config.n_classes is {classes!r}, expected the number of labels")
    model = ArModel(trunk, classes)
    model.load_state_dict(dict(state))
    return model
