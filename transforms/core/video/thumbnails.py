"""The small picture of a frame by which shots are told apart, and how two of them are compared.

Imports numpy alone: it runs in the decoder.
"""

import numpy as np

#: The picture that is compared, for a fast scaler (fast bilinear): the figures of `shot_boundaries` were chosen on it.
THUMBNAIL_WIDTH, THUMBNAIL_HEIGHT, THUMBNAIL_FORMAT = 32, 18, "yuv420p"
LUMA_PIXELS = THUMBNAIL_WIDTH * THUMBNAIL_HEIGHT
CHROMA_PIXELS = LUMA_PIXELS // 4
THUMBNAIL_BYTES = LUMA_PIXELS + 2 * CHROMA_PIXELS

#: Black and white have next to no contrast.
_BLANK_CONTRAST = 6
_BLACK, _WHITE = 32, 220
_OUTER_PIXELS = LUMA_PIXELS // 20


def colours_of(pixels: np.ndarray) -> np.ndarray:
    """Returns uint8[2, CHROMA_PIXELS]: the chroma of a thumbnail without its places, sorted within each plane.

    How far two of them are apart is the earth mover's distance of the histograms: what is left of the pixels'
    difference when every pixel may move.
    """
    colours = pixels[LUMA_PIXELS:].reshape(2, CHROMA_PIXELS).copy()
    colours.sort()  # np.sort takes half as long again
    return colours


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the mean difference of the bytes of two arrays of one shape, 0..255."""
    # bytes cannot be negative; the call for each frame has to be quick
    changes = np.maximum(one, other)
    changes -= np.minimum(one, other)
    return int(np.add.reduce(changes.ravel())) / changes.size  # NumPy adds bytes up in 64 bits


def contrast(pixels: np.ndarray, step: int = 1) -> int:
    """Returns the range of the luma without its outer twentieths, by one of so many pixels."""
    light = pixels[:LUMA_PIXELS:step].copy()
    light.sort()
    outer = _OUTER_PIXELS // step
    return int(light[-1 - outer]) - int(light[outer])


def is_blank(pixels: np.ndarray) -> bool:
    """Tells whether a picture is black or white all over."""
    light = pixels[:LUMA_PIXELS]
    # nearly always told by counting, which is quick
    if np.count_nonzero(light > _BLACK) > _OUTER_PIXELS and np.count_nonzero(light < _WHITE) > _OUTER_PIXELS:
        return False
    return contrast(pixels) <= _BLANK_CONTRAST


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the correlation of the luma of two pictures, -1..1: 1 where they differ in brightness and contrast alone.

    A picture without contrast is like no other.
    """
    lights = [pixels[:LUMA_PIXELS].astype(np.float64) for pixels in (one, other)]
    lights = [light - light.mean() for light in lights]
    norm = float(np.linalg.norm(lights[0]) * np.linalg.norm(lights[1]))
    return float(np.dot(*lights)) / norm if norm else 0.0
