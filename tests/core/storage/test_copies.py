"""Copies of remote files: fetched once, kept while somebody reads them, and within their share of the disk."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from clipscout.transforms.core.storage import filesystem
from clipscout.transforms.core.storage.copies import Copies, of_process, shared_copy
from tests.cloud_servers import always
from tests.conftest import BUCKET

FOLDER = f"gs://{BUCKET}/copies"


@pytest.fixture
def copies(cloud, tmp_path):
    """Copies that may take 250 bytes while nobody reads them."""
    made = Copies(250, str(tmp_path))
    yield made
    made.close()
    assert list(tmp_path.iterdir()) == []


def put(name, content):
    filesystem.write_bytes(f"{FOLDER}/{name}", content)
    return f"{FOLDER}/{name}"


def test_who_reads_at_once_or_later_shares_one_fetch(copies, cloud):
    uri = put("a", b"a" * 100)
    gate = threading.Barrier(8)

    def read(_):
        gate.wait(10)
        with copies.copy(uri) as path:
            return Path(path).read_bytes()

    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(read, range(8))] == [b"a" * 100] * 8
    with copies.copy(uri) as path:
        assert Path(path).read_bytes() == b"a" * 100
    assert cloud.asked("read", "copies/a") == 1


def test_a_file_that_was_replaced_is_fetched_again(copies, cloud):
    uri = put("a", b"before")
    with copies.copy(uri) as before:
        put("a", b"after")
        with copies.copy(uri) as after:
            assert (Path(before).read_bytes(), Path(after).read_bytes()) == (b"before", b"after")
    assert cloud.asked("read", "copies/a") == 2


def test_the_longest_unused_goes_first_and_none_that_is_read(copies, cloud):
    a, b, c = (put(name, name.encode() * 100) for name in "abc")
    with copies.copy(a) as first:
        for uri in (b, c):
            with copies.copy(uri):
                pass
        assert Path(first).read_bytes() == b"a" * 100
    with copies.copy(c), copies.copy(a):
        pass
    assert cloud.asked("read", "copies/") == 3  # b went, these two did not
    with copies.copy(b):
        pass
    assert cloud.asked("read", "copies/b") == 2


def test_more_than_the_share_of_the_disk_is_kept_only_while_it_is_read(copies):
    uris = [put(name, name.encode() * 200) for name in "abc"]
    with ExitStack() as stack:
        paths = [stack.enter_context(copies.copy(uri)) for uri in uris]
        assert all(os.path.getsize(path) == 200 for path in paths)
    assert sum(os.path.exists(path) for path in paths) == 1


def test_a_fetch_that_fails_leaves_nothing_and_is_tried_again(copies, cloud):
    uri = put("a", b"a")
    cloud.schedule = always("403", kinds=("read",))
    with pytest.raises(filesystem.StorageError), copies.copy(uri):
        pass
    cloud.schedule = always("")
    with copies.copy(uri) as path:
        assert Path(path).read_bytes() == b"a"
    with pytest.raises(filesystem.StorageError) as missing, copies.copy(f"{FOLDER}/none"):
        pass
    assert missing.value.code == "not_found"


def test_local_files_are_read_where_they_are(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    with shared_copy(str(tmp_path / "a")) as path:
        assert path == str(tmp_path / "a")


def test_a_process_has_copies_of_its_own(cloud):
    uri = put("a", b"a")
    with shared_copy(uri) as path, shared_copy(uri) as again:
        assert path == again
    with of_process(os.getpid()).copy(uri) as third:
        assert third == path
