"""Fixtures that several tests share: a classifier that sees colours, and the search extractor of the loopback site."""

import json
import os
import sys
from pathlib import Path

import pytest
import torch

# the search extractor of the loopback site; children and worker processes find it too
PLUGINS = str(Path(__file__).parent / "plugins")
sys.path.insert(0, PLUGINS)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [PLUGINS, os.environ.get("PYTHONPATH")]))

COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200), "grey": (90, 90, 90)}


class ColourModel(torch.nn.Module):
    """Logits are minus the scaled distance of the mean colour of the picture's lower half to each named colour."""

    def __init__(self):
        super().__init__()
        self.register_buffer("colours", torch.tensor(list(COLOURS.values())).float() / 255)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        mean = pixels[:, :, pixels.shape[2] // 2 :, :].mean(dim=(2, 3))
        return -20.0 * (mean[:, None, :] - self.colours[None]).abs().sum(dim=2)


@pytest.fixture(scope="session")
def colour_spec(tmp_path_factory):
    """Path of a classifier spec with the labels red, green, blue and grey; real torch, a few numbers of weights."""
    folder = tmp_path_factory.mktemp("classifier")
    torch.jit.script(ColourModel()).save(str(folder / "model.pt"))
    spec = {
        "architecture": "torchscript",
        "weights": "model.pt",
        "labels": list(COLOURS),
        "resize": "squash",
        "input_width": 64,
        "input_height": 64,
        "mean": [0, 0, 0],
        "std": [1, 1, 1],
    }
    (folder / "colours.json").write_text(json.dumps(spec))
    return str(folder / "colours.json")


def read_jsonl(path):
    """Returns the rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


#: Kind, classifier, samples and largest difference from plain torch: a table at the end of the test output.
PARITY: list[tuple[str, str, int, float]] = []


def pytest_terminal_summary(terminalreporter):
    """Prints the parity table, and every skip loudly."""
    if PARITY:
        terminalreporter.section("parity with plain torch on the same frames")
        for kind, classifier, samples, difference in PARITY:
            terminalreporter.line(f"{kind:<34} {samples:>3} samples, largest difference {difference:.1e}  {classifier}")
