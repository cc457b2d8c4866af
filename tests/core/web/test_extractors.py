"""Asking few of yt-dlp's extractors gives the answer that asking all of them, one after the other, gives."""

import re

import pytest
from yt_dlp.extractor import _extractors as yt_dlp_extractors

from clipscout.transforms.core.web import extractors

ID = "8Appls4ZFgA"
#: A few of what there is of each kind; yt-dlp's own tests name 6,000 more.
ADDRESSES = [
    f"https://www.youtube.com/watch?v={ID}",
    f"https://youtu.be/{ID}",
    f"HTTPS://WWW.YouTube.COM/watch?v={ID}",
    f"https://www.youtube.com/watch?v={ID}&list=PL123456789012",
    f"https://example.org/?u=https://www.youtube.com/watch?v={ID}",
    ID,
    "PL123456789012",
    "https://www.youtube.com/@someone",
    ":ytfav",
    "ytsearch5:cats",
    "https://vimeo.com/123",
    "https://vimeo.com/channels/staffpicks",
    "https://VIMEO.com/about",
    "https://player.vimeo.com/video/123?h=a",
    "https://example.org/a.mp4",
    "https://example.org:8443/a.mp4?token=vimeo.com",
    "http://127.0.0.1:8000/youtube.com/a.mp4",
    "http://[::1]/a.mp4",
    "http://user:secret@intranet/media/a.m3u8",
    "https://b\u00fccher.example/film.mp4",
    "https://xn--bcher-kva.example/film.mp4",
    "https://\u017foundcloud.com/a/b",  # a long s, which is an s to who ignores case
    "https://v\u0130meo.com/123",
    "https://\u30c6\u30b9\u30c8.example/watch?v=1",
    "https://upload.wikimedia.org/wikipedia/commons/a/a0/A.webm",
    "https://archive.org/download/a/b.mp4",
    "https://archive.org/details/a",
    "https://drive.google.com/file/d/0ByeS4oOUV-49Zzh4R1J6R09zazQ/edit",
    "https://cdn.jwplayer.com/players/abcdefgh-12345678.js",
    "https://example.org/embed/abcdefgh",
    "jwplatform:abcdefgh",
    "\ufeffhttps://example.org/a.mp4",
    "http://[bad",
    "mailto:a@b",
    "a b",
    "",
]


def asking_all(url):
    for extractor in extractors.all_extractors():
        try:
            if extractor.suitable(url):
                return extractor
        except ValueError:
            continue
    return extractor


def addresses_of_yt_dlp():
    """Returns the addresses that yt-dlp's own tests name."""
    found = set()
    for name in filter(lambda name: name.endswith("IE"), dir(yt_dlp_extractors)):
        own = vars(getattr(yt_dlp_extractors, name))
        tests = [*(own.get("_TESTS") or ()), *(own.get("_WEBPAGE_TESTS") or ())]
        found |= {test["url"] for test in tests}
    return sorted(found)


@pytest.mark.parametrize("url", ADDRESSES)
def test_one_address(url):
    assert extractors.serving(url) is asking_all(url)


def test_addresses_that_yt_dlp_is_tested_with():
    chosen = addresses_of_yt_dlp()[::60]
    assert len(chosen) > 50
    assert {url: extractors.serving(url) for url in chosen} == {url: asking_all(url) for url in chosen}


def test_few_are_asked(monkeypatch):
    asked = []
    for extractor in extractors.all_extractors():
        if extractor.__name__ == "VimeoIE":
            monkeypatch.setattr(extractor, "suitable", asked.append)
    extractors.serving("https://example.org/a.mp4")
    assert not asked
    extractors.serving("https://vimeo.com/123")
    assert asked


@pytest.mark.parametrize(
    ("pattern", "pieces"),
    [
        (r"https?://(?:www\.)?a-site\.com/(?P<id>\d+)", {"a-site.com/"}),
        (r"https?://(?:www\.)?(?:First\.tv|second\.tv)/", {"first.tv", "second.tv"}),
        (r"https?://(?:(?:www\.)?first\.tv|[a-z]+)/", None),
        (r"https?://(?:(?:www\.)?first\.tv)?", None),
        (r"(?:site-name){2}", {"site-name"}),
        (r"(?:site-name)*", None),
        (r"(?!site-name).+", None),
        (r"(?x) own : [a-z]+ # site-name", {"own:"}),
        (r"(?i)http://www\.(?P<id>.+)", None),
        (r"a\.tv|b\.tv/(?:live|x)", {"a.tv", "b.tv/"}),
        (r".*", None),
    ],
)
def test_what_a_pattern_cannot_do_without(pattern, pieces):
    assert extractors.needed(pattern) == pieces


def test_a_plugin_is_always_asked(monkeypatch):
    class Plugin:
        _VALID_URL = r"https://plugin\.example/"

        @classmethod
        def suitable(cls, url):
            return "anything" in url or re.match(cls._VALID_URL, url)

    every = extractors.all_extractors()
    monkeypatch.setattr(extractors, "all_extractors", lambda: [*every[:1], Plugin, *every[1:]])
    extractors._index.cache_clear()
    try:
        assert extractors.serving("https://example.org/anything") is Plugin
        assert extractors.serving("https://example.org/a.mp4").ie_key() == "Generic"
    finally:
        extractors._index.cache_clear()
