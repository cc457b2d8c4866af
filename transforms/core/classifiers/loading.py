"""From a rule to a classifier that scores: loaded once per process, with what it keeps of torch's settings."""

import ctypes
import logging
import threading
from dataclasses import replace
from functools import lru_cache

import torch

from clipscout.transforms.core.classifiers import architectures
from clipscout.transforms.core.classifiers.classifier import Classifier
from clipscout.transforms.core.classifiers.specs import LoadSettings
from clipscout.transforms.core.classifiers.torch_engine import gpu_versions, resolve_device
from clipscout.transforms.core.classifiers.zero_shot import ZeroShotClassifier

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # malloc.h
_KEPT_BYTES = 1 << 30


def as_here(settings: LoadSettings) -> LoadSettings:
    """Returns a rule for a machine that need not have the GPU that it asks for; where there is one, the rule itself."""
    if settings.device != "cuda" or torch.cuda.is_available():
        return settings
    return replace(settings, device="cpu", precision="fp32")


_LOADING = threading.Lock()


def load(settings: LoadSettings) -> Classifier:
    """Loads a classifier; a process holds two, that of the scores, which preflight and the job share, and of features.

    Raises:
      SpecError: The weights cannot be read, do not fit the architecture, or give another number of scores.
    """
    with _LOADING:  # of several threads that want the same one loads it
        return _loaded(settings)


def forget() -> None:
    """Forgets what is loaded: who holds a classifier keeps it."""
    _loaded.cache_clear()


@lru_cache(maxsize=2)
def _loaded(settings: LoadSettings) -> Classifier:
    if resolve_device(settings.device) == "cpu":
        torch.set_num_threads(1)
        _keep_freed_memory()
    else:  # for the logs of workers that nobody can look into
        logging.getLogger(__name__).info("scoring on %s: %s", torch.cuda.get_device_name(), gpu_versions())
    model = architectures.build(settings)
    if settings.spec.prompts is None:
        return Classifier(model, settings)
    return ZeroShotClassifier(model, settings)


def _keep_freed_memory() -> None:
    """Makes glibc reuse the activations' memory: mapped anew for each batch it costs a tenth to a fifth of the time."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
