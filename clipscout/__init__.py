"""Clipscout mines candidate clips for video action datasets, as the Kinetics datasets were collected.

    import clipscout

    results = clipscout.mine([{"action": "riding a bike", "path": "videos/*.mp4"}], "out", classifier="lite0")
    results.spans.to_pandas()

`mine`, `Results`, `show`, `labels`, `Job`, `Mine`, `OptionsError`, `JobError` and `StorageError` are described in
docs/api.md. They are imported when they are asked for, so that `import clipscout` takes no time.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clipscout.pipeline.api import JobError, OptionsError, labels, mine
    from clipscout.pipeline.results import Results, show
    from clipscout.pipeline.within import Job, Mine
    from clipscout.transforms.core.storage.errors import StorageError

__version__ = "0.1.0"
__all__ = [
    "Job",
    "JobError",
    "Mine",
    "OptionsError",
    "Results",
    "StorageError",
    "__version__",
    "labels",
    "mine",
    "show",
]

_PLACES = {
    **dict.fromkeys(("mine", "labels", "OptionsError", "JobError"), "clipscout.pipeline.api"),
    **dict.fromkeys(("Job", "Mine"), "clipscout.pipeline.within"),
    **dict.fromkeys(("Results", "show"), "clipscout.pipeline.results"),
    "StorageError": "clipscout.transforms.core.storage.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
