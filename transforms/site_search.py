"""Asking a site what it lists, one query after the other: the worker of a lane."""

import contextlib
import json
import threading
from dataclasses import dataclass
from typing import Any, TypeAlias

from clipscout.transforms.core.storage import filesystem, kept, naming, strict_json
from clipscout.transforms.core.web import addresses
from clipscout.transforms.core.web.client import Fetcher, FetchError, WebSettings
from clipscout.transforms.core.web.filters import FilterSettings
from clipscout.transforms.core.web.lanes import Gate, Politeness
from clipscout.transforms.failures import CODES
from clipscout.transforms.metrics import StageMetrics
from clipscout.transforms.records import ActionQuery

_STAGE = "FindVideos"

#: URL and facts of each entry, in the site's order.
Entries: TypeAlias = list[tuple[str, dict[str, Any]]]
#: So many pages are asked for a row, besides one for each of its videos.
_MORE_PAGES = 10


def address_of(query: ActionQuery) -> str:
    """Returns the URL that a row names: a list beside a video is meant where the row asks for several videos."""
    return addresses.canonical(query.url, lists=(query.max_videos or 1) > 1) if query.url else ""


def is_asked(query: ActionQuery) -> bool:
    """Tells whether a site has to be asked what the row names."""
    return bool(query.query) or (bool(query.url) and addresses.kind_of(address_of(query)) != addresses.VIDEO)


@dataclass(frozen=True)
class SearchSettings:
    """How videos are looked for.

    Attributes:
      prefix: yt-dlp's search prefix, e.g. `ytsearch`.
      max_videos: Most videos per query, where the row does not say.
      max_per_channel: Most videos of one channel in the job; None is no cap.
      filter: Which videos are wanted.
      web: How the web is reached.
      politeness: How often it is asked.
    """

    prefix: str
    max_videos: int
    max_per_channel: int | None
    filter: FilterSettings
    web: WebSettings
    politeness: Politeness


def _entries_of(record: Any) -> Entries:
    """Returns what an earlier run was told."""
    entries = [(url, dict(facts)) for url, facts in record]
    if not all(isinstance(url, str) and url for url, _ in entries):  # any text: as when it was listed, fetching judges
        raise ValueError("an entry without an address")
    return entries


class Asker:
    """Asks sites what they list, one query after the other: the worker of one lane."""

    def __init__(self, output: str, settings: SearchSettings, gate: Gate) -> None:
        self._output, self._settings, self._gate = output, settings, gate
        self._fetcher = Fetcher(settings.web, settings.politeness)
        self._metrics = StageMetrics(_STAGE)

    def work(self, query: ActionQuery, stopped: threading.Event) -> tuple[ActionQuery, Entries | FetchError]:
        """Returns URL and facts of what the site lists, or listed in an earlier run where it does not answer now."""
        url = address_of(query)
        request = {
            "query": query.query,
            "url": url,
            "search_prefix": self._settings.prefix,
            "limit": query.max_videos or self._settings.max_videos,
            "licence": self._settings.filter.licence,
        }
        stored = filesystem.join(self._output, f"found/{naming.digest(json.dumps(request, sort_keys=True), 20)}.json")
        before = _read(stored)
        if before and [one for one, _ in before] == [url]:
            return query, before  # the page is one video, and need not be asked again whether it is
        try:
            entries = self._ask(request, stopped)
        except FetchError as error:
            category = CODES[error.code][0]
            if before is not None and category in ("blocked", "transient", "config"):
                # a site that refuses today, or a yt-dlp too old for it, must not make yesterday's results vanish
                return query, before
            if category in ("blocked", "transient"):
                return query, error
            if url and addresses.kind_of(url) == addresses.PAGE:
                return query, [(url, {})]  # as one video, of which fetching tells what is wrong
            return query, error
        with contextlib.suppress(filesystem.StorageError):  # it only helps a later run
            strict_json.write(stored, entries)
        return query, entries

    def _ask(self, request: dict[str, Any], stopped: threading.Event) -> Entries:
        """Returns the videos that a search or a page leads to: pages among its entries are asked in their place."""
        found: dict[str, dict[str, Any]] = {}
        asked: set[str] = set()
        limit = request["limit"]
        pages: Entries = [(request["url"], {})]
        while pages and len(found) < limit:
            url, facts = pages.pop()
            if url in asked:
                continue
            if asked and (addresses.kind_of(url) == addresses.VIDEO or len(asked) > limit + _MORE_PAGES):
                found.setdefault(url, facts)
                continue
            try:
                messages = self._listing({**request, "url": url} if asked else request, stopped)
            except FetchError:
                if not asked:
                    raise
                found.setdefault(url, facts)  # as one video, of which fetching tells what is wrong
                continue
            finally:
                asked.add(url)
            if messages and messages[0].get("single"):
                found.setdefault(addresses.canonical(messages[0]["url"]), {**facts, **messages[0]["facts"]})
                continue
            if lost := sum(len(message.get("lost", ())) for message in messages):
                self._metrics.count("entries-lost", lost)
            entries = [(addresses.canonical(one["url"]), one["facts"]) for one in messages if "url" in one]
            pages += reversed(entries)
        return list(found.items())

    def _listing(self, request: dict[str, Any], stopped: threading.Event) -> list[dict[str, Any]]:
        """Asks one page, in its turn."""
        url = request["url"]
        host = addresses.host_of(url) if url else self._settings.prefix
        request = {**request, "pause_seconds": self._settings.politeness.interval_seconds}
        with self._metrics.doing(f"asking for {naming.without_login(url) or request['query']!r}"):
            messages, _ = self._fetcher.run("web.fetch_tasks:listing", lambda: request, self._gate, host, stopped)
        return [message.fields for message in messages]

    def kill(self) -> None:
        """Makes `work` end soon."""
        self._fetcher.child.kill()

    def close(self) -> None:
        """Ends the child."""
        self._fetcher.close()


def _read(stored: str) -> Entries | None:
    """Returns what an earlier run found; None where none did, or it cannot be read."""
    try:
        return kept.read(stored, _entries_of)
    except filesystem.StorageError:
        return None
