"""Secrets by name: the real client of Google's Secret Manager, asking a stand-in of the service."""

from concurrent import futures

import google_crc32c
import grpc
import pytest
from google.cloud.secretmanager_v1 import types

from clipscout.transforms.core.storage import secret_manager
from clipscout.transforms.core.storage.errors import StorageError
from clipscout.transforms.core.web import client

NAME = "projects/p/secrets/cookies/versions/latest"
METHOD = "/google.cloud.secretmanager.v1.SecretManagerService/AccessSecretVersion"
COOKIES = "# Netscape HTTP Cookie File\n.example.org\tTRUE\t/\tFALSE\t0\tkey\tvalue\n"


class Service(grpc.GenericRpcHandler):
    """Knows some secrets, and may not give others."""

    def __init__(self):
        self.held, self.damaged = {NAME: COOKIES.encode()}, False

    def service(self, details):
        if details.method != METHOD:
            return None
        return grpc.unary_unary_rpc_method_handler(
            self.give, types.AccessSecretVersionRequest.deserialize, types.AccessSecretVersionResponse.serialize
        )

    def give(self, request, context):
        if "forbidden" in request.name:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "not for you")
        if request.name not in self.held:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such version")
        data = self.held[request.name]
        checksum = google_crc32c.value(data) + self.damaged
        payload = types.SecretPayload(data=data, data_crc32c=checksum)
        return types.AccessSecretVersionResponse(name=request.name, payload=payload)


@pytest.fixture
def service(monkeypatch):
    server, made = grpc.server(futures.ThreadPoolExecutor(2)), Service()
    server.add_generic_rpc_handlers([made])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("CLIPSCOUT_SECRET_MANAGER", f"localhost:{port}")
    yield made
    server.stop(None)


def test_names_of_secrets_are_told_from_paths():
    assert secret_manager.is_secret(NAME)
    assert secret_manager.is_secret("projects/12/secrets/a_b-c/versions/3")
    for other in ("cookies.txt", "gs://b/projects/p/secrets/s/versions/1", "projects/p/secrets/s", f"{NAME}/x", ""):
        assert not secret_manager.is_secret(other)


def test_cookies_and_proxies_are_read_by_name(service):
    service.held["projects/p/secrets/proxy/versions/2"] = b"http://user:word@proxy:3128\n"
    assert client.read_cookies(NAME) == COOKIES
    assert client.read_proxy("projects/p/secrets/proxy/versions/2") == "http://user:word@proxy:3128"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("projects/p/secrets/none/versions/1", "not_found"),
        ("projects/p/secrets/forbidden/versions/1", "permission_denied"),
    ],
)
def test_what_cannot_be_read_says_why(service, name, code):
    with pytest.raises(StorageError, match=name) as caught:
        secret_manager.content(name)
    assert caught.value.code == code


def test_a_damaged_answer_is_none(service):
    service.damaged = True
    with pytest.raises(StorageError, match="damaged"):
        secret_manager.content(NAME)


def test_files_are_read_as_ever(tmp_path):
    (tmp_path / "cookies.txt").write_text(COOKIES)
    assert client.read_cookies(str(tmp_path / "cookies.txt")) == COOKIES
