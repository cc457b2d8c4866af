"""How a decoded picture becomes the classifier's input: scaling, cropping, rotation, pixel shape."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FrameSettings:
    """The size at which the decoder's scaler delivers samples.

    Attributes:
      mode: `squash` scales to width x height; `crop` scales the shorter side to `shorter_side`, or the picture to
        `resize_width` x `resize_height`, and takes the centre; `native` delivers the coded picture as it is (no
        scaling, rotation or pixel shape), for classifiers that resize by themselves.
      width, height: Size of the delivered frames in pixels; 0 for `native`.
      shorter_side: For `crop`.
      interpolation: Scaler algorithm, `bilinear` or `bicubic`.
      resize_width, resize_height: For `crop`; 0 where `shorter_side` says the size.
    """

    mode: str = "squash"
    width: int = 0
    height: int = 0
    shorter_side: int = 0
    interpolation: str = "bilinear"
    resize_width: int = 0
    resize_height: int = 0

    def __post_init__(self) -> None:
        if self.mode not in ("squash", "crop", "native"):
            raise ValueError(f"mode is {self.mode!r}, expected squash, crop or native")
        if self.mode != "native" and not (self.width > 0 and self.height > 0):
            raise ValueError(f"width and height are {self.width} x {self.height}, expected pixels")
        if self.mode == "crop" and (self.resize_width or self.resize_height):
            if self.resize_width < self.width or self.resize_height < self.height:
                raise ValueError(
                    f"resize_width and resize_height are {self.resize_width} x {self.resize_height}, "
                    f"less than {self.width} x {self.height}"
                )
        elif self.mode == "crop" and self.shorter_side < max(self.width, self.height):
            raise ValueError(f"shorter_side is {self.shorter_side}, less than {self.width} x {self.height}")

    def scaled_size(self, coded_width: int, coded_height: int, aspect: float, quarter_turns: int) -> tuple[int, int]:
        """Returns the width and height to scale the coded picture to, before it is turned and cropped.

        Args:
          coded_width: Width of the decoded picture in samples.
          coded_height: Height of it.
          aspect: Sample aspect ratio, width of a sample over its height.
          quarter_turns: Counter-clockwise quarter turns that the display asks for.
        """
        if self.mode == "native":
            return coded_width, coded_height
        width, height = (self.width, self.height) if self.mode == "squash" else (0, 0)
        turned = quarter_turns % 2 == 1
        if self.mode == "crop" and self.resize_width:
            width, height = self.resize_width, self.resize_height
        elif self.mode == "crop":
            shown_width, shown_height = displayed_size(coded_width, coded_height, aspect, quarter_turns)
            scale = self.shorter_side / min(shown_width, shown_height)
            width = max(self.width, round(shown_width * scale))
            height = max(self.height, round(shown_height * scale))
        return (height, width) if turned else (width, height)

    def finish(self, picture: np.ndarray, quarter_turns: int, mirrored: bool = False) -> np.ndarray:
        """Mirrors, turns and crops a scaled uint8[h, w, 3] picture; returns a view."""
        if self.mode == "native":
            return picture
        picture = picture[:, ::-1] if mirrored else picture
        picture = np.rot90(picture, quarter_turns) if quarter_turns else picture
        top, left = (picture.shape[0] - self.height) // 2, (picture.shape[1] - self.width) // 2
        return picture[top : top + self.height, left : left + self.width]


def displayed_size(coded_width: int, coded_height: int, aspect: float, quarter_turns: int) -> tuple[int, int]:
    """Returns the width and height in square pixels of the picture as a player shows it."""
    width = max(1, round(coded_width * aspect))
    return (coded_height, width) if quarter_turns % 2 else (width, coded_height)


def quarter_turns(rotation_degrees: float) -> int:
    """Returns the counter-clockwise quarter turns nearest to a rotation in degrees, 0..3."""
    return round(rotation_degrees / 90) % 4
