"""Failures: items that could not be processed, each with a stage, a code and a one-line message.

A code belongs to one category, and the category says whether another run may try the item again:

| category | another run |
|---|---|
| permanent | leaves it alone, unless an option that may end it (`CURES`) has another value |
| transient | tries it again |
| blocked | tries it again, later |
| skipped | leaves it alone: a stated rule refused it; what is `live` or `upcoming` today it tries again |
| config | tries it again: the fault is in the options or the installation |
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from clipscout.transforms.core.storage import naming

CATEGORIES = ("permanent", "transient", "blocked", "skipped", "config")

#: code -> (category, meaning). README's table is this one; a test holds the two together.
CODES: dict[str, tuple[str, str]] = {
    "bad_row": (
        "permanent",
        "the row has no action, not exactly one source, a misspelled column, or a value that does not fit",
    ),
    "bad_encoding": ("permanent", "the line is not UTF-8"),
    "unreadable_queries": ("config", "a query file, or the rest of one, cannot be read"),
    "unknown_label": ("config", "the classifier has no label for the action; the message names the closest"),
    "no_match": ("transient", "no file matches the path, or no video the search text"),
    "not_found": ("permanent", "the file or page does not exist"),
    "permission_denied": ("config", "the file exists and may not be read"),
    "storage_error": ("transient", "the storage did not answer, or answered wrongly"),
    "blocked": ("blocked", "the site refuses this machine for now, or did so before the video's turn"),
    "private": ("permanent", "the video is private"),
    "removed": ("permanent", "the video or its channel is gone"),
    "login_required": ("permanent", "the site shows the video only to whom it knows"),
    "forbidden": ("permanent", "the host refuses this one file"),
    "members_only": ("permanent", "the video is for paying members"),
    "age_restricted": ("permanent", "the site asks for the viewer's age"),
    "drm": ("permanent", "the video is protected against copying"),
    "geo_blocked": ("permanent", "the video is not offered where this machine is"),
    "excluded": ("skipped", "an exclude file names the video"),
    "channel_cap": ("skipped", "the channel has enough videos in this job"),
    "too_short": ("skipped", "shorter than --min_video_seconds"),
    "too_long": ("skipped", "longer than --max_video_seconds"),
    "live": ("skipped", "a live stream"),
    "upcoming": ("skipped", "not shown yet"),
    "licence": ("skipped", "not under the licence that --licence asks for"),
    "too_large": ("skipped", "larger than --max_video_mb"),
    "no_format": ("config", "no format of the video fits the options"),
    "unsupported_url": ("config", "yt-dlp knows no way to a video from this URL"),
    "cookies_invalid": ("config", "the site does not accept the cookies, or they cannot be read"),
    "scheme_refused": ("config", "only http and https are contacted"),
    "refused_address": ("permanent", "the host has a private address that --allow_private_hosts does not name"),
    "extractor_error": ("config", "yt-dlp no longer understands the page: upgrade it"),
    "server_error": ("transient", "the server answered with an error of its own"),
    "short_read": ("transient", "the answer ended before its announced end"),
    "network_timeout": ("transient", "the server did not answer in time"),
    "network": ("transient", "no connection: name, route or TLS; or the host did not answer before the video's turn"),
    "proxy_failed": ("config", "the proxy does not answer or refuses, or is given in a form that cannot be used"),
    "download_failed": ("transient", "yt-dlp could not fetch the video, for a reason that only its message tells"),
    "fetch_timeout": ("permanent", "the download did not end before --download_timeout_seconds"),
    "fetch_memory": ("permanent", "the downloading process reached --decode_memory_mb"),
    "fetch_crashed": ("transient", "the downloading process died"),
    "unreadable_video": ("permanent", "no allowed container format fits the file's content"),
    "no_video": ("permanent", "the file has no video stream (cover art is not one)"),
    "no_frames": ("permanent", "not one frame could be decoded"),
    "decode_crashed": ("permanent", "the decoding process died twice on this file"),
    "decode_timeout": ("permanent", "the decoder gave no sign of life before the deadline, twice"),
    "decode_memory": ("permanent", "the decoder reached its memory cap, twice"),
    "scoring_failed": ("config", "the classifier could not score the frames"),
    "cut_failed": ("permanent", "the clip could not be cut from its video"),
    "cut_crashed": ("permanent", "the cutting process died twice on this span"),
    "cut_timeout": ("permanent", "the cutter gave no sign of life before the deadline, twice"),
    "cut_memory": ("permanent", "the cutter reached its memory cap, twice"),
}

#: What a person can do about failures of a category, where their code has no remedy of its own; {code} is the code.
_CATEGORY_REMEDIES = {
    "permanent": "these are not tried again; --retry_failed={code} tries them once more",
    "transient": "run the same command again: it tries these alone",
    "blocked": "wait an hour or more and run the same command again: it tries these alone",
    "skipped": "a rule of yours refused these; change it if that was not meant",
    "config": "correct the options or the installation and run the same command again",
}
_CORRECT_ROWS = "correct these rows, or take them out, and run the same command again"
_WITH_COOKIES = "with --cookies of an account that may see these, run the same command again: it tries them once more"
_OTHER_FILES = "look at these files: a player that opens them can save them anew; or take their rows out"
#: code -> what a person can do about it.
REMEDIES: dict[str, str] = {
    "bad_row": _CORRECT_ROWS,
    "bad_encoding": "save the query file as UTF-8 and run the same command again",
    "unreadable_queries": "repair the file, or leave it out of --input, and run the same command again",
    "unknown_label": "name labels of the classifier in the column `classes`; `clipscout labels` lists them",
    "no_match": _CORRECT_ROWS,
    "not_found": _CORRECT_ROWS,
    "permission_denied": "give this account the right to read the files and run the same command again",
    "blocked": "wait an hour or more and run the same command again: it tries these alone; "
    "a longer --download_interval asks less often",
    "private": _WITH_COOKIES,
    "login_required": _WITH_COOKIES,
    "members_only": _WITH_COOKIES,
    "age_restricted": _WITH_COOKIES,
    "forbidden": "give addresses that have not expired, or --cookies of an account that may see these; "
    "--retry_failed=forbidden tries the same ones once more",
    "geo_blocked": "with a --proxy where these are offered, run the same command again: it tries them once more",
    "proxy_failed": "look to the proxy and to --proxy, and run the same command again",
    "too_large": "raise --max_video_mb if these are wanted, and run the command with --replace",
    "no_format": "raise --max_height_cap and run the same command again",
    "unsupported_url": "give the address of a video's own page or file and run the same command again",
    "cookies_invalid": "export the cookies anew and run the same command again",
    "scheme_refused": "give addresses with http or https and run the same command again",
    "refused_address": "name hosts of your own in --allow_private_hosts and run the same command again",
    "extractor_error": "upgrade yt-dlp (pip install --upgrade yt-dlp) and run the same command again",
    "network": "see that this machine reaches the host (name, connection, certificate) and run the same command again",
    "fetch_timeout": "raise --download_timeout_seconds and run the same command again",
    "fetch_memory": "raise --decode_memory_mb and run the same command again",
    "unreadable_video": _OTHER_FILES,
    "no_video": _OTHER_FILES,
    "no_frames": _OTHER_FILES,
    "decode_crashed": _OTHER_FILES,
    "decode_timeout": "raise --stall_seconds and run the same command again",
    "decode_memory": "raise --decode_memory_mb and run the same command again",
    "scoring_failed": "where memory ended lower --batch_size, else correct the classifier; run the same command again",
    "cut_failed": _OTHER_FILES,
    "cut_crashed": _OTHER_FILES,
    "cut_timeout": "raise --stall_seconds and run the same command again",
    "cut_memory": "raise --decode_memory_mb and run the same command again",
}

#: code -> the options of which another value may end such a failure. It keeps their values, and is tried again with
#: others.
CURES: dict[str, tuple[str, ...]] = {
    "private": ("cookies",),
    "login_required": ("cookies",),
    "members_only": ("cookies",),
    "age_restricted": ("cookies",),
    "forbidden": ("cookies", "proxy"),
    "geo_blocked": ("cookies", "proxy"),
    "refused_address": ("allow_private_hosts", "proxy"),
    "too_short": ("min_video_seconds",),
    "too_long": ("max_video_seconds",),
    "licence": ("licence",),
    "too_large": ("max_video_mb",),
    "fetch_timeout": ("download_timeout_seconds", "proxy"),
    "fetch_memory": ("decode_memory_mb",),
    "unreadable_video": ("max_pixels", "cookies", "proxy"),  # a page that wants a login may come in its place
    "no_frames": ("max_pixels", "decode_memory_mb"),
    "decode_crashed": ("decode_memory_mb",),
    "decode_timeout": ("stall_seconds",),
    "decode_memory": ("decode_memory_mb",),
}


def remedy(code: str) -> str:
    """Returns what a person can do about failures of a code: its own remedy, or its category's."""
    return REMEDIES.get(code) or _CATEGORY_REMEDIES[CODES[code][0]].format(code=code)


