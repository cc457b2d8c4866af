"""FindVideos: from queries to one request per video, with every ask for it."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import apache_beam as beam
from apache_beam.typehints.decorators import no_annotations

from transforms.core import fetch, naming, storage
from transforms.failures import Failure
from transforms.queries import match_files
from transforms.records import ActionQuery, Ask, VideoRequest
from transforms.tags import FAILURES, Failed, failed

_STAGE = "FindVideos"


class Found(NamedTuple):
    """`requests`: VideoRequest, one per video; `candidates`: (key, request) per row and video; `failures`: Failure."""

    requests: beam.PCollection
    candidates: beam.PCollection
    failures: beam.PCollection


class _Expand(beam.DoFn):
    """Turns a query into a request with one ask for each video that it names."""

    def process(self, query: ActionQuery) -> Iterator[tuple[str, VideoRequest] | Failed]:
        if query.query:
            message = f"{query.row}: search text cannot be looked up yet; give a url or a path"
            yield self._failure(query, "search_not_available", message)
        elif query.url:
            key = fetch.key_of(query.url)
            yield key, VideoRequest(key, (_ask(query, 1),), url=query.url)
        else:
            pattern = query.path if storage.is_remote(query.path) else os.path.abspath(os.path.expanduser(query.path))
            paths = match_files(pattern)[: query.max_videos]
            if not paths:
                yield self._failure(query, "no_match", f"{query.row}: no file matches {query.path!r}")
            for rank, path in enumerate(paths, start=1):
                key = naming.file_key(path)
                yield key, VideoRequest(key, (_ask(query, rank),), path=path)

    def _failure(self, query: ActionQuery, code: str, message: str) -> Failed:
        return failed(Failure(_STAGE, code, message, row=query.row, action=query.action))


def _ask(query: ActionQuery, rank: int) -> Ask:
    found_by = query.query or query.url or query.path
    return Ask(query.action, query.classes, query.row, rank, found_by, query.extra)


def merge(keyed: tuple[str, Iterable[VideoRequest]]) -> VideoRequest:
    """Merges all requests of one key: every distinct ask once, in order of action, row and rank."""
    key, requests = keyed
    requests = sorted(requests, key=lambda request: (request.source, request.asks[0].row))
    asks = {(ask.action, ask.row, ask.rank): ask for request in requests for ask in request.asks}
    first = requests[0]
    return VideoRequest(key, tuple(asks[place] for place in sorted(asks)), url=first.url, path=first.path)


@dataclass
class FindVideos(beam.PTransform):
    """Finds the videos of every query and merges them: a video is fetched and scored once."""

    @no_annotations  # Beam knows no named tuples of collections
    def expand(self, queries: beam.PCollection) -> Found:
        """Returns merged requests, the candidates before merging, and a failure per query that led nowhere."""
        found = queries | "ExpandQueries" >> beam.ParDo(_Expand()).with_outputs(FAILURES, main="candidates")
        requests = found.candidates | "ByVideo" >> beam.GroupByKey() | "MergeAsks" >> beam.Map(merge)
        return Found(requests, found.candidates, found[FAILURES])
