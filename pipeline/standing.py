"""How a running job stands: from the tally's counts to stages, rates and the time that is left, as text for a person.

Names of files, hosts and videos are other people's: what does not print is left out before anything is shown.
"""

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from clipscout.transforms.core.tally import SLOW_SECONDS, Activity, Totals
from clipscout.transforms.failures import CODES

_RATE_SECONDS = 15.0
#: Before so much is known a rest would be guessed.
_LEAST_DONE, _LEAST_SECONDS = 3, 5.0
_LONGEST_TEXT = 70


@dataclass(frozen=True)
class Stage:
    """A stage as it stands.

    Attributes:
      name: What it makes: `rows`, `videos`, `scores`, `clips`.
      done: How many items have ended, well or not.
      known: How many there are so far; no less than `done`.
      note: What else there is to say.
    """

    name: str
    done: int
    known: int
    note: str = ""


@dataclass(frozen=True)
class Standing:
    """A job as it stands.

    Attributes:
      seconds: Since the program began.
      stages: Those that have begun.
      failed, rejected: How many items ended as a failure, or were refused by a stated rule, by code.
      left_seconds: How long it may still take; None where nothing can be said.
      doing: What has lasted long enough to be told, the oldest first.
    """

    seconds: float
    stages: tuple[Stage, ...] = ()
    failed: Mapping[str, int] = field(default_factory=dict)
    rejected: Mapping[str, int] = field(default_factory=dict)
    left_seconds: float | None = None
    doing: tuple[str, ...] = ()

    def figures(self) -> Iterator[tuple[str, str]]:
        """Yields (name, text) pairs of what goes with the stages."""
        for name, codes in (("failed", self.failed), ("rejected", self.rejected)):
            if codes:
                most = ", ".join(f"{count:,} {code}" for code, count in Counter(codes).most_common(4))
                yield name, f"{sum(codes.values()):,} ({most}{', ...' if len(codes) > 4 else ''})"

    def clock(self) -> str:
        """Returns the time since the start and the time that is left."""
        minutes, seconds = divmod(int(self.seconds), 60)
        since = f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
        return since if self.left_seconds is None else f"{since}, {left(self.left_seconds)} left"

    def line(self) -> str:
        """Returns all of it in one line."""
        stages = [
            f"{stage.name} {stage.done:,}/{stage.known:,}{f' ({stage.note})' if stage.note else ''}"
            for stage in self.stages
        ]
        figures = [f"{name} {text}" for name, text in self.figures()]
        return "; ".join(filter(None, (self.clock(), ", ".join([*stages, *figures]), *self.doing[:2])))


def left(seconds: float) -> str:
    """Returns a time in words, as exactly as an estimate deserves."""
    if seconds < 60:
        return "less than a minute"
    minutes = round(seconds / 60)
    return f"about {minutes} min" if minutes < 60 else f"about {minutes // 60} h {minutes % 60} min"


def plain(text: str, most: int = _LONGEST_TEXT) -> str:
    """Returns hostile text as one line of bearable length that moves no cursor and reorders nothing."""
    shown = "".join(character if character.isprintable() else "?" for character in text)
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."


def text_of(activity: Activity, now: float) -> str:
    """Returns an activity in words, with the time that it has lasted."""
    often = f" ({activity.times} times at once)" if activity.times > 1 else ""
    return f"{plain(activity.what)}{often}, {activity.seconds(now):.0f} s"


