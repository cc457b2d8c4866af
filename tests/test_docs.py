"""The documents say what is: codes, options and files that they name exist, and every code is told."""

import argparse
import re
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import (
    DebugOptions,
    DirectOptions,
    GoogleCloudOptions,
    SetupOptions,
    StandardOptions,
    WorkerOptions,
)

from clipscout.pipeline.options import OPTIONS
from clipscout.transforms.core.results import manifests
from clipscout.transforms.failures import CATEGORIES, CODES, REMEDIES, remedy

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_readme_has_the_table_of_failure_codes():
    for code, (category, meaning) in CODES.items():
        assert f"| `{code}` | {category} | {meaning} |" in README, code
    for category in CATEGORIES:
        assert f"\n| {category} |" in README


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_failure_code_has_a_remedy_that_names_options_that_exist(code):
    text = remedy(code)
    assert len(text) > 20
    assert "{" not in text
    assert set(re.findall(r"--([a-z_]+)", text)) <= {option.name for option in OPTIONS} | {"upgrade"}
    assert set(re.findall(r"--retry_failed=(\w+)", text)) <= {code}


def test_remedies_are_for_codes_that_exist():
    assert set(REMEDIES) <= set(CODES)


def test_readme_tells_every_column_of_the_spans():
    for column in manifests.SPAN_COLUMNS:
        assert re.search(rf"^\| .*`{column}`.* \|", README, re.MULTILINE), column


def test_documents_name_only_options_that_exist():
    known = {option.name for option in OPTIONS} | {"help", "match", "constraint", "part", "repeat"} | beam_options()
    for document in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "templates/README.md", "CHANGELOG.md"):
        text = (ROOT / document).read_text()
        named = set(re.findall(r"(?<![\w-])--([a-z][a-z]*_[a-z_]+|[a-z]+(?= |=|`))", text))
        if document.startswith("templates"):  # gcloud's own have no underscore
            named = {name for name in named if "_" in name}
        assert named <= known, (document, named - known)


def beam_options():
    """Returns the names of Beam's own options."""
    parser = argparse.ArgumentParser(conflict_handler="resolve", allow_abbrev=False)
    for kind in (WorkerOptions, GoogleCloudOptions, DebugOptions, StandardOptions, DirectOptions, SetupOptions):
        kind._add_argparse_args(parser)
    return {name.lstrip("-") for action in parser._actions for name in action.option_strings}


def test_every_option_has_help_and_a_default_or_a_reason():
    for option in OPTIONS:
        assert option.help.endswith(".") or option.help.endswith(")"), option.name
        assert option.default is not None or "efault" in option.help, option.name


def test_readme_names_targets_that_make_has():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE)) <= targets


def test_nothing_is_marked_as_still_to_be_done():
    marks = ["".join(letters) for letters in (("TO", "DO"), ("FIX", "ME"), ("X", "XX"))]
    folders = ("pipeline", "transforms", "templates", "demo", "benchmarks", "tests")
    sources = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert len(sources) > 100  # the search itself works
    for path in [*sources, *ROOT.glob("*.md"), ROOT / "templates/README.md", ROOT / "Makefile", ROOT / "setup.py"]:
        assert [mark for mark in marks if mark in path.read_text()] == [], path


def test_documents_hold_no_heading_or_table_that_is_still_to_be_filled_in():
    for document in ROOT.glob("*.md"):
        assert not re.search(r"_TABLE|^LIMITS$", document.read_text(), re.MULTILINE), document
