"""From yt-dlp's errors to failure codes: by exception and by text, because much of it only the text tells."""

import re
from collections.abc import Iterator

#: First match wins. Texts are folded: lower case, typographic apostrophes made plain.
_PATTERNS: tuple[tuple[str, str], ...] = (
    ("refused_address", r"clipscout refuses to connect"),
    ("blocked", r"not a bot|captcha|unusual traffic|too many requests|http error 429|try again later"),
    ("blocked", r"http error 403|\bforbidden\b|rate.?limit"),
    ("private", r"private video|video is private|this video is unavailable because it is private"),
    ("members_only", r"members?[- ]only|join this channel|available to this channel's members|premium members"),
    ("age_restricted", r"confirm your age|age.?restricted|inappropriate for some users"),
    ("drm", r"\bdrm\b"),
    ("geo_blocked", r"geo.?restrict|in your country|your location|http error 451"),
    ("removed", r"has been removed|account .{0,60}terminated|been terminated|no longer available|video unavailable"),
    ("removed", r"this video is (not available|unavailable)|does not exist|has been deleted"),
    ("not_found", r"http error 404|http error 410|not found"),
    ("upcoming", r"premieres in|will begin in|live event will begin|is_upcoming"),
    ("live", r"live ?stream"),
    ("too_large", r"clipscout byte cap|larger than max-filesize"),
    ("no_format", r"requested format is not available|no video formats found|only images are available"),
    ("unsupported_url", r"unsupported url"),
    ("cookies_invalid", r"cookies? .{0,60}(invalid|expired|not valid|no longer valid)|netscape format cookies"),
    ("scheme_refused", r"file:// urls are disabled|file:/*"),
    ("server_error", r"http error 5\d\d"),
    ("short_read", r"incompleteread|content.?too.?short|more expected|\bbytes read\b|did not get any data blocks"),
    ("network_timeout", r"timed? ?out"),
    ("network", r"name or service not known|temporary failure in name|getaddrinfo|failed to resolve|connection"),
    ("network", r"proxy|reset by peer|remote end closed|broken pipe|unreachable|ssl|handshake|transporterror"),
    ("extractor_error", r"please report this issue|unable to extract|failed to parse|confirm you are on the latest"),
)
#: Addresses, hosts and ids stand in the texts, and a video may be called anything.
_NAMES = re.compile(r"https?://\S+|host='[^']*'|\[[\w:+.-]+\] [^\s:]+:")
_COMPILED = tuple((code, re.compile(pattern)) for code, pattern in _PATTERNS)


def classify(error: BaseException) -> str:
    """Returns the failure code of an error that yt-dlp raised, `download_failed` where nothing tells."""
    text = " | ".join(f"{type(link).__name__}: {_NAMES.sub(' ', fold(str(link)))}".lower() for link in chain(error))
    for code, pattern in _COMPILED:
        if pattern.search(text):
            return code
    return "download_failed"


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yields an error and everything behind it: cause, context, and what yt-dlp wraps in `exc_info`."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop(0)
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        wrapped = getattr(link, "exc_info", None) or ()
        waiting += [part for part in wrapped if isinstance(part, BaseException)]
        waiting += [link.__cause__, link.__context__, getattr(link, "cause", None)]


def fold(text: str) -> str:
    """Folds case and typographic apostrophes."""
    return text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").casefold()


def message(error: BaseException) -> str:
    """Returns yt-dlp's own message as one line, without terminal colours and its `ERROR:`."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).removeprefix("ERROR: ")
    return " ".join(text.split()) or type(error).__name__
