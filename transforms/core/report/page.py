"""The page: one file with its data, its script and its style, which opens from disk, from a bucket, and when moved."""

import base64
import hashlib
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from clipscout.transforms.core.storage import strict_json

INDEX = "report/index.html"
_FILES = resources.files(__package__)
#: The parts of the page's script, in their order: they share what they declare.
_SCRIPT = ("common", "clips", "duplicates", "video", "main")
#: What the page may load: itself, curves beside it, posters and clips below the output, the user's own videos.
_POLICY = (
    "default-src 'none'; script-src {hashes} 'self' file:; style-src 'unsafe-inline'; img-src 'self' file: data:; "
    "media-src 'self' file:; base-uri 'none'; form-action 'none'"
)


def rendered(data: Mapping[str, Any], about: str) -> bytes:
    """Returns the page as HTML.

    Args:
      data: What `contents.collected` returns; texts in it may be hostile.
      about: A line on the job: when it ended, by which version.
    """
    own = "".join(_FILES.joinpath(f"script/{name}.js").read_text() for name in _SCRIPT)
    scripts = [_FILES.joinpath("vendor/uPlot.iife.min.js").read_text(), f'(() => {{\n"use strict";\n{own}}})();\n']
    style = "\n".join(_FILES.joinpath(name).read_text() for name in ("vendor/uPlot.min.css", "page.css"))
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string(_FILES.joinpath("page.html.j2").read_text())
    page = template.render(
        title="Clipscout: candidate clips",
        about=about,
        policy=_POLICY.format(hashes=" ".join(map(_hash, scripts))),
        style=Markup(style),  # noqa: S704 - files of this package
        scripts=[Markup(script) for script in scripts],  # noqa: S704
        data=Markup(_inert(strict_json.text(data))),  # noqa: S704 - no `<` is left in it
    )
    return page.encode()


def _inert(text: str) -> str:
    """Returns JSON text in which nothing ends the element that holds it, or turns the direction of what follows."""
    return re.sub("[<>&\\u2028-\\u202e\\u2066-\\u2069]", lambda found: f"\\u{ord(found[0]):04x}", text)


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
