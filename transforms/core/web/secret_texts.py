"""Cookies and proxies: what they have to look like, and how they are kept out of every message."""

import base64
import hashlib
import re
from collections.abc import Iterable
from urllib.parse import quote, unquote, urlsplit

_PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
_COOKIE_FIELDS = 7
_NUMBER = re.compile(r"\d+(\.\d+)?")
#: A shorter value is no secret, and its letters are part of any text.
_SHORTEST = 4


class SecretError(ValueError):
    """Cookies or a proxy cannot be used; the message says why and holds nothing of them. `code` is the failure code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def check_cookies(text: str) -> None:
    """Does nothing where a text is a Netscape cookies file, as yt-dlp reads it.

    Raises:
      SecretError: It is not; the number of the line is told, and never what stands there.
    """
    first = text.lstrip("\ufeff").partition("\n")[0]
    if not re.match(r"#( Netscape)? HTTP Cookie File", first):
        raise _wrong(1, "is not '# Netscape HTTP Cookie File', as in cookies exported by a browser")
    for number, fields in _cookies(text):
        if len(fields) != _COOKIE_FIELDS:
            raise _wrong(number, f"has {len(fields)} fields between tabs, expected {_COOKIE_FIELDS}")
        if fields[4] and not _NUMBER.fullmatch(fields[4]):
            raise _wrong(number, "has no number in its fifth field, the time when the cookie ends")
        if (fields[1] == "TRUE") != fields[0].startswith("."):
            raise _wrong(
                number, "says TRUE in its second field of a host without a leading dot, or FALSE of one with it"
            )


def _wrong(number: int, what: str) -> SecretError:
    return SecretError("cookies_invalid", f"line {number} {what}")


def _cookies(text: str) -> Iterable[tuple[int, list[str]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.rstrip("\r").removeprefix("#HttpOnly_")
        if line.strip() and not line.startswith("#"):
            yield number, line.split("\t")


def check_proxy(url: str) -> None:
    """Does nothing where a text is the URL of a proxy, or empty.

    Raises:
      SecretError: It is not.
    """
    try:
        parts = urlsplit(url)
        usable = (
            parts.scheme.lower() in _PROXY_SCHEMES and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        )
    except ValueError:
        usable = False
    if url and not usable:
        schemes = ", ".join(_PROXY_SCHEMES)
        raise SecretError("proxy_failed", f"what is given is no URL like http://HOST:PORT (schemes: {schemes})")


def secrets_of(cookies: str, proxy: str) -> tuple[str, ...]:
    """Returns every text that must appear nowhere, the longest first: values of cookies, a proxy's password and URL.

    Args:
      cookies: The text of a cookies file; empty for none.
      proxy: The URL of a proxy; empty for none.
    """
    login = _login(proxy)
    values = {fields[-1] for _, fields in _cookies(cookies)} | login
    if login:
        values.add(proxy)
    return _all_forms(values)


def login_of(url: str) -> tuple[str, ...]:
    """Returns of a web address what must appear nowhere: the user and password before its host, if there are any."""
    return _all_forms(_login(url))


def _login(url: str) -> set[str]:
    try:
        login, _, _ = urlsplit(url).netloc.rpartition("@")
    except ValueError:  # no address, so that no site is shown it
        return set()
    user, _, password = login.partition(":")
    header = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
    return {login, password, header} if login else set()


def _all_forms(values: set[str]) -> tuple[str, ...]:
    """Returns secrets and their other spellings, the longest first."""
    values = values | {unquote(value) for value in values} | {quote(value, safe="") for value in values}
    return tuple(sorted((value for value in values if len(value) >= _SHORTEST), key=lambda value: (-len(value), value)))


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Returns a text with three stars in the place of each secret."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def mark_of_cookies(text: str) -> str:
    """Returns what tells cookies from other ones and says nothing of them; empty for none."""
    return hashlib.sha256(text.encode()).hexdigest()[:12] if text else ""


def mark_of_proxy(url: str) -> str:
    """Returns what tells a proxy from another one, without its password, which may be guessed; empty for none."""
    return hashlib.sha256(urlsplit(url).netloc.rpartition("@")[2].encode()).hexdigest()[:12] if url else ""
