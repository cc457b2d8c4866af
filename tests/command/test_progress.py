"""Progress: from counts to text, lines that come seldom, and real jobs on a terminal and on pipes."""

import io
import itertools
import re
import threading
import time
from dataclasses import replace

import pytest
from rich.console import Console

from clipscout.pipeline import progress
from clipscout.pipeline.progress import Lines, asked_for
from clipscout.pipeline.standing import Course, Stage, Standing, left, plain
from clipscout.transforms.core import tally
from clipscout.transforms.core.tally import Activity, Totals
from tests.jobs import arguments, run_measured, scene_video
from tests.programs import Program, silent_site, url_on

#: A job in the middle.
COUNTS = {
    "FindVideos/in-queries": 4,
    "FindVideos/done-queries": 4,
    "FindVideos/out-requests": 25,
    "DownloadVideos/out-videos": 12,
    "DownloadVideos/reused-videos": 2,
    "DownloadVideos/failed-removed": 3,
    "DownloadVideos/failed-too_long": 1,
    "ScoreVideos/out-tracks": 8,
    "ScoreVideos/reused-tracks": 1,
    "ScoreVideos/failed-no_frames": 1,
    "ScoreVideos/failed-batches": 7,
    "ScoreVideos/samples": 4000,
    "ProposeSpans/out-spans": 16,
    "CutClips/in-spans": 12,
    "CutClips/out-clips": 9,
    "CutClips/reused-clips": 2,
}


def standing(counts, *doing, now=100.0):
    return Course(start=0.0).at(now, Totals(counts, doing))


def test_the_stages_of_a_job_stand_as_it_counted():
    assert standing(COUNTS) == Standing(
        seconds=100,
        stages=(
            Stage("rows", 4, 4, "25 videos"),
            Stage("videos", 16, 25, "2 as before"),
            Stage("scores", 10, 21, "1 as before"),  # four videos are lost
            Stage("clips", 11, 16, "2 as before"),
        ),
        failed={"removed": 3, "no_frames": 1},  # a batch is no item
        rejected={"too_long": 1},
    )


def test_a_standing_is_one_line():
    now = replace(standing(COUNTS, Activity("waiting for example.org", 88)), left_seconds=150)
    assert now.line() == (
        "0:01:40, about 2 min left; "
        "rows 4/4 (25 videos), videos 16/25 (2 as before), scores 10/21 (1 as before), clips 11/16 (2 as before), "
        "failed 4 (3 removed, 1 no_frames), rejected 1 (1 too_long); "
        "waiting for example.org, 12 s"
    )


def test_before_anything_is_counted_there_is_a_clock():
    assert standing({}).line() == "0:01:40"


def test_nothing_is_ever_more_than_there_is():
    twice = {name: 3 * count for name, count in COUNTS.items() if "/out-" in name and "requests" not in name}
    assert all(stage.done <= stage.known for stage in standing({**COUNTS, **twice}).stages)


def test_clips_are_counted_against_what_a_cap_left_over():
    clips = standing({**COUNTS, "SelectSpans/out-spans": 13}).stages[-1]
    assert (clips.done, clips.known) == (11, 13)


def test_spans_that_are_not_cut_are_no_clips():
    uncut = {name: count for name, count in COUNTS.items() if not name.startswith("CutClips")}
    assert [stage.name for stage in standing(uncut).stages] == ["rows", "videos", "scores"]


def test_samples_per_second_are_those_of_the_last_seconds():
    course = Course(0)
    notes = []
    for second in range(60):
        samples = 100 * min(second, 30)
        shown = course.at(float(second), Totals({**COUNTS, "ScoreVideos/samples": samples}))
        notes.append(shown.stages[2].note.partition(",")[0])
    assert notes[10] == notes[30] == "100 samples/s"
    assert notes[37] == "53 samples/s"
    assert notes[59] == "1 as before"


