"""Specs of torchvision's image and video classification models, with its own weights."""

from typing import Any

from clipscout.transforms.core.classifiers.specs import ClassifierSpec, Preprocessing, SpecError, Window, closest_of

#: What torchvision's video models were trained on, as their documentation says: frames, and frames per second.
_WINDOWS = {"mvit": (16, 7.5), "s3d": (128, 15.0), "swin3d": (32, 15.0)}
_DEFAULT_WINDOW = (16, 15.0)


def spec_of(name: str) -> ClassifierSpec:
    """Returns the spec of `torchvision:NAME[:WEIGHTS]`.

    Raises:
      SpecError: There is no such model, or it has no such weights.
    """
    from torchvision import models

    _, architecture, *member = name.split(":")
    is_video = architecture in models.list_models(module=models.video)
    known = models.list_models(module=models)
    if not is_video and architecture not in known:
        closest = closest_of(architecture, [*known, *models.list_models(module=models.video)])
        raise SpecError(f"torchvision has no image or video classification model {architecture!r}; {closest}")
    members = models.get_model_weights(architecture)
    try:
        weights = members[member[0]] if member else members.DEFAULT
    except KeyError:
        names = ", ".join(members.__members__)
        raise SpecError(f"{architecture} has no weights {member[0]!r}; it has {names}") from None
    return ClassifierSpec(
        name,
        f"torchvision:{architecture}",
        f"enum:{weights.name}",
        tuple(weights.meta["categories"]),
        _of_preset(weights.transforms()),
        window=video_window(architecture) if is_video else None,
    )


def _of_preset(preset: Any) -> Preprocessing:
    """Turns torchvision's preset of transforms into ours."""
    height, width = (preset.crop_size * 2)[:2]
    common = {"mean": tuple(preset.mean), "std": tuple(preset.std), "interpolation": preset.interpolation.value}
    if len(preset.resize_size) == 2:
        tall, wide = preset.resize_size
        return Preprocessing("crop", width, height, 0, resize_width=wide, resize_height=tall, **common)
    return Preprocessing("crop", width, height, max(height, width, preset.resize_size[0]), **common)


def video_window(architecture: str) -> Window:
    """Returns the window of a torchvision video model, half of it from one to the next."""
    frames, fps = _WINDOWS.get(architecture.partition("_")[0], _DEFAULT_WINDOW)
    return Window(frames, fps, frames // 2)
