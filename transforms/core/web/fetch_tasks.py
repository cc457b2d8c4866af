"""Child tasks around yt-dlp: list the videos of a search or a page, and download one.

yt-dlp runs in a supervised child because it has no wall-clock deadline, keeps memory, and reads hostile pages. What it
reports is not trusted: only a file that exists counts, and only text that was cleaned leaves.
"""

import itertools
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_plus

from clipscout.transforms.core.child.protocol import Item, TaskError
from clipscout.transforms.core.storage.errors import DISK_FULL
from clipscout.transforms.core.web import addresses, filters, ranges
from clipscout.transforms.core.web.filters import FilterSettings, number
from clipscout.transforms.core.web.session import Session, address_text, is_reference, is_several
from clipscout.transforms.core.web.ytdlp_errors import ByteCapError

_CREATIVE_COMMONS_RESULTS = "https://www.youtube.com/results?search_query={}&sp=EgQQATAB"
_LISTED = ("title", "channel", "channel_id", "uploader", "license", "upload_date", "duration", "live_status")
_DOWNLOADED = (*_LISTED, "format_id", "width", "height", "vcodec", "webpage_url", "extractor_key", "id")
#: Longer text is no fact. None is shortened here: who takes the secrets out of it has to see them whole.
_LONGEST_TEXT = 10_000
#: The sound of a clip needs no better one.
_SOUND_KBIT = 128
#: Protocols that yt-dlp fetches itself, below the guard; others would start programs.
_NATIVE = "[protocol~='^(https?|m3u8_native|http_dash_segments)$']"


def listing(request: dict[str, Any]) -> Iterator[Item]:
    """Child task: yields the videos and pages that a search text or a page names, in the site's order.

    Args:
      request: `query` with `search_prefix`, or `url`; `limit`, the most entries; `licence`; `pause_seconds` between two
        requests for parts of a list; `web`, see `Session`.

    Yields:
      `{"url", "facts"}` for each entry, facts may be few, and the address is what the site says; of a page that is one
      video's the same with `"single": True`. At the end `{"lost"}`, a line for each thing that was left out.

    Raises:
      TaskError: With the code of the failure table.
    """
    target = request.get("url") or _search_target(request)
    with Session(request["web"], {"sleep_interval_requests": request["pause_seconds"]}) as session:
        info = session.resolve(target)
        page = address_text(info.get("webpage_url")) or target
        if not is_several(info):
            # a page that only shows the video of another site is that video
            shown = addresses.site_of(page) not in ("", addresses.site_of(target))
            yield {"url": page if shown else target, "facts": facts_of(info, _LISTED), "single": True}, None
            return
        yield from _entries(session, info, page, int(request["limit"]))


def _entries(session: Session, info: dict[str, Any], page: str, limit: int) -> Iterator[Item]:
    number, lost = 0, []
    try:
        for number, entry in enumerate(itertools.islice(session.entries(info), limit), start=1):
            if url := _address_of(entry, page, number):
                yield {"url": url, "facts": facts_of(entry, _LISTED)}, None
            else:
                lost.append(f"entry {number} has no address")
    except TaskError as error:
        if not number:
            raise
        lost.append(f"what follows entry {number}: {error}")
    if lost:
        yield {"lost": lost}, None


def _address_of(entry: Any, page: str, number: int) -> str:
    """Returns where an entry of a list is; empty where it does not say."""
    if not isinstance(entry, dict):
        return ""
    if is_reference(entry):
        return address_text(entry.get("url"))
    own = address_text(entry.get("webpage_url"))
    return own if own and own != page else addresses.item_url(page, number)


def _search_target(request: dict[str, Any]) -> str:
    text = request["query"]
    if request["licence"] == "creative_commons" and request["search_prefix"] == "ytsearch":
        return _CREATIVE_COMMONS_RESULTS.format(quote_plus(text))
    return f"{request['search_prefix']}{request['limit']}:{text}"


def download(request: dict[str, Any]) -> Iterator[Item]:
    """Child task: downloads one video into an empty folder.

    Args:
      request: `url`; `folder`; `max_height` and `height_cap` in pixels; `max_bytes`; `sound`, whether the sound is
        wanted too where the site keeps it apart; `filter`, the fields of FilterSettings; `seconds`, stretches of the
        video, [start, end], that are enough (optional; none: all of it); `web`, see `Session`.

    Yields:
      `{"path", "sound", "facts", "parts"}`: the finished file, that of its sound where it is kept apart (empty
      elsewhere), and its facts, with `sound_left` where there is a sound that was not wanted, and `sound_missing`, a
      failure code, where there is one that could not be had. `parts` says of files of which only parts were fetched,
      by their path: `{"whole_seconds"}`, how long all of it is, or, of one in which bytes are still missing, see
      `fill`, `{"url", "headers"}`.

    Raises:
      TaskError: With the code of the failure table, and yt-dlp's own message.
    """
    options = {
        "format": f"bv[protocol^=http]/bv*[protocol^=http]/bv*{_NATIVE}/b{_NATIVE}",
        # `res` is the smaller side, so that vertical video is treated alike
        "format_sort": [f"res:{request['max_height']}", "vcodec:h264", "+size"],
        **_file_options(request["folder"], request["max_bytes"]),
        "noplaylist": True,
    }
    page, item = addresses.page_and_item(request["url"])
    with Session(request["web"], options) as session:
        offered = session.video(page, item)
        info = session.process(_copied(offered), download=False)
        refused = filters.refusal(info, FilterSettings(**request["filter"]), complete=True)
        if refused is not None:
            raise TaskError(*refused)
        width, height = (number(info.get(name)) or 0 for name in ("width", "height"))
        if refused := filters.too_high(width, height, request["height_cap"]):
            raise TaskError(*refused)
        expected = max(number(info.get(name)) or 0 for name in ("filesize", "filesize_approx"))
        if expected > request["max_bytes"]:
            raise TaskError("too_large", f"{expected:.0f} bytes announced, {request['max_bytes']} allowed")
        path, part = _fetched(session, info, request)
    if path is None:
        raise TaskError("too_large", f"no file was left: larger than {request['max_bytes']} bytes")
    if os.path.getsize(path) > request["max_bytes"]:
        raise TaskError("too_large", f"{os.path.getsize(path)} bytes, {request['max_bytes']} allowed")
    facts, sound = {**facts_of(info, _DOWNLOADED), "yt_dlp_version": session.version}, ""
    parts = {path: part} if part else {}
    if info.get("acodec") == "none" and _has_sound(offered):
        if request["sound"]:
            sound, part, missing = _sound(request, offered, os.path.getsize(path))
            facts |= {"sound_missing": missing} if missing else {}
            parts |= {sound: part} if part else {}
        else:
            facts["sound_left"] = True
    yield {"path": path, "sound": sound, "facts": facts, "parts": parts}, None


def fill(request: dict[str, Any]) -> Iterator[Item]:
    """Child task: fetches what is missing in a file of which `download` fetched parts.

    Args:
      request: `path`, `url` and `headers` as `download` told; `ranges`, a list of [first byte, byte behind]; `web`, see
        `Session`.

    Yields:
      `{}` at the end.

    Raises:
      TaskError: With the code of the failure table; `short_read` where it is another file now.
    """
    size = os.path.getsize(request["path"])
    with Session(request["web"], {}) as session, open(request["path"], "r+b") as target:
        remote = _remote(session, request, size)
        try:
            remote.copy(request["ranges"], target, in_place=True)
        except ranges.NotInPartsError:
            raise TaskError("short_read", "the server gives no parts of the file any more") from None
        except OSError as error:
            raise session.explain(error) from error
    if remote.size not in (0, size):
        raise TaskError("short_read", "the file changed while parts of it were fetched")
    yield {}, None


def _remote(session: Session, told: dict[str, Any], most_bytes: int) -> ranges.RemoteFile:
    def open_range(headers: dict[str, str]) -> Any:
        return session.open_range(told["url"], {**told["headers"], **headers})

    return ranges.RemoteFile(open_range, most_bytes)


def _fetched(session: Session, info: dict[str, Any], request: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Downloads what yt-dlp chose, only the parts that are wanted where that can be.

    Returns:
      Its path, if it was not too large; what `download` tells of a file of parts, empty for a whole one.
    """
    in_parts = (
        request.get("seconds")
        and info.get("protocol") in ("http", "https")
        and not info.get("fragments")
        and info.get("ext") in ("mp4", "m4a", "m4v", "mov")
    )
    if in_parts:
        told = {"url": info["url"], "headers": dict(info.get("http_headers") or {})}
        try:
            return _parts(_remote(session, told, request["max_bytes"]), told, request)
        except ranges.NotInPartsError:
            pass
        except TaskError as error:  # a server may refuse no more than the range
            if error.code in ("blocked", "too_large"):
                raise
        except OSError as error:
            raise session.explain(error) from error
    return _only_file(session.process(info, download=True)), {}


def _parts(remote: ranges.RemoteFile, told: dict[str, Any], request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Fetches parts of a file, see `_fetched`.

    Raises:
      NotInPartsError: It has to be fetched as a whole.
    """
    outline = ranges.outline(remote)
    path = os.path.join(request["folder"], "parts.mp4")
    with open(path, "wb") as target:
        if outline.fragments:
            remote.copy(ranges.fragment_ranges(outline, request["seconds"]), target, in_place=False)
            return path, {"whole_seconds": outline.fragments[-1][1]}
        remote.copy(ranges.head_ranges(outline), target, in_place=True)
        target.truncate(remote.size)
    return path, told


def _file_options(folder: str, max_bytes: int) -> dict[str, Any]:
    """Returns the options for one file: where it comes to lie, and how large it may be."""
    return {
        "outtmpl": os.path.join(folder, "media.%(ext)s"),
        "progress_hooks": [_byte_cap(max_bytes)],
        "max_filesize": max_bytes,
    }


def _copied(offered: dict[str, Any]) -> dict[str, Any]:
    """Returns what a site offers once more: choosing a format changes it."""
    formats = offered.get("formats")
    return {**offered, "formats": [dict(one) for one in formats]} if isinstance(formats, list) else dict(offered)


def _has_sound(offered: dict[str, Any]) -> bool:
    formats = [one for one in offered.get("formats") or () if isinstance(one, dict)]
    return any(one.get("vcodec") == "none" or one.get("acodec") not in (None, "none") for one in formats)


def _sound(request: dict[str, Any], offered: dict[str, Any], picture_bytes: int) -> tuple[str, dict[str, Any], str]:
    """Fetches the sound of a video that a site keeps apart.

    Returns:
      Its path and what is told of its parts, see `_fetched`; the failure code where there is none.

    Raises:
      TaskError: The site refuses this machine, or its disk is full.
    """
    request = {
        **request,
        "folder": os.path.join(request["folder"], "sound"),
        "max_bytes": request["max_bytes"] - picture_bytes,
    }
    os.mkdir(request["folder"])
    options = {
        "format": f"ba[protocol^=http]/ba*[protocol^=http]/ba*{_NATIVE}",
        "format_sort": [f"abr:{_SOUND_KBIT}", "acodec:aac", "res:144", "+size"],
        **_file_options(request["folder"], request["max_bytes"]),
    }
    try:
        with Session(request["web"], options) as session:
            info = session.process(_copied(offered), download=False)
            sound, part = _fetched(session, info, request)
    except TaskError as error:
        if error.code in ("blocked", DISK_FULL):
            raise
        return "", {}, error.code
    return (sound, part, "") if sound else ("", {}, "too_large")


def facts_of(info: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Returns the named facts that are there and plain: finite numbers, or bounded text without control characters."""
    facts: dict[str, Any] = {}
    for name in names:
        value = info.get(name)
        if isinstance(value, str):
            if len(value) <= _LONGEST_TEXT:
                facts[name] = "".join(c if c.isprintable() else " " for c in value)
        elif isinstance(value, bool) or number(value) is not None:
            facts[name] = value
    return facts


def _byte_cap(max_bytes: int) -> Any:
    def hook(progress: dict[str, Any]) -> None:
        if (progress.get("downloaded_bytes") or 0) > max_bytes:
            raise ByteCapError(f"clipscout byte cap: more than {max_bytes} bytes")

    return hook


def _only_file(info: dict[str, Any]) -> str | None:
    paths = [entry.get("filepath") for entry in info.get("requested_downloads") or ()]
    return next((path for path in paths if path and os.path.isfile(path)), None)
