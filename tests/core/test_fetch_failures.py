"""yt-dlp's messages to codes, and addresses that are refused."""

import pytest

from transforms.core import guard
from transforms.core.fetch_failures import classify

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
    "ERROR: unable to download video data: HTTP Error 403: Forbidden": "blocked",
    "ERROR: [generic] x: HTTP Error 429: Too Many Requests": "blocked",
    "ERROR: [generic] x: HTTP Error 410: Gone": "not_found",
    "ERROR: [generic] x: HTTP Error 451: Unavailable For Legal Reasons": "geo_blocked",
    "ERROR: [generic] x: HTTP Error 503: Service Unavailable": "server_error",
    "ERROR: [youtube] x: HTTP Error 400: Bad Request; please report this issue on our tracker": "extractor_error",
    "ERROR: [generic] x: HTTP Error 401: Unauthorized": "download_failed",
    "ERROR: HTTPSConnectionPool(host='captcha-art.com', port=443): Read timed out.": "network_timeout",
    "ERROR: Failed to resolve 'x' ([Errno -2] Name or service not known)": "network",
    "ERROR: 1000 bytes read, 2000 more expected": "short_read",
    "ERROR: file:// URLs are disabled by default in yt-dlp for security reasons": "scheme_refused",
    "ERROR: something nobody has seen before": "download_failed",
}


@pytest.mark.parametrize("message", MESSAGES)
def test_codes(message):
    assert classify(RuntimeError(message)) == MESSAGES[message]


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
