"""Spans as HTML that stands by itself, for notebooks: pictures lie within it, and what the web said is text in it."""

import base64
import html
from collections.abc import Iterable, Mapping
from typing import Any

from clipscout.transforms.core.report import curves, plots
from clipscout.transforms.core.storage import filesystem

_STYLE = "display:inline-block;width:260px;margin:0 8px 12px 0;vertical-align:top;font-size:12px;overflow-wrap:anywhere"
_SMALL_SAMPLES, _MOST_CLIP_BYTES = 200, 30_000_000


def grid(output: str, spans: Iterable[Mapping[str, Any]]) -> str:
    """Returns spans side by side, each with its poster and the response of its action over the video."""
    cells, drawn = [], dict[str, dict[str, Any] | None]()
    for span in spans:
        if span["key"] not in drawn:
            curve = curves.read(output, span["key"])
            drawn[span["key"]] = curve and curves.at_most(curve, _SMALL_SAMPLES)
        picture = _embedded(output, span["poster"], "image/jpeg")
        image = f'<img src="{picture}" alt="" style="width:100%"><br>' if picture else ""
        cells.append(f'<div style="{_STYLE}">{image}{_caption(span)}{_curve(drawn[span["key"]], span)}</div>')
    return "".join(cells)


def one(output: str, span: Mapping[str, Any]) -> str:
    """Returns a span with its clip, ready to play, and the response of its action over the video."""
    clip = str(span["clip"] or "")
    size = filesystem.size(filesystem.join(output, clip)) if clip else None
    source = _embedded(output, clip, "video/mp4") if size and size <= _MOST_CLIP_BYTES else ""
    player = f'<video src="{source}" controls loop style="max-width:100%"></video><br>' if source else ""
    picture = "" if player else _embedded(output, span["poster"], "image/jpeg")
    image = f'<img src="{picture}" alt="" style="max-width:100%"><br>' if picture else ""
    curve = _curve(curves.read(output, span["key"]), span)
    return f'<div style="max-width:720px">{player}{image}{_caption(span)}{curve}</div>'


def _caption(span: Mapping[str, Any]) -> str:
    name, where = (html.escape(str(text)) for text in (span["action"], span["clip"] or span["source"]))
    times = f"{span['start_seconds']:.2f} - {span['end_seconds']:.2f} s, score {span['score']:.3f}"
    return f"<b>{name}</b><br>{times}<br>{where}<br>"


def _curve(curve: Mapping[str, Any] | None, span: Mapping[str, Any]) -> str:
    if curve is None or span["action"] not in curve["responses"]:
        return ""
    return plots.responses(curve, [(span["start_seconds"], span["end_seconds"])], actions=[span["action"]])


def _embedded(output: str, name: str, kind: str) -> str:
    """Returns a file of an output as an address that holds it; empty where it is not there."""
    try:
        data = filesystem.read_bytes(filesystem.join(output, name)) if name else b""
    except filesystem.StorageError:
        data = b""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}" if data else ""
