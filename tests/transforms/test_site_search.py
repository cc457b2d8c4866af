"""What a row's search or URL leads to: real yt-dlp against the loopback site, one request after the other."""

import itertools
import threading
import time

import pytest

from clipscout.transforms.core.web import addresses
from clipscout.transforms.core.web.client import FetchError, WebSettings
from clipscout.transforms.core.web.filters import FilterSettings
from clipscout.transforms.core.web.lanes import Gate, Politeness
from clipscout.transforms.records import ActionQuery
from clipscout.transforms.site_search import Asker, SearchSettings
from tests.web_jobs import video

POLITENESS = Politeness(interval_seconds=0, attempts=1)


@pytest.fixture
def ask(tmp_path):
    """Asks as the job does; returns the entries, or the failure."""
    running = []

    def asked(politeness=POLITENESS, **row):
        settings = SearchSettings(
            "localsearch", 20, None, FilterSettings(), WebSettings(allowed_hosts=("127.0.0.1",)), politeness
        )
        running.append(Asker(str(tmp_path), settings, Gate(politeness, 1)))
        return running[-1].work(ActionQuery("red", "q.csv:2", **row), threading.Event())[1]

    yield asked
    for one in running:
        one.close()


def urls(entries):
    assert not isinstance(entries, FetchError), entries
    return [url.rpartition("/")[2] for url, _ in entries]


def test_a_channels_home_page_is_its_videos_limited_and_paced(site, ask):
    places = itertools.product("abc", range(10))
    server = site({f"{channel}{place}": video("x", channel_id=channel) for channel, place in places})
    start = time.monotonic()
    found = ask(Politeness(interval_seconds=0.4, attempts=1), url=f"{server.url}/home/a+b+c", max_videos=15)
    assert urls(found) == [f"a{place}" for place in range(10)] + [f"b{place}" for place in range(5)]
    assert server.log() == {"/channel/a": 1, "/channel/b": 1}
    assert time.monotonic() - start >= 0.8  # the page itself and two lists, in turns


def test_a_feed_is_its_files(site, ask):
    server = site({f"v{place}": video("x") for place in range(5)})
    found = ask(url=f"{server.url}/feed/c0", max_videos=3)
    assert [url for url, _ in found] == [f"{server.url}/media/v{place}/144/video.mp4" for place in range(3)]
    assert server.log() == {"/feed/c0": 1}


def test_a_page_with_several_players_is_its_videos(site, ask):
    server = site({f"v{place}": video("x") for place in range(3)})
    page = f"{server.url}/several/v0/v1/v2"
    found = ask(url=page)
    assert len(found) == 3
    assert len({addresses.key_of(url) for url, _ in found}) == 3
    assert {addresses.page_and_item(url) for url, _ in found} == {(page, place) for place in (1, 2, 3)}


def test_a_page_that_may_hold_several_and_holds_one_keeps_its_own_address(site, ask):
    server = site({"a": video("one alone"), "b": video("x", parts=["a", "a"])})
    page = f"{server.url}/post/a"
    ((url, facts),) = ask(url=page)
    assert (url, addresses.key_of(url), facts["title"]) == (page, "localpost-a", "one alone")
    assert ask(url=page) == [(url, facts)]
    assert server.log() == {"/page/a": 1}  # it is not asked again whether it is one
    assert [addresses.key_of(url) for url, _ in ask(url=f"{server.url}/post/b")] == ["localpost-b_1", "localpost-b_2"]


def test_a_page_that_cannot_be_asked_for_good_is_told_of_where_videos_are(site, ask):
    server = site({})
    assert ask(url=f"{server.url}/post/gone") == [(f"{server.url}/post/gone", {})]


def test_addresses_that_only_yt_dlp_understands_are_followed_and_others_are_told(site, ask):
    site(
        {
            "a": video("x", malformed="localvideo:b"),
            "b": video("x"),
            "c": video("x", malformed="file:///etc/passwd"),
            "d": video("x", malformed="http://[bad"),
        }
    )
    found = ask(query="x")
    assert [url.rpartition("/")[2] for url, _ in found] == ["localvideo:b", "b", "passwd", "[bad"]
    assert [addresses.key_of(url) for url, _ in found[:2]] == ["localvideo-b"] * 2  # one video


@pytest.mark.parametrize("malformed", ["no address", "no entry", "a number"])
def test_a_malformed_entry_does_not_fail_its_search(site, ask, malformed):
    site({"a": video("x"), "b": video("x", malformed=malformed), "c": video("x")})
    assert urls(ask(query="x")) == ["a", "c"]


def test_what_came_before_a_list_broke_is_kept(site, ask):
    site({"a": video("x"), "b": video("x", malformed="breaks the list"), "c": video("x")})
    assert urls(ask(query="x")) == ["a"]
    site({"b": video("x", malformed="breaks the list")})
    assert ask(query="x", max_videos=7).code == "extractor_error"
