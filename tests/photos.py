"""Photos that scikit-image ships, and what a person sees in them."""

import importlib.util
from pathlib import Path

import numpy as np
from PIL import Image

#: Action, photo, and the ImageNet labels of what is shown.
ACTIONS = {
    "stroking a cat": ("chelsea.png", ["tabby", "tiger cat", "Egyptian cat"]),
    "drinking coffee": ("coffee.png", ["espresso", "cup"]),
    "filming": ("camera.png", ["tripod"]),
    "launching a rocket": ("rocket.jpg", ["missile", "projectile"]),
    "riding a scooter": ("motorcycle_left.png", ["moped", "motor scooter"]),
}


def picture_of(photo, size):
    """Returns a photo as uint8[h, w, 3] at a size (width, height); scikit-image is not imported."""
    (package,) = importlib.util.find_spec("skimage").submodule_search_locations
    picture = Image.open(Path(package) / "data" / photo).convert("RGB")
    return np.asarray(picture.resize(size, Image.Resampling.BICUBIC))


def rows_of(video):
    """Returns a row of input for each action, that asks for it in one video."""
    return [{"action": action, "classes": classes, "path": video} for action, (_, classes) in ACTIONS.items()]
