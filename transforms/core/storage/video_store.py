"""The stored videos of an output folder."""

import os
from dataclasses import replace
from types import NoneType
from typing import Any

from clipscout.transforms.core.storage import filesystem, kept, strict_json
from clipscout.transforms.failures import Failure
from clipscout.transforms.records import Video, VideoRequest

#: What is kept of a video.
_RECORDED: dict[str, type | tuple[type, ...]] = {
    "uri": str,
    "size_bytes": int,
    "content": str,
    "picture": str,
    "duration_seconds": (int, float, NoneType),
    "width": int,
    "height": int,
    "frame_rate": (int, float),
    "facts": dict,
}


def check_unchanged(video: Video) -> None:
    """Does nothing, unless a file of the user's was replaced since it was hashed: what was decoded has another name.

    Raises:
      StorageError: It was.
    """
    if video.modified_ns and filesystem.stamp(video.uri) != (video.size_bytes, video.modified_ns):
        raise filesystem.StorageError(
            f"{video.uri}: was replaced while the job ran; the next run takes what is there then"
        )


class VideoStore:
    """The stored videos: `videos/<key>.<ext>` and, written last, `videos/<key>.json` with the facts.

    Args:
      output: The output folder.
      folder: Below it; videos that are fetched again in a better quality have one of their own.
    """

    def __init__(self, output: str, folder: str = "videos") -> None:
        self._output, self._folder = output, folder

    def find(self, request: VideoRequest, asked: dict[str, Any]) -> Video | None:
        """Returns the stored video of a request, if its record is there and its file too, in its full size.

        Args:
          request: The request.
          asked: The settings that decide which file is fetched; one that was fetched under others does not count.
        """

        def make(record: Any) -> Video | None:
            fields = kept.fields({"picture": "", **record}, _RECORDED)  # which older records lack
            return Video(key=request.key, request=request, **fields) if record["asked"] == asked else None

        video = kept.read(self._record(request.key), make)
        if video is None:
            return None
        stored = video.uri.startswith(f"{self._folder}/")
        if stored and os.path.splitext(os.path.basename(video.uri))[0] != video.key:
            return None  # another's, whose key differs in case alone, on a file system that does not tell
        size = filesystem.size(filesystem.resolve(self._output, video.uri))
        return video if size == video.size_bytes else None

    def put(self, video: Video, path: str, asked: dict[str, Any]) -> Video:
        """Moves a finished file in and returns the video with its place; for `asked` see `find`."""
        extension = "".join(c for c in os.path.splitext(path)[1] if c.isalnum()).lower()[:5] or "video"
        video = replace(video, uri=f"{self._folder}/{video.key}.{extension}")
        filesystem.move_in(path, filesystem.join(self._output, video.uri))
        return self.note(video, asked)

    def note(self, video: Video, asked: dict[str, Any]) -> Video:
        """Keeps the facts of a video that stays where it is; for `asked` see `find`."""
        record = {**{name: getattr(video, name) for name in _RECORDED}, "asked": asked}
        strict_json.write(self._record(video.key), record, indent=1)
        return video

    def note_failure(self, failure: Failure, asked: dict[str, Any]) -> None:
        """Keeps why a video cannot be had; for `asked` see `find`."""
        strict_json.write(self._failure(failure.key), {**failure.to_row(), "asked": asked}, indent=1)

    def failure(self, key: str, asked: dict[str, Any]) -> Failure | None:
        """Returns why an earlier run could not have a video, if it asked for the same; for `asked` see `find`."""

        def make(row: Any) -> Failure | None:
            return Failure.from_row(row) if row["asked"] == asked else None

        return kept.read(self._failure(key), make)

    def forget_failure(self, key: str) -> None:
        """Forgets why a video could not be had; it may never have been so."""
        filesystem.delete(self._failure(key))

    def _failure(self, key: str) -> str:
        return filesystem.join(self._output, f"{self._folder}/{key}.failure.json")

    def _record(self, key: str) -> str:
        return filesystem.join(self._output, f"{self._folder}/{key}.json")
