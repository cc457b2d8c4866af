"""Child task: the digest of a local file, in the supervised child because a file may be slow or never answer."""

import hashlib
from collections.abc import Iterator
from typing import Any

from clipscout.transforms.core.child.protocol import Item, TaskError
from clipscout.transforms.core.storage import filesystem

_BLOCK_BYTES = 16 << 20


def digest(request: dict[str, Any]) -> Iterator[Item]:
    """Child task: yields `{}` now and then as a sign of life, and last what the file holds.

    Args:
      request: `path`.

    Yields:
      `{"size_bytes", "content"}`, the digest as `sha256:...`.

    Raises:
      TaskError: With the code of the storage's failure; a file that grows without end is one too.
    """
    path, found = request["path"], hashlib.sha256()
    try:
        left = size = filesystem.stamp(path)[0]
        with filesystem.opened(path) as file:
            while block := file.read(_BLOCK_BYTES):
                found.update(block)
                left -= len(block)
                if left < 0:
                    raise TaskError("storage_error", f"{path}: grows while it is read")
                yield {}, None
    except filesystem.StorageError as error:
        raise TaskError(error.code, str(error)) from error
    yield {"size_bytes": size - left, "content": f"sha256:{found.hexdigest()}"}, None
