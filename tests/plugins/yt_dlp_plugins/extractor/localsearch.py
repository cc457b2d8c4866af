"""Search, list, page and video extractors over the loopback catalogue of tests/web_server.py: real yt-dlp code runs."""

import os
from urllib.parse import quote

from yt_dlp.extractor.common import InfoExtractor, SearchInfoExtractor
from yt_dlp.utils import ExtractorError

_SITE = r"https?://127\.0\.0\.1:\d+"


def _base():
    return f"http://127.0.0.1:{os.environ['CLIPSCOUT_TEST_PORT']}"


class LocalVideoIE(InfoExtractor):
    _VALID_URL = rf"(?:localvideo:|{_SITE}/watch/)(?P<id>[^/?#]+)$"
    _RETURN_TYPE = "video"

    def _real_extract(self, url):
        return self._video(*self._page(self._match_id(url)))

    def _page(self, video_id):
        return self._download_json(f"{_base()}/page/{video_id}", video_id), video_id

    def _video(self, page, video_id):
        if page.get("error"):
            raise ExtractorError(page["error"], expected=True)
        if page["login"]:
            self.raise_login_required()
        facts = {name: page[name] for name in ("title", "channel", "channel_id", "license", "duration", "live_status")}
        return {"id": video_id, "upload_date": "20200101", **facts, "formats": page["formats"]}


class LocalPostIE(LocalVideoIE):
    """A page that may hold several videos, as those of many sites."""

    _VALID_URL = rf"{_SITE}/post/(?P<id>[^/?#]+)$"
    _RETURN_TYPE = "any"

    def _real_extract(self, url):
        page, post_id = self._page(self._match_id(url))
        if not page["parts"]:
            return self._video(page, post_id)
        parts = (self._page(part)[0] for part in page["parts"])
        return self.playlist_result([self._video(part, part["id"]) for part in parts], post_id)


class LocalListIE(InfoExtractor):
    _VALID_URL = rf"{_SITE}/list/(?P<id>[^/?#]+)$"
    _RETURN_TYPE = "playlist"

    def _real_extract(self, url):
        list_id = self._match_id(url)
        entries = self._download_json(f"{_base()}/channel/{list_id}", list_id)
        return self.playlist_result([_entry(self, found) for found in entries], list_id)


class LocalHomeIE(InfoExtractor):
    """A channel's home page: its entries are lists."""

    _VALID_URL = rf"{_SITE}/home/(?P<id>[^/?#]+)$"
    _RETURN_TYPE = "any"

    def _real_extract(self, url):
        channels = self._match_id(url).split("+")
        return self.playlist_result([self.url_result(f"{_base()}/list/{channel}") for channel in channels], "home")


class LocalSearchIE(SearchInfoExtractor):
    _SEARCH_KEY = "localsearch"
    _MAX_RESULTS = 1000

    def _search_results(self, query):
        for found in self._download_json(f"{_base()}/search?q={quote(query)}", query):
            yield _entry(self, found)


def _entry(extractor, found):
    facts = {name: found[name] for name in ("title", "duration", "channel", "channel_id", "live_status")}
    if found["malformed"] == "breaks the list":
        raise KeyError("videoRenderer")
    if found["malformed"]:
        return {"no address": {"_type": "url"}, "no entry": None, "a number": {"_type": "url", "url": 7}}.get(
            found["malformed"], {**extractor.url_result(found["malformed"]), **facts}
        )
    return {**extractor.url_result(found["url"], ie="LocalVideo", video_id=found["id"]), **facts}
