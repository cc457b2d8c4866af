"""What a classifier is: everything that decides which scores come out, and how it is to be loaded. No torch here."""

import dataclasses
import difflib
import hashlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from clipscout.transforms.core.classifiers import weight_files
from clipscout.transforms.core.video.geometry import FrameSettings

#: Why a model cannot describe frames.
NO_LAST_LAYER = "no layer of it gives its scores, so that nobody knows what its last layer sees"
ACTIVATIONS = ("softmax", "log_softmax", "sigmoid", "none")
RESIZES = ("squash", "crop", "exact")
#: Weights that are programs, not numbers. TorchScript may map files for writing (`torch.from_file`); an archive of
#: torch.export names any function below `torch`, holds expressions that are evaluated, and has parts unpickled.
PROGRAMS = ("torchscript", "torch_export")
#: Mean and deviation of the notebook (step 3).
NOTEBOOK_MEAN, NOTEBOOK_STD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)


def openvino_version() -> str | None:
    """Returns the version of OpenVINO that is installed, if any; nothing is imported."""
    try:
        return version("openvino")
    except PackageNotFoundError:
        return None


class SpecError(ValueError):
    """A classifier cannot be used; the message is one line that names the file and the field."""


def closest_of(name: str, known: Sequence[str]) -> str:
    """Returns what a SpecError says of a library's names where there is none like the one that was given."""
    return f"the closest are {', '.join(difflib.get_close_matches(name, known, n=5, cutoff=0.0))}"


class UnusableClassifierError(Exception):
    """This machine cannot load or run the classifier: no item is at fault, so the job ends; the message is one line."""


class BatchTooLargeError(RuntimeError):
    """Memory ran out while a batch was scored; a smaller one may work."""


