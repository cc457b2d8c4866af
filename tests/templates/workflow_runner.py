"""Runs what workflow.yaml uses of Google's Workflows: its kinds of steps and the functions of its expressions."""

import datetime
import re
from zoneinfo import ZoneInfo

import yaml

#: What a step may say; everything else is an error.
STEP_KEYS = {"assign", "call", "args", "result", "try", "retry", "switch", "next", "return", "raise"}
_ENDS = {"return", "raise"}


class WorkflowError(Exception):
    """The workflow raised."""


class _Record(dict):
    """A map whose values are read as `a.b`, as in an expression."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def _record(value):
    if isinstance(value, dict):
        return _Record({name: _record(inner) for name, inner in value.items()})
    return [_record(inner) for inner in value] if isinstance(value, list) else value


class _Text:
    substring = staticmethod(lambda text, start, end: text[start:end])


class _Map:
    get = staticmethod(lambda map_, name: map_.get(name))


def steps_of(path):
    """Returns the steps of `main` in order: name to step."""
    (main,) = yaml.safe_load(path.read_text()).values()
    assert main["params"] == ["args"]
    steps = {name: step for entry in main["steps"] for name, step in entry.items()}
    assert len(steps) == len(main["steps"])
    for name, step in steps.items():
        assert set(step) <= STEP_KEYS, name
    return steps


def following(steps, name):
    """Returns the steps that may come after a step; none where it ends the workflow."""
    step, names = steps[name], list(steps)
    if _ENDS & set(step):
        return set()
    found = {case["next"] for case in step.get("switch", ())}
    after = names.index(name) + 1
    return found | {step.get("next") or names[after]}


class Workflow:
    """One execution.

    Attributes:
      calls: (function, arguments) of each call so far, and whether it would be tried again.
    """

    def __init__(self, steps, services, now):
        self.steps, self.services, self.now, self.calls = steps, services, now, []
        self.names = {}

    def run(self, argument):
        """Runs to the end and returns what the workflow returns.

        Raises:
          WorkflowError: The workflow raised.
        """
        self.names = {"args": _record(argument)}
        place = next(iter(self.steps))
        order = list(self.steps)
        while True:
            step = self.steps[place]
            if "return" in step:
                return self.value(step["return"])
            if "raise" in step:
                raise WorkflowError(self.value(step["raise"]))
            jump = self.step(step)
            place = jump or step.get("next") or order[order.index(place) + 1]

    def step(self, step):
        """Does a step; returns where a switch leads."""
        for entry in step.get("assign", ()):
            ((name, value),) = entry.items()
            *path, last = name.split(".")
            target = self.names
            for part in path:
                target = target[part]
            target[last] = self.value(value)
        call = step.get("try", step)
        if "call" in call:
            arguments = self.value(call.get("args", {}))
            self.calls.append((call["call"], arguments, self.value(step["retry"]) if "retry" in step else None))
            answer = _record(self.services[call["call"]](**arguments))
            if "result" in call:
                self.names[call["result"]] = answer
        return next((case["next"] for case in step.get("switch", ()) if self.value(case["condition"])), None)

    def value(self, given):
        """Returns a value of the file with its expressions worked out."""
        if isinstance(given, dict):
            return {name: self.value(inner) for name, inner in given.items()}
        if isinstance(given, list):
            return [self.value(inner) for inner in given]
        expression = re.fullmatch(r"\$\{(.*)\}", given) if isinstance(given, str) else None
        if not expression:
            return given
        known = {
            "default": lambda value, other: other if value is None else value,
            "map": _Map,
            "text": _Text,
            "sys": type("sys", (), {"now": lambda: self.now.timestamp()}),
            "time": type("time", (), {"format": self._format}),
            "http": type("http", (), {name: name for name in ("default_retry", "default_retry_non_idempotent")}),
        }
        return eval(expression[1], {"__builtins__": {}}, {**known, **self.names})

    @staticmethod
    def _format(seconds, zone="UTC"):
        return datetime.datetime.fromtimestamp(seconds, ZoneInfo(zone)).isoformat()
