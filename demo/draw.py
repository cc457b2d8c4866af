"""A picture of one video: what the classifier said of an action at each sample, and the spans that became clips."""

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from clipscout.transforms.core.storage import naming

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 900, 220, 44, 34


def track_of(output: Path, key: str, labels: Sequence[str]) -> tuple[list[float], list[float]]:
    """Returns the times in seconds and the responses of an action's labels, from the score track of a video."""
    videos = [json.loads(line) for line in (output / "videos.jsonl").read_text().splitlines()]
    (video,) = [video for video in videos if video["key"] == key]
    content_key = naming.content_key(video["content"], video["size_bytes"])
    (path,) = (output / "scores").glob(f"*/{content_key}.parquet")
    track = pq.read_table(path)
    wanted = [set(of) for of in json.loads(pq.read_metadata(path).metadata[b"clipscout"])["wanted"]]
    return track.column("time_seconds").to_pylist(), track.column(f"response_{wanted.index(set(labels))}").to_pylist()


def svg(times: Sequence[float], responses: Sequence[float], spans: Sequence[tuple[float, float]]) -> str:
    """Returns a curve over time, in seconds, with the spans as bands behind it."""
    seconds, most = max(times), max(responses) * 1.1

    def x(time: float) -> float:
        return _LEFT + time / seconds * (_WIDTH - _LEFT - 10)

    def y(score: float) -> float:
        return _HEIGHT - _BOTTOM - score / most * (_HEIGHT - _BOTTOM - 10)

    bands = [
        f'<rect x="{x(start):.1f}" y="10" width="{x(end) - x(start):.1f}" height="{y(0) - 10:.1f}" fill="#ffd28a"/>'
        for start, end in spans
    ]
    curve = " ".join(f"{x(time):.1f},{y(score):.1f}" for time, score in zip(times, responses, strict=True))
    ticks = [
        f'<text x="{x(time):.1f}" y="{_HEIGHT - 14}" text-anchor="middle">{time} s</text>'
        for time in range(0, int(seconds) + 1, 10)
    ]
    levels = [
        f'<text x="{_LEFT - 6}" y="{y(score) + 4:.1f}" text-anchor="end">{score:.1f}</text>'
        f'<line x1="{_LEFT}" x2="{_WIDTH - 10}" y1="{y(score):.1f}" y2="{y(score):.1f}" stroke="#ddd"/>'
        for score in (level / 10 for level in range(int(most * 10) + 1))
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
            'font-size="12" fill="#444">',
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
            *bands,
            *levels,
            f'<polyline points="{curve}" fill="none" stroke="#1f5fa8" stroke-width="2"/>',
            *ticks,
            "</svg>\n",
        ]
    )
