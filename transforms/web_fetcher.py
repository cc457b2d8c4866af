"""Fetching web videos one after the other, through yt-dlp: the worker of a web lane."""

import os
import shutil
import tempfile
import threading
from dataclasses import replace
from typing import Any

from clipscout.transforms.core.child.supervisor import Child, ChildError
from clipscout.transforms.core.storage.video_store import VideoStore
from clipscout.transforms.core.web import addresses
from clipscout.transforms.core.web.client import Fetcher, FetchError
from clipscout.transforms.core.web.lanes import Gate
from clipscout.transforms.failures import CODES
from clipscout.transforms.records import Video, VideoRequest
from clipscout.transforms.video_fetchers import FetchSettings, Outcome, VideoFetcher

#: Seconds around a stretch that are fetched too: decoding begins before it, and sound is kept in pieces.
_LEAD_SECONDS = 1.0


class _PartsError(Exception):
    """Parts of a file do not make what is wanted of it: it is fetched as a whole."""


class WebFetcher(VideoFetcher):
    """Web videos, through yt-dlp."""

    def __init__(self, settings: FetchSettings, store: VideoStore, gate: Gate) -> None:
        self._fetcher, self._gate = Fetcher(settings.web, settings.politeness), gate
        self._scratch = os.path.realpath(tempfile.mkdtemp(prefix="clipscout-"))
        super().__init__(settings, store, Child(settings.probe, self._scratch))

    def kill(self) -> None:
        """Makes `work` end soon."""
        self._fetcher.child.kill()
        super().kill()

    def close(self) -> None:
        """Ends the children, and removes what they left."""
        self._fetcher.close()
        super().close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _fetch(self, request: VideoRequest, stopped: threading.Event) -> Video:
        host = addresses.host_of(request.url)
        if not addresses.is_address(addresses.page_and_item(request.url)[0]):  # a list may name anything
            raise FetchError("scheme_refused", "only http and https, and yt-dlp's own addresses, are contacted")
        with tempfile.TemporaryDirectory(dir=self._scratch) as scratch, self._metrics.doing(f"waiting for {host}"):
            seconds = self._seconds()
            try:
                path, facts = self._downloaded(request, scratch, stopped, seconds)
            except _PartsError:
                path, facts = self._downloaded(request, scratch, stopped, [])
            size, content = self._digested(path)
            return self._store.put(self._probed(request, path, size, content, facts), path, self._asked(request))

    def _seconds(self) -> list[list[float]]:
        """Returns the stretches of the video that are enough, [start, end]; none for all of it."""
        return []

    def _downloaded(
        self, request: VideoRequest, scratch: str, stopped: threading.Event, seconds: list[list[float]]
    ) -> tuple[str, dict[str, Any]]:
        """Returns the path of the finished file and its facts; `seconds` is among them if it holds no more than these.

        Raises:
          FetchError: It cannot be had.
          _PartsError: It cannot be had in parts.
        """
        settings = self._settings
        wanted = [[start - _LEAD_SECONDS, end + _LEAD_SECONDS] for start, end in seconds]

        def make_request() -> dict[str, Any]:
            return {
                "url": request.url,
                "folder": tempfile.mkdtemp(dir=scratch),  # a stale part of an earlier attempt would be trusted
                "max_height": settings.max_height,
                "height_cap": settings.height_cap,
                "max_bytes": settings.max_bytes,
                "sound": settings.sound,
                "filter": vars(settings.filter),
                "seconds": wanted,
            }

        def whole(path: str) -> str:
            real, parts = self._inside(scratch, path, attempts), message.fields["parts"].get(path)
            if parts is None:
                return real
            completed, told = self._completed(real, parts, request, wanted, stopped)
            facts.update({"seconds": seconds, **told, **facts})  # what the picture tells goes before the sound
            return completed

        (message,), attempts = self._fetcher.run(
            *("web.fetch_tasks:download", make_request, self._gate, addresses.host_of(request.url), stopped)
        )
        facts = message.fields["facts"]
        path, sound = whole(message.fields["path"]), message.fields["sound"]
        if "seconds" in facts:  # joined with its sound, its pictures would seem to be fewer
            facts.setdefault("whole_frame_rate", self._probe(path)["frame_rate"])
        return self._joined(path, whole(sound), facts) if sound else (path, facts)

    def _completed(
        self,
        path: str,
        parts: dict[str, Any],
        request: VideoRequest,
        seconds: list[list[float]],
        stopped: threading.Event,
    ) -> tuple[str, dict[str, float]]:
        """Returns a file of which parts were fetched, with all that is wanted of it, and facts of the whole.

        What was fetched is looked into by the child that has no network; it says what the other one is to fetch.

        Raises:
          FetchError: The site refuses this machine.
          _PartsError: The file is not to be had so.
        """
        if "url" not in parts:
            return path, parts
        asked = {"path": path, "seconds": seconds, "folder": os.path.dirname(path)}
        try:
            *_, plan = self._child.call("video.pieces:plan", asked)
            fill = {"path": path, "ranges": plan.fields["ranges"], **parts}
            host = addresses.host_of(request.url)
            self._fetcher.run("web.fetch_tasks:fill", lambda: fill, self._gate, host, stopped)
            *_, kept = self._child.call("video.pieces:keep", asked)
        except FetchError as error:
            if stopped.is_set() or CODES[error.code][0] == "blocked":
                raise
            raise _PartsError from error
        except ChildError as error:
            raise _PartsError from error
        return kept.fields["path"], plan.fields["whole"]

    def _inside(self, scratch: str, path: str, attempts: int) -> str:
        """Returns where a file of the fetching child really is, if that is in its folder."""
        real = os.path.realpath(path)
        if not real.startswith(scratch + os.sep):
            raise FetchError("download_failed", "the downloaded file is outside its folder", attempts)
        return real

    def _joined(self, picture: str, sound: str, facts: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Joins what a site keeps apart; the picture alone, and why, where that cannot be."""
        try:
            request = {"picture": picture, "sound": sound, "folder": os.path.dirname(picture)}
            *_, answer = self._child.call("video.muxing:join", request)
            whole = answer.fields["path"]
        except ChildError as error:
            return picture, {**facts, "sound_missing": error.code("decode")}
        if os.path.getsize(whole) > self._settings.max_bytes:
            return picture, {**facts, "sound_missing": "too_large"}
        return whole, facts


def unforbidden(outcome: Outcome, gate: Gate) -> Outcome:
    """Returns the outcome of a file that its host forbids: as `blocked` where the host is left alone for that."""
    host = addresses.host_of(outcome.request.url)
    if gate.closed(host) != "blocked":
        return outcome
    assert outcome.error is not None
    error = FetchError("blocked", f"{outcome.error}; as others of {host}", getattr(outcome.error, "attempts", 1))
    return replace(outcome, error=error)
