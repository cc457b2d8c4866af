"""Downloading with yt-dlp: keys of web videos, and the child task that fetches one."""

import hashlib
import os
from collections.abc import Iterator
from typing import Any

from transforms.core import naming
from transforms.core.tasks import Item, TaskError

_FORMAT = "bv[protocol^=http]/bv*[protocol^=http]/bv*/b"


def key_of(url: str) -> str:
    """Returns the key of a web video: the extractor and id that yt-dlp reads from the URL, else a digest.

    No request is made. A direct file URL has no id of its own: its key is `web-<file name>-<digest>`.
    """
    from yt_dlp.extractor import gen_extractor_classes, get_info_extractor

    youtube = get_info_extractor("Youtube")  # first: of the others there are some 1,800
    for extractor in [youtube, *gen_extractor_classes()]:
        if extractor.ie_key() != "Generic" and extractor.suitable(url):
            video_id = extractor.get_temp_id(url)
            if video_id:
                return naming.web_key(extractor.ie_key(), video_id)
            break
    return naming.web_key("web", f"{url.rsplit('/', 1)[-1]} {url}")


def download(request: dict[str, Any]) -> Iterator[Item]:
    """Child task: downloads `request["url"]` into the empty folder `request["folder"]`.

    Yields:
      `{"path", "size_bytes", "content", "facts"}` of the finished file.

    Raises:
      TaskError: yt-dlp could not fetch it; its own message is kept.
    """
    import yt_dlp

    options = {
        "format": _FORMAT,
        "format_sort": ["res:144", "vcodec:h264", "+size"],
        "outtmpl": os.path.join(request["folder"], "media.%(ext)s"),
        "noplaylist": True,
        "quiet": True,
        "no_warnings": True,
        "noprogress": True,
        "logger": _Silent(),
        "fixup": "never",
        "postprocessors": [],
        "external_downloader": {"default": "native"},
        "cachedir": False,
        "socket_timeout": 20,
        "retries": 2,
    }
    try:
        with yt_dlp.YoutubeDL(options) as downloader:
            info = downloader.extract_info(request["url"], download=True)
    except (yt_dlp.utils.YoutubeDLError, OSError) as error:
        raise TaskError("download_failed", _clean(str(error))) from error
    paths = [entry.get("filepath") for entry in (info or {}).get("requested_downloads") or ()]
    path = next((path for path in paths if path and os.path.isfile(path)), None)
    if path is None:
        raise TaskError("download_failed", "yt-dlp reported success but left no file")
    with open(path, "rb") as file:
        content = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    yield {"path": path, "size_bytes": os.path.getsize(path), "content": content, "facts": _facts(info)}, None


def _facts(info: dict[str, Any]) -> dict[str, Any]:
    names = ("title", "channel", "channel_id", "license", "upload_date", "duration", "format_id", "webpage_url")
    return {name: info[name] for name in names if info.get(name) is not None}


def _clean(message: str) -> str:
    return " ".join(message.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").removeprefix("ERROR: ").split())


class _Silent:
    """A yt-dlp logger that drops everything: errors arrive as exceptions."""

    def debug(self, message: str) -> None:
        """Drops a message."""

    info = warning = error = debug
