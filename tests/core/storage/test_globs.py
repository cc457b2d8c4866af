"""Globs: what people expect of `**`, brackets, hidden names and endings, on disk and for objects."""

import os

import pytest

from clipscout.transforms.core.storage import globs

NAMES = (
    "a.mp4",
    "b.MP4",
    "._a.mp4",
    "c.txt",
    "deep/a.mp4",
    "deep/er/a.mp4",
    "deep/.hidden/a.mp4",
    "[2024] trip/x.mp4",
    "2/x.mp4",
    "2 trip/x.mp4",
    "w[o]m.mp4",
    "ab?.mp4",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("globs")
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    os.mkfifo(folder / "pipe.mp4")
    (folder / "loop").symlink_to(folder)
    return folder


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.mp4", ["a.mp4", "ab?.mp4", "b.MP4", "w[o]m.mp4"]),
        ("*.MP4", ["a.mp4", "ab?.mp4", "b.MP4", "w[o]m.mp4"]),
        ("?.mp4", ["a.mp4", "b.MP4"]),
        (".*.mp4", ["._a.mp4"]),
        ("**/a.mp4", ["a.mp4", "deep/a.mp4", "deep/er/a.mp4"]),
        ("deep/**/*.mp4", ["deep/a.mp4", "deep/er/a.mp4"]),
        ("deep/**.mp4", ["deep/a.mp4", "deep/er/a.mp4"]),
        ("deep/**", ["deep/a.mp4", "deep/er/a.mp4"]),
        ("**/er/*", ["deep/er/a.mp4"]),
        ("[2024] trip/*.mp4", ["2 trip/x.mp4", "[2024] trip/x.mp4"]),
        ("[[]2024] trip/*", ["[2024] trip/x.mp4"]),
        ("w[o]m.m*", ["w[o]m.mp4"]),
        ("[!a]*.mp4", ["b.MP4", "w[o]m.mp4"]),
        ("[z-a].mp4", []),
        ("A.mp4", []),
        ("deep", []),
        ("pipe.mp4", []),
    ],
)
def test_matches(folder, pattern, expected, monkeypatch):
    assert globs.files(f"{folder}/{pattern}") == [f"{folder}/{name}" for name in expected]
    assert [name for name in sorted(NAMES) if globs.matches(pattern, name)] == expected
    monkeypatch.chdir(folder)
    assert globs.files(pattern) == expected


def test_names_that_are_not_utf8_are_found_and_open(tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9.mp4"
    with open(name, "wb") as file:
        file.write(b"x")
    (found,) = globs.files(f"{tmp_path}/*.mp4")
    with open(found, "rb") as file:
        assert file.read() == b"x"


@pytest.mark.parametrize(
    ("name", "expected"), [("a.MP4", True), ("x/a.m2ts", True), ("._a.mp4", False), ("a.srt", False), ("mp4", False)]
)
def test_what_is_a_video_by_its_name(name, expected):
    assert globs.is_video(name) is expected
