"""Weights on any storage as local files: fetched once per machine, and checked."""

import hashlib
import os
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from filelock import FileLock

from clipscout.transforms.core import tally
from clipscout.transforms.core.storage import filesystem, naming


def cache_folder() -> Path:
    """Returns where fetched weights are kept: `CLIPSCOUT_CACHE`, else `clipscout` in the user's cache folder."""
    chosen = os.environ.get("CLIPSCOUT_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clipscout"


def local_path(uri: str) -> str:
    """Returns a local file with the content of `uri`: itself, or one in the cache, fetched by one process for all.

    Args:
      uri: A path, a gs:// URI, or `package:NAME/FILE`.

    Raises:
      StorageError: It cannot be read.
    """
    if uri.startswith("package:"):
        return _in_package(uri)
    if not filesystem.is_remote(uri):
        return uri
    size, content = filesystem.size_and_digest(uri)
    folder = cache_folder() / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{naming.digest(f'{uri} {content}', 20)}{Path(uri).suffix}"
    with tally.doing(f"fetching {uri}"), FileLock(f"{target}.lock"):
        if not target.exists() or target.stat().st_size != size:
            with filesystem.local_copy(uri, str(folder)) as fetched:  # checked against the stored checksum
                os.replace(fetched, target)
    return str(target)


def _in_package(uri: str) -> str:
    """Returns where an installed package lies here; the worker's place is another than the launcher's."""
    package, _, name = uri.removeprefix("package:").partition("/")
    found = find_spec(package)
    if found is None or found.origin is None:
        raise filesystem.StorageError(f"{uri}: the package {package} is not installed", "not_found")
    return str(Path(found.origin).parent / name)


def digest(uri: str) -> str:
    """Returns `sha256:...` of a weights file, wherever it lies.

    Raises:
      StorageError: It cannot be read.
    """
    path = local_path(uri)
    try:
        status = os.stat(path)
    except OSError:
        return filesystem.size_and_digest(path)[1]  # says what is wrong with it
    return _digest(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=16)
def _digest(path: str, _size: int, _changed: int) -> str:
    with open(path, "rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
