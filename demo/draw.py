"""An SVG of a video: its scenes as a strip of tiles, and below it what the classifier said of each action over time."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _LEFT, _RIGHT = 900, 44, 10
_TILES_TOP, _TILES_HEIGHT = 8, 70
_CHARTS_TOP, _CHART_HEIGHT, _CHART_STEP = 106, 76, 104
_COLOURS = ("#1f5fa8", "#7a3b9a", "#1d7a4c")


@dataclass(frozen=True)
class Tile:
    """A scene: its title, where it lies in seconds, and a picture of it as JPEG; None where none may be shown."""

    title: str
    start_seconds: float
    end_seconds: float
    jpeg: bytes | None


@dataclass(frozen=True)
class Curve:
    """The responses of an action at times in seconds, and its spans as (start, end)."""

    action: str
    times: Sequence[float]
    responses: Sequence[float]
    spans: Sequence[tuple[float, float]]


def svg(tiles: Sequence[Tile], curves: Sequence[Curve], threshold: float, notices: str) -> str:
    """Returns the picture; responses are drawn from 0 to 1, the threshold as a dashed line, spans as bands."""
    seconds = tiles[-1].end_seconds
    height = _CHARTS_TOP + _CHART_STEP * len(curves) + 16
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" '
        'font-size="12" fill="#444">',
        f"<desc>{escape(notices)}</desc>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
    ]
    for tile in tiles:
        lines += _tile(tile, seconds)
    for place, curve in enumerate(curves):
        top = _CHARTS_TOP + _CHART_STEP * place + 18
        lines += _chart(curve, _COLOURS[place % len(_COLOURS)], top, threshold, seconds)
    for time in range(0, int(seconds) + 1, 10):
        lines.append(f'<text x="{_x(time, seconds):.1f}" y="{height - 6}" text-anchor="middle">{time} s</text>')
    return "\n".join([*lines, "</svg>\n"])


def _x(time: float, seconds: float) -> float:
    return _LEFT + time / seconds * (_WIDTH - _LEFT - _RIGHT)


def _tile(tile: Tile, seconds: float) -> Iterator[str]:
    left, right = _x(tile.start_seconds, seconds), _x(tile.end_seconds, seconds)
    middle = (left + right) / 2
    place = f'x="{left + 1:.1f}" y="{_TILES_TOP}" width="{right - left - 2:.1f}" height="{_TILES_HEIGHT}"'
    if tile.jpeg is None:
        yield f'<rect {place} fill="#e4e4e4"/>'
        centre = _TILES_TOP + _TILES_HEIGHT / 2 + 4
        yield f'<text x="{middle:.1f}" y="{centre}" text-anchor="middle" font-size="11" fill="#888">not shown</text>'
    else:
        data = base64.b64encode(tile.jpeg).decode()
        yield f'<image {place} preserveAspectRatio="xMidYMid slice" href="data:image/jpeg;base64,{data}"/>'
    below = _TILES_TOP + _TILES_HEIGHT + 14
    yield f'<text x="{middle:.1f}" y="{below}" text-anchor="middle" font-size="11">{escape(tile.title)}</text>'


def _chart(curve: Curve, colour: str, top: float, threshold: float, seconds: float) -> Iterator[str]:
    def y(score: float) -> float:
        return top + _CHART_HEIGHT * (1 - score)

    yield f'<text x="{_LEFT}" y="{top - 5}" fill="{colour}" font-weight="bold">{escape(curve.action)}</text>'
    for start, end in curve.spans:
        left, width = _x(start, seconds), _x(end, seconds) - _x(start, seconds)
        yield f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{_CHART_HEIGHT}" fill="#ffd28a"/>'
    for score in (0, 1):
        yield f'<text x="{_LEFT - 6}" y="{y(score) + 4:.1f}" text-anchor="end">{score}</text>'
        yield _level(y(score), "#ddd")
    yield f'<text x="{_LEFT - 6}" y="{y(threshold) + 4:.1f}" text-anchor="end">{threshold:g}</text>'
    yield _level(y(threshold), "#999", 'stroke-dasharray="4 4"')
    points = zip(curve.times, curve.responses, strict=True)
    line = " ".join(f"{_x(time, seconds):.1f},{y(score):.1f}" for time, score in points)
    yield f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>'


def _level(y: float, colour: str, more: str = "") -> str:
    return f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}" {more}/>'
