"""From option texts to typed values; a text that does not fit becomes a fault."""

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass

from clipscout.pipeline.faults import Fault, of
from clipscout.pipeline.options import OPTIONS

#: Options in which `{date}` stands for the date of the run.
_DATED = ("input", "output", "exclude", "reference")
#: Options that exclude each other.
WAYS_TO_SAMPLE = ("sample_fps", "frame_stride", "sampling")


def resolved(texts: Mapping[str, str | None], preset: Mapping[str, str], faults: list[Fault]) -> dict[str, str | None]:
    """Returns each option's text: the user's, else the preset's, else the default."""
    # a form of a template gives what was left out as an empty text
    chosen: dict[str, str | None] = {name: value for name, value in texts.items() if value}
    by_user = [name for name in WAYS_TO_SAMPLE if chosen.get(name, "frames") != "frames"]
    if len(by_user) > 1:
        message = f"{' and '.join(f'--{name}' for name in by_user)} exclude each other; give one"
        faults.append(Fault(message, tuple(by_user)))
    by_preset = [name for name in WAYS_TO_SAMPLE if name in preset]
    for name in set(WAYS_TO_SAMPLE[:2]) - set((by_user or by_preset or ["sample_fps"])[:1]):
        chosen.setdefault(name, "")
    defaults = {option.name: option.default for option in OPTIONS}
    return {**defaults, **preset, **chosen}


@dataclass
class Values:
    """Reads typed values out of texts; a text that does not fit becomes a fault."""

    texts: Mapping[str, str | None]
    faults: list[Fault]

    def text(self, name: str) -> str:
        """Returns the text, empty for none; with the date in its place."""
        text = self.texts.get(name) or ""
        return text.replace("{date}", self.date().isoformat()) if name in _DATED else text

    def date(self) -> datetime.date:
        """Returns the date of the run; today's where the text is none."""
        text = self.texts.get("date")
        today = datetime.datetime.now(datetime.UTC).date()
        try:
            if text and not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):  # fromisoformat takes more than that
                raise ValueError(text)
            return datetime.date.fromisoformat(text) if text else today
        except ValueError:
            fault = of("date", f"is {text!r}, expected a date as YYYY-MM-DD")
            self.faults.extend([] if fault in self.faults else [fault])
            return today

    def parts(self, name: str) -> tuple[str, ...]:
        """Returns the parts between commas."""
        return tuple(part.strip() for part in self.text(name).split(",") if part.strip())

    def number(self, name: str) -> float:
        """Returns the number, or -1 for none."""
        option = next(option for option in OPTIONS if option.name == name)
        text = self.text(name)
        if not text and (option.default is None or name in WAYS_TO_SAMPLE):
            return -1
        try:
            value = float(int(text)) if option.kind == "integer" else float(text)
            low = -float("inf") if option.low is None else option.low
            high = float("inf") if option.high is None else option.high
            if low <= value <= high:  # false for not-a-number too
                return value
        except (ValueError, OverflowError):
            pass
        noun = "a whole number" if option.kind == "integer" else "a number"
        bounds = [f"{word} {edge:g}" for word, edge in (("from", option.low), ("to", option.high)) if edge is not None]
        self.faults.append(of(name, f"is {text!r}, expected {' '.join([noun, *bounds])}"))
        return -1

    def choice(self, name: str) -> str:
        """Returns the text of an option that has choices."""
        option = next(option for option in OPTIONS if option.name == name)
        if self.text(name) not in option.kind.split("|"):
            choices = option.kind.replace("|", ", ")
            self.faults.append(of(name, f"is {self.text(name)!r}, expected one of {choices}"))
        return self.text(name)

    def flag(self, name: str) -> bool:
        """Returns whether the text says true."""
        text = self.text(name).lower()
        if text not in ("true", "false"):
            self.faults.append(of(name, f"is {self.text(name)!r}, expected true or false"))
        return text == "true"
