"""Names: video keys, action folders and clip files that are safe on every filesystem and never collide."""

import hashlib
import re
import unicodedata
from pathlib import PurePosixPath

_KEY_MAX_CHARACTERS = 100
_YOUTUBE_ID = re.compile(r"[0-9A-Za-z_-]{11}")
_DEVICE = re.compile(r"con|prn|aux|nul|(com|lpt)\d")  # which Windows takes for no file's name
_LOSSLESS_ACTION = re.compile(r"[a-z0-9]+(?:[ -][a-z0-9]+)*")


def digest(text: str, characters: int = 12) -> str:
    """Returns the first `characters` hexadecimal digits of the SHA-256 of `text`."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:characters]


def printable(text: str) -> str:
    """Escapes what is not Unicode text (names of files that are not UTF-8): no coder and no manifest can carry it."""
    return text.encode("utf-8", "backslashreplace").decode()


def escaped(text: str) -> str:
    """Escapes what does not print: control characters, those that turn the direction of text, half surrogate pairs."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def slug(text: str, *, max_characters: int = 60) -> str:
    """Folds `text` to lower-case `[a-z0-9_]`; different texts may fold to the same slug."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", ascii_text.lower()).strip("_")[:max_characters].strip("_")


def action_folder(action: str) -> str:
    """Returns the folder name of an action; two different actions never share one.

    `making pizza` becomes `making_pizza`; a name that the fold would change in any other way gets a
    digest of the original behind it.
    """
    if _LOSSLESS_ACTION.fullmatch(action) and len(action) <= 60 and not _DEVICE.fullmatch(action):
        return action.replace(" ", "_")
    return f"{slug(action) or 'action'}--{digest(action, 8)}"


def file_key(uri: str) -> str:
    """Returns the key of a file: its stem for the reader, and a digest of its URI (not of its content)."""
    uri = printable(uri)
    stem = slug(PurePosixPath(uri).stem, max_characters=40) or "video"
    return f"file-{stem}-{digest(uri)}"


def web_key(extractor: str, video_id: str) -> str:
    """Returns `<extractor>-<id>`, e.g. `youtube--8Appls4ZFg`; unsafe or long ids become slug and digest."""
    site = slug(extractor, max_characters=30) or "web"
    if re.fullmatch(r"[0-9A-Za-z_-]+", video_id) and len(video_id) <= _KEY_MAX_CHARACTERS - len(site) - 1:
        return f"{site}-{video_id}"
    readable = slug(video_id, max_characters=30)
    return "-".join(part for part in (site, readable, digest(video_id)) if part)


def folded(key: str) -> str:
    """Returns what a key is on a file system that does not tell upper from lower case."""
    return key.lower()


_APART = re.compile(r"(.+)--case-[0-9a-f]{8}")


def told_apart(key: str) -> str:
    """Returns another key for one that differs from a second key in nothing but case: their files must not collide."""
    return f"{key}--case-{digest(key, 8)}"


def as_it_was(key: str) -> str:
    """Returns the key that a site's id gives, also for one that was told apart."""
    found = _APART.fullmatch(key)
    return found[1] if found else key


_LOGIN = re.compile(r"(https?://)[^/?#]*@", re.IGNORECASE)


def without_login(url: str) -> str:
    """Returns a web address without a user and password before its host, which are for the site alone."""
    return _LOGIN.sub(r"\1", url, count=1) if _LOGIN.match(url) else url


def is_youtube_id(text: str) -> bool:
    """Tells whether `text` has the form of a YouTube video id (11 characters of base64url)."""
    return _YOUTUBE_ID.fullmatch(text) is not None


def youtube_url(video_id: str) -> str:
    """Returns the watch URL of a YouTube video id."""
    return f"https://www.youtube.com/watch?v={video_id}"


def content_key(content: str, size_bytes: int, picture: str = "") -> str:
    """Returns the name of what is scored, whatever it is called and in whichever container it is.

    Args:
      content: Digest of the file.
      size_bytes: Its size.
      picture: Digest of its picture's packets; where that is not known the file itself counts.
    """
    if picture:
        return digest(f"picture {picture}", 32)
    return digest(f"{content} {size_bytes}", 32)


def span_id(action: str, key: str, start_seconds: float, end_seconds: float) -> str:
    """Returns a span's name, the same in every run: digits of its video, its action and its milliseconds."""
    return digest(f"{key} {action} {round(start_seconds * 1000)} {round(end_seconds * 1000)}", 20)


def clip_path(action: str, key: str, start_seconds: float, end_seconds: float) -> str:
    """Returns a clip's path relative to the output: `clips/<action>/<key>_<start_ms>_<end_ms>.mp4`."""
    start_ms, end_ms = round(start_seconds * 1000), round(end_seconds * 1000)
    return f"clips/{action_folder(action)}/{key}_{start_ms}_{end_ms}.mp4"
