"""Search, list and video extractors over the loopback catalogue of tests/web_server.py: real yt-dlp code runs."""

import os
from urllib.parse import quote

from yt_dlp.extractor.common import InfoExtractor, SearchInfoExtractor
from yt_dlp.utils import ExtractorError


def _base():
    return f"http://127.0.0.1:{os.environ['CLIPSCOUT_TEST_PORT']}"


class LocalVideoIE(InfoExtractor):
    _VALID_URL = r"https?://127\.0\.0\.1:\d+/watch/(?P<id>[^/?#]+)$"
    _RETURN_TYPE = "video"

    def _real_extract(self, url):
        video_id = self._match_id(url)
        page = self._download_json(f"{_base()}/page/{video_id}", video_id)
        if page.get("error"):
            raise ExtractorError(page["error"], expected=True)
        facts = {name: page[name] for name in ("title", "channel", "channel_id", "license", "duration", "live_status")}
        return {"id": video_id, "upload_date": "20200101", **facts, "formats": page["formats"]}


class LocalListIE(InfoExtractor):
    _VALID_URL = r"https?://127\.0\.0\.1:\d+/list/(?P<id>[^/?#]+)$"
    _RETURN_TYPE = "playlist"

    def _real_extract(self, url):
        list_id = self._match_id(url)
        entries = self._download_json(f"{_base()}/channel/{list_id}", list_id)
        return self.playlist_result([_entry(self, found) for found in entries], list_id)


class LocalSearchIE(SearchInfoExtractor):
    _SEARCH_KEY = "localsearch"
    _MAX_RESULTS = 1000

    def _search_results(self, query):
        for found in self._download_json(f"{_base()}/search?q={quote(query)}", query):
            yield _entry(self, found)


def _entry(extractor, found):
    facts = {name: found[name] for name in ("title", "duration", "channel", "channel_id", "live_status")}
    return {**extractor.url_result(found["url"], ie="LocalVideo", video_id=found["id"]), **facts}
