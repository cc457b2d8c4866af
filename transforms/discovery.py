"""FindVideos: from queries to one request per video, with every ask for it.

Searches and listings are asked politely, in lanes; files are matched; URLs of one video need no request. Then requests
are merged by video, and rules refuse what need not be downloaded.
"""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput
from apache_beam.typehints.decorators import no_annotations

from clipscout.transforms.core.queries.excludes import is_excluded
from clipscout.transforms.core.storage import filesystem, globs, naming
from clipscout.transforms.core.storage.matching import match_files
from clipscout.transforms.core.web import addresses, filters
from clipscout.transforms.core.web.client import FetchError
from clipscout.transforms.core.web.filters import FilterSettings
from clipscout.transforms.core.web.lanes import Gate, Lanes, batched, worked_off
from clipscout.transforms.failures import Failure
from clipscout.transforms.flow import Flow
from clipscout.transforms.grouping import packed, unpacked
from clipscout.transforms.metrics import StageMetrics
from clipscout.transforms.queries import row_order
from clipscout.transforms.records import ActionQuery, Ask, VideoRequest
from clipscout.transforms.site_search import Asker, Entries, SearchSettings, address_of, is_asked
from clipscout.transforms.tags import FAILURES, Failed, failed

_STAGE = "FindVideos"
_TALLIES: Literal["tallies"] = "tallies"
_ASKED: Literal["asked"] = "asked"
_MOST_SORTED, _MOST_AHEAD = 10_000, 1000
#: The folded key of a video, and a request for it, packed.
_Candidate = tuple[str, bytes]
_Tally: TypeAlias = TaggedOutput[Literal["tallies"], tuple[str, Any]]
_Asked: TypeAlias = TaggedOutput[Literal["asked"], tuple[int, ActionQuery]]


class Found(NamedTuple):
    """What was found.

    Attributes:
      merged: VideoRequest, one per video, refused ones included.
      requests: Those of them that are to be fetched.
      tallies: (name, number) for the funnel: rows that led to candidates, candidates, and those that were merged.
      failures: Failure, one per row that led nowhere, and one of category `skipped` per video that is not wanted.
    """

    merged: beam.PCollection
    requests: beam.PCollection
    tallies: beam.PCollection
    failures: beam.PCollection


def _failure(query: ActionQuery, code: str, message: str, attempts: int = 1) -> Failure:
    return Failure(_STAGE, code, f"{query.row}: {message}", row=query.row, action=query.action, attempts=attempts)


def _failed(query: ActionQuery, code: str, message: str, attempts: int = 1) -> Failed:
    return failed(_failure(query, code, message, attempts))


def path_failure(query: ActionQuery, folder: str = "") -> Failure | None:
    """Returns the failure of a row whose path is no file: a folder without the slash behind it, or a pipe or device.

    Args:
      query: The row.
      folder: Where relative paths begin; the process's own folder where it is empty.
    """
    path = filesystem.absolute(query.path, folder)
    if not query.path.endswith("/") and filesystem.is_folder(path):
        remedy = f"for the videos in it write {filesystem.join(query.path, '')!r}"
        return _failure(query, "bad_row", f"path is the folder {query.path!r}; {remedy}")
    what = "" if filesystem.is_remote(path) or filesystem.is_folder(path) else filesystem.what_else(path)
    return _failure(query, "bad_row", f"path is {what}, not a file: {query.path!r}") if what else None


def _candidate(query: ActionQuery, rank: int, key: str, **source: Any) -> _Candidate:
    found_by = query.query or naming.without_login(query.url) or query.path
    ask = Ask(query.action, query.classes, query.row, rank, found_by, query.extra, query.min_score)
    return naming.folded(key), packed(VideoRequest(key, (ask,), **source))


def _tallied(candidates: list[_Candidate]) -> Iterator[_Candidate | _Tally]:
    """Yields the candidates of one row, with their tallies."""
    if candidates:
        yield TaggedOutput(_TALLIES, ("rows.matched", 1))
        yield TaggedOutput(_TALLIES, ("candidates.found", len(candidates)))
    yield from candidates


def files_of(query: ActionQuery) -> list[str]:
    """Returns the files that the path of a row names: itself, those that match a glob, the videos in a folder.

    Raises:
      StorageError: The storage did not answer.
    """
    return _wanted(query, match_files(filesystem.absolute(query.path)))


def _wanted(query: ActionQuery, found: list[str]) -> list[str]:
    return (list(filter(globs.is_video, found)) if query.path.endswith("/") else found)[: query.max_videos]


