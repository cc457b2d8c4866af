"""What decoding and probing a file give, joined for tests to compare."""

import numpy as np
import pytest

from clipscout.transforms.core.video import decode, probing
from tests.media_maker import stamp_of

EVERY_FRAME = {"frame_stride": 1}

NATIVE = {"mode": "native"}


class Decoded:
    """What `decode.samples` gives, joined."""

    def __init__(self, path, sampling=None, frame_settings=None, batch_frames=16, **rest):
        fields = {"path": path, "sampling": sampling or EVERY_FRAME, "frame_settings": frame_settings or NATIVE}
        items = list(decode.samples({**fields, "batch_frames": batch_frames, **rest}))
        self.report = {name: value for name, value in items[-1][0]["report"].items() if name != "cpu_msec"}
        self.batches = []
        self.times, self.indices, self.pictures = [], [], []
        for facts, payload in items[:-1]:
            if facts:
                pictures = np.frombuffer(payload, np.uint8).reshape(facts["shape"])
                assert len(facts["times"]) == len(facts["frame_indices"]) == len(pictures)
                self.batches.append(len(pictures))
                self.times += facts["times"]
                self.indices += facts["frame_indices"]
                self.pictures += list(pictures)

    @property
    def stamps(self):
        return [stamp_of(picture) for picture in self.pictures]


def probe(path):
    *_, (facts, payload) = probing.probe({"path": path})
    assert payload is None
    return facts


def near(times):
    """Times agree to the tick of any container."""
    return pytest.approx(list(times), abs=0.0006)
