"""What the benchmark runs on: videos of mixed real scenes, and models with random weights of a fixed seed."""

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av

from demo.run_demo import SCENES, sample_videos, scene_frames

LABELS = [f"label {place}" for place in range(400)]


def video(folder: Path, name: str, width: int, height: int, rate: int, seconds: float) -> Path:
    """Returns an H.264 video of the demo's scenes, over and over; it is made once."""
    target = folder / f"{name}.mp4"
    if target.exists():
        return target
    half_written = folder / f".{name}.mp4"
    with av.open(str(half_written), "w") as output:
        stream = output.add_stream("libx264", rate=rate, options={"crf": "23", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number, frame in zip(range(round(rate * seconds)), _frames(rate), strict=False):
            picture = frame.reformat(width, height, "yuv420p")
            picture.pts, picture.time_base, picture.pict_type = number, Fraction(1, rate), 0
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    half_written.rename(target)
    return target


def _frames(rate: int) -> Iterator[av.VideoFrame]:
    while True:
        for name, seconds in SCENES:
            yield from scene_frames(sample_videos() / name, seconds, rate)


def classifier(folder: Path, architecture: str) -> Path:
    """Returns the spec of a torchvision model with 400 labels, 128x128 pixels and random weights."""
    import torch
    from torchvision import models

    target = folder / f"{architecture}.json"
    if not target.exists():
        torch.manual_seed(0)
        model = models.get_model(architecture, weights=None, num_classes=400)
        torch.save(model.state_dict(), folder / f"{architecture}.pt")
        spec = {"architecture": f"torchvision:{architecture}", "weights": f"{architecture}.pt", "labels": LABELS}
        target.write_text(json.dumps({**spec, "resize": "squash", "input_width": 128, "input_height": 128}))
    return target


def natural_classifier(folder: Path, architecture: str) -> Path:
    """Returns the spec of a model at its own input size with random weights: of torchvision, or of open_clip."""
    import torch
    from torchvision import models

    target = folder / f"natural_{architecture.replace(':', '_')}.json"
    if target.exists():
        return target
    torch.manual_seed(0)
    family, _, name = architecture.rpartition(":")
    if family == "open_clip":
        import open_clip

        model, fields = open_clip.create_model(name, pretrained=None, load_weights=False), {}
    else:
        model, architecture = models.get_model(name, weights=None, num_classes=400), f"torchvision:{name}"
        fields = {"labels": LABELS}
    if name in models.list_models(module=models.video):
        fields |= {"resize": "crop", "resize_width": 171, "resize_height": 128, "input_width": 112, "input_height": 112}
    torch.save(model.state_dict(), target.with_suffix(".pt"))
    target.write_text(json.dumps({"architecture": architecture, "weights": target.with_suffix(".pt").name, **fields}))
    return target


def queries(folder: Path, name: str, videos: list[Path]) -> Path:
    """Returns a query file that asks for one label in each video."""
    target = folder / f"{name}.jsonl"
    rows = [json.dumps({"action": LABELS[0], "path": str(video.resolve())}) for video in videos]
    target.write_text("\n".join(rows) + "\n")
    return target
