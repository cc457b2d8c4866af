"""From a spec to a torch module with its weights. Every fault becomes one line that names the file and the field."""

import importlib
import logging
import pickle
import warnings
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from clipscout.transforms.core import tally
from clipscout.transforms.core.classifiers import padding, weight_files
from clipscout.transforms.core.classifiers.specs import PROGRAMS, ClassifierSpec, LoadSettings, SpecError
from clipscout.transforms.core.storage import filesystem


def build(settings: LoadSettings) -> nn.Module:
    """Builds the model of a spec with its weights, on the CPU.

    Raises:
      SpecError: The weights cannot be read, differ from the spec's sha256, need code to be run, do not fit the
        architecture, or hold numbers that are not finite.
    """
    with tally.doing(f"loading the classifier {settings.spec.name}"):
        return _build(settings)


def _build(settings: LoadSettings) -> nn.Module:
    spec = settings.spec
    if not spec.has_file:
        return _published(spec)
    path = _checked_path(spec)
    try:
        model = _from_file(spec, path, settings.trust_checkpoint)
    except SpecError:
        raise
    except pickle.UnpicklingError as error:
        raise SpecError(f"{spec.name}: weights {spec.weights}: {_pickle_fault(path, error)}") from error
    except Exception as error:  # torch.load and the libraries raise whatever the damage suggests
        raise SpecError(f"{spec.name}: weights {spec.weights}: {first_line(error)}") from error
    _check_finite(spec, model)
    return model


