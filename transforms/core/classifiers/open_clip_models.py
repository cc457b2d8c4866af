"""Specs of open_clip's models: known by name, from a hub, or configured by a file."""

from typing import Any

from clipscout.transforms.core import tally
from clipscout.transforms.core.classifiers.specs import ClassifierSpec, Preprocessing, Prompts, SpecError, closest_of
from clipscout.transforms.core.classifiers.weight_files import cache_folder
from clipscout.transforms.core.storage import filesystem, naming


def spec_of(name: str, prompts: Prompts) -> ClassifierSpec:
    """Returns the spec of `open_clip:MODEL[:PRETRAINED_OR_PATH]`.

    Raises:
      SpecError: open_clip is not installed, or knows no such model or weights.
    """
    model, weights = _split(name.removeprefix("open_clip:"))
    config = config_of(model)
    tagged = _tagged(model, weights)
    return ClassifierSpec(
        name,
        f"open_clip:{model}",
        weights if tagged is None else f"tag:{tagged[0]}",
        (),
        preprocessing_of(config, tagged[1] if tagged else {}),
        prompts=prompts,
    )


def _split(text: str) -> tuple[str, str]:
    """Splits MODEL[:PRETRAINED_OR_PATH]; a model of a hub holds its weights itself."""
    if text.startswith("hf-hub:"):
        return text, ""
    if text.startswith("local-dir:"):  # its weights have no name that a fingerprint could follow
        raise SpecError(f"open_clip:{text}: name the files instead: open_clip:CONFIG.json:WEIGHTS")
    scheme, rest = ("gs://", text.removeprefix("gs://")) if text.startswith("gs://") else ("", text)
    model, _, weights = rest.partition(":")
    return scheme + model, weights


def _tagged(model: str, weights: str) -> tuple[str, dict[str, Any]] | None:
    """Returns the tag of published weights, with open_clip's settings for them; None for weights of the user's own."""
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
        filesystem.size_and_digest(weights)
    except filesystem.StorageError as error:
        known = f" (published: {', '.join(tags)})" if tags else ""
        raise SpecError(f"open_clip:{model}: weights: {error}{known}") from error
    return None


def config_of(model: str) -> dict[str, Any]:
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
        raise SpecError(f"open_clip has no model {model!r}; {closest_of(model, open_clip.list_models())}")
    return config


def registered(model: str) -> str:
    """Returns a name that open_clip knows: a .json file is registered under a name of its own."""
    if not model.endswith(".json"):
        return model
    import open_clip

    content = filesystem.read_bytes(model)
    name = f"clipscout-{naming.digest(content.decode(errors='replace'), 12)}"
    if name not in open_clip.list_models():
        path = cache_folder() / "open_clip" / f"{name}.json"
        filesystem.write_bytes(str(path), content)
        open_clip.add_model_config(path)
    return name


def preprocessing_of(config: dict[str, Any], published: dict[str, Any]) -> Preprocessing:
    """Returns what open_clip's own transform does for a model, given its settings for the published weights."""
    from open_clip.transform import PreprocessCfg, merge_preprocess_dict

    preset: dict[str, Any] = merge_preprocess_dict(PreprocessCfg(), {**config.get("preprocess_cfg", {}), **published})
    size = config.get("vision_cfg", {}).get("image_size", preset["size"])
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    mode = {"shortest": "crop", "squash": "squash"}.get(preset["resize_mode"])
    if mode is None:
        raise SpecError(f"open_clip's resize mode {preset['resize_mode']!r} is not supported")
    side = max(height, width) if mode == "crop" else 0
    mean, std = tuple(preset["mean"]), tuple(preset["std"])
    return Preprocessing(mode, width, height, side, mean, std, preset["interpolation"])
