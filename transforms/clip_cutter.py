"""Cutting the clips of one video after the other: the worker of a lane, beside which decoding and scoring go on."""

import contextlib
import hashlib
import math
import os
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from types import NoneType
from typing import Any

from clipscout.transforms.core.child.supervisor import MOST_ATTEMPTS, Child, ChildError, Limits
from clipscout.transforms.core.results import manifests
from clipscout.transforms.core.storage import clip_store, filesystem, kept, naming, strict_json, video_store
from clipscout.transforms.core.storage.copies import shared_copy
from clipscout.transforms.core.storage.errors import DISK_FULL
from clipscout.transforms.failures import Failure
from clipscout.transforms.metrics import StageMetrics
from clipscout.transforms.records import SOUND_NOT_FETCHED, CandidateSpan, Clip, Video, VideoSpans

_STAGE = "CutClips"
#: How the flag of a clip begins that was cut from what was scored, since a better video could not be had.
LOW_QUALITY = "low_quality_"
_DEATHS_WITH_SOUND = MOST_ATTEMPTS
#: What an exact cut takes, measured on pictures of 16 megapixels.
_CUTTER_BYTES, _BYTES_PER_PIXEL_DECODED, _BYTES_PER_PIXEL_ENCODED = 160_000_000, 22, 108
#: What is kept of a clip.
_RECORDED: dict[str, type | tuple[type, ...]] = {
    "path": str,
    "duration_seconds": (int, float),
    "frames": int,
    "width": int,
    "height": int,
    "has_audio": bool,
    "audio_missing_seconds": (int, float),
    "sha256": str,
    "flags": (list, tuple),
    "start_seconds": (int, float, NoneType),
    "end_seconds": (int, float, NoneType),
    "poster": str,
}


@dataclass(frozen=True)
class CutSettings:
    """How clips are cut.

    Attributes:
      mode: `exact` (re-encoded, right to the frame), `copy` (not re-encoded, from key frame to key frame) or `none`.
      height: Larger pictures are scaled down to this height in pixels; None keeps the video's own.
      posters: Whether a picture of its peak is put beside each clip.
      sound: Whether clips have the sound of their video.
      keep_hdr: Whether clips of a high dynamic range keep it.
      stall_seconds: Longest silence of the cutter.
      memory_bytes: Memory cap of the cutter.
      lanes: Most videos whose clips are cut at once, each by a cutter of its own.
    """

    mode: str
    height: int | None
    posters: bool
    sound: bool
    keep_hdr: bool
    stall_seconds: float
    memory_bytes: int
    lanes: int = 1


@dataclass(frozen=True)
class CutOutcome:
    """How cutting one video's spans ended, as the lane tells it.

    Attributes:
      clips: The clips, those of earlier runs included.
      failures: One for each other span.
      size_bytes: Of the new clips.
    """

    clips: tuple[Clip, ...]
    failures: tuple[Failure, ...]
    size_bytes: int


