"""Real clips, and what becomes of clips on the web: each variation shows the same, and is another file."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw

from demo.footage import BY_NAME

_SECONDS = 6
#: Most of the web is seen so small; and larger ones take long.
_HEIGHT = 240


@dataclass(frozen=True)
class Base:
    """A clip of real footage.

    Attributes:
      footage: The video that it is taken from, by its name in the demo.
      start_seconds: Where it starts there.
      scene: What it shows; clips of one scene are different moments of it.
    """

    footage: str
    start_seconds: int
    scene: str

    @property
    def name(self) -> str:
        """A name for its file."""
        return f"{Path(self.footage).stem}_{self.start_seconds}"


BASES = (
    Base("pianist.avi", 10, "pianist"),
    Base("pianist.avi", 60, "pianist"),
    Base("dancer.avi", 5, "dancer"),
    Base("dancer.avi", 30, "dancer"),
    Base("dancer.avi", 45, "dancer"),
    Base("writer.mp4", 0, "writer"),
    Base("bikes.mp4", 0, "bikes"),
    Base("jumper.mp4", 0, "jumper"),
    Base("bigbuckbunny.mp4", 0, "bigbuckbunny"),
    Base("carphone_pristine.mp4", 0, "carphone"),
)

Pictures = list[np.ndarray]


@dataclass(frozen=True)
class Variation:
    """What is done to a clip.

    Attributes:
      name: For the table.
      change: Takes a picture, uint8[height, width, 3], and returns another one.
      crf: Quality of the encoding; higher is worse.
      every: Of so many pictures one is kept, at so much less of the rate.
      skipped: Seconds that are left out at the beginning.
    """

    name: str
    change: Callable[[np.ndarray], np.ndarray] = lambda picture: picture
    crf: int = 23
    every: int = 1
    skipped: float = 0.0


def _scaled(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    return np.asarray(Image.fromarray(picture).resize((width // 3 * 2, height // 3 * 2), Image.Resampling.BICUBIC))


def _cropped(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    top, left = height // 20, width // 20
    return picture[top : top + (height - 2 * top) // 2 * 2, left : left + (width - 2 * left) // 2 * 2]


def _subtitled(picture: np.ndarray) -> np.ndarray:
    image = Image.fromarray(picture)
    draw, (width, height) = ImageDraw.Draw(image), image.size
    words, size = "and this is how it is done", max(10, height // 14)
    box = draw.textbbox((width // 2, height - size), words, anchor="mm", font_size=size)
    draw.rectangle(box, fill=(0, 0, 0))
    draw.text((width // 2, height - size), words, fill=(255, 255, 255), anchor="mm", font_size=size)
    return np.asarray(image)


def _brighter(picture: np.ndarray) -> np.ndarray:
    return np.clip(picture.astype(np.float32) * 1.25 + 12, 0, 255).astype(np.uint8)


def _grey(picture: np.ndarray) -> np.ndarray:
    return np.repeat(picture.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)


VARIATIONS = (
    Variation("encoded again, badly", crf=34),
    Variation("two thirds of the size", _scaled),
    Variation("cropped by 10%", _cropped),
    Variation("mirrored", lambda picture: picture[:, ::-1]),
    Variation("half the frame rate", every=2),
    Variation("a second cut off", skipped=1.0),
    Variation("subtitled", _subtitled),
    Variation("brighter by a quarter", _brighter),
    Variation("without colours", _grey),
    Variation("turned by 90 degrees", lambda picture: np.rot90(picture)),
)


def pictures_of(base: Base) -> tuple[Pictures, Fraction]:
    """Returns the pictures of a clip and their rate."""
    path = BY_NAME[base.footage].path
    if path is None:
        raise SystemExit(f"{base.footage} is not installed")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        rate = Fraction(stream.average_rate or 25)
        first = round(base.start_seconds * rate)
        found: Pictures = []
        for index, frame in enumerate(container.decode(stream)):
            if index >= first + _SECONDS * rate:
                break
            if index >= first:
                height = min(_HEIGHT, frame.height) // 2 * 2
                width = round(frame.width * height / frame.height) // 2 * 2
                found.append(frame.to_ndarray(format="rgb24", width=width, height=height))
    return found, rate


def write(path: Path, pictures: Pictures, rate: Fraction, crf: int = 18) -> None:
    """Writes pictures as a video."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": str(crf)})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(stream.encode(None))


def make(folder: Path, bases: Sequence[Base] = BASES) -> Iterator[tuple[Base, str, Path]]:
    """Makes each clip, and each variation of each.

    Yields:
      The clip, the name of the variation (empty for the clip itself) and the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for base in bases:
        own = folder / f"{base.name}.mp4"
        pictures: Pictures = []
        rate = Fraction(25)
        for variation in (None, *VARIATIONS):
            name = variation.name if variation else ""
            path = folder / f"{base.name} {name}.mp4" if variation else own
            if not path.exists():
                if not pictures:
                    pictures, rate = pictures_of(base)
                if variation is None:
                    write(path, pictures, rate)
                else:
                    some = pictures[round(variation.skipped * rate) :: variation.every]
                    write(path, [variation.change(one) for one in some], rate / variation.every, variation.crf)
            yield base, name, path
