"""What is said of files that cannot be read or written, on local disk and in Google Cloud Storage."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

_NO_BUCKET = "The specified bucket does not exist"  # in Google's words


#: Instead of a failure code: no item is at fault, the machine has no space left.
DISK_FULL = "disk_full"


class StorageError(Exception):
    """A file could not be read or written. `code` is the failure code that fits."""

    def __init__(self, message: str, code: str = "storage_error") -> None:
        super().__init__(message)
        self.code = code


class DiskFullError(Exception):
    """There is no space left: no item's failure but the machine's. The job ends, and goes on once there is some."""


def disk_full_message(error: BaseException, where: str) -> str:
    """Returns what is to be told where an error says that the disk of a place is full; otherwise nothing."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{where}: {os.strerror(error.errno)}; free some, and the same command goes on"
    return ""


def check_space(error: BaseException, where: str) -> None:
    """Does nothing, unless an error says that a disk is full.

    Raises:
      DiskFullError: It does.
    """
    if message := disk_full_message(error, where):
        raise DiskFullError(message) from error


def is_remote(uri: str) -> bool:
    """Tells whether the URI names an object in Google Cloud Storage."""
    return uri.startswith("gs://")


def _of_local(uri: str, error: OSError) -> StorageError:
    """Returns what is to be told of an error of the file system.

    Raises:
      DiskFullError: The disk is full.
    """
    if isinstance(error, FileNotFoundError):
        return StorageError(f"{uri}: does not exist", "not_found")
    if isinstance(error, PermissionError):
        return StorageError(f"{uri}: no permission", "permission_denied")
    if isinstance(error, IsADirectoryError):
        return StorageError(f"{uri}: is a folder", "not_found")
    check_space(error, uri)
    return StorageError(f"{uri}: {' '.join(str(error).split())}")


@contextmanager
def _local(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _of_local(path, error) from error


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turns every library's errors into StorageError with a code."""
    with explained_by_google(uri) if is_remote(uri) else _local(uri):
        yield


@contextmanager
def explained_by_google(uri: str) -> Iterator[None]:
    """Turns errors of Google's libraries into StorageError with a code."""
    from google.api_core import exceptions as api
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
    from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

    try:
        yield
    except api.NotFound as error:
        what = f"the bucket {uri.split('/')[2]} " if _NO_BUCKET in str(error) else ""
        raise StorageError(f"{uri}: {what}does not exist", "not_found") from error
    except (api.Forbidden, api.Unauthorized) as error:
        raise StorageError(f"{uri}: no permission", "permission_denied") from error
    except (OSError, api.GoogleAPIError, GoogleAuthError, DataCorruption, InvalidResponse) as error:
        check_space(error, uri)
        remedy = "; try gcloud auth application-default login" if isinstance(error, DefaultCredentialsError) else ""
        raise StorageError(f"{uri}: {' '.join(str(error).split())}{remedy}") from error