class _NameDirectly(beam.DoFn):
    """Rows that name their videos: files, globs, and URLs of one video; the others leave for a lane."""

    def __init__(self, groups: int, folder: str) -> None:
        self._groups, self._folder = groups, folder
        self._metrics = StageMetrics(_STAGE)

    def process(self, query: ActionQuery) -> Iterator[_Candidate | _Tally | _Asked | Failed]:
        self._metrics.count("in-queries")
        if is_asked(query):
            checksum = zlib.crc32(query.row.encode("utf-8", "surrogatepass"))
            yield TaggedOutput(_ASKED, (checksum % self._groups, query))
            return
        yield from self._named(query)
        self._metrics.count("done-queries")

    def _named(self, query: ActionQuery) -> Iterator[_Candidate | _Tally | Failed]:
        if query.url:
            url = address_of(query)
            yield from _tallied([_candidate(query, 1, addresses.key_of(url), url=url)])
            return
        try:
            found = match_files(filesystem.absolute(query.path, self._folder))
            paths = _wanted(query, found)
            failure = None if paths else path_failure(query, self._folder)
        except filesystem.StorageError as error:
            self._metrics.count(f"failed-{error.code}")
            yield _failed(query, error.code, str(error))
            return
        if not paths and failure is None:
            in_folder = query.path.endswith("/")
            others = f"; for its {len(found)} files of other names write {query.path + '*'!r}" if found else ""
            what = f"no video in the folder {query.path!r}{others}" if in_folder else f"no file matches {query.path!r}"
            failure = _failure(query, "no_match", what)
        if failure:
            self._metrics.count(f"failed-{failure.code}")
            yield failed(failure)
        ranked = enumerate(paths, start=1)
        yield from _tallied([_candidate(query, rank, naming.file_key(path), path=path) for rank, path in ranked])


class _AskSites(beam.DoFn):
    """Rows that a site has to be asked about, in the lanes of a group."""

    def __init__(self, output: str, settings: SearchSettings, flow: Flow) -> None:
        self._output, self._settings, self._flow = output, settings, flow
        self._metrics = StageMetrics(_STAGE)

    def process(self, group: tuple[int, Iterable[ActionQuery]]) -> Iterator[_Candidate | _Tally | Failed]:
        politeness = self._settings.politeness
        gate = Gate(politeness, self._flow.lanes(politeness, group[0]))
        make = partial(Asker, self._output, self._settings, gate)
        with Lanes(gate.lanes, make, _MOST_AHEAD) as lanes:
            for some in batched(group[1], _MOST_SORTED):
                for answer in worked_off((lanes, sorted(some, key=row_order))):
                    if answer is not None:
                        yield from self._found(*answer)

    def _found(self, query: ActionQuery, answer: Entries | FetchError) -> Iterator[_Candidate | _Tally | Failed]:
        self._metrics.count("done-queries")
        if isinstance(answer, FetchError):
            self._metrics.count(f"failed-{answer.code}")
            yield _failed(query, answer.code, str(answer), answer.attempts)
            return
        self._metrics.count("searches")
        if not answer:
            self._metrics.count("failed-no_match")
            yield _failed(query, "no_match", f"nothing was found for {query.query or query.url!r}")
        ranked = enumerate(answer, start=1)
        yield from _tallied(
            [_candidate(query, rank, addresses.key_of(url), url=url, listed=facts) for rank, (url, facts) in ranked]
        )


def merge(requests: Iterable[VideoRequest]) -> VideoRequest:
    """Merges all requests of one video: every distinct ask once, in order of action, row and rank."""
    requests = sorted(requests, key=lambda request: (request.source, request.asks[0].row))
    asks = {(ask.action, ask.row, ask.rank): ask for request in requests for ask in request.asks}
    listed = max((request.listed for request in requests), key=len)
    return replace(requests[0], asks=tuple(asks[position] for position in sorted(asks)), listed=listed)


class _MergeAsks(beam.DoFn):
    """Makes one request of all that ask for a video, and counts those that went into it.

    Its files have its key in their names: of keys that differ in case alone only the first stays as it is.
    """

    def process(self, keyed: tuple[str, Iterable[bytes]]) -> Iterator[VideoRequest | _Tally]:
        by_key: dict[str, list[VideoRequest]] = {}
        for request in unpacked(keyed[1]):
            by_key.setdefault(request.key, []).append(request)
        for index, key in enumerate(sorted(by_key)):
            merged = merge(by_key[key])
            yield replace(merged, key=naming.told_apart(key)) if index else merged
            yield TaggedOutput(_TALLIES, ("candidates.merged", len(by_key[key]) - 1))