class ClipCutter:
    """Cuts what is not there yet, and stores each clip as soon as it is whole.

    Args:
      output: The output folder.
      settings: How clips are cut.
      slot: What is held while clips are cut, by as many cutters as the process may have at once.
    """

    def __init__(
        self, output: str, settings: CutSettings, slot: contextlib.AbstractContextManager[Any] | None = None
    ) -> None:
        self._output, self._settings, self._slot = output, settings, slot or contextlib.nullcontext()
        self._scratch = tempfile.TemporaryDirectory(prefix="clipscout-")
        self._child = Child(Limits(settings.stall_seconds, memory_bytes=settings.memory_bytes), self._scratch.name)
        self._metrics = StageMetrics(_STAGE)
        self._bytes = 0
        self._some_set_aside = next(filesystem.walk_files(output, f"{clip_store.DROPPED}/"), None) is not None

    def work(self, proposal: VideoSpans, stopped: threading.Event) -> CutOutcome:
        """Returns a clip or a failure for each span of a video.

        Raises:
          DiskFullError: There is no space for them.
        """
        self._bytes = 0
        with self._slot:
            results = list(self._results(proposal, stopped))
        clips = tuple(result for result in results if isinstance(result, Clip))
        failures = tuple(result for result in results if isinstance(result, Failure))
        return CutOutcome(clips, failures, self._bytes)

    def kill(self) -> None:
        """Makes `work` end soon."""
        self._child.kill()

    def close(self) -> None:
        """Ends the child."""
        self._child.close()
        self._scratch.cleanup()

    def _results(self, proposal: VideoSpans, stopped: threading.Event) -> Iterator[Clip | Failure]:
        missing = []
        for span in proposal.spans:
            stored = self._stored(proposal, span)
            if stored is None:
                missing.append(span)
            else:
                yield stored
        if not missing:
            return
        if message := self._too_large(proposal.source):
            yield from (self._failed(span, "cut_memory", message) for span in missing)
            return
        try:
            uri = filesystem.resolve(self._output, proposal.source.uri)
            with (
                shared_copy(uri) as source,
                tempfile.TemporaryDirectory(dir=self._scratch.name) as folder,
            ):
                yield from self._cut_all(proposal, missing, source, folder, stopped)
        except filesystem.StorageError as error:
            for span in missing:
                yield self._failed(span, error.code, str(error))

    def _too_large(self, video: Video) -> str:
        """Returns why a video's pictures are too large to be encoded within the memory cap; nothing where they fit."""
        settings, (width, height) = self._settings, (video.width, video.height)
        scale = min(1.0, settings.height / height) if settings.height and height else 1.0
        encoded = _BYTES_PER_PIXEL_ENCODED * width * height * scale**2
        need = _CUTTER_BYTES + round(_BYTES_PER_PIXEL_DECODED * width * height + encoded)
        if settings.mode != "exact" or need <= settings.memory_bytes:
            return ""
        megabytes = math.ceil(need / 2**20 / 100) * 100
        return (
            f"pictures of {width}x{height} take about {megabytes} MB to encode, and --decode_memory_mb allows "
            f"{settings.memory_bytes >> 20}; raise it, or give a smaller --clip_height"
        )

    def _cut_all(
        self, proposal: VideoSpans, spans: list[CandidateSpan], source: str, folder: str, stopped: threading.Event
    ) -> Iterator[Clip | Failure]:
        """Cuts all spans in one call; after a death of the child one by one, so that none pays for another.

        What kills the child twice may be the sound: the third time it is left out.
        """
        targets = [os.path.join(folder, f"{index}.mp4") for index in range(len(spans))]
        calls = deque([(list(range(len(spans))), 0)])
        while calls:
            left, deaths = calls.popleft()
            try:
                request = self._request(proposal, source, [(spans[index], targets[index]) for index in left])
                messages = self._child.call(
                    "clips.cutting:cut", {**request, "sound_kills": deaths >= _DEATHS_WITH_SOUND}
                )
                for message in self._metrics.waited(f"cutting {proposal.key}", messages):
                    if "index" in message.fields:  # not a mere sign of life
                        index = left.pop(0)
                        yield self._finished(proposal, spans[index], targets[index], message.fields)
            except ChildError as error:
                if stopped.is_set():
                    return
                most = _DEATHS_WITH_SOUND if self._settings.sound else _DEATHS_WITH_SOUND - 1
                if error.fatal and deaths < most:
                    calls.extendleft(reversed([([index], deaths + 1) for index in left]))
                    continue
                code = error.code("cut")
                for index in left:
                    yield self._failed(spans[index], code, str(error))

    def _request(self, proposal: VideoSpans, source: str, wanted: list[tuple[CandidateSpan, str]]) -> dict[str, Any]:
        names = ("start_seconds", "end_seconds", "peak_seconds")
        settings = self._settings
        return {
            "path": source,
            "spans": [{**{name: getattr(span, name) for name in names}, "path": target} for span, target in wanted],
            "mode": settings.mode,
            "height": settings.height,
            "poster": settings.posters,
            "sound": settings.sound,
            "keep_hdr": settings.keep_hdr,
            "frame_rate": proposal.source.frame_rate if "seconds" in proposal.source.facts else None,
            "in_order": proposal.better is None and "time_jumps" in proposal.flags,
        }

    def _finished(
        self, proposal: VideoSpans, span: CandidateSpan, target: str, fields: dict[str, Any]
    ) -> Clip | Failure:
        if fields.get("code") == DISK_FULL:
            raise filesystem.DiskFullError(fields["message"])
        if "code" in fields:
            return self._failed(span, fields["code"], fields["message"])
        try:
            video_store.check_unchanged(proposal.source)
            return self._store(proposal, span, target, fields)
        except (filesystem.StorageError, OSError) as error:
            filesystem.check_space(error, self._output)
            return self._failed(span, getattr(error, "code", "storage_error"), str(error))

    def _store(self, proposal: VideoSpans, span: CandidateSpan, target: str, fields: dict[str, Any]) -> Clip:
        path = _clip_path(span)
        with open(target, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        fields = {name: value for name, value in fields.items() if name != "index"}
        silent = (SOUND_NOT_FETCHED,) if proposal.source.facts.get("sound_missing") else ()
        fields["flags"] = (*fields["flags"], *proposal.source_flags, *silent)
        fields["poster"] = path.removesuffix(".mp4") + ".jpg" if fields.get("poster") else ""
        clip = Clip(span, path, **fields, sha256=digest, scored=proposal.video.content_key)
        self._bytes += os.path.getsize(target)
        sizes = {path: os.path.getsize(target)}
        if clip.poster:
            picture = target.removesuffix(".mp4") + ".jpg"
            sizes[clip.poster] = os.path.getsize(picture)
            filesystem.move_in(picture, filesystem.join(self._output, clip.poster))
        filesystem.move_in(target, filesystem.join(self._output, path))
        self._keep(proposal, clip, self._made(proposal), sizes)
        return clip

    def _keep(self, proposal: VideoSpans, clip: Clip, made: dict[str, Any], sizes: dict[str, int]) -> None:
        """Writes what is known of a clip beside it, so that the clip alone is usable."""
        record = {**_about(proposal, clip.span), **{name: getattr(clip, name) for name in _RECORDED}}
        strict_json.write(self._record(clip.span), {**record, "made": made, "sizes": sizes})

    def _stored(self, proposal: VideoSpans, span: CandidateSpan) -> Clip | None:
        """Returns the clip of an earlier run, if it was cut so from this content and is still there, and whole."""

        def make(record: Any) -> tuple[Clip, dict[str, int], dict[str, Any]] | None:
            fields = kept.fields({"audio_missing_seconds": 0.0, **record}, _RECORDED)  # as old records lack it
            flags = self._flags_today(record["made"], fields["flags"], proposal)
            if flags is None or fields["path"] != _clip_path(span):
                return None
            sizes = kept.fields({"sizes": {}, **record}, {"sizes": dict})["sizes"]
            given = {**fields, "flags": flags, "reused": True, "scored": proposal.video.content_key}
            return Clip(span, **given), sizes, record

        try:
            if self._some_set_aside:
                clip_store.take_back(self._output, _clip_path(span))
            found = kept.read(self._record(span), make)
            if not found or not self._is_whole(*found[:2]):
                return None
            clip, sizes, record = found
            about = _about(proposal, span)
            if {name: record.get(name) for name in about} != about:
                self._keep(proposal, clip, record["made"], sizes)
            return clip
        except filesystem.StorageError:  # cut it again
            return None

    def _is_whole(self, clip: Clip, sizes: dict[str, int]) -> bool:
        """Tells whether the files of a stored clip are what they were: their sizes, and a local clip's digest."""
        for file in filter(None, (clip.path, clip.poster)):
            uri = filesystem.join(self._output, file)
            size = filesystem.size(uri)
            if not size or size != sizes.get(file, size):
                return False
        uri = filesystem.join(self._output, clip.path)
        return filesystem.is_remote(uri) or filesystem.size_and_digest(uri)[1] == f"sha256:{clip.sha256}"

    def _flags_today(self, made: dict[str, Any], stored: list[str], proposal: VideoSpans) -> tuple[str, ...] | None:
        """Returns the flags of a stored clip that stands for what would be cut now; None where it does not.

        One of a better video stands for one of low quality too: nothing good goes because that video fails today.
        """
        own, wanted = tuple(flag for flag in stored if not flag.startswith(LOW_QUALITY)), self._made(proposal)
        made = {"sound": True, "keep_hdr": False, **made}
        if made == wanted:
            return (*(flag for flag in own if flag not in proposal.source_flags), *proposal.source_flags)
        is_better = proposal.source_flags and len(own) == len(stored)
        return own if is_better and {**made, "content": ""} == {**wanted, "content": ""} else None

    def _made(self, proposal: VideoSpans) -> dict[str, Any]:
        """Returns what decides a clip besides its span."""
        settings = self._settings
        how = {"mode": settings.mode, "height": settings.height, "poster": settings.posters}
        return {"content": proposal.source.content, **how, "sound": settings.sound, "keep_hdr": settings.keep_hdr}

    def _record(self, span: CandidateSpan) -> str:
        return filesystem.join(self._output, clip_store.record_of(_clip_path(span)))

    def _failed(self, span: CandidateSpan, code: str, message: str) -> Failure:
        where = f"{span.key} {span.start_seconds:.3f}-{span.end_seconds:.3f} s"
        return Failure(_STAGE, code, f"{where}: {message}", key=span.key, action=span.action)


def _about(proposal: VideoSpans, span: CandidateSpan) -> dict[str, Any]:
    """Returns what a clip is of, as of today: scores and titles change, and the clip stays."""
    names = ("action", "key", "score", "rank", "peak_seconds", "top_label")
    return {**{name: getattr(span, name) for name in names}, **manifests.origin(proposal.video)}


def _clip_path(span: CandidateSpan) -> str:
    return naming.clip_path(span.action, span.key, span.start_seconds, span.end_seconds)
