"""yt-dlp's messages to codes, and addresses that are refused."""

import errno
import os

import pytest
from yt_dlp.extractor.common import InfoExtractor
from yt_dlp.networking.exceptions import TransportError
from yt_dlp.utils import DownloadError, ExtractorError, GeoRestrictedError, UnsupportedError, UserNotLive

from clipscout.transforms.core.child.protocol import TaskError
from clipscout.transforms.core.web import fetch_tasks, guard
from clipscout.transforms.core.web.downloader import Downloader
from clipscout.transforms.core.web.filters import FilterSettings
from clipscout.transforms.core.web.session import Session, _Silent
from clipscout.transforms.core.web.ytdlp_errors import classify, message
from tests.servers import QuietHandler, file_server, serving

MESSAGES = {
    "ERROR: [youtube] a-drm-bcdef: Video unavailable": "removed",
    "ERROR: [youtube] x: Sign in to confirm you\N{RIGHT SINGLE QUOTATION MARK}re not a bot": "blocked",
    "ERROR: [youtube] x: Private video. Sign in if you've been granted access": "private",
    "ERROR: [youtube] x: Sign in to confirm your age. This video may be inappropriate for some users": "age_restricted",
    "ERROR: [youtube] x: Join this channel to get access to members-only content": "members_only",
    "ERROR: [youtube] x: The uploader has not made this video available in your country": "geo_blocked",
    "ERROR: [youtube] x: This video is DRM protected": "drm",
    "ERROR: [youtube] x: Premieres in 3 hours": "upcoming",
    "ERROR: [youtube] x: This live event will begin in 2 days": "upcoming",
    "ERROR: [youtube] x: Requested format is not available": "no_format",
    "ERROR: [generic] forbidden-planet: Unable to download webpage: HTTP Error 404: Not Found": "not_found",
    "ERROR: Unsupported URL: https://example.org/livestreams/abc": "unsupported_url",
    "ERROR: unable to download video data: HTTP Error 403: Forbidden": "forbidden",
    "ERROR: Got HTTP Error 403 caused by Cloudflare anti-bot challenge": "blocked",
    "ERROR: [generic] x: HTTP Error 429: Too Many Requests": "blocked",
    "ERROR: [generic] x: HTTP Error 410: Gone": "not_found",
    "ERROR: [generic] x: HTTP Error 451: Unavailable For Legal Reasons": "geo_blocked",
    "ERROR: [generic] x: HTTP Error 503: Service Unavailable": "server_error",
    "ERROR: [youtube] x: HTTP Error 400: Bad Request; please report this issue on our tracker": "extractor_error",
    "ERROR: [generic] x: HTTP Error 401: Unauthorized": "login_required",
    "ERROR: [x] x: This video is only available for registered users. Use --cookies": "login_required",
    "ERROR: [x] x: You need to log in to see this": "login_required",
    "ERROR: unable to write data: [Errno 28] No space left on device": "disk_full",
    "ERROR: unable to open for writing: [Errno 28] No space left on device: 'file:x'": "disk_full",
    "ERROR: [x] x: JSON config not found; please report this issue on https://example.org": "extractor_error",
    "ERROR: HTTPSConnectionPool(host='captcha-art.com', port=443): Read timed out.": "network_timeout",
    "ERROR: Failed to resolve 'x' ([Errno -2] Name or service not known)": "network",
    "ERROR: 1000 bytes read, 2000 more expected": "short_read",
    "ERROR: file:// URLs are disabled by default in yt-dlp for security reasons": "scheme_refused",
    "ERROR: something nobody has seen before": "download_failed",
}


@pytest.mark.parametrize("text", MESSAGES)
def test_codes(text):
    assert classify(RuntimeError(text)) == MESSAGES[text]


#: What an extractor raises, after which answer -> the code. Types tell more than texts, which may say anything.
RAISED = {
    "a reason of the site, after a 403": (lambda: ExtractorError("Private video", expected=True), 403, "private"),
    "no reason of its own": (
        lambda: ExtractorError("Unable to download: HTTP Error 404: Not Found", expected=True),
        404,
        "not_found",
    ),
    "a login wall": (
        lambda: ExtractorError("Unable to download: HTTP Error 401: Unauthorized", expected=True),
        401,
        "login_required",
    ),
    "a server that is down": (
        lambda: ExtractorError("No such video was found; 404", expected=True),
        503,
        "server_error",
    ),
    "a page that is not understood": (lambda: ExtractorError("JSON config not found"), None, "extractor_error"),
    "a page whose words mislead": (lambda: ExtractorError("This video is private: no config"), None, "extractor_error"),
    "a field that is not there": (lambda: KeyError("videoDetails"), None, "extractor_error"),
    "a text that is no number": (lambda: ValueError("invalid literal: 'proxy timed out'"), None, "extractor_error"),
    "a region": (lambda: GeoRestrictedError("not there", countries=["DE"]), None, "geo_blocked"),
    "an address": (lambda: UnsupportedError("https://example.org/private-video"), None, "unsupported_url"),
    "a channel that sends nothing": (lambda: UserNotLive(video_id="x"), None, "live"),
    "a video that is named like a fault": (
        lambda: ExtractorError("proxy: nobody has seen this", expected=True),
        None,
        "proxy_failed",
    ),
}


