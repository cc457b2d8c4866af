"""From yt-dlp's errors to failure codes: by the type of an error first, by its text where only that tells."""

import re
import ssl
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from clipscout.transforms.core.storage.errors import DISK_FULL, disk_full_message
from clipscout.transforms.core.web.guard import RefusedAddressError

#: What sites say of a video, which an extractor hands on as text. First match wins, here and below; texts are folded:
#: lower case, typographic apostrophes made plain.
_SITES_SAY: tuple[tuple[str, str], ...] = (
    ("blocked", r"not a bot|captcha|anti-bot|unusual traffic|too many requests|try again later|rate.?limit"),
    ("private", r"private video|video is private|this video is unavailable because it is private"),
    ("members_only", r"members?[- ]only|join this channel|available to this channel's members|premium members"),
    ("age_restricted", r"confirm your age|age.?restricted|inappropriate for some users"),
    ("drm", r"\bdrm\b"),
    ("geo_blocked", r"geo.?restrict|in your country|your location"),
    ("login_required", r"registered users|log ?in required|requires? (a )?log ?in|(need|have) to (log|sign) in"),
    ("login_required", r"\b(log|sign) in to (view|watch|see|access)|use --cookies|only works when logged.in"),
    ("removed", r"has been removed|account .{0,60}terminated|been terminated|no longer available|video unavailable"),
    ("removed", r"this video is (not available|unavailable)|does not exist|has been deleted"),
    ("not_found", r"\b(video|page|clip|media|playlist|post|channel|content) (was )?not found"),
    ("upcoming", r"premieres in|will begin in|live event will begin|is_upcoming"),
    ("live", r"live ?stream|not currently live"),
    ("no_format", r"requested format is not available|no video formats found|only images are available"),
    ("unsupported_url", r"unsupported url"),
)
#: What remains where a type was lost on the way.
_TEXTS: tuple[tuple[str, str], ...] = (
    ("refused_address", r"clipscout refuses to connect"),
    ("too_large", r"clipscout byte cap|larger than max-filesize"),
    (DISK_FULL, r"no space left on device|disk quota exceeded"),
    ("blocked", r"http error 429"),
    ("login_required", r"http error 401"),
    ("extractor_error", r"please report this issue|confirm you are on the latest"),
    ("proxy_failed", r"http error 407|proxy"),
    ("geo_blocked", r"http error 451"),
    ("server_error", r"http error 5\d\d"),
    *_SITES_SAY,
    ("forbidden", r"http error 40[23]|\bforbidden\b"),
    ("not_found", r"http error 404|http error 410"),
    ("cookies_invalid", r"cookies? .{0,60}(invalid|expired|not valid|no longer valid)|netscape format(ted)? cookies"),
    ("cookies_invalid", r"cookies file must be netscape"),
    ("scheme_refused", r"file:// urls are disabled|unsupported url scheme"),
    ("short_read", r"incompleteread|content.?too.?short|more expected|\bbytes read\b|did not get any data blocks"),
    ("network_timeout", r"timed? ?out"),
    ("network", r"name or service not known|temporary failure in name|getaddrinfo|failed to resolve|connection"),
    ("network", r"reset by peer|remote end closed|broken pipe|unreachable|\bssl\b|handshake|transporterror"),
    ("extractor_error", r"unable to extract|failed to parse"),
    ("not_found", r"not found"),
)
_STATUS = {401: "login_required", 402: "forbidden", 403: "forbidden", 404: "not_found", 407: "proxy_failed"}
_STATUS |= {408: "network_timeout", 410: "not_found", 429: "blocked", 451: "geo_blocked"}
#: Errors of Python itself: inside an extractor they mean that the page is not what it expects.
_BUGS = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, AssertionError, RecursionError)
#: Addresses, hosts and ids stand in the texts, and a video may be called anything.
_NAMES = re.compile(r"https?://\S+|host='[^']*'|\[[\w:+.-]+\] [^\s:]+:")
#: yt-dlp's words for a status, which the status itself says better.
_STATUS_TEXT = re.compile(r"http error \d\d\d: .*")


class ByteCapError(Exception):
    """The download passed the byte cap."""