def first_line(error: BaseException) -> str:
    """Returns what an exception says, in one line of bearable length."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:2]) if lines and lines[0].endswith(":") else (lines or [type(error).__name__])[0]
    return text[:400]


def _checked_path(spec: ClassifierSpec) -> str:
    try:
        path = weight_files.local_path(spec.weights)
        found = weight_files.digest(spec.weights).removeprefix("sha256:") if spec.sha256 else ""
    except filesystem.StorageError as error:
        raise SpecError(f"{spec.name}: weights: {error}") from error
    if found != spec.sha256:
        raise SpecError(f"{spec.name}: sha256: {spec.weights} has {found}, the spec says {spec.sha256}")
    return path


def _published(spec: ClassifierSpec) -> nn.Module:
    """Builds a model whose weights its library fetches, or whose factory brings them."""
    family, _, name = spec.architecture.partition(":")
    logging.disable(logging.ERROR)  # what hubs say of each try comes in the one line of the fault, too
    try:
        if family == "torchvision":
            from torchvision import models

            return models.get_model(name, weights=spec.weights.removeprefix("enum:"))
        if family == "open_clip":
            return _open_clip(name, spec.weights.removeprefix("tag:"), "")
        return _from_factory(name, len(spec.labels))
    except SpecError:
        raise
    except Exception as error:  # a hub that cannot be reached, a factory that fails
        why = f"its weights cannot be fetched ({first_line(error)})" if spec.weights else first_line(error)
        raise SpecError(f"{spec.name}: architecture {spec.architecture}: {why}") from error
    finally:
        logging.disable(logging.NOTSET)


def _from_file(spec: ClassifierSpec, path: str, trusted: bool) -> nn.Module:
    family, _, name = spec.architecture.partition(":")
    if family in PROGRAMS and not trusted:
        raise SpecError(
            f"{spec.name}: architecture {family}: {spec.weights} is a program of its maker's, which may read and write "
            "files when it is loaded or runs; --trust_checkpoint allows it"
        )
    if family == "torchscript":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch announces the retirement of TorchScript to its users
            return torch.jit.load(path, map_location="cpu")
    if family == "torch_export":
        return _exported(path)
    if family == "open_clip":
        return _open_clip(name, None, path, trusted)
    if family == "ar":
        from clipscout.transforms.core.classifiers import ar  # torchvision: seconds, and only where it is needed

        return ar.build(_checkpoint(path, trusted))
    model = _bare(spec, family, name)
    state = _checkpoint(path, trusted)
    for holder in ("state_dict", "model", "model_state_dict"):  # what training scripts wrap it in
        if isinstance(state.get(holder), Mapping):
            state = state[holder]
            break
    # DataParallel's prefix
    model.load_state_dict({str(name).removeprefix("module."): value for name, value in state.items()})
    return padding.folded(model) if family == "lite0" else model


def _checkpoint(path: str, trusted: bool) -> Mapping[str, Any]:
    if path.endswith(".safetensors"):
        from safetensors.torch import load_file

        return load_file(path)
    loaded = torch.load(path, map_location="cpu", weights_only=not trusted)
    if not isinstance(loaded, Mapping):
        raise ValueError(f"it holds a {type(loaded).__name__}, expected a state dict")
    return loaded


def _pickle_fault(path: str, error: Exception) -> str:
    """Tells a file that is damaged from one that wants to run code."""
    if "Weights only load failed" in str(error) and zipfile.is_zipfile(path):
        return "it needs code to be run while it loads, which a checkpoint can abuse; --trust_checkpoint allows it"
    return f"not a checkpoint, or a damaged one ({first_line(error)[:120]})"


def _bare(spec: ClassifierSpec, family: str, name: str) -> nn.Module:
    """Returns a model without its weights."""
    labels = len(spec.labels)
    if family == "lite0":
        from efficientnet_lite_pytorch import EfficientNet

        return EfficientNet.from_name("efficientnet-lite0")
    if family == "module":
        return _from_factory(name, labels)
    if family == "timm":
        try:
            import timm
        except ImportError as error:
            raise SpecError(f"{spec.name}: architecture {spec.architecture}: timm is not installed") from error
        build: Callable[[], nn.Module] = lambda: timm.create_model(name, pretrained=False, num_classes=labels)  # noqa: E731
    else:
        from torchvision import models

        build = lambda: models.get_model(name, weights=None, num_classes=labels)  # noqa: E731
    try:
        return build()
    except (ValueError, RuntimeError) as error:  # an unknown name
        raise SpecError(f"{spec.name}: architecture {spec.architecture}: {first_line(error)}") from error


def _from_factory(name: str, labels: int) -> nn.Module:
    """Calls PACKAGE.MODULE:FACTORY of an installed package with `num_classes`."""
    module, _, function = name.partition(":")
    try:
        factory = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        hint = "; name its folder in PYTHONPATH" if isinstance(error, ModuleNotFoundError) else ""
        raise SpecError(f"architecture module:{name}: {first_line(error)}{hint}") from error
    model = factory(num_classes=labels)
    if not isinstance(model, nn.Module):
        raise SpecError(f"architecture module:{name}: it returned a {type(model).__name__}, expected a torch module")
    return model


class _Exported(nn.Module):
    """An exported program: it was exported for inference, and refuses to be told so."""

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self.program = program

    def train(self, mode: bool = True) -> "_Exported":
        """Changes nothing."""
        return self

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Runs the program."""
        return self.program(pixels)


def _exported(path: str) -> nn.Module:
    logging.getLogger("torch.export").setLevel(logging.ERROR)
    return _Exported(torch.export.load(path).module())


def _open_clip(name: str, tag: str | None, path: str, trusted: bool = False) -> nn.Module:
    import open_clip

    from clipscout.transforms.core.classifiers.open_clip_models import registered

    known = registered(name)
    if not path:
        return open_clip.create_model(known, pretrained=None if tag == "own" else tag, weights_only=True)
    model = open_clip.create_model(known, pretrained=None, load_weights=False, pretrained_text=False)
    open_clip.load_checkpoint(model, path, weights_only=not trusted)
    return model


def _check_finite(spec: ClassifierSpec, model: nn.Module) -> None:
    for name, values in model.state_dict().items():
        if isinstance(values, torch.Tensor) and values.is_floating_point() and not values.isfinite().all():
            raise SpecError(f"{spec.name}: weights {spec.weights}: {name} holds numbers that are not finite")
