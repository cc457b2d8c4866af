"""One YoutubeDL with the settings of an unattended worker. Imported in a child only."""

import contextlib
import errno
import io
import itertools
import math
import os
import tempfile
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from clipscout.transforms.core.child.protocol import TaskError
from clipscout.transforms.core.storage import naming
from clipscout.transforms.core.storage.errors import DISK_FULL, disk_full_message
from clipscout.transforms.core.web import addresses, guard, ytdlp_errors

_LONGEST_ADDRESS = 4096
#: How often one page may send to another before it is given up.
_MOST_REFERENCES = 5
#: What is not taken over from a page that only refers to the video.
_OF_REFERENCE = ("_type", "url", "id", "extractor", "extractor_key", "ie_key", "webpage_url", "original_url")


def is_several(info: dict[str, Any]) -> bool:
    """Tells whether an extractor's answer is a list."""
    return info.get("_type") in ("playlist", "multi_video", "compat_list")


def is_reference(info: dict[str, Any]) -> bool:
    """Tells whether an extractor's answer, or an entry of a list, only says where the video is."""
    return info.get("_type") in ("url", "url_transparent")


def address_text(value: Any) -> str:
    """Returns an address as a site gives it, without what does not print; empty where it is none."""
    text = "".join(c for c in value if c.isprintable()).strip() if isinstance(value, str) else ""
    return text if len(text) <= _LONGEST_ADDRESS else ""


def _finite(info: dict[str, Any]) -> dict[str, Any]:
    """Returns an extractor's answer without numbers that are none (NaN, infinities), which yt-dlp fails over."""

    def kept(value: Any) -> bool:
        return not isinstance(value, float) or math.isfinite(value)

    found = {name: value for name, value in info.items() if kept(value)}
    formats = found.get("formats")
    if isinstance(formats, list):
        plain = [one for one in formats if isinstance(one, dict)]
        found["formats"] = [{name: value for name, value in one.items() if kept(value)} for one in plain]
    return found


class Session:
    """One YoutubeDL with the settings of an unattended worker; its errors leave as TaskError.

    Args:
      settings: `cookies` (the text of a cookies file), `proxy`, `allowed_hosts`, `socket_timeout_seconds`.
      options: Further options of YoutubeDL.
    """

    def __init__(self, settings: dict[str, Any], options: dict[str, Any]) -> None:
        import yt_dlp

        from clipscout.transforms.core.web.downloader import Downloader

        self._target = ""
        proxy = settings.get("proxy") or ""
        if "true" not in settings["allowed_hosts"]:
            guard.install([*settings["allowed_hosts"], *filter(None, [urlsplit(proxy).hostname])])
        self.version = yt_dlp.version.__version__
        cookies = {"cookiefile": io.StringIO(settings["cookies"])} if settings.get("cookies") else {}
        unattended = {
            "quiet": True,
            "no_warnings": True,
            "noprogress": True,
            "logger": _Silent(),
            "color": {"stdout": "never", "stderr": "never"},
            "cachedir": False,
            "fixup": "never",
            "postprocessors": [],
            "external_downloader": {"default": "native"},
            "ffmpeg_location": os.devnull,  # never on hostile input: it has neither deadline nor guard
            "skip_unavailable_fragments": False,
            "retries": 0,  # whole attempts are repeated, with a wait between them
            "extractor_retries": 0,
            "fragment_retries": 0,
            "file_access_retries": 0,
            "socket_timeout": settings["socket_timeout_seconds"],
            "enable_file_urls": False,
            "extractor_args": {"youtube": {"skip": ["hls", "dash"]}},
        }
        self._downloader: Any = None
        try:
            self._downloader = Downloader({**unattended, **cookies, "proxy": proxy, **options})
        except Exception as error:  # noqa: BLE001 - a cookie jar or proxy that cannot be used may raise anything
            raise self.explain(error) from None

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):  # it saves cookies: a fault there must not hide what happened before
            self._downloader.close()

    def resolve(self, target: str, extractor: str | None = None) -> dict[str, Any]:
        """Returns what an address leads to: a video with all its formats, or a list whose entries nobody asked for yet.

        Raises:
          TaskError: With the code of the failure table.
        """
        added: dict[str, Any] = {}
        self._target = target
        for _ in range(_MOST_REFERENCES):
            try:
                info = self._downloader.extract_info(target, download=False, process=False, ie_key=extractor) or {}
            except Exception as error:
                raise self.explain(error) from error
            if not info:
                raise TaskError("extractor_error", "yt-dlp found nothing there, and does not say why")
            if not is_reference(info):
                return _finite({**info, **added})
            if info["_type"] == "url_transparent":
                own = {name: value for name, value in info.items() if value is not None and name not in _OF_REFERENCE}
                added = {**own, **added}
            target, extractor = address_text(info.get("url")), info.get("ie_key")
        raise TaskError("extractor_error", f"page after page sends to another, {_MOST_REFERENCES} times")

    def video(self, page: str, item: int | None) -> dict[str, Any]:
        """Returns the video of a page, the only one that it lists, or the one in a place of its list.

        Raises:
          TaskError: With the code of the failure table.
        """
        info = self.resolve(page)
        if not is_several(info):
            return info
        first = item or 1
        entries = list(itertools.islice(self.entries(info), first - 1, first + 1))
        if not entries or not isinstance(entries[0], dict):
            raise TaskError("not_found", f"the page lists no video in place {first}")
        if len(entries) > 1 and item is None:
            raise TaskError("unsupported_url", "the page lists several videos; give the URL of one")
        entry = entries[0]
        if is_reference(entry):
            entry = self.resolve(address_text(entry.get("url")), entry.get("ie_key"))
        if is_several(entry):
            raise TaskError("unsupported_url", "the page lists lists of videos; give the URL of one")
        return _finite({**{name: info.get(name) for name in ("extractor", "extractor_key", "webpage_url")}, **entry})

    def entries(self, info: dict[str, Any]) -> Iterator[Any]:
        """Yields the entries of a list; the site may be asked for them meanwhile.

        Raises:
          TaskError: The site does not give what follows.
        """
        try:
            yield from info.get("entries") or ()
        except Exception as error:
            raise self.explain(error) from error

    def process(self, info: dict[str, Any], *, download: bool) -> dict[str, Any]:
        """Chooses the format of what `video` returned, and downloads it where that is asked for."""
        try:
            return self._downloader.process_ie_result(info, download=download) or {}
        except Exception as error:
            raise self.explain(error) from error

    def open_range(self, url: str, headers: dict[str, str]) -> Any:
        """Sends a request below yt-dlp's cookies, proxy and guard; returns the answer, whatever its status."""
        from yt_dlp.networking import Request

        try:
            return self._downloader.urlopen(Request(url, headers=headers))
        except Exception as error:
            raise self.explain(error) from error

    def explain(self, error: Exception) -> TaskError:
        """Returns what an error means, as a failure code with one line; one of memory is raised."""
        if isinstance(error, MemoryError):
            raise error
        code = ytdlp_errors.classify(error, getattr(self._downloader, "failed_request", None))
        if code == DISK_FULL:
            return TaskError(code, disk_full_message(OSError(errno.ENOSPC, ""), tempfile.gettempdir()))
        if code == "forbidden" and addresses.site_of(self._target):
            code = "blocked"  # a site that would let others see its page; of one file it says nothing of the rest
        return TaskError(code, naming.printable(ytdlp_errors.message(error)))


class _Silent:
    """A yt-dlp logger that drops everything: errors arrive as exceptions, and logs could hold secrets."""

    def debug(self, message: str) -> None:
        """Drops a message."""

    info = warning = error = debug