def left_at(course, now, **counts):
    of_job = {"FindVideos/in-queries": 1, "FindVideos/done-queries": 1, "FindVideos/out-requests": 20}
    names = {
        "tracks": "ScoreVideos/out-tracks",
        "reused": "ScoreVideos/reused-tracks",
        "samples": "ScoreVideos/samples",
    }
    told = {names.get(name, name): count for name, count in counts.items()}
    return course.at(now, Totals({**of_job, "DownloadVideos/out-videos": 1, **told})).left_seconds


def test_the_rest_is_estimated_from_what_this_run_scored():
    course = Course(0)
    assert left_at(course, 50.0, samples=10, reused=5) is None
    assert left_at(course, 60.0, samples=100, tracks=1, reused=5) is None  # the first one
    assert left_at(course, 63.0, samples=500, tracks=5, reused=5) is None  # too soon to tell
    assert left_at(course, 80.0, samples=900, tracks=6, reused=5) == pytest.approx(20 / 5 * 9)
    assert left_at(course, 130.0, samples=2000, tracks=15, reused=5) is None  # nothing is left


def test_tracks_that_come_at_once_after_a_shuffle_foretell_nothing():
    course = Course(0)
    assert left_at(course, 1.0, samples=10) is None
    assert left_at(course, 100.0, samples=900, tracks=5) is None
    assert left_at(course, 101.0, samples=900, tracks=9) is None


def test_nothing_is_said_of_the_rest_while_more_may_be_found():
    course = Course(0)
    more = {"FindVideos/in-queries": 2}
    assert left_at(course, 50.0, samples=10, tracks=1, **more) is None
    assert left_at(course, 80.0, samples=900, tracks=6, **more) is None


def test_a_rest_is_told_as_exactly_as_it_is_known():
    assert [left(seconds) for seconds in (5, 80, 600, 8000)] == [
        "less than a minute",
        "about 1 min",
        "about 10 min",
        "about 2 h 13 min",
    ]


def test_an_activity_is_told_once_it_lasts():
    doing = Activity("loading the classifier", 98.5), Activity("waiting for example.org", 88, times=3)
    assert standing({}, *doing).doing == ("waiting for example.org (3 times at once), 12 s",)
    assert len(standing({}, *doing, now=101.0).doing) == 2


HOSTILE = "\x1b[2J\x1b]0;title\x07[bold]a\r\nb\u202ec\u2066 [link=http://x]\udcff"


def test_hostile_text_moves_no_cursor_and_is_no_markup():
    assert plain(HOSTILE) == "?[2J?]0;title?[bold]a??b?c? [link=http://x]?"
    assert plain("x" * 200) == "x" * 67 + "..."


def drawn(now, width=100):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, markup=True)
    console.print(progress.table(now, width))
    return console.file.getvalue().splitlines()


def test_the_display_shows_a_stage_in_a_line():
    now = replace(standing(COUNTS, Activity("waiting for example.org", 88)), left_seconds=150)
    lines = [line.rstrip() for line in drawn(now)]
    assert [re.sub("[━╸╺]+ *", "-  ", line) for line in lines] == [
        "rows      4/4  -  25 videos",
        "videos  16/25  -  2 as before",
        "scores  10/21  -  1 as before",
        "clips   11/16  -  2 as before",
        "failed    4 (3 removed, 1 no_frames)",
        "rejected  1 (1 too_long)",
        "now       waiting for example.org, 12 s",
        "time      0:01:40, about 2 min left",
    ]


@pytest.mark.parametrize("width", [20, 40, 59, 80, 200])
def test_the_display_keeps_to_the_terminal_whatever_it_shows(width):
    now = standing(COUNTS, *(Activity(f"{place}{HOSTILE}{'x' * 300}", 50) for place in range(9)))
    lines = drawn(now, width)
    assert all(len(line) <= width for line in lines)
    assert len(lines) == 10  # no more than three activities
    assert "\x1b" not in "".join(lines)
    assert "\u202e" not in "".join(lines)


