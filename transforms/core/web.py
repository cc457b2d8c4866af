"""Web addresses without the web: what a URL names, told from its form alone."""

from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

from transforms.core import naming

#: How a URL row is treated: fetched as it is, or expanded to the videos that the page lists.
VIDEO, LISTING = "video", "listing"


def is_web(url: str) -> bool:
    """Tells whether a URL is http or https with a host; nothing else is ever contacted."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme.lower() in ("http", "https") and bool(parts.hostname)


def host_of(url: str) -> str:
    """Returns the host that a URL asks, without the names that sites put before their own."""
    return (urlsplit(url).hostname or "").removeprefix("www.").removeprefix("m.")


def canonical(url: str) -> str:
    """Returns the URL of the video itself where a watch URL also names a playlist or a time."""
    parts = urlsplit(url)
    if host_of(url) == "youtube.com" and parts.path == "/watch":
        video_id = parse_qs(parts.query).get("v", [""])[0]
        if naming.is_youtube_id(video_id):
            return naming.youtube_url(video_id)
    return url


def key_of(url: str) -> str:
    """Returns the key of a web video: the extractor and id that yt-dlp reads from the URL, else a digest.

    No request is made. A direct file URL has no id of its own: its key is `web-<file name>-<digest>`.
    """
    extractor = _extractor(url)
    video_id = extractor.get_temp_id(url) if extractor.ie_key() != "Generic" else None
    if video_id:
        return naming.web_key(extractor.ie_key(), video_id)
    return naming.web_key("web", f"{urlsplit(url).path.rsplit('/', 1)[-1]} {url}")


def kind_of(url: str) -> str:
    """Returns `video` for pages of one video and direct files, `listing` for playlists, channels and searches."""
    extractor = _extractor(url)
    is_video = extractor.ie_key() == "Generic" or extractor.is_single_video(url)
    return VIDEO if is_video else LISTING


def _extractor(url: str) -> Any:
    return next(extractor for extractor in _extractors() if extractor.suitable(url))


@lru_cache(maxsize=1)
def _extractors() -> list[Any]:
    from yt_dlp.extractor import gen_extractor_classes, get_info_extractor
    from yt_dlp.plugins import load_all_plugins

    load_all_plugins()
    return [get_info_extractor("Youtube"), *gen_extractor_classes()]  # YouTube first: of the others there are 1,750
