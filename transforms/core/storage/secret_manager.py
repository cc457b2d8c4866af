"""Secrets of Google's Secret Manager, by their names: cookies and proxies that lie in no file."""

import os
import re

from clipscout.transforms.core.storage import filesystem
from clipscout.transforms.core.storage.errors import StorageError, explained_by_google

_NAME = re.compile(r"projects/[^/\s]+/secrets/[\w-]+/versions/[\w-]+")
#: Names a stand-in of the service, HOST:PORT without TLS, as STORAGE_EMULATOR_HOST does for gs://.
_STAND_IN = "CLIPSCOUT_SECRET_MANAGER"
_TIMEOUT_SECONDS = 30.0


def is_secret(text: str) -> bool:
    """Tells whether a text is the name of a secret's version: `projects/P/secrets/S/versions/latest`."""
    return _NAME.fullmatch(text) is not None


def content(place: str) -> bytes:
    """Returns what a secret holds, or a file, local or on gs://.

    Raises:
      StorageError: It does not exist, may not be read, or the service failed.
    """
    return _secret(place) if is_secret(place) else filesystem.read_bytes(place)


def _secret(name: str) -> bytes:
    from google.cloud import secretmanager
    from google.cloud.secretmanager_v1.services.secret_manager_service import transports

    with explained_by_google(name):
        if stand_in := os.environ.get(_STAND_IN):
            import grpc

            channel = grpc.insecure_channel(stand_in)
            transport = transports.SecretManagerServiceGrpcTransport(channel=channel)
            client = secretmanager.SecretManagerServiceClient(transport=transport)
        else:
            client = secretmanager.SecretManagerServiceClient()
        with client:
            payload = client.access_secret_version(name=name, timeout=_TIMEOUT_SECONDS).payload
    from google_crc32c import value

    if payload.data_crc32c and payload.data_crc32c != value(payload.data):
        raise StorageError(f"{name}: what came is damaged")
    return payload.data
