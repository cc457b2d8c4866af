"""Files on local disk and in Google Cloud Storage, read and written whole.

A local file is written under a temporary name and moved; an object appears once all of it came and fits its checksum.
So nothing half-written is ever visible under its final name. Whole content can be put, read and deleted twice without
harm: calls to Google's storage are tried again while a fault may pass.
"""

import hashlib
import io
import mimetypes
import os
import posixpath
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import IO

from clipscout.transforms.core.storage.errors import (
    DiskFullError,
    StorageError,
    check_space,
    explained,
    is_remote,
)
from clipscout.transforms.core.storage.gcs import bucket_of, download, object_at

#: How the names of files begin that are still written; a run that is killed leaves them.
UNFINISHED = ".writing-"
#: What a browser only shows under its own content type.
_SHOWN_BY_BROWSERS = (".html", ".svg", ".js")
_BLOCK_BYTES = 1 << 20


def join(folder: str, *parts: str) -> str:
    """Joins relative parts to a local folder or a gs:// prefix."""
    return posixpath.join(folder, *parts) if is_remote(folder) else os.path.join(folder, *parts)


def resolve(output: str, uri: str) -> str:
    """Returns where a manifest's path lies: relative ones are relative to the output folder."""
    return uri if is_remote(uri) or os.path.isabs(uri) else join(output, uri)


def absolute(path: str, folder: str = "") -> str:
    """Returns a path that means the same wherever it is opened; a slash at its end stays.

    Args:
      path: Local, maybe relative or below `~`; anything on gs:// is as it is.
      folder: Where relative paths begin; the process's own folder where it is empty.
    """
    if is_remote(path):
        return path
    whole = os.path.abspath(os.path.join(folder, os.path.expanduser(path)))
    return os.path.join(whole, "") if path.endswith("/") else whole


def exists(uri: str) -> bool:
    """Tells whether a file (not a folder) exists."""
    if not is_remote(uri):
        return os.path.isfile(uri)
    with object_at(uri) as (blob, patience):
        return bool(blob.exists(**patience))


def size(uri: str) -> int | None:
    """Returns a file's size in bytes, or None where there is no such file."""
    if not is_remote(uri):
        return os.path.getsize(uri) if os.path.isfile(uri) else None
    try:
        return size_and_digest(uri)[0]
    except StorageError as error:
        if error.code != "not_found":
            raise
        return None


#: What a path may lead to that is no file; none of them is ever opened: a pipe waits, and a device may do anything.
_NO_FILES = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def what_else(path: str) -> str:
    """Returns what a local path leads to where that is no regular file, e.g. `a named pipe`; else nothing."""
    try:
        return _NO_FILES.get(stat.S_IFMT(os.stat(path).st_mode), "")
    except OSError:
        return ""


def stamp(path: str) -> tuple[int, int]:
    """Returns size and time of the last change (in nanoseconds) of a local file: what differs once it was replaced.

    Raises:
      StorageError: It does not exist, or is no regular file.
    """
    if what := what_else(path):
        raise StorageError(f"{path}: is {what}{'' if what == 'a folder' else ', not a file'}", "not_found")
    with explained(path):
        status = os.stat(path)
    return status.st_size, status.st_mtime_ns


@contextmanager
def opened(path: str) -> Iterator[io.BufferedReader]:
    """Opens a local file for reading, if it is a regular one.

    Raises:
      StorageError: It is none, does not exist, or cannot be read.
    """
    stamp(path)
    with explained(path), open(path, "rb", opener=_without_waiting) as file:
        yield file


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # where it has become a pipe since


def read_bytes(uri: str) -> bytes:
    """Returns the whole content of a file.

    Raises:
      StorageError: It does not exist, may not be read, or the storage failed.
    """
    if not is_remote(uri):
        with opened(uri) as file:
            return file.read()
    content = io.BytesIO()
    download(uri, content)
    return content.getvalue()


def write_bytes(uri: str, data: bytes) -> None:
    """Writes a whole file; it appears complete or not at all."""
    if not is_remote(uri):
        with explained(uri), _replacing(uri) as file:
            file.write(data)
        return
    is_shown = uri.endswith(_SHOWN_BY_BROWSERS)
    kind = (mimetypes.guess_type(uri)[0] if is_shown else None) or "application/octet-stream"
    with object_at(uri) as (blob, patience):
        blob.upload_from_string(data, content_type=kind, checksum="crc32c", **patience)


@contextmanager
def writing(uri: str) -> Iterator[IO[bytes]]:
    """Opens a file that is written piece by piece; it appears once the block ends well, complete or not at all."""
    if not is_remote(uri):
        with explained(uri), _replacing(uri) as file:
            yield file
        return
    with tempfile.TemporaryDirectory(prefix="clipscout-") as folder:
        path = os.path.join(folder, "file")
        with explained(path), open(path, "wb") as file:
            yield file
        move_in(path, uri)


