"""What the benchmark runs on: videos of mixed real scenes, and models with random weights of a fixed seed."""

import json
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from demo.assemble import scene_frames
from demo.footage import sample_videos
from demo.minute import SCENES

LABELS = [f"label {place}" for place in range(400)]


def video(folder: Path, name: str, width: int, height: int, rate: int, seconds: float) -> Path:
    """Returns an H.264 video of the minute's scenes, over and over; it is made once."""
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


def costless_model(num_classes: int) -> Any:
    """Returns a torch module of three weights for each label: what is left is the job's own cost."""
    import torch

    class Mean(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.layer = torch.nn.Linear(3, num_classes, bias=False)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.layer(pixels.mean(dim=(2, 3)))

    return Mean()


def costless_classifier(folder: Path) -> Path:
    """Returns the spec of `costless_model` on 64x64 pixels."""
    target = folder / "costless.json"
    fields = {"architecture": f"module:{__name__}:{costless_model.__name__}", "labels": LABELS[:4]}
    target.write_text(json.dumps({**fields, "resize": "squash", "input_width": 64, "input_height": 64}))
    return target


def variants(folder: Path, source: Path, count: int) -> list[Path]:
    """Returns copies of an mp4 in a folder of their own, with other pictures: what has the same is scored once."""
    place = folder / f"{source.stem}_variants"
    place.mkdir(exist_ok=True)
    paths = [place / f"{number:04d}.mp4" for number in range(count)]
    for number, path in enumerate(paths):
        if not path.exists():
            _vary(source, path, number)
    return paths


def _vary(source: Path, target: Path, number: int) -> None:
    """Copies a video of H.264, with a unit that decoders skip behind its first picture: type 12, filler."""
    filler = b"\x0c" + f"{number:08}".encode() + b"\x80"
    with av.open(str(source)) as have, av.open(str(target), "w") as output:
        stream = have.streams.video[0]
        copy = output.add_stream_from_template(stream)
        for place, packet in enumerate(packet for packet in have.demux(stream) if packet.size):
            if place == 0:
                varied = av.Packet(bytes(packet) + struct.pack(">I", len(filler)) + filler)
                varied.pts, varied.dts, varied.duration = packet.pts, packet.dts, packet.duration
                varied.time_base, varied.is_keyframe = packet.time_base, True
                packet = varied
            packet.stream = copy
            output.mux(packet)


def queries(folder: Path, name: str, videos: list[Path], action: str = LABELS[0]) -> Path:
    """Returns a query file that asks for one label in each video."""
    return _rows(folder, name, [{"action": action, "path": str(video.resolve())} for video in videos])


def web_queries(folder: Path, name: str, urls: list[str], action: str = LABELS[0]) -> Path:
    """Returns a query file that asks for one label in each web video."""
    return _rows(folder, name, [{"action": action, "url": url} for url in urls])


def _rows(folder: Path, name: str, rows: list[dict[str, str]]) -> Path:
    target = folder / f"{name}.jsonl"
    target.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return target
