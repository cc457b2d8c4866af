"""Fetching one video after the other: the workers of lanes. Web videos through yt-dlp, files where they lie."""

import math
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from clipscout.transforms.core.child.supervisor import Child, ChildError, Limits
from clipscout.transforms.core.storage import filesystem
from clipscout.transforms.core.storage.copies import shared_copy
from clipscout.transforms.core.storage.video_store import VideoStore
from clipscout.transforms.core.web import filters, secret_texts
from clipscout.transforms.core.web.client import FetchError, WebSettings
from clipscout.transforms.core.web.filters import FilterSettings
from clipscout.transforms.core.web.lanes import Politeness
from clipscout.transforms.failures import CODES, CURES, Failure
from clipscout.transforms.metrics import StageMetrics
from clipscout.transforms.records import Video, VideoRequest

_STAGE = "DownloadVideos"


@dataclass(frozen=True)
class FileLimits:
    """Limits on files of the user's own.

    Attributes:
      max_bytes: Largest file; None for no limit.
      min_seconds, max_seconds: Allowed duration; None for no limit.
    """

    max_bytes: int | None = None
    min_seconds: float = 0.0
    max_seconds: float | None = None


@dataclass(frozen=True)
class FetchSettings:
    """How videos are fetched.

    Attributes:
      max_height: Wanted size of the smaller side in pixels; the smallest format that has it is taken.
      height_cap: Where a video has no format that small, the next larger one is taken, never above this.
      max_bytes: Largest file that is downloaded.
      copy_inputs: Store files of the user below the output too, instead of using them in place.
      filter: Which videos of the web are wanted.
      file_limits: Which files of the user's own are: no limit holds for them that nobody asked for.
      web: How the web is reached.
      politeness: How often it is asked.
      max_pixels: Largest picture that is decoded.
      retry_codes: Codes of earlier permanent failures that are tried again.
      probe: What looking into a file may take.
      sound: Whether videos that clips are cut from need their sound.
      options: The values of the options of `failures.CURES`, but for those that are secrets.
      clip_max_height: Height at which videos with a span are fetched again; None for not at all.
    """

    max_height: int
    height_cap: int
    max_bytes: int
    copy_inputs: bool
    filter: FilterSettings
    web: WebSettings
    politeness: Politeness
    max_pixels: int
    retry_codes: tuple[str, ...]
    probe: Limits
    sound: bool = True
    options: Mapping[str, str] = field(default_factory=dict)
    clip_max_height: int | None = None
    file_limits: FileLimits = field(default_factory=FileLimits)

    def for_files(self) -> "FetchSettings":
        """Returns the rule that holds for files of the user's own."""
        limits = self.file_limits
        wanted = FilterSettings(limits.min_seconds, math.inf if limits.max_seconds is None else limits.max_seconds)
        return replace(self, filter=wanted, max_bytes=sys.maxsize if limits.max_bytes is None else limits.max_bytes)

    def option_values(self) -> dict[str, str]:
        """Returns the values of all options of `failures.CURES`; of secrets marks, which say nothing of them.

        Raises:
          StorageError: The storage does not answer.
        """
        try:
            cookies, proxy = self.web.read_secrets()
        except secret_texts.SecretError:
            return dict(self.options)
        return {
            **self.options,
            "cookies": secret_texts.mark_of_cookies(cookies),
            "proxy": secret_texts.mark_of_proxy(proxy),
        }


@dataclass(frozen=True)
class Outcome:
    """How fetching one video ended, as its lane tells it.

    Attributes:
      request: The request.
      video: The video; None where it could not be had.
      error: Why not.
      reused: Whether an earlier run had it.
      msec: How long it took in milliseconds.
    """

    request: VideoRequest
    video: Video | None = None
    error: FetchError | filesystem.StorageError | None = None
    reused: bool = False
    msec: int = 0

    def failure(self, stage: str, options: Mapping[str, str]) -> Failure:
        """Returns why there is no video.

        Args:
          stage: Who wanted it.
          options: The values that options have, see `FetchSettings.option_values`.
        """
        assert self.error is not None
        code, attempts = self.error.code, getattr(self.error, "attempts", 1)
        return Failure(
            *(stage, code, f"{self.request.source}: {self.error}", self.request.key),
            attempts=attempts,
            refusals=self.request.refusals + int(CODES[code][0] == "blocked" and attempts > 0),
            options={name: options[name] for name in CURES.get(code, ()) if name in options},
        )


