"""The picture of a finished demo: scenes of the untrimmed video over the responses of the three actions.

`python -m demo.picture OUTPUT FILE` draws the README's, with frames of those videos only whose licence lets them stand
there; the demo's own shows all.
"""

import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import av

from clipscout.transforms.core.report import curves
from demo import draw
from demo.footage import BY_NAME
from demo.scenes import ACTIONS, MIN_SCORE, SCENES, UNTRIMMED, Scene

_TILE_HEIGHT_PIXELS = 140


def of_untrimmed(folder: Path, spans: Sequence[Mapping[str, Any]], publishable: bool = False) -> str:
    """Returns the SVG of a finished demo.

    Args:
      folder: The demo's folder.
      spans: All rows of its spans.
      publishable: Whether scenes without a notice have a tile with their name in place of a frame.
    """
    here = [span for span in spans if Path(span["source"]).name == UNTRIMMED]
    tiles = []
    with av.open(str(folder / "videos_in" / UNTRIMMED)) as container:
        for scene in SCENES:
            shown = BY_NAME[scene.name].notice or not publishable
            jpeg = _thumbnail(container, _moment(scene, here)) if shown else None
            tiles.append(draw.Tile(_title(scene), scene.start_seconds, scene.end_seconds, jpeg))
    stored = curves.read(str(folder / "results"), here[0]["key"])
    assert stored is not None  # the job wrote it
    charts = []
    for action in ACTIONS:
        bands = [(span["start_seconds"], span["end_seconds"]) for span in here if span["action"] == action]
        charts.append(draw.Curve(action, stored["times"], stored["responses"][action], bands))
    return draw.svg(tiles, charts, MIN_SCORE, _notices())


def _moment(scene: Scene, spans: Sequence[Mapping[str, Any]]) -> float:
    """Returns the strongest peak in a scene, or its middle where there is none."""
    peaks = [
        (span["score"], span["peak_seconds"])
        for span in spans
        if span["action"] == scene.action and scene.start_seconds <= span["peak_seconds"] < scene.end_seconds
    ]
    return max(peaks)[1] if peaks else scene.start_seconds + scene.seconds / 2


def _thumbnail(container: av.container.InputContainer, seconds: float) -> bytes:
    """Returns a small JPEG of the first frame at or after a time."""
    container.seek(int(seconds * av.time_base))
    frame = next(frame for frame in container.decode(video=0) if frame.time >= seconds - 1e-3)
    image = frame.to_image()
    file = io.BytesIO()
    image.resize((_TILE_HEIGHT_PIXELS * image.width // image.height, _TILE_HEIGHT_PIXELS)).save(
        file, "JPEG", quality=75
    )
    return file.getvalue()


def _title(scene: Scene) -> str:
    return Path(scene.name).stem.replace("_", " ")


def _notices() -> str:
    return "Frames: " + "; ".join(sorted({one.notice for one in BY_NAME.values() if one.notice})) + "."


if __name__ == "__main__":
    finished = Path(sys.argv[1])
    rows = [json.loads(line) for line in (finished / "results/spans.jsonl").read_text().splitlines()]
    Path(sys.argv[2]).write_text(of_untrimmed(finished, rows, publishable=True))
