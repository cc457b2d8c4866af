"""Shot boundaries of segments are those of the whole, and what holds of those of any video."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from clipscout.transforms.core.video import decode
from clipscout.transforms.core.video.sampling import segments
from clipscout.transforms.core.video.shot_boundaries import REACH_SECONDS, BoundaryDetector
from clipscout.transforms.core.video.thumbnails import LUMA_PIXELS, THUMBNAIL_BYTES
from tests.core.video.shot_pictures import RATE, SCENES, noise, part, shown
from tests.media_maker import make_video


def thumbnails():
    """A few small pictures, in several lights."""
    random = np.random.default_rng(3)
    made = [np.full(THUMBNAIL_BYTES, 16, np.uint8)]
    made[0][LUMA_PIXELS:] = 128
    for _ in range(3):
        picture = random.integers(16, 236, THUMBNAIL_BYTES).astype(np.float64)
        for light in (0.1, 0.25, 0.6, 1.0):
            lit = np.concatenate(
                (16 + light * (picture[:LUMA_PIXELS] - 16), 128 + light * (picture[LUMA_PIXELS:] - 128))
            )
            made.append(lit.astype(np.uint8))
        made.append(np.roll(made[-1], 3))
    return made


THUMBNAILS = thumbnails()
gaps = st.sampled_from([1 / 240, 1 / 60, 1 / 30, 0.04, 0.1, 0.19, 0.21, 0.29, 0.5, 1.3])
fades = st.sampled_from([[3, 2, 1, 0, 0, 6, 7, 8, 9], [9, 8, 7, 6, 0], [0, 11, 12, 13, 14], [4, 0, 4], [0] * 8])
pieces = st.one_of(st.lists(st.integers(0, len(THUMBNAILS) - 1), min_size=1, max_size=6), fades)


@st.composite
def videos(draw):
    """Times in seconds and numbers of thumbnails: cuts, fades, moving and repeated pictures, at rates that change."""
    places = [
        place for piece in draw(st.lists(pieces, min_size=1, max_size=20)) for place in piece * draw(st.integers(1, 2))
    ]
    rate = draw(st.lists(gaps, min_size=len(places), max_size=len(places)) | gaps.map(lambda gap: [gap] * len(places)))
    return np.cumsum(rate).tolist(), places


def detected(times, places):
    """Returns the boundaries, and checks that they are told in order and in time."""
    detector, told = BoundaryDetector(), []
    for time, place in zip(times, places, strict=True):
        told += detector.add(time, THUMBNAILS[place])
        assert detector.settled(time - REACH_SECONDS)
    told += detector.finish()
    assert told == sorted(told)
    return told


@settings(deadline=None)
@given(videos(), st.data())
def test_a_segment_with_a_second_before_it_has_the_boundaries_of_the_whole(video, data):
    times, places = video
    whole = detected(times, places)
    for start in times[:: 1 + len(times) // 20]:
        end = data.draw(st.sampled_from([time for time in times if time >= start]))
        lead = max(0, int(np.searchsorted(times, start - 1.0, "right")) - 1)  # so long before, or a bit earlier
        detector, told = BoundaryDetector(), []
        for time, place in zip(times[lead:], places[lead:], strict=True):
            told += detector.add(time, THUMBNAILS[place])
            if time >= end and detector.settled(end):
                break
        told += detector.finish()
        assert [time for time in told if start <= time < end] == [time for time in whole if start <= time < end]


@settings(deadline=None)
@given(videos())
def test_boundaries_are_times_of_frames_and_apart(video):
    told = detected(*video)
    assert set(told) <= set(video[0])
    assert (np.diff([video[0][0], *told]) >= 0.2 - 1e-6).all()


def test_a_black_frame_after_a_pause_is_no_shot_of_its_own():
    times = [*(index / 240 for index in range(1, 18)), *(0.5708333333333333 + index / 240 for index in range(8))]
    places = [3, 2, 1, 0, 0, 6, 7, 8, 9, 9, 8, 7, 6, 0, 3, 2, 1, 0, 0, 6, 7, 8, 9, 0, 6]
    assert len(detected(times, places)) <= 1


def report_of(path, start=0.0, end=None):
    rule = {"mode": "squash", "width": 32, "height": 32}
    request = {"path": path, "sampling": {"fps": 2}, "frame_settings": rule, "batch_frames": 16}
    *_, (facts, _) = decode.samples({**request, "start_seconds": start, "end_seconds": end})
    return facts["report"]


def test_decoded_segments_have_the_boundaries_of_the_whole(tmp_path):
    def picture(index):
        shot = index // 37
        return shown(SCENES[shot % 5] * min(1, abs(index - 37 * 3) / 12) + noise(index, 3))

    path = make_video(tmp_path / "cuts.mp4", frames=250, picture=picture, gop=20)
    whole = report_of(path)
    assert [round(cut * RATE) for cut in whole["shot_boundaries"]] == [37, 74, 111, 148, 185, 222]
    for length in (1.48, 1.5, 2.3, 4.0):
        reports = [report_of(path, *segment) for segment in segments(10.0, length)]
        assert [cut for report in reports for cut in report["shot_boundaries"]] == whole["shot_boundaries"]
        assert sum(report["frames_decoded"] for report in reports) == 250
        assert [report["reached_end"] for report in reports] == [False] * (len(reports) - 1) + [True]


def test_a_segment_is_decoded_on_until_what_began_in_it_is_settled(tmp_path):
    path = make_video(tmp_path / "pan.mp4", frames=75, picture=lambda index: shown(part(24 * max(0, index - 36))))
    reports = [report_of(path), report_of(path, 0.0, 1.5), report_of(path, 1.5)]
    assert [report["shot_boundaries"] for report in reports] == [[], [], []]
    assert [report["frames_decoded"] for report in reports] == [75, 38, 37]
