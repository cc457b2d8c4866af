"""The options as Beam knows them, and the parser of Beam's own."""

import argparse
from typing import Any, TypeVar

from apache_beam.options.pipeline_options import PipelineOptions

from clipscout.pipeline import options

_View = TypeVar("_View", bound=PipelineOptions)


class ClipscoutOptions(PipelineOptions):
    """Clipscout's options as Beam knows them: all text, none required (a required one would break other pipelines)."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        options.add_arguments(parser, skip=("runner",))  # Beam has its own

    def view_as(self, cls: type[_View]) -> _View:
        """Returns the options as another class, made once per class: Beam asks thousands of times per graph.

        All views share their values, so one view of a class is as good as a new one.
        """
        views = self.__dict__.setdefault("_views", {})
        if cls not in views:
            views[cls] = super().view_as(cls)
        return views[cls]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_views"}


def beam_parser() -> argparse.ArgumentParser:
    """Returns a parser of every option that Beam and its runners have; it raises UsageError."""
    made = options.Parser(allow_abbrev=False, add_help=False, conflict_handler="resolve")
    for kind in _subclasses(PipelineOptions):
        if kind is not ClipscoutOptions and kind.__module__.startswith("apache_beam."):
            kind._add_argparse_args(made)
    for action in made._actions:
        action.required = False
    return made


def _subclasses(kind: Any) -> list[Any]:
    return [found for child in kind.__subclasses__() for found in (child, *_subclasses(child))]
