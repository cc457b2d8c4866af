"""gs:// where the network and the service fail: the client and the storage emulator are real, a proxy injects."""

import os
import socket
import tempfile
from pathlib import Path

import pytest
from google.cloud.storage import blob as google_blob

from clipscout.transforms.core.storage import filesystem, gcs
from clipscout.transforms.core.storage.filesystem import StorageError
from tests.cloud_servers import FAULTS, always, script, seeded
from tests.conftest import BUCKET

URI = f"gs://{BUCKET}/folder/file.bin"
OLD, SMALL, LARGE = b"old", bytes(range(256)) * 8, os.urandom(9 << 20)  # above 8 MB an upload is resumable
SENDING = ("upload", "start", "chunk")


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(gcs, "_FIRST_WAIT_SECONDS", 0.02)
    gcs._cloud.cache_clear()


def copied(uri):
    with filesystem.local_copy(uri) as path:
        return Path(path).read_bytes()


def moved(data, tmp_path):
    """Moves a file with this content to the bucket; returns whether the local one is left."""
    local = tmp_path / "local"
    local.write_bytes(data)
    try:
        filesystem.move_in(str(local), URI)
    finally:
        left = local.exists()
    return left


def written(data, _):
    filesystem.write_bytes(URI, data)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_read_survives_each_fault(cloud, fault):
    filesystem.write_bytes(URI, LARGE)
    for read in (filesystem.read_bytes, copied):
        cloud.schedule = script(read=[fault, fault])
        assert read(URI) == LARGE
    assert cloud.injected[fault, "read"] == 4


