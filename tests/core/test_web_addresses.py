"""What a URL names, told without a request: one video has one key however it is written."""

import pytest

from transforms.core import excludes, web

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
    assert web.canonical(url) == WATCH
    assert web.key_of(web.canonical(url)) == f"youtube-{ID}"
    assert web.kind_of(web.canonical(url)) == web.VIDEO
    assert excludes.normal(url) == f"youtube-{ID}"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://www.youtube.com/@someone", web.PAGE),
        ("https://www.youtube.com/playlist?list=PL123456789012", web.PAGE),
        ("https://www.youtube.com/feeds/videos.xml?channel_id=UC1", web.PAGE),
        ("https://vimeo.com/channels/staffpicks", web.LISTING),
        ("https://x.com/someone/status/123", web.PAGE),
        ("https://archive.org/details/something", web.PAGE),
        ("https://www.dailymotion.com/video/x5kesuj", web.VIDEO),
        ("http://example.org/a.mp4?token=b.html", web.VIDEO),
        ("http://example.org/live/index.m3u8", web.VIDEO),
        ("http://example.org/blog/post", web.PAGE),
        ("jwplatform:abcdefgh", web.VIDEO),
        ("https://x.com/someone/status/123#clipscout_item=2", web.VIDEO),
    ],
)
def test_what_a_url_names(url, kind):
    assert web.canonical(url) == url
    assert web.kind_of(url) == kind


@pytest.mark.parametrize("url", ["file:///etc/passwd", "javascript:alert(1)", "http://[bad", "mailto:a@b", "", "a b"])
def test_what_is_no_address_is_none_whatever_it_is(url):
    assert not web.is_address(url)
    assert web.kind_of(url) == web.VIDEO
    assert web.key_of(web.canonical(url)).startswith("web-")


def test_a_list_beside_a_video_is_meant_only_where_that_is_said():
    url = f"{WATCH}&list=PL123456789012"
    assert web.canonical(url, lists=True) == url
    assert web.kind_of(url) == web.PAGE
    assert web.canonical(WATCH, lists=True) == WATCH


def test_a_page_that_may_hold_several_has_its_own_key_and_each_of_its_videos_too():
    page = "https://x.com/someone/status/123"
    second = web.item_url(page, 2)
    assert web.page_and_item(second) == (page, 2)
    assert (web.key_of(page), web.key_of(second)) == ("twitter-123", "twitter-123_2")
    assert excludes.is_excluded(web.key_of(second), second, {"twitter-123"})
    assert excludes.is_excluded(web.key_of(second), second, {"123"})
    assert not excludes.is_excluded(web.key_of(second), second, {"twitter-12"})


def test_what_a_feed_adds_to_the_address_of_a_file_is_no_part_of_it():
    smuggled = "http://example.org/a.mp4#__youtubedl_smuggle=%7B%22force_videoid%22%3A+%22guid%22%7D"
    assert web.canonical(smuggled) == "http://example.org/a.mp4"