class Clock:
    """Shows what one view is given second by second, and returns what came to stderr."""

    def __init__(self, capsys):
        self.lines, self.capsys, self.course = Lines(0.0), capsys, Course(0.0)

    def at(self, now, counts, *doing):
        totals = Totals(counts, doing)
        self.lines.show(self.course.at(now, totals), totals, now)
        return self.capsys.readouterr().err


@pytest.fixture
def clock(capsys):
    return Clock(capsys)


def test_a_short_job_has_no_line_and_a_long_one_one_every_ten_seconds(clock):
    told = [now for now in range(60) if clock.at(float(now), {**COUNTS, "ScoreVideos/out-tracks": now // 4})]
    assert told == [10, 20, 30, 40, 50]


def test_a_job_that_stands_still_says_so_once_a_minute(clock):
    told = [now for now in range(200) if clock.at(float(now), {"FindVideos/in-queries": 1})]
    assert told == [10, 70, 130, 190]


def test_between_two_steps_no_line_is_a_bare_clock(clock):
    assert clock.at(10.0, {}) == ""
    assert clock.at(11.0, {"FindVideos/in-queries": 1}) == "clipscout: 0:00:11; rows 0/1\n"


def test_a_slow_start_is_announced_once(clock):
    doing = Activity("loading the classifier lite0", 1.0), Activity("importing PyTorch", 0.0, slow_seconds=10)
    assert clock.at(2.9, {}, *doing) == ""
    assert clock.at(3.1, {}, *doing) == "clipscout: loading the classifier lite0 ... (2 s)\n"
    assert clock.at(4.0, {}, *doing) == ""


def test_what_is_slow_within_the_job_waits_for_its_line(clock):
    waiting = Activity("waiting for example.org", 1.0)
    assert clock.at(9.0, {"FindVideos/in-queries": 1}, waiting) == ""
    assert clock.at(10.0, {"FindVideos/in-queries": 1}, waiting) == (
        "clipscout: 0:00:10; rows 0/1; waiting for example.org, 9 s\n"
    )


@pytest.mark.parametrize(
    ("argv", "mode"),
    [
        (["--progress=live"], "live"),
        (["--progress", "none", "--input=x"], "none"),
        (["--progress=live", "--progress=lines"], "lines"),
        (["--progress=auto"], "lines"),
        (["--progress=loud"], "lines"),  # told as a fault later
        (["--input=x"], "lines"),  # stderr is no terminal here
    ],
)
def test_the_way_is_known_before_the_options_are_judged(argv, mode):
    assert asked_for(argv) == mode


def test_beam_and_the_tally_count_the_same(tmp_path, colour_spec):
    for name in ("a", "b", "short"):
        scene_video(tmp_path / f"{name}.mp4", ("grey", 1), ("red", 0 if name == "short" else 2))
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "ids.txt").write_text("youtube--8Appls4ZFg\n")
    rows = [{"action": "red", "path": str(tmp_path / name)} for name in ("*.mp4", "a.mp4", "none.mp4")]
    rows.append({"action": "red", "url": "https://www.youtube.com/watch?v=-8Appls4ZFg"})
    (tmp_path / "tally").mkdir()
    more = ["--min_video_seconds=2", f"--exclude={tmp_path}/ids.txt", "--clip_seconds=1", "--top_k=1"]
    with tally.kept_in(str(tmp_path / "tally")):
        counters, distributions = run_measured(tmp_path, rows, colour_spec, *more)
    counts = tally.read(str(tmp_path / "tally")).counts
    both = set(counts) & set(counters)
    assert {name: counts[name] for name in both} == {name: counters[name] for name in both}
    assert set(counts) - both <= set(distributions)
    assert [name for name in set(counters) - both if "-" in name] == []  # RunInference has names of its own
    expected = {"in-queries": 4, "done-queries": 4, "failed-no_match": 1, "failed-excluded": 1, "out-requests": 4}
    assert {name: counts.get(f"FindVideos/{name}") for name in expected} == expected
    assert counts["CutClips/in-spans"] == counts["CutClips/out-clips"] == 2
    stages = Course(0).at(1, Totals(counts)).stages
    assert [(stage.name, stage.done, stage.known) for stage in stages] == [
        ("rows", 4, 4),
        ("videos", 4, 4),
        ("scores", 2, 2),
        ("clips", 2, 2),
    ]


def shown_counts(text, name):
    """Returns the (done, known) pairs of a stage that a display showed, in order."""
    return [tuple(map(int, pair)) for pair in re.findall(rf"{name} +(\d+)/(\d+)", text)]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_real_job_moves_on_a_terminal(tmp_path, colour_spec, workers):
    for place in range(8):
        scene_video(tmp_path / f"{place}.mp4", ("grey", 8 + place), ("red", 8), ("blue", 8))
    rows = [{"action": "red", "path": str(tmp_path / "*.mp4")}]
    given = arguments(
        tmp_path, rows, colour_spec, "--sample_fps=10", "--batch_size=2", f"--workers={workers}", "--progress=auto"
    )
    with Program(tmp_path / "scratch", given, terminal=True) as program:
        assert program.wait() == 0
        shown = program.shown
    live, _, report = shown.rpartition("\x1b[?25h")
    scores = shown_counts(live, "scores")
    assert len(set(scores)) > 2
    assert scores == sorted(scores)
    assert {known for _, known in scores} <= {1, 2, 3, 4, 5, 6, 7, 8}
    assert shown_counts(live, "videos")[-1][1] == 8  # the last may have come after the last drawing
    assert shown_counts(live, "clips")
    assert "samples/s" in live
    assert re.search("time +0:00:", live)
    assert "clips      16 written" in report
    assert "in-queries" not in report  # the counters are for logs
    assert "\x1b[?25l" not in report


def test_a_real_job_says_a_line_every_ten_seconds_to_stderr(tmp_path, colour_spec):
    scene_video(tmp_path / "good.mp4", ("grey", 1), ("red", 1))
    with silent_site() as site:
        rows = [{"action": "red", "path": str(tmp_path / "good.mp4")}, {"action": "red", "url": url_on(site)}]
        more = ["--allow_private_hosts=127.0.0.1", "--download_attempts=1", "--progress=lines"]
        given = arguments(tmp_path, rows, colour_spec, *more)
        start = time.monotonic()
        with Program(tmp_path / "scratch", given) as program:
            connection, _ = site.accept()
            time.sleep(max(12, start + 22 - time.monotonic()))
            connection.close()
            site.close()
            output, error = program.outputs()
            assert program.wait() == 0
    assert "1 network" in output or "1 short_read" in output or "1 download_failed" in output, output
    lines = error.splitlines()
    clocks = [re.match(r"clipscout: 0:00:(\d\d)", line) for line in lines]
    assert all(clocks), lines
    seconds = [int(clock[1]) for clock in clocks]
    assert len(seconds) >= 2
    assert all(later - sooner >= 10 for sooner, later in itertools.pairwise(seconds))
    assert shown_counts(error, "rows")[-1] == (2, 2)
    assert (1, 2) in shown_counts(error, "videos")
    assert "waiting for 127.0.0.1, " in error


def test_a_hub_that_does_not_answer_is_announced_within_three_seconds(tmp_path):
    with silent_site() as site:
        given = arguments(tmp_path, [], "torchvision:mobilenet_v3_small", "--progress=lines")
        proxy = f"http://127.0.0.1:{site.getsockname()[1]}"
        environment = {"https_proxy": proxy, "HTTPS_PROXY": proxy, "no_proxy": "", "TORCH_HOME": str(tmp_path / "hub")}
        with Program(tmp_path / "scratch", given, environment=environment) as program:
            connection, _ = site.accept()
            start = time.monotonic()
            announced = []

            def read():
                for line in program.stderr:
                    if line.startswith("clipscout: loading"):
                        announced.append((time.monotonic(), line))
                        return

            reader = threading.Thread(target=read)
            reader.start()
            reader.join(20)
            connection.close()
    ((when, line),) = announced
    assert line.startswith("clipscout: loading the classifier torchvision:mobilenet_v3_small ... (")
    assert when - start < 3
