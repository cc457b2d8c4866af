"""Google Cloud Storage as this process sees it: patient calls, whose errors are explained."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import IO, Any

from clipscout.transforms.core import tally
from clipscout.transforms.core.storage.errors import StorageError, explained

_PATIENCE_SECONDS = 120.0
_SHORT_PATIENCE_SECONDS = 15.0
#: Of one request: to connect, and between two parts of an answer; the first pair while the storage does not answer.
_SHORT_TIMEOUT, _TIMEOUT = (5.0, 10.0), (10.0, 60.0)
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.5, 20.0


class _Cloud:
    """Google's storage, as this process sees it.

    Attributes:
      client: The client.
      answers: Whether the last call was answered in time.
    """

    def __init__(self) -> None:
        from google.cloud import storage

        # else each process asks for the bucket's own facts, in a thread and with a permission that no job needs
        os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
        self.client = storage.Client(project=os.environ.get("GOOGLE_CLOUD_PROJECT", "clipscout"))
        self.answers = False

    def patience(self) -> dict[str, Any]:
        """Returns `retry` and `timeout` of a call: two minutes, and 15 seconds while the storage does not answer.

        A job without a network has to say so soon, and an outage must not cost two minutes per file.
        """
        from google.cloud.storage.retry import DEFAULT_RETRY

        seconds = _PATIENCE_SECONDS if self.answers else _SHORT_PATIENCE_SECONDS
        retry = DEFAULT_RETRY.with_timeout(seconds).with_delay(_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS)
        return {"retry": retry, "timeout": _TIMEOUT if self.answers else _SHORT_TIMEOUT}


@lru_cache(maxsize=1)
def _cloud() -> _Cloud:
    return _Cloud()


@contextmanager
def bucket_of(uri: str) -> Iterator[tuple[Any, str, dict[str, Any]]]:
    """Gives a URI's bucket, the name in it and a call's `retry` and `timeout`, and turns errors into StorageError."""
    from google.api_core.exceptions import RetryError

    bucket, _, name = uri.removeprefix("gs://").partition("/")
    with explained(uri):
        cloud = _cloud()
        try:
            name.encode()
            opened = cloud.client.bucket(bucket)
        except (ValueError, IndexError):  # the latter for a bucket without a name
            raise StorageError(f"{uri!r}: no object can have this name", "not_found") from None
        try:
            with tally.doing(f"waiting for gs://{bucket}"):
                yield opened, name, cloud.patience()
        except RetryError:
            cloud.answers = False
            raise
        cloud.answers = True


@contextmanager
def object_at(uri: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Gives the object of a URI, which need not exist, and a call's `retry` and `timeout`; see `bucket_of`."""
    with bucket_of(uri) as (bucket, name, patience):
        if not name:
            raise StorageError(f"{uri}: names a bucket, not an object", "not_found")
        yield bucket.blob(name), patience


def download(uri: str, file: IO[bytes]) -> None:
    """Reads an object into a file; after a fault from the start: the client checks no download that it resumed."""
    with object_at(uri) as (blob, patience):

        def read() -> None:
            file.seek(0)
            file.truncate()
            blob.download_to_file(file, checksum="crc32c", retry=None, timeout=patience["timeout"])

        patience["retry"](read)()
