"""Plots as SVG files, for pages and papers: the funnel, the scores of an action, the responses of a video over time.

The page draws with uPlot, which needs a browser; these need none, and stand in a notebook or a README.
"""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_BINS = 50
_COLOURS = ("#0b5cad", "#b3261e", "#1f7a4d", "#7b3fa0")
_BAND, _GRID, _TEXT = "#ffd28a", "#dddddd", "#444444"


def _svg(width: float, height: float, parts: Iterable[str], title: str) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="100%" '
        f'style="max-width:{width:g}px" font-family="sans-serif" font-size="12" fill="{_TEXT}" role="img">'
    )
    back = f'<rect width="{width:g}" height="{height:g}" fill="#ffffff"/>'
    return "\n".join([head, f"<title>{html.escape(title)}</title>", back, *parts, "</svg>\n"])


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def funnel(numbers: Mapping[str, Mapping[str, int]]) -> str:
    """Returns the funnel of a summary (noun to verb to number) as bars of logarithmic length."""
    rows = [(noun, verb, number) for noun, verbs in numbers.items() for verb, number in verbs.items()]
    most = math.log1p(max((number for *_, number in rows), default=0)) or 1.0
    parts = []
    for place, (noun, verb, number) in enumerate(rows):
        y = 12 + 18 * place
        parts.append(_text(190, y + 11, f"{noun} {verb.replace('_', ' ')}", "end"))
        length = 420 * math.log1p(number) / most
        parts.append(f'<rect x="200" y="{y}" width="{length:.1f}" height="13" fill="{_COLOURS[0]}"/>')
        parts.append(_text(206 + length, y + 11, f"{number:,}"))
    return _svg(720, 24 + 18 * len(rows), parts, "funnel: how many items each stage had, and how they left it")


def histogram(action: str, scores: Sequence[float], threshold: float = 0.0) -> str:
    """Returns the histogram of an action's scores; both axes spread what is small, as most scores are.

    Args:
      action: The action.
      scores: The scores of its spans.
      threshold: The weakest that may become a span; 0 for none.
    """
    best = max([*scores, threshold, 1e-9])
    bins = [0] * _BINS
    for score in scores:
        bins[min(_BINS - 1, int(math.sqrt(max(0.0, score) / best) * _BINS))] += 1
    most = math.log1p(max(bins)) or 1.0
    parts = []
    for place, number in enumerate(bins):
        height = 150 * math.log1p(number) / most
        size = f'x="{40 + 12 * place}" y="{190 - height:.1f}" width="11" height="{height:.1f}"'
        parts.append(f'<rect {size} fill="{_COLOURS[0]}"/>')
    for part in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(_text(40 + 600 * part, 208, f"{best * part**2:.2g}", "middle"))
    if threshold > 0:
        x = 40 + 600 * math.sqrt(threshold / best)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="30" y2="190" stroke="{_COLOURS[1]}" stroke-width="2"/>')
    parts.append(_text(40, 20, f"{action}: the scores of {len(scores):,} spans (both scales spread what is small)"))
    return _svg(680, 220, parts, f"scores of {action}")


def responses(
    curve: Mapping[str, Any],
    spans: Iterable[tuple[float, float]],
    threshold: float = 0.0,
    actions: Sequence[str] | None = None,
) -> str:
    """Returns the responses of a video over time, with its spans as bands and its shot boundaries as thin lines.

    Args:
      curve: What `curves.curve` returns.
      spans: Start and end of each span in seconds.
      threshold: The weakest response that may become a span; 0 for none.
      actions: Those that are drawn; None means all.
    """
    drawn = {name: row for name, row in curve["responses"].items() if actions is None or name in actions}
    length = max(curve["seconds"], *curve["times"], 1e-9) if curve["times"] else 1.0
    high = max([value for row in drawn.values() for value in row if value is not None] + [threshold, 1e-9]) * 1.08

    def x(seconds: float) -> float:
        return 50 + 640 * seconds / length

    def y(value: float) -> float:
        return 190 - 170 * value / high

    parts = [
        f'<rect x="{x(start):.1f}" y="20" width="{max(1.0, x(end) - x(start)):.1f}" height="170" fill="{_BAND}"/>'
        for start, end in spans
    ]
    for level in range(5):
        value = high * level / 4
        parts.append(f'<line x1="50" x2="690" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="{_GRID}"/>')
        parts.append(_text(44, y(value) + 4, f"{value:.2g}", "end"))
    for shot in curve["shots"]:
        parts.append(f'<line x1="{x(shot):.1f}" x2="{x(shot):.1f}" y1="20" y2="190" stroke="#bbbbbb"/>')
    if threshold > 0:
        line = f'x1="50" x2="690" y1="{y(threshold):.1f}" y2="{y(threshold):.1f}"'
        parts.append(f'<line {line} stroke="{_COLOURS[1]}" stroke-dasharray="6 4"/>')
    for place, (name, row) in enumerate(drawn.items()):
        colour = _COLOURS[place % len(_COLOURS)]
        points = " ".join(
            f"{x(time):.1f},{y(value):.1f}"
            for time, value in zip(curve["times"], row, strict=True)
            if value is not None
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<rect x="{56 + 160 * place}" y="4" width="16" height="4" fill="{colour}"/>')
        parts.append(_text(76 + 160 * place, 11, name[:24]))
    for part in range(5):
        parts.append(_text(x(length * part / 4), 208, f"{length * part / 4:.3g} s", "middle"))
    return _svg(720, 220, parts, "responses over time")