class Course:
    """Follows a job from one reading of its tally to the next.

    Args:
      start: When the program began, by the monotonic clock.
    """

    def __init__(self, start: float) -> None:
        self._start = start
        self._samples: deque[tuple[float, int]] = deque()
        self._began: dict[str, tuple[float, int]] = {}

    def at(self, now: float, totals: Totals) -> Standing:
        """Returns how the job stands; call it with times that grow."""
        counts = _Counts(totals.counts)
        failed, rejected = counts.failures()
        stages = tuple(stage for stage in self._stages(now, counts) if stage.known)
        return Standing(
            seconds=now - self._start,
            stages=stages,
            failed=failed,
            rejected=rejected,
            left_seconds=self._left(now, stages, counts),
            doing=tuple(text_of(one, now) for one in totals.doing if one.seconds(now) >= SLOW_SECONDS),
        )

    def _stages(self, now: float, counts: "_Counts") -> Iterator[Stage]:
        rows, requests = counts("FindVideos", "in-queries"), counts("FindVideos", "out-requests")
        videos = f"{requests:,} {'video' if requests == 1 else 'videos'}" if requests else ""
        yield _stage("rows", counts("FindVideos", "done-queries"), rows, videos)
        requests = requests or counts("DownloadVideos", "in-requests")
        lost = counts.failed("DownloadVideos")
        fetched = counts("DownloadVideos", "out-videos")
        yield _stage("videos", fetched + lost, requests, _as_before(counts("DownloadVideos", "reused-videos")))
        scored = counts.scored()
        rate = self._samples_per_second(now, counts("ScoreVideos", "samples"))
        notes = [f"{rate:,.0f} samples/s" if rate else "", _as_before(counts("ScoreVideos", "reused-tracks"))]
        # every video that is not lost on the way is to be scored
        to_score = max(requests - lost, fetched) if fetched else 0
        yield _stage("scores", scored, to_score, ", ".join(filter(None, notes)))
        reused = counts("CutClips", "reused-clips")
        cut = counts("CutClips", "out-clips") + reused + counts.failed("CutClips")
        if counts("CutClips", "in-spans"):  # else they are not cut, or wait for a cap over all videos
            proposed = counts("SelectSpans", "out-spans") or counts("ProposeSpans", "out-spans")
            yield _stage("clips", cut, max(proposed, counts("CutClips", "in-spans")), _as_before(reused))
        to_describe = counts("DescribeClips", "in-clips") - counts("DescribeClips", "not-described")
        known = counts("DescribeClips", "reused-features")
        described = counts("DescribeClips", "out-features") + known + counts.failed("DescribeClips")
        yield _stage("features", described, to_describe, _as_before(known))
        pairs = counts("DropDuplicates", "pairs")
        if pairs and described == to_describe:
            yield _stage("pairs", pairs, pairs, "compared")

    def _samples_per_second(self, now: float, samples: int) -> float:
        """Returns the rate of the last seconds; 0 where nothing is scored."""
        if not samples:
            self._samples.clear()
        self._samples.append((now, samples))
        while len(self._samples) > 2 and self._samples[1][0] <= now - _RATE_SECONDS:
            self._samples.popleft()
        before, fewer = self._samples[0]
        return (samples - fewer) / (now - before) if now > before else 0.0

    def _left(self, now: float, stages: tuple[Stage, ...], counts: "_Counts") -> float | None:
        """Estimates the rest of the slowest stage that is under way; None rather than nonsense.

        Only what this run made counts as done: what was there before took no time.
        """
        by_name = {stage.name: stage for stage in stages}
        new = {
            "scores": counts("ScoreVideos", "out-tracks") + counts.failed("ScoreVideos"),
            "clips": counts("CutClips", "out-clips"),
        }
        for name in filter(new.__getitem__, new):
            self._began.setdefault(name, (now, new[name]))
        rows = by_name.get("rows")
        if rows is None or rows.done < rows.known:  # more may yet be found
            return None
        for name in ("scores", "clips"):
            stage = by_name.get(name)
            if stage is None or stage.done == stage.known:
                continue
            # from the first ones on: where a shuffle holds tracks back, all the time before them would count
            began, first = self._began.get(name, (now, 0))
            seconds, done = now - began, new[name] - first
            if done < _LEAST_DONE or seconds < _LEAST_SECONDS:
                return None
            return seconds / done * (stage.known - stage.done)
        return None


class _Counts:
    """Counts by stage and name; 0 where nothing was counted."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self._counts = counts

    def __call__(self, stage: str, name: str) -> int:
        return self._counts.get(f"{stage}/{name}", 0)

    def failed(self, stage: str) -> int:
        """Returns how many items of a stage ended as a failure or a rejection, also as in an earlier run."""
        prefix = f"{stage}/failed-"
        ended = sum(
            count
            for name, count in self._counts.items()
            if name.startswith(prefix) and name.removeprefix(prefix) in CODES
        )
        return ended + self(stage, "reused-failures")

    def scored(self) -> int:
        """Returns how many videos have left the scoring."""
        return sum(self("ScoreVideos", name) for name in ("out-tracks", "reused-tracks")) + self.failed("ScoreVideos")

    def failures(self) -> tuple[dict[str, int], dict[str, int]]:
        """Returns the failures and the rejections of all stages, by code."""
        failed, rejected = Counter[str](), Counter[str]()
        for name, count in self._counts.items():
            code = name.partition("/failed-")[2]
            if code in CODES:  # counters of parts of an item are named alike
                (rejected if CODES[code][0] == "skipped" else failed)[code] += count
        return dict(failed), dict(rejected)


def _stage(name: str, done: int, known: int, note: str) -> Stage:
    """Returns a stage; what a worker that died had done is counted again by the one that takes its place."""
    return Stage(name, min(done, known), known, note)


def _as_before(count: int) -> str:
    return f"{count:,} as before" if count else ""
