"""The files that a path or glob names, on whichever storage."""

from clipscout.transforms.core.storage import filesystem, globs


def match_files(pattern: str) -> list[str]:
    """Returns the sorted URIs of the files that a path or glob matches, local or gs://; empty for none.

    A name that is there is itself before it is a glob: yt-dlp's own names hold brackets. A folder with a slash behind
    it stands for the files in it. See `globs` for what matches.

    Raises:
      StorageError: The storage did not answer, or there is no such bucket.
    """
    if pattern.endswith("/"):
        pattern += "*"
    if filesystem.exists(pattern):
        return [pattern]
    if filesystem.is_remote(pattern):
        return _match_objects(pattern)
    if filesystem.what_else(pattern):
        return []
    with filesystem.explained(pattern):
        return globs.files(pattern)


def files_of_folder(pattern: str) -> str:
    """Returns how to name the files of a folder that stands where files should."""
    return f"for the files in it write {filesystem.join(pattern, '*')!r}"


def _match_objects(pattern: str) -> list[str]:
    bucket, _, name = pattern.removeprefix("gs://").partition("/")
    found = filesystem.list_files(f"gs://{bucket}", globs.literal_start(name))
    return [f"gs://{bucket}/{each}" for each in found if globs.matches(name, each)]
