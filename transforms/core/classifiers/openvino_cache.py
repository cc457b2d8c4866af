"""Converted models on this machine's disk: what was converted and compared with torch once is not again."""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from clipscout.transforms.core.classifiers import openvino_engine, weight_files
from clipscout.transforms.core.classifiers.specs import LoadSettings
from clipscout.transforms.core.storage import kept, naming

if TYPE_CHECKING:
    import openvino

_MODEL, _WEIGHTS, _DIGESTS = "model.xml", "model.bin", "digests.json"
#: Other versions of these may build or convert a model otherwise.
_MAKERS = ("openvino", "torch", "torchvision", "timm", "open_clip_torch", "efficientnet-lite-pytorch")
_log = logging.getLogger(__name__)
_log.setLevel(logging.WARNING)  # also where others are to be silent


def read(settings: LoadSettings) -> "openvino.Model | None":
    """Returns the model that was kept for a classifier; None where there is none. A damaged one is removed."""
    folder = _folder(settings)
    if folder is None or not folder.exists():
        return None
    try:
        digests = json.loads((folder / _DIGESTS).read_bytes())
        if digests != _digests(folder):
            raise ValueError("its files are not those that were written")
        return openvino_engine.runtime().Core().read_model(folder / _MODEL)
    except (OSError, RuntimeError, *kept.DAMAGE) as error:
        _log.warning("%s cannot be used, and is made anew: %s", folder, " ".join(str(error).split())[:200])
        shutil.rmtree(folder, ignore_errors=True)
        return None


def write(model: "openvino.Model", settings: LoadSettings) -> None:
    """Keeps a model; where it cannot be kept one line says so."""
    folder = _folder(settings)
    if folder is None:
        return
    made = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
        ov = openvino_engine.runtime()
        ov.save_model(model, made / _MODEL, compress_to_fp16=False)
        ov.Core().read_model(made / _MODEL)  # what a full disk cut off is noticed
        (made / _DIGESTS).write_text(json.dumps(_digests(made)))
        os.rename(made, folder)
    except (OSError, RuntimeError) as error:
        if not folder.exists():  # else another process was first
            why = " ".join(str(error).split())[:200]
            _log.warning("the converted classifier cannot be kept in %s: %s", folder.parent, why)
    finally:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)


def _folder(settings: LoadSettings) -> Path | None:
    """Returns where a classifier's model is kept; None for one whose code may change while its weights stay."""
    spec = settings.spec
    if spec.architecture.startswith("module:"):
        return None
    shaping = [spec.fingerprint(), settings.precision, *map(_version, _MAKERS)]
    return weight_files.cache_folder() / "openvino" / naming.digest(json.dumps(shaping), 20)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _digests(folder: Path) -> dict[str, str]:
    digests = {}
    for name in (_MODEL, _WEIGHTS):
        with open(folder / name, "rb") as file:
            digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests
