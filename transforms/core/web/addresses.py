"""Web addresses without the web: what a URL names, told from its form alone."""

import re
from functools import lru_cache
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from clipscout.transforms.core.storage import naming
from clipscout.transforms.core.web import extractors

#: What a URL names: one video; a playlist, channel or search; or a page of which only asking tells how many videos it
#: holds.
VIDEO, LISTING, PAGE = "video", "listing", "page"

#: Scheme, login (where case matters) and host of a web address.
_SITE = re.compile(r"(https?://)([^/?#]*@)?([^/?#]*)", re.IGNORECASE)
#: Ends the address of a video that has none but that of its page: its place there, from 1.
_ITEM = re.compile(r"[#&]clipscout_item=([1-9]\d{0,5})$")
#: Extensions of files that yt-dlp's generic extractor takes for media without looking into them.
_MEDIA = re.compile(
    r"\.(avi|flv|mkv|mov|mp4|webm|3g[2p]|f4v|m4v|mk3d|divx|mpe?g|ogv|wmv|m?ts|m2ts|vob|asf|m3u8|mpd)$", re.I
)


def is_web(url: str) -> bool:
    """Tells whether a URL is http or https with a host; nothing else is ever contacted."""
    parts = _parts(url)
    return parts.scheme.lower() in ("http", "https") and bool(parts.hostname)


def is_address(url: str) -> bool:
    """Tells whether yt-dlp finds a way to a site from an address: a web URL, or one of its own (`jwplatform:ID`)."""
    if is_web(url):
        return True
    return bool(_parts(url).scheme) and "/" not in url and bool(site_of(url))


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.hostname, parts.port  # they are read late, and may not be what they should
    except ValueError:
        return urlsplit("")
    return parts


def host_of(url: str) -> str:
    """Returns the host that a URL asks, without the names that sites put before their own; else its scheme."""
    parts = _parts(url)
    return (parts.hostname or parts.scheme).removeprefix("www.").removeprefix("m.")


@lru_cache(maxsize=4096)
def canonical(url: str, *, lists: bool = False) -> str:
    """Returns the one URL of a video that can be written in many ways; any other URL as it is.

    Args:
      url: A web address, or one that yt-dlp understands.
      lists: Whether a list that stands beside a video in the URL is meant, and not the video.
    """
    from yt_dlp.utils import unsmuggle_url

    url = _SITE.sub(lambda site: f"{site[1].lower()}{site[2] or ''}{site[3].lower()}", url, count=1)
    if lists and parse_qs(_parts(url).query).get("list"):
        return url
    if is_web(url) and (video_id := extractors.youtube().get_temp_id(url)):
        return naming.youtube_url(video_id)
    plain, added = unsmuggle_url(url, {})
    # what a feed adds to the address of a file is its own name for it
    return plain if set(added) <= {"force_videoid"} else url


def item_url(page: str, number: int) -> str:
    """Returns the address of a video that has none but that of its page, where it is the `place`th, from 1."""
    return f"{page}{'&' if '#' in page else '#'}clipscout_item={number}"


def page_and_item(url: str) -> tuple[str, int | None]:
    """Returns the page that an address of `item_url` names, and the place; the URL itself and None for any other."""
    found = _ITEM.search(url)
    return (url[: found.start()], int(found[1])) if found else (url, None)


def key_of(url: str) -> str:
    """Returns the key of a web video: the extractor and id that yt-dlp reads from the URL, else a digest.

    No request is made. A direct file URL has no id of its own: its key is `web-<file name>-<digest>`.
    """
    page, item = page_and_item(url)
    site = site_of(page)
    if site and (video_id := _extractor(page).get_temp_id(page)):
        return naming.web_key(site, f"{video_id}_{item}" if item else video_id)
    url = naming.without_login(url)
    return naming.web_key("web", f"{_parts(url).path.rsplit('/', 1)[-1]} {url}")


def kind_of(url: str) -> str:
    """Returns what a URL names, without a request: `VIDEO`, `LISTING` or `PAGE`."""
    page, item = page_and_item(url)
    if item is not None or not is_address(page):
        return VIDEO
    if not site_of(page):
        return VIDEO if _MEDIA.search(_parts(page).path) else PAGE
    return {True: VIDEO, False: LISTING}.get(_extractor(page).is_single_video(page), PAGE)


def site_of(url: str) -> str:
    """Returns yt-dlp's name for the site of a URL; empty where it knows none, and it is that of a file or some page."""
    name = str(_extractor(page_and_item(url)[0]).ie_key())
    return "" if name == "Generic" else name


@lru_cache(maxsize=4096)
def _extractor(url: str) -> Any:
    return extractors.serving(url)