class _Filter(beam.DoFn):
    """Refuses what an exclude file names, and what the listing shows to be unwanted.

    Args:
      settings: Which videos are wanted.
      count: Whether what is left is final, and is counted.
    """

    def __init__(self, settings: FilterSettings, count: bool) -> None:
        self._settings, self._count = settings, count
        self._metrics = StageMetrics(_STAGE)

    def process(self, request: VideoRequest, excluded: dict[str, None]) -> Iterator[VideoRequest | Failed]:
        if is_excluded(naming.as_it_was(request.key), request.url, excluded):
            yield _rejected(self._metrics, request, "excluded", "named by an exclude file")
        elif refused := filters.refusal(request.listed, self._settings, complete=False):
            yield _rejected(self._metrics, request, *refused)
        else:
            if self._count:
                self._metrics.count("out-requests")
            yield request


def _rejected(metrics: StageMetrics, request: VideoRequest, code: str, message: str) -> Failed:
    metrics.count(f"failed-{code}")
    return failed(Failure(_STAGE, code, f"{request.source}: {message}", key=request.key))


def _channel_of(request: VideoRequest) -> str:
    return filters.channel_of(request.listed, request.key)


class _CapChannels(beam.DoFn):
    def __init__(self, most: int) -> None:
        self._most = most
        self._metrics = StageMetrics(_STAGE)

    def process(self, keyed: tuple[str, Iterable[VideoRequest]]) -> Iterator[VideoRequest | Failed]:
        ranked = sorted(keyed[1], key=lambda request: (min(ask.rank for ask in request.asks), request.key))
        self._metrics.count("out-requests", len(ranked[: self._most]))
        yield from ranked[: self._most]
        for request in ranked[self._most :]:
            yield _rejected(
                self._metrics, request, "channel_cap", f"its channel has {self._most} videos in this job already"
            )


@dataclass
class FindVideos(beam.PTransform):
    """Finds the videos of every query and merges them: a video is fetched and scored once.

    Attributes:
      output: The output folder, where what sites listed is kept.
      settings: How videos are looked for and which are wanted.
      flow: On one machine all lanes are one worker's.
      folder: Where relative paths of rows begin; the workers' own folder where it is empty.
    """

    output: str
    settings: SearchSettings
    flow: Flow
    folder: str = ""

    @no_annotations  # Beam knows no named tuples of collections
    def expand(self, inputs: tuple[beam.PCollection, beam.PCollection]) -> Found:
        """Takes queries and (excluded id, None) pairs; returns what was found."""
        queries, excluded = inputs
        name = beam.ParDo(_NameDirectly(self.flow.groups(self.settings.politeness), self.folder))
        named = queries | "NameDirectly" >> name.with_outputs(FAILURES, _TALLIES, _ASKED, main="candidates")
        do_fn = _AskSites(self.output, self.settings, self.flow)
        ask = beam.ParDo(do_fn).with_outputs(FAILURES, _TALLIES, main="candidates")
        asked = named[_ASKED] | "ByGroup" >> beam.GroupByKey() | "AskSites" >> ask
        candidates = (named.candidates, asked.candidates) | "Candidates" >> beam.Flatten()
        merge_asks = beam.ParDo(_MergeAsks()).with_outputs(_TALLIES, main="requests")
        merged = candidates | "ByVideo" >> beam.GroupByKey() | "MergeAsks" >> merge_asks
        filtered = _Filter(self.settings.filter, count=self.settings.max_per_channel is None)
        kept = merged.requests | "Filter" >> beam.ParDo(filtered, beam.pvalue.AsDict(excluded)).with_outputs(
            FAILURES, main="requests"
        )
        requests, rejected = kept.requests, [kept[FAILURES]]
        if self.settings.max_per_channel is not None:
            capped = (
                requests
                | "ToChannels" >> beam.WithKeys(_channel_of)
                | "ByChannel" >> beam.GroupByKey()
                | "CapChannels"
                >> beam.ParDo(_CapChannels(self.settings.max_per_channel)).with_outputs(FAILURES, main="kept")
            )
            requests, rejected = capped.kept, [*rejected, capped[FAILURES]]
        failures = (named[FAILURES], asked[FAILURES], *rejected) | "Failures" >> beam.Flatten()
        tallies = (named[_TALLIES], asked[_TALLIES], merged[_TALLIES]) | "Tallies" >> beam.Flatten()
        return Found(merged.requests, requests, tallies, failures)
