"""Records on their way through a shuffle: small, and the same when they come out."""

import pickle

from clipscout.transforms.core.results import manifests
from clipscout.transforms.failures import FAILURE_COLUMNS, Failure
from clipscout.transforms.grouping import packed, unpacked
from clipscout.transforms.records import Ask, CandidateSpan, Clip, EarlierClip, Video, VideoRequest, VideoSpans
from clipscout.transforms.totals import Count
from tests.transforms.alone import alone

REQUEST = VideoRequest(
    "web-a", (Ask("red", ("red",), "q.csv:7", 3, "words", {"split": "train"}, 0.5),), url="http://h/a"
)
VIDEO = Video("web-a", "videos/web-a.mp4", REQUEST, 7, "sha256:0", None, 2, 2, 25.0, {"title": "\u00e9\U0001f600"})
SPAN = CandidateSpan("web-a", "red", 1.0, 2.0, 1.5, 37, 0.75, 1, "red", 0.8)
FAILURE = Failure(
    "FindVideos", "excluded", "http://h/a: named by an exclude file", key="web-a", options={"licence": ""}
)
RECORDS = [
    REQUEST,
    VIDEO,
    SPAN,
    FAILURE,
    VideoSpans(VIDEO, (SPAN,), 4.0, 8, strongest=(("red", 0.75),)),
    Clip(SPAN, "clips/red/web-a_1000_2000.mp4", 1.0, 25, 2, 2, True, "0" * 64),
    EarlierClip("web-a", "clips/red/web-a_1000_2000.mp4"),
]


def test_records_come_out_as_they_went_in():
    assert list(unpacked(map(packed, RECORDS))) == RECORDS


def test_most_records_take_less_than_half_of_their_bytes():
    for record in (REQUEST, FAILURE):
        assert len(packed(record)) < len(pickle.dumps(record)) / 2


def test_rows_of_manifests_have_the_columns_that_their_writer_gives_them():
    assert tuple(manifests.video_row(REQUEST, VIDEO, None, 0, FAILURE)) == tuple(manifests.VIDEO_COLUMNS)
    assert tuple(manifests.span_row(SPAN, None, VIDEO)) == tuple(manifests.SPAN_COLUMNS)
    assert tuple(FAILURE.to_row()) == FAILURE_COLUMNS


def tallies(number):
    return [("rows", 1), ("score.red", number / 10), ("message.x", ((str(number),), f"message {number}"))]


def test_what_is_counted_is_added_up_where_it_is():
    totals = alone(Count(tallies), [1, 2, 3])["out"]
    rows = [total for name, total in totals if name == "rows"]
    assert sum(rows) == 3
    assert len(rows) < 3  # of a bundle there is one
    assert sum(len(total) for name, total in totals if name == "score.red") == 3
    assert max(total.best for name, total in totals if name == "score.red") == 0.3
