"""Videos that show the same, and jobs over them: what tests of duplicates and of references share."""

import shutil

import numpy as np
from PIL import Image

from clipscout.pipeline import features_job
from clipscout.pipeline.progress import Display
from clipscout.pipeline.stops import Stops
from tests.colours import COLOURS
from tests.conftest import read_jsonl
from tests.jobs import summary_of
from tests.media_maker import make_video, remux

OPTIONS = ("--clip_seconds=2", "--top_k=1", "--min_score=0.5", "--sample_fps=5")


def patterned(path, seed, colour="red", seconds=3, **settings):
    """Writes a video of one colour with blotches of its own, which no other seed has."""
    random = np.random.default_rng(seed)
    blotches = Image.fromarray(random.integers(0, 256, (4, 4, 3), np.uint8)).resize((192, 54), Image.Resampling.NEAREST)
    picture = np.empty((108, 192, 3), np.uint8)
    picture[:54], picture[54:] = np.asarray(blotches), COLOURS[colour]

    def moving(index):
        shown = picture.copy()
        shown[60:66, 10 + 2 * index : 20 + 2 * index] = 0
        return shown

    return make_video(path, round(seconds * 10), rate=10, picture=moving, **settings)


def rows_of(output, manifest="spans"):
    return {row["source"].rpartition("/")[2]: row for row in read_jsonl(output / f"{manifest}.jsonl")}


def clip_numbers(output):
    return {name: number for name, number in summary_of(output)["funnel"]["clips"].items() if number}


def make(folder):
    """Makes three different videos; of the first the same picture in five containers, and one encoded anew."""
    for seed, name in enumerate("abc"):
        patterned(folder / f"{name}.mp4", seed)
    for ending in ("mkv", "mov", "ts", "flv"):
        remux(str(folder / "a.mp4"), str(folder / f"a.{ending}"), "mpegts" if ending == "ts" else None)
    patterned(folder / "worse.mp4", 0, options={"crf": "30"})
    shutil.copy(folder / "a.mp4", folder / "copy.mp4")
    return folder


def described(videos, output, classifier):
    with Stops() as stop, Display("none") as display:
        return features_job.work(str(videos), str(output), {"classifier": classifier}, stop, display)
