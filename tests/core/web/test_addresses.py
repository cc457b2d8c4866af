"""What a URL names, told without a request: one video has one key however it is written."""

import pytest

from clipscout.transforms.core.queries import excludes
from clipscout.transforms.core.web import addresses

ID = "8Appls4ZFgA"
WATCH = f"https://www.youtube.com/watch?v={ID}"


@pytest.mark.parametrize(
    "url",
    [
        WATCH,
        f"http://youtube.com/watch?v={ID}",
        f"https://m.youtube.com/watch?app=desktop&v={ID}&t=1m10s",
        f"https://music.youtube.com/watch?v={ID}&list=RDAMVM{ID}",
        f"https://www.youtube.com/watch?v={ID}&list=PL123456789012&index=3",
        f"https://youtu.be/{ID}",
        f"https://youtu.be/{ID}?si=abcdef&t=10",
        f"https://youtu.be/{ID}?list=PL123456789012",
        f"https://www.youtube.com/shorts/{ID}?feature=share",
        f"https://www.youtube.com/live/{ID}?si=abc",
        f"https://www.youtube.com/embed/{ID}?list=PL123456789012",
        f"https://www.youtube-nocookie.com/embed/{ID}?rel=0",
        f"https://www.youtube.com/v/{ID}",
        f"HTTPS://WWW.YouTube.COM/watch?v={ID}",
    ],
)
def test_all_ways_to_write_a_youtube_video_are_one(url):
    assert addresses.canonical(url) == WATCH
    assert addresses.key_of(addresses.canonical(url)) == f"youtube-{ID}"
    assert addresses.kind_of(addresses.canonical(url)) == addresses.VIDEO
    assert excludes.normal(url) == f"youtube-{ID}"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://www.youtube.com/@someone", addresses.PAGE),
        ("https://www.youtube.com/playlist?list=PL123456789012", addresses.PAGE),
        ("https://www.youtube.com/feeds/videos.xml?channel_id=UC1", addresses.PAGE),
        ("https://vimeo.com/channels/staffpicks", addresses.LISTING),
        ("https://x.com/someone/status/123", addresses.PAGE),
        ("https://archive.org/details/something", addresses.PAGE),
        ("https://www.dailymotion.com/video/x5kesuj", addresses.VIDEO),
        ("http://example.org/a.mp4?token=b.html", addresses.VIDEO),
        ("http://example.org/live/index.m3u8", addresses.VIDEO),
        ("http://example.org/blog/post", addresses.PAGE),
        ("jwplatform:abcdefgh", addresses.VIDEO),
        ("https://x.com/someone/status/123#clipscout_item=2", addresses.VIDEO),
    ],
)
def test_what_a_url_names(url, kind):
    assert addresses.canonical(url) == url
    assert addresses.kind_of(url) == kind


@pytest.mark.parametrize("url", ["file:///etc/passwd", "javascript:alert(1)", "http://[bad", "mailto:a@b", "", "a b"])
def test_what_is_no_address_is_none_whatever_it_is(url):
    assert not addresses.is_address(url)
    assert addresses.kind_of(url) == addresses.VIDEO
    assert addresses.key_of(addresses.canonical(url)).startswith("web-")


def test_a_list_beside_a_video_is_meant_only_where_that_is_said():
    url = f"{WATCH}&list=PL123456789012"
    assert addresses.canonical(url, lists=True) == url
    assert addresses.kind_of(url) == addresses.PAGE
    assert addresses.canonical(WATCH, lists=True) == WATCH


def test_a_page_that_may_hold_several_has_its_own_key_and_each_of_its_videos_too():
    page = "https://x.com/someone/status/123"
    second = addresses.item_url(page, 2)
    assert addresses.page_and_item(second) == (page, 2)
    assert (addresses.key_of(page), addresses.key_of(second)) == ("twitter-123", "twitter-123_2")
    assert excludes.is_excluded(addresses.key_of(second), second, {"twitter-123"})
    assert excludes.is_excluded(addresses.key_of(second), second, {"123"})
    assert not excludes.is_excluded(addresses.key_of(second), second, {"twitter-12"})


def test_what_a_feed_adds_to_the_address_of_a_file_is_no_part_of_it():
    smuggled = "http://example.org/a.mp4#__youtubedl_smuggle=%7B%22force_videoid%22%3A+%22guid%22%7D"
    assert addresses.canonical(smuggled) == "http://example.org/a.mp4"