def classify(error: BaseException, asked: BaseException | None = None) -> str:
    """Returns the failure code of an error that yt-dlp raised, `download_failed` where nothing tells.

    Args:
      error: The error.
      asked: How the last request ended, where it failed: yt-dlp does not always tell.

    Returns:
      A failure code, or `DISK_FULL`.
    """
    links = list(chain(error))
    if code := _judged(links, (_own, _by_extractor, _by_request)):
        return code
    if isinstance(error, _BUGS):
        return "extractor_error"
    if asked is not None and (code := _judged(list(chain(asked)), (_own, _by_request))):
        return code
    return _by_text(" | ".join(f"{type(link).__name__}: {link}" for link in links), _COMPILED) or "download_failed"


def _judged(links: Iterable[BaseException], judges: Iterable[Callable[[BaseException], str]]) -> str:
    """Returns the code of the first judge that knows one of the errors, the outermost first."""
    return next((code for judge in judges for link in links if (code := judge(link))), "")


def _own(link: BaseException) -> str:
    if isinstance(link, RefusedAddressError):
        return "refused_address"
    if isinstance(link, ByteCapError):
        return "too_large"
    return DISK_FULL if disk_full_message(link, "") else ""


def _by_extractor(link: BaseException) -> str:
    """What the extractor, which knows the site, makes of it."""
    from yt_dlp.networking.exceptions import RequestError
    from yt_dlp.utils import ExtractorError, GeoRestrictedError, UnsupportedError, UserNotLive

    for kind, code in (
        (GeoRestrictedError, "geo_blocked"),
        (UnsupportedError, "unsupported_url"),
        (UserNotLive, "live"),
    ):
        if isinstance(link, kind):
            return code
    if not isinstance(link, ExtractorError):
        return ""
    if not link.expected:  # as it also says of some requests that failed
        return "" if isinstance(link.cause, RequestError) else "extractor_error"
    return _by_text(_STATUS_TEXT.sub(" ", fold(link.orig_msg)), _COMPILED_SITES)


def _by_request(link: BaseException) -> str:
    """What became of a request."""
    import requests
    from yt_dlp.cookies import CookieLoadError
    from yt_dlp.networking import exceptions
    from yt_dlp.utils import ContentTooShortError

    if isinstance(link, exceptions.HTTPError):
        return _STATUS.get(link.status) or ("server_error" if link.status >= 500 else "download_failed")
    if isinstance(link, exceptions.ProxyError):
        return "proxy_failed"
    if isinstance(link, requests.exceptions.InvalidSchema):  # where an address sends on to one
        return "scheme_refused"
    if isinstance(link, (exceptions.NoSupportingHandlers, exceptions.UnsupportedRequest)):
        return "proxy_failed" if "proxy" in str(link).lower() else "scheme_refused"
    if isinstance(link, CookieLoadError):
        return "cookies_invalid"
    if isinstance(link, (exceptions.IncompleteRead, ContentTooShortError)):
        return "short_read"
    if isinstance(link, exceptions.TransportError):
        behind = [*chain(link)]
        timed_out = any(isinstance(one, TimeoutError) or "Timeout" in type(one).__name__ for one in behind)
        return "network_timeout" if timed_out else "network"
    if isinstance(link, TimeoutError):
        return "network_timeout"
    return "network" if isinstance(link, (ConnectionError, ssl.SSLError)) else ""


def _by_text(text: str, table: tuple[tuple[str, re.Pattern[str]], ...]) -> str:
    text = _NAMES.sub(" ", fold(text))
    return next((code for code, pattern in table if pattern.search(text)), "")


_COMPILED_SITES = tuple((code, re.compile(pattern)) for code, pattern in _SITES_SAY)
_COMPILED = tuple((code, re.compile(pattern)) for code, pattern in _TEXTS)


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yields an error and everything behind it: cause, context, and what yt-dlp wraps in `exc_info`."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        link = waiting.pop(0)
        if not isinstance(link, BaseException) or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        waiting += [*(getattr(link, "exc_info", None) or ()), link.__cause__, link.__context__]
        waiting += [getattr(link, "cause", None)]


def fold(text: str) -> str:
    """Folds case and typographic apostrophes."""
    return text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").casefold()


def message(error: BaseException) -> str:
    """Returns yt-dlp's message as one line, without terminal colours, its `ERROR:`, and causes that it tells twice.

    Of an address that the guard refused the guard's words are enough.
    """
    if refused := next((link for link in chain(error) if isinstance(link, RefusedAddressError)), None):
        return str(refused)
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).removeprefix("ERROR: ")
    for link in chain(error):
        before, again, after = text.partition(f" (caused by {link!r})")
        if again and str(link) in before:
            text = before + after
    return " ".join(text.split()) or type(error).__name__