class VideoFetcher:
    """Fetches and probes videos, one after the other: the worker of one lane."""

    def __init__(self, settings: FetchSettings, store: VideoStore, child: Child) -> None:
        self._settings, self._store, self._child = settings, store, child
        self._metrics = StageMetrics(_STAGE)

    def work(self, request: VideoRequest, stopped: threading.Event) -> Outcome:
        """Returns the stored video, or fetches it once it is its turn."""
        start = time.monotonic()
        try:
            stored = self._stored(request)
            video = stored or self._fetch(request, stopped)
        except (FetchError, filesystem.StorageError) as error:
            return Outcome(request, error=error, msec=_msec_since(start))
        except OSError as error:  # this machine's own disk
            filesystem.check_space(error, tempfile.gettempdir())
            return Outcome(request, error=filesystem.StorageError(str(error)), msec=_msec_since(start))
        return Outcome(request, video, reused=stored is not None, msec=_msec_since(start))

    def kill(self) -> None:
        """Makes `work` end soon."""
        self._child.kill()

    def close(self) -> None:
        """Ends the child."""
        self._child.close()

    def _fetch(self, request: VideoRequest, stopped: threading.Event) -> Video:
        raise NotImplementedError

    def _asked(self, request: VideoRequest) -> dict[str, Any]:
        """Returns the settings that decide which file a request brings."""
        return {"max_height": self._settings.max_height, "height_cap": self._settings.height_cap} if request.url else {}

    def _stored(self, request: VideoRequest) -> Video | None:
        """Returns the video that an earlier run stored, if today's rules would still take it.

        Raises:
          FetchError: They refuse it.
        """
        video = self._store.find(request, self._asked(request))
        if video is None:
            return None
        facts = {**video.facts, "duration": video.duration_seconds}
        if refused := filters.refusal(facts, self._settings.filter, complete=bool(request.url)):
            raise FetchError(*refused)
        self._check_size(video.size_bytes)
        self._check_height(video)
        return None if self._settings.sound and video.facts.get("sound_left") else video

    def _check_size(self, size: int) -> None:
        if size > self._settings.max_bytes:
            raise FetchError("too_large", f"{size} bytes, {self._settings.max_bytes} allowed")

    def _check_height(self, video: Video) -> None:
        """What a site does not state of a format is seen in the file."""
        refused = filters.too_high(video.width, video.height, self._settings.height_cap) if video.request.url else None
        if refused:
            raise FetchError(*refused)

    def _probed(self, request: VideoRequest, path: str, size: int, content: str, facts: dict[str, Any]) -> Video:
        """Looks into a file whatever its name says; returns the video, still without a place."""
        if not size:
            raise FetchError("unreadable_video", "the file is empty")
        probed = self._probe(path)
        duration = facts.get("whole_seconds", probed["duration_seconds"])
        if refused := filters.refusal({"duration": duration}, self._settings.filter, complete=False):
            raise FetchError(*refused)
        video = Video(
            key=request.key,
            uri=request.path,
            request=request,
            size_bytes=size,
            content=content,
            duration_seconds=duration,
            width=probed["width"],
            height=probed["height"],
            frame_rate=facts.get("whole_frame_rate") or probed["frame_rate"],
            facts={**facts, "container": probed["container"], "codec": probed["codec"]},
            picture=probed["picture"],
        )
        self._check_height(video)
        return video

    def _digested(self, uri: str) -> tuple[int, str]:
        """Returns size and digest of a file; a local one is read in the child, which has a deadline.

        Raises:
          StorageError: It cannot be read, or not in time.
        """
        if filesystem.is_remote(uri):
            return filesystem.size_and_digest(uri)
        try:
            *_, last = self._child.call("child.hashing:digest", {"path": uri})
        except ChildError as error:
            raise filesystem.StorageError(str(error), "storage_error" if error.fatal else error.kind) from error
        return last.fields["size_bytes"], last.fields["content"]

    def _probe(self, path: str) -> dict[str, Any]:
        request = {"path": path, "max_pixels": self._settings.max_pixels}
        try:
            *_, answer = self._child.call_again("video.probing:probe", request, self._settings.probe)
        except ChildError as error:
            raise FetchError(error.code("decode"), str(error), error.attempts) from error
        return answer.fields


def _msec_since(start: float) -> int:
    return round((time.monotonic() - start) * 1000)


class FileFetcher(VideoFetcher):
    """Files on local disk or gs://, used in place or copied."""

    def __init__(self, settings: FetchSettings, store: VideoStore) -> None:
        super().__init__(settings.for_files(), store, Child(settings.probe))

    def _stored(self, request: VideoRequest) -> Video | None:
        copies, remote = self._settings.copy_inputs, filesystem.is_remote(request.path)
        if not copies and not remote:  # a local file is looked into again: it is here
            return None
        stored = super()._stored(request)
        if stored is None or copies == (stored.uri == request.path):
            return None  # kept by a run that copied where this one does not, or the other way round
        try:
            content = self._digested(request.path)[1]
        except filesystem.StorageError:
            return stored  # it outlives its original
        return stored if stored.content == content else None

    def _fetch(self, request: VideoRequest, stopped: threading.Event) -> Video:
        copies, remote = self._settings.copy_inputs, filesystem.is_remote(request.path)
        size, modified = (filesystem.size_and_digest(request.path)[0], 0) if remote else filesystem.stamp(request.path)
        self._check_size(size)
        with shared_copy(request.path) as path:
            video = self._probed(request, path, size, "", {})  # what is refused need not be hashed
            size, content = self._digested(request.path)
            video = replace(video, size_bytes=size, content=content, modified_ns=modified)
            if not copies:
                return self._store.note(video, self._asked(request)) if remote else video
            with tempfile.TemporaryDirectory(prefix="clipscout-") as folder:
                copy = os.path.join(folder, "media" + os.path.splitext(request.path)[1])
                shutil.copyfile(path, copy)
                return self._store.put(replace(video, modified_ns=0), copy, self._asked(request))
