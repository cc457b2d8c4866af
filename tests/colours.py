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


class GridModel(torch.nn.Module):
    """The same as a last layer over the mean colours of a grid, so that frames can be described by these."""

    def __init__(self):
        super().__init__()
        colours = torch.tensor(list(COLOURS.values())).float() / 255
        lower = torch.zeros(3, 4, 4)
        lower[:, 2:, :] = 1 / 8
        self.last = torch.nn.Linear(48, len(COLOURS))
        with torch.no_grad():
            self.last.weight.copy_(60 * (colours[:, :, None, None] * lower).flatten(1))
            self.last.bias.copy_(-30 * (colours**2).sum(dim=1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.last(torch.nn.functional.adaptive_avg_pool2d(pixels, 4).flatten(1))


def grid_model(num_classes):
    """The factory of `conftest.grid_spec`."""
    return GridModel()


def model(num_classes):
    """The factory that the spec of `conftest.colour_spec` names; it knows its colours whatever is asked for."""
    return ColourModel()
