"""Merging requests: one per video, counted where it happens; keys never differ in nothing but case."""

from apache_beam.pvalue import TaggedOutput

from clipscout.transforms.core.storage import naming
from clipscout.transforms.core.storage.video_store import VideoStore
from clipscout.transforms.core.web.filters import FilterSettings
from clipscout.transforms.discovery import _Filter, _MergeAsks
from clipscout.transforms.grouping import packed
from clipscout.transforms.records import Ask, Video, VideoRequest


def request(key, rank=1, row="q.csv:1"):
    return VideoRequest(key, (Ask("red", ("red",), row, rank),), url=f"https://site/{key}")


def merged(*requests):
    """Returns the requests and the tallies that those of one folded key become."""
    outputs = list(_MergeAsks().process(("folded", map(packed, requests))))
    tallies = [output.value for output in outputs if isinstance(output, TaggedOutput)]
    return [output for output in outputs if not isinstance(output, TaggedOutput)], tallies


def test_one_video_becomes_one_request_and_the_others_are_counted():
    (one,), tallies = merged(request("site-a"), request("site-a", 2), request("site-a", row="q.csv:2"))
    assert [(ask.row, ask.rank) for ask in one.asks] == [("q.csv:1", 1), ("q.csv:1", 2), ("q.csv:2", 1)]
    assert tallies == [("candidates.merged", 2)]


def test_videos_whose_keys_differ_in_case_alone_stay_two_videos_with_files_of_their_own():
    found, tallies = merged(request("site-aB"), request("site-AB"), request("site-aB", 2))
    assert [one.url for one in found] == ["https://site/site-AB", "https://site/site-aB"]
    assert found[0].key == "site-AB"
    assert naming.folded(found[1].key) != naming.folded(found[0].key)
    assert sum(number for _, number in tallies) == 1
    # in any order the same ones
    assert merged(request("site-aB", 2), request("site-aB"), request("site-AB"))[0] == found


def test_a_video_that_was_told_apart_is_excluded_by_the_key_that_its_site_gives():
    found, _ = merged(request("site-aB"), request("site-AB"))
    for name in ("site-aB", "aB"):
        kept = [one.key for one in found for one in _Filter(FilterSettings(), False).process(one, {name: None})
                if not isinstance(one, TaggedOutput)]  # fmt: skip
        assert kept == ["site-AB"]


def test_a_stored_video_of_another_key_is_not_taken_for_this_one(tmp_path):
    """As on a file system that does not tell upper from lower case."""
    store = VideoStore(str(tmp_path))
    (tmp_path / "new.mp4").write_bytes(b"data")
    other, this = request("site-aB"), request("site-AB")
    video = Video(other.key, "", other, 4, "sha256:0", 1.0, 2, 2, 1.0)
    store.put(video, str(tmp_path / "new.mp4"), {})
    assert store.find(other, {}).key == "site-aB"
    for name in ("json", "mp4"):
        (tmp_path / f"videos/site-aB.{name}").rename(tmp_path / f"videos/site-AB.{name}")
    (tmp_path / "videos/site-aB.mp4").write_bytes(b"data")  # found under either name
    assert store.find(this, {}) is None
