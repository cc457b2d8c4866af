"""Cookies and proxies: what is wrong with them is told by a line's number, and no message shows what stands there."""

import base64
import io
import threading
from functools import partial

import pytest
from yt_dlp import YoutubeDL
from yt_dlp.cookies import YoutubeDLCookieJar

from clipscout.transforms.core.web import addresses, secret_texts
from clipscout.transforms.core.web.client import Fetcher, FetchError, WebSettings, read_cookies
from clipscout.transforms.core.web.lanes import Gate, Politeness
from clipscout.transforms.records import Ask, VideoRequest
from tests.servers import file_server

HEAD = "# Netscape HTTP Cookie File\n"
GOOD = HEAD + ".a.org\tTRUE\t/\tTRUE\t2147483647\tname\ttop-secret\n#HttpOnly_a.org\tFALSE\t/\tFALSE\t0\tother\tset\n"


@pytest.mark.parametrize("text", [GOOD, GOOD.replace("\n", "\r\n"), HEAD, HEAD + "\n# a comment\n"])
def test_cookies_as_browsers_export_them(tmp_path, text):
    """What yt-dlp's own reader takes is taken, with the values that it reads; on Windows too."""
    (tmp_path / "cookies.txt").write_bytes(text.encode())
    read = read_cookies(str(tmp_path / "cookies.txt"))
    secret_texts.check_cookies(read)
    jar = YoutubeDLCookieJar(io.StringIO(read))
    jar.load()
    assert {cookie.value for cookie in jar} == {"top-secret", "set"} & {*text.split()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"name": "top-secret"}]', "line 1 is not"),
        ("top-secret", "line 1 is not"),
        (GOOD + "\n.a.org TRUE / TRUE 0 name top-secret", "line 5 has 1 fields"),
        (HEAD + ".a.org\tTRUE\t/\tTRUE\tsoon\tname\ttop-secret", "line 2 has no number"),
        (HEAD + "a.org\tTRUE\t/\tTRUE\t0\tname\ttop-secret", "line 2 says TRUE"),
    ],
)
def test_a_line_that_is_no_cookie_is_told_by_its_number(text, message):
    with pytest.raises(secret_texts.SecretError, match=message) as caught:
        secret_texts.check_cookies(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "http://a:1", "socks5h://user:pass@[::1]:1080", "HTTPS://proxy.example"])
def test_proxies_that_yt_dlp_understands(url):
    secret_texts.check_proxy(url)
    with YoutubeDL({"proxy": url, "quiet": True}) as downloader:
        assert set(downloader.proxies.values()) == {url or "__noproxy__"}
        assert downloader._request_director.handlers


@pytest.mark.parametrize("url", ["a:1", "user:secret@a:1", "ftp://secret", "http://", "http://a:port", "http://a:0"])
def test_what_is_no_proxy_is_told_without_it(url):
    with pytest.raises(secret_texts.SecretError, match="no URL like http://HOST:PORT") as caught:
        secret_texts.check_proxy(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "shown",
    ["top-secret", "pa%2Fss%20word", "pa/ss word", base64.b64encode(b"user:pa/ss word").decode(), "us"],
    ids=["a cookie", "a password", "the same decoded", "a proxy's header", "nothing"],
)
def test_every_way_to_write_a_secret_is_kept_out(shown):
    found = secret_texts.secrets_of(GOOD, "http://user:pa%2Fss%20word@proxy.example:3128")
    assert secret_texts.redacted(f"it said <{shown}>", found) == ("it said <us>" if shown == "us" else "it said <***>")


def test_marks_tell_accounts_and_proxies_apart_and_say_nothing_of_a_password():
    assert secret_texts.mark_of_cookies("") == secret_texts.mark_of_proxy("") == ""
    assert secret_texts.mark_of_cookies(GOOD) != secret_texts.mark_of_cookies(GOOD + "\n")
    assert secret_texts.mark_of_proxy("http://u:one@a:1") == secret_texts.mark_of_proxy("http://u:two@a:1")
    assert secret_texts.mark_of_proxy("http://a:1") != secret_texts.mark_of_proxy("http://b:1")