@pytest.mark.parametrize("name", RAISED)
def test_codes_of_what_extractors_raise(name):
    make_error, status, code = RAISED[name]

    class Raises(InfoExtractor):
        _VALID_URL = "raises:(?P<id>.*)"

        def _real_extract(self, url):
            try:
                if status is not None:
                    self._request_webpage(f"{files.url}/page", "x")
            except ExtractorError:
                raise make_error() from None
            raise make_error()

    with file_server() as files, Downloader({"quiet": True, "logger": _Silent()}) as downloader:
        files.pages["/page"] = status, "text/html", b""
        downloader._ies = {"Raises": Raises(downloader)}
        downloader._ies_instances = dict(downloader._ies)
        with pytest.raises((DownloadError, KeyError, ValueError)) as caught:
            downloader.extract_info("raises:x", download=False)
    assert classify(caught.value, downloader.failed_request) == code


@pytest.mark.parametrize("status", [401, 403, 404, 410, 429, 451, 500, 503])
def test_a_fragment_that_cannot_be_had_is_told_by_its_status(tmp_path, status):
    request = {
        "folder": str(tmp_path),
        "max_height": 144,
        "height_cap": 720,
        "max_bytes": 10_000_000,
        "sound": True,
        "filter": vars(FilterSettings()),
        "web": {"allowed_hosts": ["true"], "socket_timeout_seconds": 5},
    }
    with file_server() as files:
        playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nseg.ts\n#EXTINF:10,\nseg2.ts\n#EXT-X-ENDLIST\n"
        files.pages["/list.m3u8"] = 200, "application/vnd.apple.mpegurl", playlist
        files.pages["/seg.ts"] = files.pages["/seg2.ts"] = status, "video/mp2t", b""
        with pytest.raises(TaskError) as caught:
            list(fetch_tasks.download({**request, "url": f"{files.url}/list.m3u8"}))
    expected = {401: "login_required", 403: "forbidden", 410: "not_found", 429: "blocked", 451: "geo_blocked"}
    assert caught.value.code == expected.get(status, "not_found" if status == 404 else "server_error")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_wherever_it_stands(number):
    error = RuntimeError("unable to open for writing: 'file:x'")
    error.__context__ = OSError(number, os.strerror(number))
    assert classify(error) == "disk_full"


def test_the_reason_may_stand_behind_the_error():
    error = RuntimeError("giving up")
    error.__cause__ = OSError("HTTP Error 503: down")
    assert classify(error) == "server_error"


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "172.16.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
        ),
        *(
            "::1",
            "fe80::1",
            "fe80::1%eth0",
            "fc00::1",
            "::ffff:127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "fec0::1",
            "::127.0.0.1",
        ),
        *("2002:7f00:1::", "not an address"),
    ],
)
def test_addresses_that_are_not_public(address):
    assert not guard.is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "142.250.74.78", "2a00:1450:4007:80e::200e"])
def test_public_addresses(address):
    assert guard.is_public(address)


def test_a_cause_that_the_message_tells_is_not_told_twice():
    cause = TransportError("Failed to resolve 'example.org'")
    assert message(ExtractorError(f"Unable to download: {cause}", cause=cause, expected=True)) == (
        "Unable to download: Failed to resolve 'example.org'"
    )
    assert "KeyError" in message(ExtractorError("Unable to download", cause=KeyError("id"), expected=True))


def test_a_refused_address_is_told_in_the_words_of_the_guard():
    refused = guard.RefusedAddressError("clipscout refuses to connect to 10.0.0.1 (10.0.0.1): not a public address")
    cause = TransportError("Failed to establish a new connection", cause=refused)
    assert message(ExtractorError(f"Unable to download webpage: {cause}", cause=cause)) == str(refused)


@pytest.mark.parametrize("place", ["file:///etc/passwd.mp4", "ftp://127.0.0.1/a.mp4", "data:video/mp4;base64,AAAA"])
def test_an_address_that_sends_on_to_another_scheme_is_no_host_that_is_down(place):
    class Elsewhere(QuietHandler):
        def do_GET(self):
            self.give(302, "text/plain", b"", Location=place)

    settings = {"allowed_hosts": ["true"], "socket_timeout_seconds": 5}
    with serving(Elsewhere) as port, Session(settings, {}) as session, pytest.raises(TaskError) as caught:
        session.resolve(f"http://127.0.0.1:{port}/a.mp4")
    assert caught.value.code == "scheme_refused"
