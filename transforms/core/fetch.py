"""Child tasks around yt-dlp: list the videos of a search or a page, and download one.

yt-dlp runs in a supervised child because it has no wall-clock deadline, keeps memory, and reads hostile pages. What it
reports is not trusted: only a file that exists counts, and only text that was cleaned leaves.
"""

import contextlib
import hashlib
import io
import os
import tempfile
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_plus, urlsplit

from transforms.core import fetch_failures, filters, guard, naming, web
from transforms.core.filters import FilterRule
from transforms.core.tasks import DISK_FULL, Item, TaskError, disk_full_message

_CREATIVE_COMMONS_RESULTS = "https://www.youtube.com/results?search_query={}&sp=EgQQATAB"
_FACTS = ("title", "channel", "channel_id", "uploader", "license", "upload_date", "duration", "live_status")
_DOWNLOAD_FACTS = (*_FACTS, "format_id", "width", "height", "vcodec", "webpage_url", "extractor_key", "id")
_LONGEST_TEXT = 500
#: Protocols that yt-dlp fetches itself, below the guard; others would start programs.
_NATIVE = "[protocol~='^(https?|m3u8_native|http_dash_segments)$']"


class _ByteCapError(Exception):
    """The download passed the byte cap."""


def listing(request: dict[str, Any]) -> Iterator[Item]:
    """Child task: yields the videos that a search text or a listing page names, in the site's order.

    Args:
      request: `query` with `search_prefix`, or `url`; `limit`, the most entries; `licence`; `web`, see `_Session`.

    Yields:
      `{"url", "facts"}` for each entry that has a web address; facts may be few.

    Raises:
      TaskError: With the code of the failure table.
    """
    limit = int(request["limit"])
    target = request.get("url") or _search_target(request)
    with _Session(request["web"], {"extract_flat": "in_playlist", "playlistend": limit}) as session:
        info = session.extract(target)
        entries = info.get("entries")
        for entry, _ in zip(entries if entries is not None else [info], range(limit), strict=False):
            url = (entry or {}).get("url") or (entry or {}).get("webpage_url") or ""
            if web.is_web(url):
                yield {"url": naming.printable(web.canonical(url)), "facts": facts_of(entry, _FACTS)}, None


def _search_target(request: dict[str, Any]) -> str:
    text = request["query"]
    if request["licence"] == "creative_commons" and request["search_prefix"] == "ytsearch":
        return _CREATIVE_COMMONS_RESULTS.format(quote_plus(text))
    return f"{request['search_prefix']}{request['limit']}:{text}"


def download(request: dict[str, Any]) -> Iterator[Item]:
    """Child task: downloads one video into an empty folder.

    Args:
      request: `url`; `folder`; `max_height` and `height_cap` in pixels; `max_bytes`; `filter`, the fields of
        FilterRule; `web`, see `_Session`.

    Yields:
      `{"path", "size_bytes", "content", "facts"}` of the finished file.

    Raises:
      TaskError: With the code of the failure table, and yt-dlp's own message.
    """
    options = {
        "format": f"bv[protocol^=http]/bv*[protocol^=http]/bv*{_NATIVE}/b{_NATIVE}",
        # `res` is the smaller side, so that vertical video is treated alike
        "format_sort": [f"res:{request['max_height']}", "vcodec:h264", "+size"],
        "outtmpl": os.path.join(request["folder"], "media.%(ext)s"),
        "progress_hooks": [_byte_cap(request["max_bytes"])],
        "max_filesize": request["max_bytes"],
        "noplaylist": True,
    }
    with _Session(request["web"], options) as session:
        info = session.extract(request["url"])
        if info.get("_type", "video") != "video":
            raise TaskError("unsupported_url", "the page lists several videos; give the URL of one")
        refused = filters.refusal(info, FilterRule(**request["filter"]), complete=True)
        if refused is not None:
            raise TaskError(*refused)
        if min(info.get("width") or 0, info.get("height") or 0) > request["height_cap"]:
            smallest = f"{info['width']}x{info['height']}"
            raise TaskError("no_format", f"the smallest format is {smallest}, --max_height_cap {request['height_cap']}")
        expected = max((info.get(name) or 0 for name in ("filesize", "filesize_approx")), default=0)
        if expected > request["max_bytes"]:
            raise TaskError("too_large", f"{expected} bytes announced, {request['max_bytes']} allowed")
        path = _only_file(session.process(info))
    if path is None:
        raise TaskError("too_large", f"no file was left: larger than {request['max_bytes']} bytes")
    if os.path.getsize(path) > request["max_bytes"]:
        raise TaskError("too_large", f"{os.path.getsize(path)} bytes, {request['max_bytes']} allowed")
    with open(path, "rb") as file:
        content = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    facts = {**facts_of(info, _DOWNLOAD_FACTS), "yt_dlp_version": session.version}
    yield {"path": path, "size_bytes": os.path.getsize(path), "content": content, "facts": facts}, None


