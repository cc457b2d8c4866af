"""Names are safe, and different things never share one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipscout.transforms.core.results.manifests import kinetics_row
from clipscout.transforms.core.storage import naming

SAFE = re.compile(r"[A-Za-z0-9_-]+")
#: Texts that fold to nearly the same slug, mixed with any text.
near_texts = st.one_of(st.text(min_size=1, max_size=80), st.text("aAbB -_.,é", min_size=1, max_size=6))


@given(near_texts, near_texts)
def test_different_actions_have_different_folders(one, other):
    assert (naming.action_folder(one) == naming.action_folder(other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("making pizza", "making_pizza"),
        ("making pizza", "Making pizza"),
        ("making pizza", "making  pizza"),
        ("making pizza", "making pizza "),
        ("a b", "a-b"),
        ("...", "!!!"),
        ("滑雪", "游泳"),
        ("x" * 60, "x" * 61),
        ("x" * 100, "x" * 101),
        ("é", "e"),
    ],
    ids=["underscore", "case", "two spaces", "trailing", "hyphen", "signs", "chinese", "60", "100", "accent"],
)
def test_look_alikes_have_different_folders(one, other):
    assert naming.action_folder(one) != naming.action_folder(other)


@given(near_texts)
def test_no_action_can_take_the_folder_of_another(action):
    rival = naming.action_folder(action).replace("_", " ")
    assert rival == action or naming.action_folder(rival) != naming.action_folder(action)


@pytest.mark.parametrize(
    ("action", "folder"),
    [
        ("making pizza", "making_pizza"),
        ("tai chi", "tai_chi"),
        ("push-up", "push-up"),
        ("40 yard dash", "40_yard_dash"),
    ],
)
def test_plain_actions_stay_readable(action, folder):
    assert naming.action_folder(action) == folder


@pytest.mark.parametrize("action", ["con", "nul", "aux", "com1", "lpt9"])
def test_no_folder_has_a_name_that_a_file_system_takes_for_a_device(action):
    assert naming.action_folder(action) != action


@given(near_texts)
def test_action_folders_are_safe_file_names(action):
    folder = naming.action_folder(action)
    assert SAFE.fullmatch(folder)
    assert len(folder) <= 100


@given(near_texts)
def test_file_keys_are_safe_file_names(uri):
    assert SAFE.fullmatch(naming.file_key(uri))
    assert len(naming.file_key(uri)) <= 100


@given(near_texts, near_texts)
def test_web_keys_are_safe_file_names(extractor, video_id):
    assert SAFE.fullmatch(naming.web_key(extractor, video_id))
    assert len(naming.web_key(extractor, video_id)) <= 100


@given(near_texts, near_texts)
def test_different_files_have_different_keys(one, other):
    assert (naming.file_key(one) == naming.file_key(other)) == (one == other)


@given(near_texts, near_texts)
def test_different_videos_of_a_site_have_different_keys(one, other):
    assert (naming.web_key("youtube", one) == naming.web_key("youtube", other)) == (one == other)


def test_file_key_tells_files_of_one_name_apart():
    assert naming.file_key("/a/clip.mp4").startswith("file-clip-")
    assert naming.file_key("/a/clip.mp4") != naming.file_key("/b/clip.mp4")


def test_youtube_key_is_the_id():
    assert naming.web_key("Youtube", "-8Appls4ZFg") == "youtube--8Appls4ZFg"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-8Appls4ZFg", True),
        ("___________", True),
        ("-8Appls4ZF", False),
        ("-8Appls4ZFgg", False),
        ("-8Appls4ZF.", False),
        ("-8Appls4ZFg\n", False),
        ("-8Appls4ZFé", False),
        ("", False),
    ],
    ids=["id", "underscores", "ten", "twelve", "full stop", "newline", "accent", "empty"],
)
def test_is_youtube_id(text, expected):
    assert naming.is_youtube_id(text) is expected


def test_youtube_url():
    assert naming.youtube_url("-8Appls4ZFg") == "https://www.youtube.com/watch?v=-8Appls4ZFg"


milliseconds = st.integers(0, 10**9)


@given(milliseconds, milliseconds, milliseconds, milliseconds)
def test_different_spans_have_different_clip_paths(start, end, other_start, other_end):
    one = naming.clip_path("red", "file-a", start / 1000, end / 1000)
    other = naming.clip_path("red", "file-a", other_start / 1000, other_end / 1000)
    assert (one == other) == ((start, end) == (other_start, other_end))


def test_clip_path_has_milliseconds():
    assert naming.clip_path("making pizza", "youtube--8Appls4ZFg", 1.25, 11.25) == (
        "clips/making_pizza/youtube--8Appls4ZFg_1250_11250.mp4"
    )


def test_digest_is_the_start_of_the_sha256():
    assert naming.digest("clipscout") == "9a8b19f01dc2"
    assert naming.digest("clipscout", 8) == "9a8b19f0"


def test_keys_that_differ_in_case_alone_are_told_apart():
    one, other = "youtube-AbCdEfGhIjK", "youtube-abcdefghijk"
    assert naming.folded(one) == naming.folded(other)
    apart = naming.told_apart(one)
    assert SAFE.fullmatch(apart)
    assert naming.folded(apart) not in (naming.folded(one), naming.folded(naming.told_apart(other)))
    assert [naming.as_it_was(key) for key in (apart, one, other)] == [one, one, other]


def test_spans_of_a_video_that_was_told_apart_have_its_id():
    key = naming.told_apart("youtube-AAAAAAAAAAA")
    row = {"action": "a", "key": key, "source": naming.youtube_url("AAAAAAAAAAA"), "asks": []}
    assert kinetics_row({**row, "start_seconds": 0.0, "end_seconds": 1.0})[1] == "AAAAAAAAAAA"
