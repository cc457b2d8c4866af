"""Pictures of shots, as float[h, w, 3]: textures, pans and noise."""

import numpy as np

RATE = 25


def texture(seed, width=192, height=108):
    """Returns float[h, w, 3]: soft blobs of colour, another picture for each seed."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (7, 1 + width // 24, 3))
    rows, columns = np.linspace(0, 6, height), np.linspace(0, coarse.shape[1] - 1, width)
    tall = np.stack([np.interp(rows, range(7), coarse[:, x, c]) for x in range(coarse.shape[1]) for c in range(3)])
    tall = tall.reshape(coarse.shape[1], 3, height)
    return np.stack(
        [[np.interp(columns, range(len(tall)), tall[:, c, y]) for y in range(height)] for c in range(3)], axis=-1
    )


def shown(picture):
    return np.clip(picture, 0, 255).astype(np.uint8)


SCENES = [texture(seed) for seed in range(5)]
WIDE = texture(9, width=2400)


def part(left):
    """Returns a part of a wide picture, for pans."""
    left = int(left) % (WIDE.shape[1] - 192)
    return WIDE[:, left : left + 192]


def noise(index, strength):
    return np.random.default_rng(index).normal(0, strength, (108, 192, 3))
