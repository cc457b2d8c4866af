"""yt-dlp's downloader, asking once for a file that its address leads to directly. Imported in a child only."""

import ssl
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any, TypeAlias

import yt_dlp
from yt_dlp.networking import Request, Response

_Making: TypeAlias = Callable[..., ssl.SSLContext]
_MOST_SEEN_BYTES = 1 << 16
_MEDIA_TYPES = ("audio/", "video/", "application/octet-stream", "binary/octet-stream")


class _Answer(Response):
    """An answer that can be read from its start again, as long as little of it was read."""

    def __init__(self, answer: Response) -> None:
        super().__init__(
            answer, answer.url, answer.headers, answer.status, answer.reason or None, answer.extensions
        )  # fmt: skip
        self._seen: bytes | None = b""
        self._again = b""

    def fits(self, request: Request) -> bool:
        """Tells whether the answer is the one to this request too."""
        return _is_plain(request) and request.url == self.url and self._seen is not None

    def rewind(self) -> None:
        """Lets the answer be read from its start, once."""
        self._again, self._seen = self._seen or b"", None

    def read(self, amt: int | None = None) -> bytes:
        """Returns the next bytes."""
        if self._again:
            taken = len(self._again) if amt is None else amt
            data, self._again = self._again[:taken], self._again[taken:]
            return data if amt is not None else data + self.fp.read()
        data = self.fp.read(amt)
        if self._seen is not None:
            self._seen = self._seen + data if len(self._seen) + len(data) <= _MOST_SEEN_BYTES else None
        return data


class Downloader(yt_dlp.YoutubeDL):
    """Hands the answer in which the extractor found the media itself to the download, which would ask again."""

    _kept: _Answer | None = None
    #: How the last request ended, where it failed: what yt-dlp says of it later may be text alone.
    failed_request: Exception | None = None

    def add_default_info_extractors(self) -> None:
        """Adds every extractor; which these are is found out once per process, and takes longer than a download."""
        for extractor in _extractors():
            # one of them is an instance, and belongs to its downloader
            self.add_info_extractor(extractor if isinstance(extractor, type) else type(extractor)())

    def build_request_director(self, handlers: Collection[Any], preferences: Any = None) -> Any:
        """Returns what sends requests; it reads the certificates of authorities once per process."""
        director = super().build_request_director(handlers, preferences)
        for handler in director.handlers.values():
            handler._make_sslcontext = _remembered(handler._make_sslcontext)
        return director

    def urlopen(self, req: Request | str) -> Response:
        """Returns the answer to a request."""
        request = Request(req) if isinstance(req, str) else req
        kept, self._kept = self._kept, None
        if kept is not None and kept.fits(request):
            kept.rewind()
            return kept
        self.failed_request = None
        try:
            answer = super().urlopen(request)
        except Exception as error:
            self.failed_request = error
            raise
        if _is_plain(request) and _is_media(answer):
            answer = self._kept = _Answer(answer)
        return answer

    def close(self) -> Any:
        """Ends its connections."""
        if self._kept is not None:
            self._kept.close()
        return super().close()


def _is_plain(request: Request) -> bool:
    """Tells whether a request asks for the whole of a file; the answer to one for its head has no body."""
    return request.method == "GET" and request.data is None and "Range" not in request.headers


def _is_media(answer: Response) -> bool:
    kind, coding = (answer.get_header(name) or "" for name in ("Content-Type", "Content-Encoding"))
    return answer.status == 200 and kind.lower().startswith(_MEDIA_TYPES) and coding.lower() in ("", "identity")


@lru_cache(maxsize=1)
def _extractors() -> tuple[Any, ...]:
    with yt_dlp.YoutubeDL({"quiet": True, "no_warnings": True}) as plain:
        return tuple(plain._ies.values())


@lru_cache(maxsize=1)
def _contexts() -> dict[bool | None, ssl.SSLContext]:
    return {}


def _remembered(make: _Making) -> _Making:
    def context(legacy_ssl_support: bool | None = None) -> ssl.SSLContext:
        contexts = _contexts()
        if legacy_ssl_support not in contexts:
            contexts[legacy_ssl_support] = make(legacy_ssl_support)
        return contexts[legacy_ssl_support]

    return context


def warm() -> None:
    """Does what every download would do first."""
    for extractor in _extractors():  # each compiles its pattern at its first question
        extractor.suitable("http://127.0.0.1/media.mp4")
    with Downloader({"quiet": True, "no_warnings": True, "cachedir": False}) as downloader:
        for name in ("Generic", "Youtube"):
            downloader.get_info_extractor(name)
        director = downloader.build_request_director(yt_dlp.networking.common._REQUEST_HANDLERS.values())
        for handler in director.handlers.values():
            handler._make_sslcontext()
        director.close()
