"""A classifier that sees colours: real torch, a dozen numbers of weights. Workers import it by name."""

import torch

COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200), "grey": (90, 90, 90)}


class ColourModel(torch.nn.Module):
    """Logits are minus the scaled distance of the mean colour of the picture's lower half to each named colour."""

    def __init__(self):
        super().__init__()
        self.register_buffer("colours", torch.tensor(list(COLOURS.values())).float() / 255)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        mean = pixels[:, :, pixels.shape[2] // 2 :, :].mean(dim=(2, 3))
        return -20.0 * (mean[:, None, :] - self.colours[None]).abs().sum(dim=2)


def model(num_classes):
    """The factory that the spec of `conftest.colour_spec` names; it knows its colours whatever is asked for."""
    return ColourModel()