@dataclass(frozen=True)
class Preprocessing:
    """From RGB bytes to the model's input. It travels with the weights.

    Attributes:
      resize: `squash` (to the input size) and `crop` (resized, then the centre) in the decoder's scaler; `exact` in
        torch, bilinear without antialiasing, from the full frame.
      input_width, input_height: What the model sees, in pixels.
      shorter_side: For `crop`: the shorter side is resized to this, the aspect ratio kept.
      resize_width, resize_height: For `crop`, instead of shorter_side: the size before the crop, aspect ratio not kept.
      mean, std: Per channel, of values in 0..1.
      interpolation: `bilinear` or `bicubic`, for the decoder's scaler.
    """

    resize: str = "crop"
    input_width: int = 224
    input_height: int = 224
    shorter_side: int = 256
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    interpolation: str = "bilinear"
    resize_width: int = 0
    resize_height: int = 0

    def __post_init__(self) -> None:
        if self.resize not in RESIZES:
            raise ValueError(f"resize is {self.resize!r}, expected one of {', '.join(RESIZES)}")
        if self.interpolation not in ("bilinear", "bicubic"):
            raise ValueError(f"interpolation is {self.interpolation!r}, expected bilinear or bicubic")
        for name in ("input_width", "input_height", "shorter_side", "resize_width", "resize_height"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise ValueError(f"{name} is {value!r}, expected a whole number of pixels")
        for name in ("mean", "std"):
            if len(getattr(self, name)) != 3 or not all(math.isfinite(value) for value in getattr(self, name)):
                raise ValueError(f"{name} is {getattr(self, name)}, expected three numbers")
        if not all(value > 0 for value in self.std):
            raise ValueError(f"std is {self.std}, expected numbers above 0")
        self.frame_settings()

    def frame_settings(self) -> FrameSettings:
        """Returns how the decoder has to deliver frames."""
        if self.resize == "exact":
            return FrameSettings(mode="native")
        crop = self.resize == "crop"
        return FrameSettings(
            self.resize,
            self.input_width,
            self.input_height,
            self.shorter_side if crop else 0,
            self.interpolation,
            self.resize_width if crop else 0,
            self.resize_height if crop else 0,
        )


#: Resize rule of the notebook (step 3): torch's bilinear without antialiasing, aspect ratio not kept.
NOTEBOOK_PREPROCESSING = Preprocessing("exact", 128, 128, 0, NOTEBOOK_MEAN, NOTEBOOK_STD)


@dataclass(frozen=True)
class Window:
    """What a video model sees at once.

    Attributes:
      frames: Samples per window.
      fps: Samples per second that the model was trained on; the job samples so unless told otherwise.
      step: Samples from the start of one window to that of the next.
    """

    frames: int
    fps: float
    step: int

    def __post_init__(self) -> None:
        for name in ("frames", "step"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1024:
                raise ValueError(f"window_{name} is {value!r}, expected a whole number from 1 to 1024")
        if not isinstance(self.fps, (int, float)) or not 0.001 <= self.fps <= 1000:
            raise ValueError(f"window_fps is {self.fps!r}, expected samples per second")


@dataclass(frozen=True)
class Prompts:
    """How a zero-shot model is asked.

    Attributes:
      templates: Sentences with `{}` in the action's place; their embeddings are averaged per action.
      background: Sentences that stand for "nothing of that"; the score is a probability against them.
    """

    templates: tuple[str, ...] = ("a photo of a person {}.", "a video of a person {}.", "a photo of {}.")
    background: tuple[str, ...] = ("a photo of a person.", "a photo of something else.", "a title screen with text.")

    def __post_init__(self) -> None:
        for template in self.templates:
            if "{}" not in template:
                raise ValueError(f"the prompt {template!r} has no {{}} in the action's place")
        if not self.templates or not self.background:
            raise ValueError("at least one prompt and one background prompt are needed")


@dataclass(frozen=True)
class ClassifierSpec:
    """Everything that decides what scores come out.

    Attributes:
      name: For people and manifests.
      architecture: `lite0`, `torchvision:NAME`, `timm:NAME`, `module:PACKAGE.MODULE:FACTORY`, `ar`, `torchscript`,
        `torch_export` (the weights file is the whole model), or `open_clip:MODEL`.
      weights: File URI, or `package:NAME/FILE` for one in an installed package; the name of fixed weights behind
        `enum:` or `tag:`; or empty, where the factory has them.
      labels: Names in output order; empty for a zero-shot model, which takes any.
      preprocessing: See there.
      activation: What turns the model's output into scores.
      window: What a video model sees at once; None for image models.
      prompts: How a zero-shot model is asked; None for others.
      sha256: What the weights file has to be; empty is not checked.
      describes: Whether what its last layer sees is wanted, a feature of the frame, and not the scores of its labels. A
        zero-shot model gives its embedding either way.
    """

    name: str
    architecture: str
    weights: str
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    activation: str = "softmax"
    window: Window | None = None
    prompts: Prompts | None = None
    sha256: str = ""
    describes: bool = False

    @property
    def kind(self) -> str:
        """`image`, `video` or `zero_shot`."""
        if self.prompts is not None:
            return "zero_shot"
        return "video" if self.window else "image"

    @property
    def has_file(self) -> bool:
        """Whether the weights are a file of their own."""
        return bool(self.weights) and not self.weights.startswith(("enum:", "tag:"))

    def own_files(self) -> list[str]:
        """Returns the URIs that whoever loads the classifier has to reach; not what an installed package holds."""
        return [self.weights] if self.has_file and not self.weights.startswith("package:") else []

    def fingerprint(self) -> str:
        """Returns a digest of everything that shapes the outputs, the content of the weights included.

        How a zero-shot model is asked is left out: that it embeds frames is all that shapes them.
        """
        weights = weight_files.digest(self.weights) if self.has_file else self.weights
        prompts = self.prompts and Prompts()
        fields = dataclasses.asdict(dataclasses.replace(self, name="", sha256="", weights=weights, prompts=prompts))
        if not self.describes:  # which no spec had before
            del fields["describes"]
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class LoadSettings:
    """How a classifier is loaded.

    Attributes:
      spec: What to load.
      device: `auto`, `cpu` or `cuda`; `cuda` without a usable GPU is an error.
      precision: `fp32`, `bf16` or `fp16`.
      threads: Threads on a CPU; 0 shares all cores among the copies.
      trust_checkpoint: Whether the weights may run code of their own, while they are loaded or when they score.
      engine: What runs it on a CPU: `torch`, `openvino`, or `auto` for OpenVINO where it can.
      copies: How many copies of it share the machine.
    """

    spec: ClassifierSpec
    device: str = "auto"
    precision: str = "fp32"
    threads: int = 0
    trust_checkpoint: bool = False
    engine: str = "auto"
    copies: int = 1

    def cores(self) -> int:
        """Returns how many threads it has on this machine's processor."""
        return self.threads or max(1, (os.cpu_count() or 1) // self.copies)
