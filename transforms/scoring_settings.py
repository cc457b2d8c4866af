"""ScoringSettings: everything that shapes the scoring stage."""

from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from clipscout.transforms.core.classifiers.specs import ClassifierSpec, LoadSettings
from clipscout.transforms.core.storage import tracks
from clipscout.transforms.core.video.sampling import Sampling


@dataclass(frozen=True)
class ScoringSettings:
    """Everything that shapes the scoring stage.

    Attributes:
      spec: The classifier.
      sampling: Which frames are scored.
      response: `action`, or `any` for the best of all labels.
      device: `auto`, `cpu` or `cuda`.
      batch_size: Frames per call of the model.
      stall_seconds: Longest silence of the decoder.
      memory_bytes: Memory cap of the decoder.
      max_pixels, max_frames: Largest picture, and most frames of a segment, that are decoded.
      segment_seconds: Longest segment; 0 does not split.
      precision: `fp32`, `bf16` or `fp16`.
      threads: Most threads of the decoder.
      decoders: Segments that are decoded at once, where videos stream.
      model_threads: Threads of the classifier on a CPU; 0 shares all cores among its copies.
      keep_outputs: Whether all that the classifier says is stored, so that new actions and prompts decode nothing.
      trust_checkpoint: Whether weights may run code of their own, while they are loaded or when they score.
      engine: `auto`, `torch` or `openvino`.
      rounding: The engine whose rounding outputs of a lower precision show; `auto` in fp32, where both agree to 1e-4.
      model_copies: Copies of the model that the processes of a worker share; 0 gives each process its own.
      retry_codes: Codes of earlier permanent failures that are tried again.
    """

    spec: ClassifierSpec
    sampling: Sampling
    response: str
    device: str
    batch_size: int
    stall_seconds: float
    memory_bytes: int
    max_pixels: int
    max_frames: int
    segment_seconds: float
    precision: str
    threads: int
    model_threads: int
    decoders: int = 1
    keep_outputs: bool = True
    trust_checkpoint: bool = False
    engine: str = "auto"
    rounding: str = "auto"
    model_copies: int = 0
    retry_codes: tuple[str, ...] = ()

    def limits(self) -> list[Any]:
        """Returns what a failed video may be retried for, besides its content: other limits, or another decoder."""
        return [self.stall_seconds, self.memory_bytes, self.max_pixels, version("av")]

    def load_settings(self) -> LoadSettings:
        """Returns how the classifier is loaded."""
        return LoadSettings(
            self.spec,
            self.device,
            self.precision,
            self.model_threads,
            self.trust_checkpoint,
            self.engine,
            copies=max(1, self.model_copies),
        )

    def fingerprint(self) -> str:
        """Returns the digest of what shapes the classifier's outputs: not what is asked of them, nor what is speed."""
        return tracks.fingerprint(
            classifier=self.spec.fingerprint(),
            sampling=asdict(self.sampling),
            precision=self.precision,
            max_frames=self.max_frames,
            **({"rounding": self.rounding} if self.rounding == "openvino" else {}),
        )
