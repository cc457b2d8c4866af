"""Asking a site what it lists, one query after the other: the worker of a lane."""

import contextlib
import json
import threading
from dataclasses import dataclass
from typing import Any, TypeAlias

from transforms.core import kept, naming, storage, web
from transforms.core.fetcher import Fetcher, FetchError, WebSettings
from transforms.core.filters import FilterRule
from transforms.core.lanes import Gate, Politeness
from transforms.failures import CODES
from transforms.metrics import StageMetrics
from transforms.records import ActionQuery

_STAGE = "FindVideos"

#: URL and facts of each entry, in the site's order.
Entries: TypeAlias = list[tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class SearchRule:
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
    filter: FilterRule
    web: WebSettings
    politeness: Politeness


def _entries_of(record: Any) -> Entries:
    """Returns what an earlier run was told."""
    entries = [(url, dict(facts)) for url, facts in record]
    if not all(isinstance(url, str) and web.is_web(url) for url, _ in entries):
        raise ValueError("an entry without an address")
    return entries


class Asker:
    """Asks sites what they list, one query after the other: the worker of one lane."""

    def __init__(self, output: str, rule: SearchRule, gate: Gate) -> None:
        self._output, self._rule, self._gate = output, rule, gate
        self._fetcher = Fetcher(rule.web, rule.politeness)
        self._metrics = StageMetrics(_STAGE)

    def work(self, query: ActionQuery, stopped: threading.Event) -> tuple[ActionQuery, Entries | FetchError]:
        """Returns URL and facts of what the site lists, or listed in an earlier run where it does not answer now."""
        request = {
            "query": query.query,
            "url": query.url,
            "search_prefix": self._rule.prefix,
            "limit": query.max_videos or self._rule.max_videos,
            "licence": self._rule.filter.licence,
        }
        stored = storage.join(self._output, f"found/{naming.digest(json.dumps(request, sort_keys=True), 20)}.json")
        try:
            entries = self._ask(query, request, stopped)
        except FetchError as error:
            if CODES[error.code][0] not in ("blocked", "transient"):
                return query, error
            try:  # a site that refuses today must not make yesterday's results vanish
                earlier = kept.read(stored, _entries_of)
            except storage.StorageError:
                earlier = None
            return query, error if earlier is None else earlier
        with contextlib.suppress(storage.StorageError):  # it only helps a later run
            storage.write_bytes(stored, json.dumps(entries).encode())
        return query, entries

    def _ask(self, query: ActionQuery, request: dict[str, Any], stopped: threading.Event) -> Entries:
        host = web.host_of(query.url) if query.url else self._rule.prefix
        with self._metrics.doing(f"asking for {query.query or query.url!r}"):
            messages, _ = self._fetcher.run("fetch:listing", lambda: request, self._gate, host, stopped)
        entries: dict[str, dict[str, Any]] = {}
        for message in messages:
            entries.setdefault(message.facts["url"], message.facts["facts"])
        return list(entries.items())

    def kill(self) -> None:
        """Makes `work` end soon."""
        self._fetcher.child.kill()

    def close(self) -> None:
        """Ends the child."""
        self._fetcher.close()
