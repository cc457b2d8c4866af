"""DescribeClips: a feature per clip, what a classifier's last layer sees of it, so that clips can be compared.

As in the paper (arXiv 1705.06950, section 3) it is the mean over 25 frames of the clip, spread evenly. The clip's own
file is decoded, so that no frame of another shot or of what was not cut is among them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, NamedTuple, TypeAlias

import apache_beam as beam
import numpy as np
from apache_beam.ml.inference.base import RunInference
from apache_beam.pvalue import TaggedOutput
from apache_beam.typehints.decorators import no_annotations

from clipscout.transforms.core import tally
from clipscout.transforms.core.child.supervisor import Child, ChildError, Limits
from clipscout.transforms.core.classifiers.specs import (
    NO_LAST_LAYER,
    UnusableClassifierError,
)
from clipscout.transforms.core.duplicates import feature_files
from clipscout.transforms.core.duplicates.feature_files import FeatureFileError, Features
from clipscout.transforms.core.storage import filesystem, kept, tracks
from clipscout.transforms.core.storage.copies import shared_copy
from clipscout.transforms.core.video.sampling import Sampling
from clipscout.transforms.describe_settings import FRAMES, DescribeSettings, nearest_within, windows_of
from clipscout.transforms.failures import Failure
from clipscout.transforms.flow import Flow, Spread
from clipscout.transforms.inference import ClassifierHandler
from clipscout.transforms.metrics import StageMetrics
from clipscout.transforms.records import Clip, ClipFeature, DecodedClip, FrameBatch, ScoredSamples
from clipscout.transforms.tags import FAILURES, Failed, failed
from clipscout.transforms.working_ahead import WorksAhead

_STAGE = "DescribeClips"
_TASK = "video.decode:samples"
#: While one clip's frames are scored, the next one's are decoded.
_DECODERS = 2
#: Says of a clip that its classifier cannot describe any.
_CANNOT = "cannot"
_APART: Literal["apart"] = "apart"
_Apart: TypeAlias = TaggedOutput[Literal["apart"], Clip]


class Described(NamedTuple):
    """`clips`: clips whose feature is stored; `apart`: clips that have none; `failures`: Failure."""

    clips: beam.PCollection
    apart: beam.PCollection
    failures: beam.PCollection


def rows_of(clips: Sequence[Clip], frames: Sequence[int], vectors: Sequence[np.ndarray]) -> Features:
    """Returns the features of clips as a file has them.

    Args:
      clips: The clips.
      frames: How many frames were averaged for each.
      vectors: float32[size] of each.
    """
    return Features(
        ids=[clip.id for clip in clips],
        actions=[clip.span.action for clip in clips],
        keys=[clip.key for clip in clips],
        clips=[clip.path for clip in clips],
        contents=[clip.sha256 for clip in clips],
        scores=np.array([clip.span.score for clip in clips], np.float64),
        frames=np.array(frames, np.int32),
        vectors=np.array(vectors, np.float32),
    )


class _FindFeatures(beam.DoFn):
    """Finds what was described before, or can be told from the scores of the clip's video."""

    def __init__(self, output: str, settings: DescribeSettings) -> None:
        self._output, self._settings, self._model = output, settings, settings.model()
        self._metrics = StageMetrics(_STAGE)
        self._why: str | None = None

    def process(self, clip: Clip) -> Iterator[Clip | ClipFeature | _Apart | Failed]:
        if clip.left_out_by:
            yield TaggedOutput(_APART, clip)
            return
        if self._why is None:
            self._why = "" if self._settings.required else self._model.unusable(self._output)
        if self._why:
            yield TaggedOutput(_APART, replace(clip, not_compared=self._why))
            return
        self._metrics.count("in-clips")
        try:
            found = self._stored(clip) or self._from_track(clip)
        except filesystem.StorageError as error:
            yield from _apart(clip, error.code, str(error), self._metrics)
            return
        if found is not None:
            self._metrics.count("reused-features" if found.reused else "features-from-tracks")
        yield found or clip

    def _stored(self, clip: Clip) -> ClipFeature | None:
        uri = self._model.clip_file(self._output, clip.sha256)
        try:
            stored = feature_files.read(uri, self._model)
        except FeatureFileError:
            kept.tell_damaged(uri)
            return None
        except filesystem.StorageError as error:
            if error.code != "not_found":
                raise
            return None
        if len(stored) != 1 or stored.contents[0] != clip.sha256:
            return None
        return ClipFeature(clip, stored.vectors[0], int(stored.frames[0]), reused=True)

    def _from_track(self, clip: Clip) -> ClipFeature | None:
        """Returns the mean of embeddings that scoring has stored, where there is one near each of the wanted times."""
        if not self._settings.tracks or clip.start_seconds is None or clip.end_seconds is None:
            return None
        stored = tracks.read(tracks.TrackFiles(self._output, self._settings.tracks, clip.scored).track())
        if stored is None or not stored.has_outputs:
            return None
        step = (clip.end_seconds - clip.start_seconds) / FRAMES
        wanted = clip.start_seconds + step * (np.arange(FRAMES) + 0.5)
        places = nearest_within(stored.scores.times, wanted, clip.start_seconds, clip.end_seconds, step)
        if places is None:
            return None
        try:
            outputs = np.concatenate(list(stored.outputs()))
        except ValueError:  # damaged
            return None
        return ClipFeature(clip, outputs[places].mean(axis=0, dtype=np.float64).astype(np.float32), len(set(places)))