def facts_of(info: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Returns the named facts that are there and plain: numbers, or bounded text without control characters."""
    facts: dict[str, Any] = {}
    for name in names:
        value = info.get(name)
        if isinstance(value, str):
            facts[name] = "".join(c if c.isprintable() else " " for c in value[:_LONGEST_TEXT])
        elif isinstance(value, (int, float)):
            facts[name] = value
    return facts


def _byte_cap(max_bytes: int) -> Any:
    def hook(progress: dict[str, Any]) -> None:
        if (progress.get("downloaded_bytes") or 0) > max_bytes:
            raise _ByteCapError(f"clipscout byte cap: more than {max_bytes} bytes")

    return hook


def _only_file(info: dict[str, Any]) -> str | None:
    paths = [entry.get("filepath") for entry in info.get("requested_downloads") or ()]
    return next((path for path in paths if path and os.path.isfile(path)), None)


class _Session:
    """One YoutubeDL with the settings of an unattended worker; its errors leave as TaskError.

    Args:
      settings: `cookies` (the text of a cookies file), `proxy`, `allowed_hosts`, `socket_timeout_seconds`.
      options: Further options of YoutubeDL.
    """

    def __init__(self, settings: dict[str, Any], options: dict[str, Any]) -> None:
        import yt_dlp

        from transforms.core.downloader import Downloader

        proxy = settings.get("proxy") or ""
        if "true" not in settings["allowed_hosts"]:
            guard.install([*settings["allowed_hosts"], *filter(None, [urlsplit(proxy).hostname])])
        self.version = yt_dlp.version.__version__
        self._secrets = [secret for secret in (proxy, urlsplit(proxy).password) if secret]
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
        try:
            self._downloader = Downloader({**unattended, **cookies, "proxy": proxy, **options})
        except Exception as error:  # noqa: BLE001 - a cookie jar or proxy that cannot be used may raise anything
            raise self._explain(error) from None

    def __enter__(self) -> "_Session":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):  # it saves cookies: a fault there must not hide what happened before
            self._downloader.close()

    def extract(self, target: str) -> dict[str, Any]:
        """Returns the information of a page without downloading its media."""
        try:
            return self._downloader.extract_info(target, download=False) or {}
        except Exception as error:
            raise self._explain(error) from error

    def process(self, info: dict[str, Any]) -> dict[str, Any]:
        """Downloads what `extract` returned."""
        try:
            return self._downloader.process_ie_result(info, download=True) or {}
        except Exception as error:
            raise self._explain(error) from error

    def _explain(self, error: Exception) -> TaskError:
        if isinstance(error, MemoryError):
            raise error
        for link in fetch_failures.chain(error):
            if full := disk_full_message(link, tempfile.gettempdir()):
                return TaskError(DISK_FULL, full)
        text = fetch_failures.message(error)
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return TaskError(fetch_failures.classify(error), naming.printable(text))


class _Silent:
    """A yt-dlp logger that drops everything: errors arrive as exceptions, and logs could hold secrets."""

    def debug(self, message: str) -> None:
        """Drops a message."""

    info = warning = error = debug