def move_in(local: str, uri: str) -> None:
    """Brings a finished local file to its final name, on whichever storage; the local file is gone after."""
    if not is_remote(uri):
        with explained(uri):
            os.makedirs(os.path.dirname(uri) or ".", exist_ok=True)
            try:
                os.replace(local, uri)
            except OSError:  # another filesystem
                with open(local, "rb") as source, _replacing(uri) as target:
                    shutil.copyfileobj(source, target, _BLOCK_BYTES)
                os.unlink(local)
        return
    with object_at(uri) as (blob, patience):
        blob.upload_from_filename(local, checksum="crc32c", **patience)
        os.unlink(local)


def move(uri: str, to: str) -> None:
    """Gives a file another name in the same storage; one that is not there (any more) is left alone.

    Raises:
      StorageError: It cannot be moved.
    """
    try:
        if is_remote(uri):
            with local_copy(uri) as path:  # whole content is put twice without harm
                move_in(path, to)
            delete(uri)
        else:
            with explained(uri):
                os.makedirs(os.path.dirname(to) or ".", exist_ok=True)
                os.replace(uri, to)
    except StorageError as error:
        if error.code != "not_found":
            raise


def delete(uri: str) -> None:
    """Deletes a file; one that is not there is no error."""
    try:
        if is_remote(uri):
            with object_at(uri) as (blob, patience):
                blob.delete(**patience)
        else:
            with explained(uri):
                os.unlink(uri)
    except StorageError as error:
        if error.code != "not_found":
            raise


def is_folder(uri: str) -> bool:
    """Tells whether the URI names a folder, on gs:// one that objects lie below; a slash at its end does not matter."""
    if not is_remote(uri):
        return os.path.isdir(uri)
    with bucket_of(uri) as (bucket, name, patience):
        return any(bucket.list_blobs(prefix=name.rstrip("/") + "/" if name else "", max_results=1, **patience))


def subfolders(folder: str) -> list[str]:
    """Returns the sorted names of the folders right below a folder; on gs:// of those that objects lie below."""
    if not is_remote(folder):
        with suppress(OSError), os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
        return []
    with bucket_of(folder) as (bucket, name, patience):
        prefix = name.rstrip("/") + "/" if name else ""
        pages = bucket.list_blobs(prefix=prefix, delimiter="/", **patience)
        return sorted(found[len(prefix) : -1] for page in pages.pages for found in page.prefixes)


def remove_empty_folders(folder: str) -> None:
    """Removes the empty folders right below a local folder; on gs:// there are none without an object."""
    if not is_remote(folder) and os.path.isdir(folder):
        for path in Path(folder).iterdir():
            with suppress(OSError):  # not empty, or no folder
                path.rmdir()


def walk_files(folder: str, prefix: str = "") -> Iterator[str]:
    """Yields the relative names of all files below `folder` that start with `prefix`, in no order."""
    if is_remote(folder):
        with bucket_of(folder) as (bucket, path, patience):
            base = path.rstrip("/") + "/" if path else ""
            for blob in bucket.list_blobs(prefix=base + prefix, **patience):
                if not blob.name.endswith("/"):
                    yield blob.name[len(base) :]
        return
    start = prefix[: prefix.rfind("/") + 1]
    yield from _walk(os.path.join(folder, start), start, prefix)


def _walk(folder: str, below: str, prefix: str) -> Iterator[str]:
    """Yields as `walk_files` does, entry by entry: a folder may hold millions."""
    with suppress(OSError), os.scandir(folder) as entries:  # it may be missing, or closed to us
        for entry in entries:
            name = below + entry.name
            if entry.is_dir(follow_symlinks=False):
                if _may_hold(name + "/", prefix):
                    yield from _walk(entry.path, name + "/", prefix)
            elif name.startswith(prefix) and entry.is_file():
                yield name


def _may_hold(folder: str, prefix: str) -> bool:
    return folder.startswith(prefix) or prefix.startswith(folder)


def list_files(folder: str, prefix: str = "") -> list[str]:
    """Returns the sorted relative names of all files below `folder` that start with `prefix`."""
    return sorted(walk_files(folder, prefix))


@contextmanager
def local_copy(uri: str, scratch: str | None = None) -> Iterator[str]:
    """Gives a local path to read the file from: itself, or a download that is removed afterwards."""
    if not is_remote(uri):
        stamp(uri)
        yield uri
        return
    with tempfile.TemporaryDirectory(prefix="clipscout-", dir=scratch) as folder:
        path = os.path.join(folder, "file")
        try:
            with explained(path), open(path, "wb") as file:
                download(uri, file)
        except DiskFullError as full:  # of the object's name nobody learns which disk it was
            check_space(full.__cause__ or full, os.path.dirname(folder))
            raise
        yield path


def size_and_digest(uri: str) -> tuple[int, str]:
    """Returns size in bytes and content digest: SHA-256 of a local file, the stored CRC32C of an object."""
    if is_remote(uri):
        with object_at(uri) as (blob, patience):
            blob.reload(**patience)
            return int(blob.size), f"crc32c:{blob.crc32c}"
    with opened(uri) as file:
        return os.fstat(file.fileno()).st_size, f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


@contextmanager
def _replacing(path: str) -> Iterator[IO[bytes]]:
    """Opens a temporary file beside `path` and moves it there once the block ends well."""
    folder = os.path.dirname(path) or "."
    os.makedirs(folder, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=UNFINISHED)
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