#: Rules that refuse a video for what it is today.
_OF_TODAY = ("live", "upcoming")


def is_tried_again(code: str) -> bool:
    """Tells whether the next run tries failures of a code again, with the same options."""
    return CODES[code][0] in ("transient", "blocked") or code in _OF_TODAY


#: Codes of videos that no other option, installation or day brings back.
_GONE = ("removed", "private", "drm")


def is_final(code: str) -> bool:
    """Tells whether what a video that ended so had brought before is not worth keeping: it is gone, or not wanted."""
    return code in _GONE or CODES[code][0] == "skipped"


#: The types of a failure's fields in its row; of the others it is text.
_TYPES = {"attempts": int, "refusals": int, "options": dict}


#: The columns of `failures*.jsonl`.
FAILURE_COLUMNS = (
    "stage", "code", "category", "permanent", "message", "key", "row", "action", "attempts", "refusals", "options",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Failure:
    """An item that could not be processed.

    Attributes:
      stage: Name of the stage that gave up, e.g. `ReadQueries`.
      code: One of `CODES`.
      message: One line for a person; what does not print is escaped.
      key: The video's key, where the item is a video or a span of one.
      row: Where the query came from (`file:line`), where the item is a row.
      action: The action concerned, where it is one in particular.
      attempts: How often the item was tried.
      refusals: In how many runs a site refused it: what was refused most comes last.
      options: The values that the options of `CURES` had.
    """

    stage: str
    code: str
    message: str
    key: str = ""
    row: str = ""
    action: str = ""
    attempts: int = 1
    refusals: int = 0
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"failure code {self.code!r} is not one of {sorted(CODES)}")
        object.__setattr__(self, "message", naming.escaped(" ".join(self.message.split()))[:1000])

    @property
    def category(self) -> str:
        """The category of the code, one of `CATEGORIES`."""
        return CODES[self.code][0]

    @property
    def order(self) -> tuple[str, ...]:
        """What `failures*.jsonl` are sorted by."""
        return self.stage, self.row, self.key, self.action, self.message

    def is_left_alone(self, options: Mapping[str, str], retry_codes: Container[str] = ()) -> bool:
        """Tells whether another run leaves the item alone.

        Args:
          options: The values that options have in that run.
          retry_codes: Codes that it tries again whatever the options.
        """
        if self.category == "config" or is_tried_again(self.code) or self.code in retry_codes:
            return False
        return all(options.get(name, value) == value for name, value in self.options.items())

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Returns the failure of a row of `failures*.jsonl`; rows of earlier versions may lack what has a default.

        Raises:
          TypeError, ValueError: The row is none.
        """
        found = {one.name: row[one.name] for one in fields(cls) if one.name in row}
        for name, value in found.items():
            if type(value) is not _TYPES.get(name, str):
                raise ValueError(f"{name} is {value!r}")
        return cls(**found)

    def to_row(self) -> dict[str, Any]:
        """Returns the failure as a row of `failures*.jsonl`."""
        return {
            "stage": self.stage,
            "code": self.code,
            "category": self.category,
            "permanent": self.is_left_alone({}),
            "message": self.message,
            "key": self.key,
            "row": self.row,
            "action": self.action,
            "attempts": self.attempts,
            "refusals": self.refusals,
            "options": dict(self.options),
        }
