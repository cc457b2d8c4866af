"""Globs over names, on local disk and for objects alike.

`*`, `?` and `[...]` stay within a folder, `**` stands for any number of folders, also for none. No wildcard begins a
hidden name (`._a.mp4`, which cameras and Macs leave beside a video). Brackets also stand for themselves, since folders
are called `[2024] trip`; and the ending of a glob matches in any case, since cameras write `.MP4`.
"""

import os
import re
from collections.abc import Iterator
from functools import lru_cache

#: Endings of the names of videos: of a folder that is named as a whole, the files with one of them are meant.
VIDEO_ENDINGS = tuple(
    f".{ending}"
    for line in (
        "3g2 3gp asf avi dif divx dv f4v flv gif h264 h265 264 265 hevc ivf m2t m2ts m4v mj2 mkv mod mov mp4",
        "mpe mpeg mpg mts mxf nut ogg ogm ogv qt tod ts vob webm wmv wtv",
    )
    for ending in line.split()
)
_WILD = re.compile(r"[*?\[]")
_ENDING = re.compile(r"\.[A-Za-z0-9]+")


def is_video(name: str) -> bool:
    """Tells whether a name is one of a video, by its ending, and not hidden."""
    return name.lower().endswith(VIDEO_ENDINGS) and not os.path.basename(name).startswith(".")


def literal_start(pattern: str) -> str:
    """Returns what every match begins with."""
    return _WILD.split(pattern, maxsplit=1)[0]


def matches(pattern: str, name: str) -> bool:
    """Tells whether a glob matches the whole of an object's name."""
    return _whole(pattern).fullmatch(name) is not None


def files(pattern: str) -> list[str]:
    """Returns the sorted paths of the regular files on local disk that a glob matches.

    Raises:
      OSError: A folder cannot be read; those that `**` comes to are left out then.
    """
    start = "/" if pattern.startswith("/") else "."
    return sorted({found.removeprefix("./") for found in _below(start, list(filter(None, _parts(pattern))))})


def _parts(pattern: str) -> list[str]:
    """Returns the names between slashes; `**` stands alone, and never at the end."""
    parts: list[str] = []
    for part in pattern.split("/"):
        if part.startswith("**"):
            parts.append("**")
            rest = part.lstrip("*")
            parts += [f"*{rest}"] if rest else []
        else:
            parts.append(part)
    return [*parts, "*"] if parts[-1] == "**" else parts


def _below(folder: str, parts: list[str]) -> Iterator[str]:
    part, rest = parts[0], parts[1:]
    if part == "**":
        for below, folders, _ in os.walk(folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            yield from _below(below, rest)
    elif not _WILD.search(part):
        path = os.path.join(folder, part)
        if rest and os.path.isdir(path):
            yield from _below(path, rest)
        elif not rest and os.path.isfile(path):
            yield path
    else:
        match = re.compile(_name(part, is_last=not rest)).fullmatch
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if match(entry.name)]
        for entry in found:
            if rest and entry.is_dir():
                yield from _below(entry.path, rest)
            elif not rest and entry.is_file():
                yield entry.path


@lru_cache(maxsize=64)
def _whole(pattern: str) -> re.Pattern[str]:
    *folders, name = _parts(pattern)
    patterns = (r"(?:(?:[^/.][^/]*)?/)*" if part == "**" else f"{_name(part)}/" for part in folders)
    return re.compile("".join(patterns) + _name(name, is_last=True))


def _name(part: str, *, is_last: bool = False) -> str:
    """Returns the regular expression of one name."""
    stem, ending = os.path.splitext(part)
    any_case = is_last and bool(_WILD.search(stem)) and bool(_ENDING.fullmatch(ending))
    if not any_case:
        stem, ending = part, ""
    parts = ["" if not _WILD.match(stem) else r"(?!\.)"]
    position = 0
    while position < len(stem):
        end = stem.find("]", position + (3 if stem.startswith("[!", position) else 2)) if stem[position] == "[" else -1
        if end > 0:
            parts.append(_brackets(stem[position : end + 1]))
            position = end + 1
            continue
        parts.append({"*": "[^/]*", "?": "[^/]"}.get(stem[position]) or re.escape(stem[position]))
        position += 1
    return "".join(parts) + (f"(?i:{re.escape(ending)})" if any_case else "")


def _brackets(text: str) -> str:
    """Returns the expression of `[...]`: one of its characters, or the text as it stands."""
    inside = text[1:-1].replace("\\", r"\\").replace("[", r"\[").replace("^", r"\^")
    one = f"[^{inside[1:]}]" if inside.startswith("!") else f"[{inside}]"
    try:
        re.compile(one)
    except re.error:  # a range that runs backwards
        return re.escape(text)
    return f"(?:(?!/){one}|{re.escape(text)})"
