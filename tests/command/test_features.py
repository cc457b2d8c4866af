"""`clipscout features` as users start it."""

import shutil
import subprocess
import sys

import pytest

from demo.footage import sample_videos
from tests.conftest import read_jsonl


def clipscout(*arguments):
    command = [sys.executable, "-m", "clipscout", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_a_test_set_stays_unseen_from_the_first_command_on(tmp_path):
    for place, names in (("test_set", ["bikes"]), ("videos", ["bikes", "bigbuckbunny"])):
        (tmp_path / place).mkdir()
        for name in names:
            shutil.copy(sample_videos() / f"{name}.mp4", tmp_path / place)
    done = clipscout("features", tmp_path / "test_set", "--progress=none")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "features   1 of 1 video, by lite0",
        f"reference  --reference={tmp_path}/test_set",
    ]
    (tmp_path / "queries.csv").write_text(f"action,path,classes\nriding a bike,{tmp_path}/videos/*.mp4,mountain bike\n")
    given = ("--input", tmp_path / "queries.csv", "--output", tmp_path / "out", f"--reference={tmp_path}/test_set")
    done = clipscout("mine", *given, "--clip_seconds=30", "--top_k=1", "--shots=ignore")
    assert done.returncode == 0, done.stderr
    assert "2 written, 1 seen, 0 duplicates, 1 kept" in done.stdout
    (seen,) = [row for row in read_jsonl(tmp_path / "out/spans.jsonl") if row["left_out_by"]]
    assert seen["source"].endswith("/bikes.mp4")
    assert seen["seen_as"] == f"{tmp_path}/test_set/bikes.mp4"


def test_help_names_what_it_takes():
    done = clipscout("features", "--help")
    assert done.returncode == 0
    assert "--output" in done.stdout
    assert "--classifier" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "features needs videos: clipscout features FOLDER, or VIDEOS --output FOLDER"),
        (("*.mp4",), "'*.mp4' is no folder: name one for the features with --output"),
        (("none",), "'none' is no folder: name one for the features with --output"),
        (("none", "--output", "out"), "none: no video is there"),
        (("none/*.mp4", "--output", "out"), "none/*.mp4: no video is there"),
        (
            ("x.mp4", "--output", "out", "--clasifier=lite0"),
            "unknown argument '--clasifier'; did you mean --classifier?",
        ),
        (("x.mp4", "--output", "out", "--classifier=lite9"), "--classifier: unknown classifier 'lite9'"),
        (("x.mp4", "--output", "s3://bucket/x"), "--output is 's3://bucket/x', expected a folder"),
    ],
)
def test_what_cannot_be_used_is_one_line(arguments, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = clipscout("features", *arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"clipscout: {told}")
    assert not list(tmp_path.iterdir())
