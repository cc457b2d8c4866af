"""What another run makes of a failure."""

import pytest

from clipscout.pipeline.options import OPTIONS
from clipscout.transforms.failures import CODES, CURES, Failure

NAMES = {option.name for option in OPTIONS}


@pytest.mark.parametrize("code", sorted(CURES))
def test_what_may_end_a_failure_is_an_option_and_the_failure_would_stay_otherwise(code):
    assert set(CURES[code]) <= NAMES
    assert CODES[code][0] in ("permanent", "skipped")


@pytest.mark.parametrize(
    ("code", "then", "now", "retry", "final"),
    [
        ("fetch_timeout", {"download_timeout_seconds": "600"}, {"download_timeout_seconds": "600"}, (), True),
        ("fetch_timeout", {"download_timeout_seconds": "600"}, {"download_timeout_seconds": "900"}, (), False),
        ("fetch_timeout", {}, {"download_timeout_seconds": "900"}, (), True),  # of a run that kept no values
        ("fetch_timeout", {"proxy": ""}, {}, (), True),  # the secrets cannot be read now
        ("geo_blocked", {"cookies": "", "proxy": ""}, {"cookies": "", "proxy": "1234"}, (), False),
        ("removed", {}, {"cookies": "1234"}, (), True),
        ("removed", {}, {}, ("removed",), False),
        ("too_long", {"max_video_seconds": "10"}, {"max_video_seconds": "20"}, (), False),
        ("blocked", {}, {}, (), False),
        ("upcoming", {}, {}, (), False),
        ("live", {}, {}, (), False),
        ("unreadable_video", {"cookies": ""}, {"cookies": "1234"}, (), False),
        ("no_format", {}, {}, (), False),
    ],
)
def test_a_failure_is_final_until_an_option_changes(code, then, now, retry, final):
    assert Failure("DownloadVideos", code, "m", options=then).is_left_alone(now, retry) == final
