"""Files on local disk and in Google Cloud Storage, read and written whole.

A local file is written under a temporary name and moved; an object is put in one request with its checksum. So nothing
half-written is ever visible under its final name.
"""

import hashlib
import os
import posixpath
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

_BLOCK_BYTES = 1 << 20


class StorageError(Exception):
    """A file could not be read or written. `code` is the failure code that fits."""

    def __init__(self, message: str, code: str = "storage_error") -> None:
        super().__init__(message)
        self.code = code


def is_remote(uri: str) -> bool:
    """Tells whether the URI names an object in Google Cloud Storage."""
    return uri.startswith("gs://")


def join(folder: str, *parts: str) -> str:
    """Joins relative parts to a local folder or a gs:// prefix."""
    return posixpath.join(folder, *parts) if is_remote(folder) else os.path.join(folder, *parts)


def resolve(output: str, uri: str) -> str:
    """Returns where a manifest's path lies: relative ones are relative to the output folder."""
    return uri if is_remote(uri) or os.path.isabs(uri) else join(output, uri)


@lru_cache(maxsize=1)
def _client() -> Any:
    from google.cloud import storage

    return storage.Client(project=os.environ.get("GOOGLE_CLOUD_PROJECT", "clipscout"))


def _blob(uri: str) -> Any:
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    return _client().bucket(bucket).blob(name)


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Turns every library's errors into StorageError with a code."""
    from google.api_core import exceptions as api
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

    try:
        yield
    except (FileNotFoundError, api.NotFound) as error:
        raise StorageError(f"{uri}: does not exist", "not_found") from error
    except (PermissionError, api.Forbidden, api.Unauthorized) as error:
        raise StorageError(f"{uri}: no permission", "permission_denied") from error
    except IsADirectoryError as error:
        raise StorageError(f"{uri}: is a folder", "not_found") from error
    except (OSError, api.GoogleAPIError, GoogleAuthError, DataCorruption, InvalidResponse) as error:
        raise StorageError(f"{uri}: {error}") from error


def exists(uri: str) -> bool:
    """Tells whether a file (not a folder) exists."""
    if not is_remote(uri):
        return os.path.isfile(uri)
    with _explained(uri):
        return bool(_blob(uri).exists())


def size(uri: str) -> int | None:
    """Returns a file's size in bytes, or None where there is no such file."""
    if not is_remote(uri):
        return os.path.getsize(uri) if os.path.isfile(uri) else None
    with _explained(uri):
        bucket, _, name = uri.removeprefix("gs://").partition("/")
        blob = _client().bucket(bucket).get_blob(name)
        return int(blob.size) if blob is not None else None


def read_bytes(uri: str) -> bytes:
    """Returns the whole content of a file.

    Raises:
      StorageError: It does not exist, may not be read, or the storage failed.
    """
    if not is_remote(uri):
        with _explained(uri), open(uri, "rb") as file:
            return file.read()
    with _explained(uri):
        return bytes(_blob(uri).download_as_bytes())


def write_bytes(uri: str, data: bytes) -> None:
    """Writes a whole file; it appears complete or not at all."""
    if not is_remote(uri):
        with _explained(uri), _replacing(uri) as file:
            file.write(data)
        return
    with _explained(uri):
        _blob(uri).upload_from_string(data, content_type="application/octet-stream", checksum="crc32c")


def move_in(local: str, uri: str) -> None:
    """Brings a finished local file to its final name, on whichever storage; the local file is gone after."""
    if not is_remote(uri):
        with _explained(uri):
            os.makedirs(os.path.dirname(uri) or ".", exist_ok=True)
            try:
                os.replace(local, uri)
            except OSError:  # another filesystem
                with open(local, "rb") as source, _replacing(uri) as target:
                    shutil.copyfileobj(source, target, _BLOCK_BYTES)
                os.unlink(local)
        return
    with _explained(uri):
        _blob(uri).upload_from_filename(local, checksum="crc32c")
        os.unlink(local)


def delete(uri: str) -> None:
    """Deletes a file; one that is not there is no error."""
    try:
        with _explained(uri):
            _blob(uri).delete() if is_remote(uri) else os.unlink(uri)
    except StorageError as error:
        if error.code != "not_found":
            raise


def list_files(folder: str, prefix: str = "") -> list[str]:
    """Returns the sorted relative names of all files below `folder` that start with `prefix`."""
    if is_remote(folder):
        bucket, _, path = folder.removeprefix("gs://").partition("/")
        base = path.rstrip("/") + "/" if path else ""
        with _explained(folder):
            blobs = _client().list_blobs(bucket, prefix=base + prefix)
            return sorted(blob.name[len(base) :] for blob in blobs if not blob.name.endswith("/"))
    root = Path(folder, os.path.dirname(prefix))
    found = (path.relative_to(folder).as_posix() for path in root.rglob("*") if path.is_file())
    return sorted(name for name in found if name.startswith(prefix))


@contextmanager
def local_copy(uri: str, scratch: str | None = None) -> Iterator[str]:
    """Gives a local path to read the file from: itself, or a download that is removed afterwards."""
    if not is_remote(uri):
        yield uri
        return
    with tempfile.TemporaryDirectory(prefix="clipscout-", dir=scratch) as folder:
        path = os.path.join(folder, "file")
        with _explained(uri):
            _blob(uri).download_to_filename(path, checksum="crc32c")
        yield path


def facts(uri: str) -> tuple[int, str]:
    """Returns size in bytes and content digest: SHA-256 of a local file, the stored CRC32C of an object."""
    if is_remote(uri):
        with _explained(uri):
            blob = _blob(uri)
            blob.reload()
            return int(blob.size), f"crc32c:{blob.crc32c}"
    with _explained(uri), open(uri, "rb") as file:
        return os.fstat(file.fileno()).st_size, f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


@contextmanager
def _replacing(path: str) -> Iterator[IO[bytes]]:
    """Opens a temporary file beside `path` and moves it there once the block ends well."""
    folder = os.path.dirname(path) or "."
    os.makedirs(folder, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".writing-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


@lru_cache(maxsize=1)
def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
