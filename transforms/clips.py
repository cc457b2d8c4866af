"""CutClips: one playable file per span; a clip that is there already is not cut again."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput
from apache_beam.typehints.decorators import no_annotations

from transforms.core import naming, storage
from transforms.core.child import Child, ChildError, Limits
from transforms.failures import Failure
from transforms.metrics import StageMetrics
from transforms.records import CandidateSpan, Clip, VideoSpans
from transforms.tags import FAILURES, Failed, failed

_STAGE = "CutClips"
_NOT_WANTED: Literal["not_wanted"] = "not_wanted"

_CutOutput: TypeAlias = Clip | Failed | TaggedOutput[Literal["not_wanted"], CandidateSpan]


class Cut(NamedTuple):
    """`clips`: Clip; `not_wanted`: spans left uncut by `--cut=none`; `failures`: Failure."""

    clips: beam.PCollection
    not_wanted: beam.PCollection
    failures: beam.PCollection


class _Cut(beam.DoFn):
    def __init__(self, output: str, mode: str, stall_seconds: float, memory_bytes: int) -> None:
        self._output, self._mode = output, mode
        self._limits = Limits(stall_seconds, memory_bytes=memory_bytes)
        self._metrics = StageMetrics(_STAGE)

    def setup(self) -> None:
        self._child = Child(self._limits)

    def teardown(self) -> None:
        self._child.close()

    def process(self, proposal: VideoSpans) -> Iterator[_CutOutput]:
        if self._mode == "none":
            yield from (TaggedOutput(_NOT_WANTED, span) for span in proposal.spans)
            return
        missing = []
        for span in proposal.spans:
            stored = self._stored(proposal, span)
            if stored is None:
                missing.append(span)
            else:
                self._metrics.count("reused-clips")
                yield stored
        if not missing:
            return
        try:
            uri = storage.resolve(self._output, proposal.video.uri)
            with storage.local_copy(uri) as source, tempfile.TemporaryDirectory(prefix="clipscout-") as folder:
                yield from self._cut_all(proposal, missing, source, folder)
        except storage.StorageError as error:
            for span in missing:
                yield self._failed(span, error.code, str(error))

    def _cut_all(
        self, proposal: VideoSpans, spans: list[CandidateSpan], source: str, folder: str
    ) -> Iterator[Clip | Failed]:
        """Cuts all spans in one call; after a death of the child the span it worked on is tried once more."""
        left, deaths = list(range(len(spans))), 0
        targets = [os.path.join(folder, f"{place}.mp4") for place in range(len(spans))]
        while left:
            wishes = [
                {"start_seconds": spans[p].start_seconds, "end_seconds": spans[p].end_seconds, "path": targets[p]}
                for p in left
            ]
            try:
                for message in self._child.call("cutting:cut", {"path": source, "spans": wishes}):
                    if "index" in message.facts:  # not a mere sign of life
                        place, deaths = left.pop(0), 0
                        yield self._finished(proposal, spans[place], targets[place], message.facts)
            except ChildError as error:
                deaths += 1
                if not error.fatal or deaths == 2:
                    code = f"cut_{error.kind}" if error.fatal else error.kind
                    yield self._failed(spans[left.pop(0)], code, str(error))
                    deaths = 0

    def _finished(self, proposal: VideoSpans, span: CandidateSpan, target: str, facts: dict[str, Any]) -> Clip | Failed:
        if "code" in facts:
            return self._failed(span, facts["code"], facts["message"])
        try:
            return self._store(proposal, span, target, facts)
        except (storage.StorageError, OSError) as error:
            return self._failed(span, getattr(error, "code", "storage_error"), str(error))

    def _store(self, proposal: VideoSpans, span: CandidateSpan, target: str, facts: dict[str, Any]) -> Clip:
        path = _clip_path(span)
        with open(target, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        facts = {name: value for name, value in facts.items() if name != "index"}
        clip = Clip(span, path, **{**facts, "flags": tuple(facts["flags"])}, sha256=digest)
        self._metrics.count("out-bytes", os.path.getsize(target))
        storage.move_in(target, storage.join(self._output, path))
        record = {**{k: v for k, v in asdict(clip).items() if k != "span"}, "content": proposal.video.content}
        storage.write_bytes(self._record(span), json.dumps(record).encode())
        self._metrics.count("out-clips")
        return clip

    def _stored(self, proposal: VideoSpans, span: CandidateSpan) -> Clip | None:
        """Returns the clip of an earlier run, if it was cut from this content and is still there."""
        try:
            record = json.loads(storage.read_bytes(self._record(span)))
            content = record.pop("content")
            if content != proposal.video.content or not storage.exists(storage.join(self._output, record["path"])):
                return None
            return Clip(span, **{**record, "flags": tuple(record["flags"])})
        except (storage.StorageError, ValueError, KeyError, TypeError, AttributeError):  # cut it again
            return None

    def _record(self, span: CandidateSpan) -> str:
        return storage.join(self._output, _clip_path(span).removesuffix(".mp4") + ".json")

    def _failed(self, span: CandidateSpan, code: str, message: str) -> Failed:
        self._metrics.count(f"failed-{code}")
        where = f"{span.key} {span.start_seconds:.3f}-{span.end_seconds:.3f} s"
        return failed(Failure(_STAGE, code, f"{where}: {message}", key=span.key, action=span.action))


def _clip_path(span: CandidateSpan) -> str:
    return naming.clip_path(span.action, span.key, span.start_seconds, span.end_seconds)


@dataclass
class CutClips(beam.PTransform):
    """Cuts every span to `clips/<action>/<key>_<start_ms>_<end_ms>.mp4` below the output.

    Attributes:
      output: The output folder.
      mode: `exact` (re-encoded, right to the frame) or `none` (spans only).
      stall_seconds: Longest silence of the cutter.
      memory_bytes: Memory cap of the cutter.
    """

    output: str
    mode: str
    stall_seconds: float
    memory_bytes: int

    @no_annotations  # Beam knows no named tuples of collections
    def expand(self, proposals: beam.PCollection) -> Cut:
        """Returns clips, and a failure for each span without one."""
        do_fn = _Cut(self.output, self.mode, self.stall_seconds, self.memory_bytes)
        cut = proposals | "Cut" >> beam.ParDo(do_fn).with_outputs(FAILURES, _NOT_WANTED, main="clips")
        return Cut(cut.clips, cut[_NOT_WANTED], cut[FAILURES])