@pytest.mark.parametrize("fault", FAULTS)
def test_questions_about_a_file_survive_each_fault(cloud, fault):
    filesystem.write_bytes(URI, SMALL)
    cloud.schedule = script(facts=[fault, "", fault, "", fault, "", fault])
    assert filesystem.exists(URI)
    assert filesystem.size(URI) == len(SMALL)
    assert filesystem.size_and_digest(URI)[0] == len(SMALL)
    assert not filesystem.exists(URI + "x")
    assert cloud.injected[fault, "facts"] == 4


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("put", [written, moved], ids=["write_bytes", "move_in"])
def test_a_small_upload_survives_each_fault(cloud, tmp_path, put, fault):
    cloud.schedule = script(upload=[fault])
    assert not put(SMALL, tmp_path)
    assert cloud.injected[fault, "upload"] == 1
    assert filesystem.read_bytes(URI) == SMALL


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("put", [written, moved], ids=["write_bytes", "move_in"])
def test_a_large_upload_survives_each_fault_and_is_not_seen_before_its_end(cloud, tmp_path, monkeypatch, put, fault):
    monkeypatch.setattr(google_blob, "_DEFAULT_CHUNKSIZE", 4 << 20)
    faults, seen = script(start=[fault], chunk=[fault, "", fault, "", fault]), []

    def schedule(kind, name):
        if kind == "chunk":
            seen.append(cloud.answer("GET", f"/storage/v1/b/{BUCKET}/o/folder%2Ffile.bin", {}, b"")[0])
        return faults(kind, name)

    cloud.schedule = schedule
    assert not put(LARGE, tmp_path)
    assert (cloud.injected[fault, "start"], cloud.injected[fault, "chunk"]) == (1, 3)
    assert seen[:5] == [404] * 5  # the sixth request repeats the last chunk, which may have arrived
    assert filesystem.read_bytes(URI) == LARGE


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_an_upload_that_never_succeeds_leaves_the_old_content_or_the_new(cloud, tmp_path, monkeypatch, fault, data):
    monkeypatch.setattr(gcs, "_PATIENCE_SECONDS", 0.1)
    filesystem.write_bytes(URI, OLD)
    cloud.schedule = always(fault, SENDING)
    with pytest.raises(StorageError) as caught:
        moved(data, tmp_path)
    assert caught.value.code == "storage_error"
    assert (tmp_path / "local").read_bytes() == data  # for another try
    arrives = fault in ("lost", "cut") and data is SMALL  # what is lost of a large one is its start
    cloud.schedule = always("")
    assert filesystem.read_bytes(URI) == (data if arrives else OLD)
    assert filesystem.list_files(f"gs://{BUCKET}") == ["folder/file.bin"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_listing_in_pages_survives_each_fault(cloud, fault):
    cloud.page = 2
    names = [f"{letter}.txt" for letter in "abcde"]
    for name in names:
        filesystem.write_bytes(f"gs://{BUCKET}/list/{name}", b"")
    cloud.schedule = script(list=["", fault, fault])
    assert filesystem.list_files(f"gs://{BUCKET}/list") == names
    assert cloud.injected[fault, "list"] == 2
    assert cloud.asked("list") == 3 + 2


@pytest.mark.parametrize("fault", FAULTS)
def test_a_deletion_survives_each_fault(cloud, fault):
    filesystem.write_bytes(URI, SMALL)
    cloud.schedule = script(delete=[fault])
    filesystem.delete(URI)
    assert cloud.injected[fault, "delete"] == 1
    assert not filesystem.exists(URI)


def test_many_files_survive_many_faults(cloud):
    files = {f"{number}.bin": os.urandom(100 * number) for number in range(20)}
    cloud.schedule = seeded(7, 0.3)
    for name, data in files.items():
        filesystem.write_bytes(f"gs://{BUCKET}/many/{name}", data)
    assert filesystem.list_files(f"gs://{BUCKET}/many") == sorted(files)
    assert {name: filesystem.read_bytes(f"gs://{BUCKET}/many/{name}") for name in files} == files
    assert all(filesystem.size_and_digest(f"gs://{BUCKET}/many/{name}")[0] == len(files[name]) for name in files)
    for name in files:
        filesystem.delete(f"gs://{BUCKET}/many/{name}")
    assert filesystem.list_files(f"gs://{BUCKET}/many") == []
    assert cloud.faults() == set(FAULTS)


@pytest.mark.parametrize("read", [filesystem.read_bytes, copied], ids=["read_bytes", "local_copy"])
@pytest.mark.parametrize("faults", [["corrupt"], ["cut", "corrupt"]], ids=["at once", "after a broken connection"])
def test_a_read_of_corrupted_bytes_raises(cloud, read, faults):
    filesystem.write_bytes(URI, LARGE)
    cloud.schedule = script(read=faults)
    with pytest.raises(StorageError, match="Checksum mismatch") as caught:
        read(URI)
    assert caught.value.code == "storage_error"
    assert "\n" not in str(caught.value)
    assert cloud.injected["corrupt", "read"] == 1
    assert read(URI) == LARGE


@pytest.mark.parametrize(("kind", "data"), [("upload", SMALL), ("chunk", LARGE)], ids=["small", "large"])
def test_an_upload_that_is_corrupted_on_its_way_is_refused(cloud, tmp_path, kind, data):
    cloud.schedule = script(**{kind: ["corrupt"]})
    with pytest.raises(StorageError, match="CRC32C") as caught:
        moved(data, tmp_path)
    assert caught.value.code == "storage_error"
    assert cloud.injected["corrupt", kind] == 1
    assert (tmp_path / "local").exists()
    assert filesystem.list_files(f"gs://{BUCKET}") == []
    assert cloud.asked("delete") == 0  # it was never there


def every_call(uri, scratch):
    """Returns each function of the module that asks the storage, as a call about the URI."""
    (Path(scratch) / "local").write_bytes(SMALL)
    return {
        "read_bytes": lambda: filesystem.read_bytes(uri),
        "local_copy": lambda: copied(uri),
        "facts": lambda: filesystem.size_and_digest(uri),
        "size": lambda: filesystem.size(uri),
        "exists": lambda: filesystem.exists(uri),
        "list_files": lambda: filesystem.list_files(uri),
        "write_bytes": lambda: filesystem.write_bytes(uri, SMALL),
        "move_in": lambda: filesystem.move_in(f"{scratch}/local", uri),
        "delete": lambda: filesystem.delete(uri),
    }


CALLS = list(every_call("", tempfile.gettempdir()))


@pytest.mark.parametrize("name", CALLS)
def test_what_is_forbidden_is_told_at_once(cloud, tmp_path, name):
    cloud.schedule = always("403")
    with pytest.raises(StorageError, match="no permission") as caught:
        every_call(URI, tmp_path)[name]()
    assert caught.value.code == "permission_denied"
    assert len(cloud.requests) == 1


@pytest.mark.parametrize("name", CALLS)
def test_a_fault_that_does_not_end_becomes_an_error(cloud, tmp_path, monkeypatch, name):
    monkeypatch.setattr(gcs, "_SHORT_PATIENCE_SECONDS", 0.4)  # the first answer of a busy machine takes long
    cloud.schedule = always("503")
    with pytest.raises(StorageError, match=r"Timeout of 0\.4s exceeded.*\b503\b") as caught:
        every_call(URI, tmp_path)[name]()
    assert caught.value.code == "storage_error"
    assert len(cloud.requests) > 1


def test_patience_is_short_until_the_storage_answers_and_after_it_was_in_vain(cloud, monkeypatch):
    assert (gcs._SHORT_PATIENCE_SECONDS, gcs._PATIENCE_SECONDS) == (15, 120)
    monkeypatch.setattr(gcs, "_SHORT_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(gcs, "_PATIENCE_SECONDS", 0.3)
    gcs._cloud.cache_clear()  # as in a process that has just begun
    told = []
    for answers in (False, True, False, False, True, False):
        cloud.schedule = always("" if answers else "reset")
        if answers:
            assert not filesystem.exists(URI)
        else:
            with pytest.raises(StorageError) as caught:
                filesystem.exists(URI)
            told.append(str(caught.value)[len(URI) :][:19])
    assert told == [": Timeout of 0.1s e", ": Timeout of 0.3s e", ": Timeout of 0.1s e", ": Timeout of 0.3s e"]


@pytest.mark.parametrize("name", CALLS)
def test_a_storage_that_is_silent_is_not_waited_for(cloud, tmp_path, monkeypatch, name):
    with socket.create_server(("127.0.0.1", 0), backlog=50) as silent:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(gcs, "_SHORT_PATIENCE_SECONDS", 0.3)
        monkeypatch.setattr(gcs, "_SHORT_TIMEOUT", (0.1, 0.1))
        gcs._cloud.cache_clear()
        with pytest.raises(StorageError, match=r"read timeout=0\.1") as caught:
            every_call(URI, tmp_path)[name]()
    assert caught.value.code == "storage_error"


@pytest.mark.parametrize("name", sorted({*CALLS} - {"size", "exists", "delete"}))
def test_a_bucket_that_does_not_exist_is_named(cloud, tmp_path, name):
    with pytest.raises(StorageError) as caught:
        every_call("gs://no-such-bucket/folder/file", tmp_path)[name]()
    assert str(caught.value) == "gs://no-such-bucket/folder/file: the bucket no-such-bucket does not exist"
    assert caught.value.code == "not_found"


def test_in_a_bucket_that_does_not_exist_there_is_nothing(cloud):
    uri = "gs://no-such-bucket/folder/file"
    assert (filesystem.exists(uri), filesystem.size(uri)) == (False, None)
    filesystem.delete(uri)


def test_a_missing_object_is_told_without_blaming_the_bucket(cloud):
    with pytest.raises(StorageError) as caught:
        filesystem.read_bytes(URI)
    assert (str(caught.value), caught.value.code) == (f"{URI}: does not exist", "not_found")


def test_missing_credentials_are_told(monkeypatch, tmp_path):
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_GCE_CHECK", "true")  # there is no cloud machine's server to ask
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    with pytest.raises(StorageError, match=f"{URI}: .*credentials were not found.*; try gcloud auth") as caught:
        filesystem.read_bytes(URI)
    assert caught.value.code == "storage_error"