def _why_not(settings: DescribeSettings) -> str:
    from clipscout.transforms.core.classifiers import loading  # torch: seconds, and only where there is a clip

    try:
        with tally.doing(f"loading {settings.spec.name} to compare clips", slow_seconds=10):
            loading.load(settings.load)
    except (ValueError, RuntimeError, filesystem.StorageError, ImportError, OSError, MemoryError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        if settings.required:
            raise UnusableClassifierError(f"--duplicate_features: {why}") from error
        return why
    return ""


class _Begun:
    """A clip that a child has been asked for."""

    def __init__(self, clip: Clip, child: Child) -> None:
        self.clip, self.child, self.copies = clip, child, ExitStack()
        self.request: dict[str, Any] = {}
        self.error: filesystem.StorageError | None = None


class _DecodeClips(WorksAhead):
    """Gives the frames of clips, and behind them how that went; what is described already passes in its place."""

    def __init__(self, output: str, settings: DescribeSettings) -> None:
        super().__init__(Limits(settings.stall_seconds, memory_bytes=settings.memory_bytes), _DECODERS)
        self._output, self._settings = output, settings
        self._metrics = StageMetrics(_STAGE)
        self._why: str | None = None

    def process(self, element: Clip | ClipFeature) -> Iterator[FrameBatch | DecodedClip | ClipFeature]:
        if isinstance(element, Clip) and (why := self._why_not()):
            yield DecodedClip(element, _CANNOT, why)
            return
        self._waiting.append(self._begun(element) if isinstance(element, Clip) else element)
        while not self._free or isinstance(self._waiting[0], ClipFeature):
            yield from self._first()
            if not self._waiting:
                return

    def _why_not(self) -> str:
        """Returns why the classifier cannot describe clips, where that ends no job; the first clip finds out.

        Raises:
          UnusableClassifierError: It cannot, and was asked for.
        """
        if self._why is None:
            self._why = _why_not(self._settings)
            if self._why and NO_LAST_LAYER in self._why:
                self._settings.model().note_unusable(self._output, self._why)
        return self._why

    def _begun(self, clip: Clip) -> _Begun:
        begun = _Begun(clip, self._free.pop())
        try:
            path = begun.copies.enter_context(shared_copy(filesystem.resolve(self._output, clip.path)))
        except filesystem.StorageError as error:
            begun.error = error
            return begun
        samples, seconds = self._settings.samples(), max(clip.duration_seconds, 1e-3)
        begun.request = {
            "path": path,
            "sampling": asdict(Sampling(fps=samples / seconds)),
            "frame_settings": asdict(self._settings.spec.preprocessing.frame_settings()),
            "batch_frames": samples,
            "max_pixels": self._settings.max_pixels,
            "threads": self._settings.threads,
            "find_shots": False,
        }
        begun.child.send_ahead(_TASK, begun.request)
        return begun

    def _first(self) -> Iterator[FrameBatch | DecodedClip | ClipFeature]:
        first = self._waiting.popleft()
        if isinstance(first, ClipFeature):
            yield first
            return
        with self._slot:
            try:
                with first.copies:
                    yield from self._decoded(first)
            finally:
                self._free.append(first.child)

    def _decoded(self, begun: _Begun) -> Iterator[FrameBatch | DecodedClip]:
        clip, window = begun.clip, self._settings.spec.window
        try:
            if begun.error is not None:
                raise begun.error
            parts = []
            messages = begun.child.call_again(_TASK, begun.request)
            for message in self._metrics.waited(f"decoding {clip.path}", messages):
                if "times" in message.fields:
                    parts.append(np.frombuffer(message.payload, np.uint8).reshape(message.fields["shape"]))
            if window:
                alike = [one for one in parts if one.shape[1:] == parts[0].shape[1:]]
                parts = [windows_of(np.concatenate(alike), window.frames)]
            yield from (_frame_batch(clip, frames) for frames in parts)
            yield DecodedClip(clip)
        except filesystem.StorageError as error:
            yield DecodedClip(clip, error.code, str(error))
        except ChildError as error:
            yield DecodedClip(clip, error.code("decode"), str(error), error.attempts)


def _frame_batch(clip: Clip, frames: np.ndarray) -> FrameBatch:
    places = np.arange(len(frames))
    return FrameBatch(clip.id, places.astype(np.float64), places, frames, ())


class _SaveFeatures(beam.DoFn):
    """Stores the mean over a clip's frames once the last of them has left the model, with which it is fused."""

    def __init__(self, output: str, settings: DescribeSettings) -> None:
        self._output, self._model = output, settings.model()
        self._metrics = StageMetrics(_STAGE)

    def start_bundle(self) -> None:
        self._parts: list[ScoredSamples] = []

    def process(self, item: ScoredSamples | DecodedClip | ClipFeature) -> Iterator[Clip | _Apart | Failed]:
        if isinstance(item, ScoredSamples):
            self._parts.append(item)
        elif isinstance(item, DecodedClip):
            parts, self._parts = self._parts, []
            yield from self._finished(item, parts)
        else:
            yield from [item.clip] if item.reused else self._saved(item)

    def _finished(self, decoded: DecodedClip, parts: list[ScoredSamples]) -> Iterator[Clip | _Apart | Failed]:
        clip = decoded.clip
        assert {part.key for part in parts} <= {clip.id}, (parts, clip)
        code, message = decoded.code, decoded.message
        if code == _CANNOT:
            self._metrics.count("not-described")
            yield TaggedOutput(_APART, replace(clip, not_compared=message))
            return
        if error := next((part.error for part in parts if part.error), ""):
            code, message = "scoring_failed", error
        if not code and not parts:
            code, message = "no_frames", "no frame of it could be taken"
        if code:
            yield from _apart(clip, code, message, self._metrics, decoded.attempts)
            return
        outputs = np.concatenate([part.outputs for part in parts if part.outputs is not None])
        vector = outputs.mean(axis=0, dtype=np.float64).astype(np.float32)
        yield from self._saved(ClipFeature(clip, vector, len(outputs)))

    def _saved(self, feature: ClipFeature) -> Iterator[Clip | _Apart | Failed]:
        clip = feature.clip
        one = rows_of([clip], [feature.frames], [feature.vector])
        try:
            feature_files.write(self._model.clip_file(self._output, clip.sha256), self._model, one)
        except filesystem.StorageError as error:
            yield from _apart(clip, error.code, f"its feature cannot be stored: {error}", self._metrics)
            return
        self._metrics.count("out-features")
        yield clip


def _apart(clip: Clip, code: str, message: str, metrics: StageMetrics, attempts: int = 1) -> Iterator[_Apart | Failed]:
    """Yields a clip that is not compared, and why."""
    metrics.count(f"failed-{code}")
    yield failed(Failure(_STAGE, code, f"{clip.path}: {message}", clip.key, action=clip.span.action, attempts=attempts))
    yield TaggedOutput(_APART, clip)


@dataclass
class _DecodeAndInfer(beam.PTransform):
    """Clips to stored features, in one fused stage."""

    output: str
    settings: DescribeSettings

    @no_annotations  # Beam knows no named tuples of collections
    def expand(self, clips: beam.PCollection) -> Described:
        settings = self.settings
        handler = ClassifierHandler(settings.load, settings.batch_size, stage=_STAGE, option="duplicate_features")
        decoded = clips | "Decode" >> beam.ParDo(_DecodeClips(self.output, self.settings))
        save = beam.ParDo(_SaveFeatures(self.output, self.settings))
        inferred = decoded | "Infer" >> RunInference(handler)
        saved = inferred | "Save" >> save.with_outputs(FAILURES, _APART, main="clips")
        return Described(saved.clips, saved[_APART], saved[FAILURES])


@dataclass
class DescribeClips(beam.PTransform):
    """Describes each clip by a feature; those of clips whose content was described before are read.

    Attributes:
      output: The output folder.
      settings: How.
      flow: Whether clips stream through this stage, or are shuffled before it.
      hints: Beam's resource hints for the workers that decode and infer.
    """

    output: str
    settings: DescribeSettings
    flow: Flow
    hints: Mapping[str, str] = field(default_factory=dict)

    @no_annotations  # Beam knows no named tuples of collections
    def expand(self, clips: beam.PCollection) -> Described:
        """Takes clips; tells which are described, and of each other one, unless it was left out before, why not."""
        find = beam.ParDo(_FindFeatures(self.output, self.settings)).with_outputs(FAILURES, _APART, main="found")
        found = clips | "Spread" >> Spread(self.flow) | "Find" >> find
        spread = found.found | "SpreadClips" >> Spread(self.flow) if self.hints else found.found
        infer = _DecodeAndInfer(self.output, self.settings).with_resource_hints(**self.hints)
        saved = spread | "DecodeAndInfer" >> infer
        described = saved.clips | "SpreadDescribed" >> Spread(self.flow) if self.hints else saved.clips
        apart = (found[_APART], saved.apart) | "Apart" >> beam.Flatten()
        failures = (found[FAILURES], saved.failures) | "Failures" >> beam.Flatten()
        return Described(described, apart, failures)
