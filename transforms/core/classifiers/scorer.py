"""From a model to one graph: preprocessing on the device, the model, and its activation."""

import threading

import torch
from torch import nn

from clipscout.transforms.core.classifiers.specs import NO_LAST_LAYER, ClassifierSpec

#: What a model's own code raises, and what is raised where it cannot be traced.
MODEL_FAULTS = (
    ValueError,
    TypeError,
    AssertionError,
    LookupError,
    AttributeError,
    NotImplementedError,
    ArithmeticError,
    torch.jit.Error,
)


class LastSeen(nn.Module):
    """A model that gives what its last layer sees: the input of whatever layer gives the scores, averaged over places.

    Args:
      model: The model.
      scores: How many scores that layer gives.
    """

    def __init__(self, model: nn.Module, scores: int) -> None:
        super().__init__()
        self.model = model
        self._seen = threading.local()  # a model that cannot be frozen runs in several threads
        for layer in model.modules():
            weight = getattr(layer, "weight", None)
            if isinstance(weight, torch.Tensor) and weight.ndim > 1 and weight.shape[0] == scores:
                layer.register_forward_pre_hook(self._see)

    def _see(self, _: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self._seen.last = inputs[0]

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Takes pixels, returns float[n, size].

        Raises:
          TypeError: No layer of the model gives its scores.
        """
        self._seen.last = None
        self.model(pixels)
        seen, self._seen.last = self._seen.last, None
        if seen is None:
            raise TypeError(NO_LAST_LAYER)
        return seen if seen.ndim == 2 else seen.flatten(2).mean(dim=2)


class Scorer(nn.Module):
    """Preprocessing on the device, the model, and its activation, as one graph."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, model: nn.Module, spec: ClassifierSpec) -> None:
        super().__init__()
        self.model = LastSeen(model, len(spec.labels)) if spec.describes and spec.labels else model
        shape = (1, 3, 1, 1, 1) if spec.window else (1, 3, 1, 1)
        std, mean = torch.tensor(spec.preprocessing.std), torch.tensor(spec.preprocessing.mean)
        self.register_buffer("scale", (1 / (255 * std)).view(shape))
        self.register_buffer("shift", (-mean / std).view(shape))
        self.size = (spec.preprocessing.input_height, spec.preprocessing.input_width)
        self.exact = spec.preprocessing.resize == "exact"
        self.activation = spec.activation if spec.labels and not spec.describes else "none"

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Scores uint8[n, 3, h, w] frames (uint8[n, 3, t, h, w] windows) as float32[n, labels], or describes them."""
        pixels = frames.to(self.scale.dtype)
        if self.exact:  # the notebook's step 3
            pixels = nn.functional.interpolate(pixels, size=self.size, mode="bilinear", align_corners=False)
        output = self.model(pixels * self.scale + self.shift)
        if not isinstance(output, torch.Tensor):
            raise TypeError(f"it returned a {type(output).__name__}, expected a tensor")
        output = output.float()
        if self.activation == "softmax":
            return output.softmax(dim=-1)
        if self.activation == "log_softmax":
            return output.exp()
        return output.sigmoid() if self.activation == "sigmoid" else output


def example(spec: ClassifierSpec, count: int) -> torch.Tensor:
    """Returns uint8[count, 3, h, w] random frames (uint8[count, 3, t, h, w] windows), each time the same."""
    height, width = spec.preprocessing.input_height, spec.preprocessing.input_width
    window = (spec.window.frames,) if spec.window else ()
    shape = (count, *window, height, width, 3)
    numbers = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return channels_first(numbers)


def channels_first(frames: torch.Tensor) -> torch.Tensor:
    """Turns [n, h, w, 3] into [n, 3, h, w], and [n, t, h, w, 3] into [n, 3, t, h, w]."""
    return frames.permute(0, 3, 1, 2) if frames.ndim == 4 else frames.permute(0, 4, 1, 2, 3)


def last_line(error: BaseException) -> str:
    """Returns the last line of what an exception says, of bearable length."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:400] if lines else type(error).__name__