def test_what_a_site_repeats_of_its_cookies_is_in_no_message_and_no_fact(tmp_path):
    (tmp_path / "cookies.txt").write_text(HEAD + "127.0.0.1\tFALSE\t/\tFALSE\t2147483647\tname\ttop-secret\n")
    settings = WebSettings(allowed_hosts=("true",), cookies=str(tmp_path / "cookies.txt"))
    fetcher = Fetcher(settings, Politeness(attempts=1))
    gate = Gate(Politeness(interval_seconds=0), 1)
    long = b"x" * 488
    page = b"<!DOCTYPE html><html><head><title>hello %s top-secret</title></head><video src='/a.mp4'></video></html>"
    try:
        with file_server() as files:
            files.pages["/page"] = 200, "text/html", page % long
            request = {"url": f"{files.url}/page", "limit": 5, "licence": "any", "pause_seconds": 0}
            messages, _ = fetcher.run("web.fetch_tasks:listing", lambda: request, gate, "a", threading.Event())
            assert messages[0].fields["single"]
            # what was cut to 500 characters first would end in a part of the secret
            assert messages[0].fields["facts"]["title"].startswith(f"hello {long.decode()} ***")
            gone = {**request, "url": f"{files.url}/top-secret"}
            with pytest.raises(FetchError) as caught:
                fetcher.run("web.fetch_tasks:listing", lambda: gone, gate, "a", threading.Event())
    finally:
        fetcher.close()
    assert "top-secret" not in str(caught.value)


def test_cookies_that_went_bad_after_preflight_are_a_failure_without_a_request(tmp_path):
    (tmp_path / "cookies.txt").write_text("top-secret")
    fetcher = Fetcher(WebSettings(cookies=str(tmp_path / "cookies.txt")), Politeness())
    with pytest.raises(FetchError, match="line 1") as caught:
        fetcher.run("web.fetch_tasks:listing", dict, Gate(Politeness(), 1), "a", threading.Event())
    assert (caught.value.code, caught.value.attempts) == ("cookies_invalid", 0)
    (tmp_path / "cookies.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(secret_texts.SecretError, match="not UTF-8"):
        read_cookies(str(tmp_path / "cookies.txt"))


def test_the_login_in_an_address_reaches_its_site_as_it_was_written_and_nobody_else():
    url = "HTTP://User:Top-Secret@Example.ORG/Video.mp4"
    canonical = addresses.canonical(url)
    assert canonical == "http://User:Top-Secret@example.org/Video.mp4"
    assert addresses.key_of(canonical) == addresses.key_of("http://example.org/Video.mp4")
    request = VideoRequest("k", (Ask("a", ("a",), "row"),), url=canonical)
    assert request.source == "http://example.org/Video.mp4"


def test_what_a_site_repeats_of_a_login_is_in_no_message_and_no_fact():
    fetcher = Fetcher(WebSettings(allowed_hosts=("true",)), Politeness(attempts=1))
    page = b"<!DOCTYPE html><html><head><title>hello Top-Secret</title></head><video src='/a.mp4'></video></html>"
    gate = Gate(Politeness(interval_seconds=0), 1)
    try:
        with file_server() as files:
            files.pages["/page"] = 200, "text/html", page
            files.pages["/none"] = 200, "text/html", b"<html>nothing</html>"
            known = {"limit": 5, "licence": "any", "pause_seconds": 0}
            site = files.url.replace("http://", "http://User:Top-Secret@")
            ask = partial(fetcher.run, "web.fetch_tasks:listing", gate=gate, host="a", stopped=threading.Event())
            messages, _ = ask(make_request=lambda: {**known, "url": f"{site}/page"})
            assert messages[0].fields["facts"]["title"].startswith("hello ***")
            with pytest.raises(FetchError, match="Unsupported URL") as caught:
                ask(make_request=lambda: {**known, "url": f"{site}/none"})
    finally:
        fetcher.close()
    assert "Secret" not in str(caught.value)
