"""What holds of the source as a whole: the direction of imports, names, failure codes and packaging."""

import ast
import functools
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clipscout.transforms.core.child import supervisor
from clipscout.transforms.core.child.supervisor import ChildError
from clipscout.transforms.failures import CATEGORIES, CODES

ROOT = Path(__file__).parent.parent
SHIPPED = sorted(path for package in ("pipeline", "transforms") for path in (ROOT / package).rglob("*.py"))
OURS = {"pipeline", "transforms", "templates", "demo", "benchmarks", "tests"}
LEAVES = {"transforms.failures", "transforms.metrics", "transforms.records"}
LEAVES |= {f"transforms.records.{name}" for name in ("features", "requests", "samples", "spans")}
#: What even those may import: these import nothing of ours.
FREE = {"transforms.core.storage.naming", "transforms.core.tally", "transforms.core.intervals"}
#: The rooms of the core, from the ground up: each imports those before it only. What has the network
#: looks into no file: `web` comes before `video`.
ROOMS = (
    "storage",
    "child",
    "web",
    "video",
    "queries",
    "classifiers",
    "spans",
    "clips",
    "duplicates",
    "results",
    "report",
)
#: What runs in children.
CHILDREN = ("child.entry", "video.decode", "clips.cutting", "web.fetch_tasks", "video.probing")
#: How a child process can die; each prefix of a failure code that is joined with one needs all of them.
DEATHS = ("crashed", "timeout", "memory")


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path):
    """Returns every module that a file imports, anywhere in it, by full name; ours without the `clipscout.`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name.removeprefix("clipscout.") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            # `from clipscout.transforms.core import tally` imports a module, `from x.y import name` only x.y
            module = node.module.removeprefix("clipscout.")
            found.update(
                f"{module}.{alias.name}" if is_module(f"{module}.{alias.name}") else module for alias in node.names
            )
    return found


def is_module(name):
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def may_import(importer, imported):
    """Tells whether one of our modules may import another one of ours."""
    if imported.split(".")[0] not in ("pipeline", "transforms"):
        return False
    if importer in LEAVES or importer in FREE:
        within = importer.startswith("transforms.records") and imported.startswith("transforms.records")
        return importer in LEAVES and (imported in FREE or within)
    if importer.startswith("transforms.core"):
        return imported.startswith("transforms.core") or imported in LEAVES
    return importer.startswith("pipeline") or imported.startswith("transforms")


@pytest.mark.parametrize("path", SHIPPED, ids=module_name)
def test_imports_run_one_way(path):
    ours = {name for name in imported_modules(path) if name.split(".")[0] in OURS}
    assert {name for name in ours if not may_import(module_name(path), name)} == set()


def room_of(module):
    """Returns the name of the room in which a module of the core lies; None outside of them."""
    parts = module.split(".")
    return parts[2] if module.startswith("transforms.core.") and parts[2] in ROOMS else None


def test_every_module_of_the_core_lies_in_a_room():
    modules = {module_name(path) for path in (ROOT / "transforms/core").rglob("*.py")}
    assert {name for name in modules if room_of(name) is None} == {
        *("transforms.core", "transforms.core.intervals", "transforms.core.tally")
    }
    for room in ROOMS:
        assert len(ast.get_docstring(ast.parse((ROOT / "transforms/core" / room / "__init__.py").read_text()))) > 100


@pytest.mark.parametrize("path", sorted((ROOT / "transforms/core").rglob("*.py")), ids=module_name)
def test_rooms_import_downwards(path):
    own = room_of(module_name(path))
    for name in imported_modules(path) if own else ():
        assert room_of(name) is None or ROOMS.index(room_of(name)) <= ROOMS.index(own), name


def circle_in(graph):
    """Returns modules that import each other in a circle; none where there is no circle."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_no_modules_import_each_other_in_a_circle():
    ours = {*map(module_name, SHIPPED)}
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"a"}})  # the search itself works
    assert circle_in({module_name(path): imported_modules(path) & ours for path in SHIPPED}) == []


@pytest.mark.parametrize("path", sorted((ROOT / "transforms/core").rglob("*.py")), ids=module_name)
def test_core_does_not_import_beam(path):
    assert {name for name in imported_modules(path) if name.split(".")[0] == "apache_beam"} == set()


def test_a_job_starts_without_torch():
    """It is imported where a classifier is loaded; a job whose scores are all there needs none."""
    program = (
        "import sys; from clipscout.pipeline import start; start.leave_torch_for_later()\n"
        "from clipscout.pipeline import run\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'torch', 'scipy', 'torchvision', 'openvino'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_child_process_loads_neither_beam_nor_torch():
    modules = ", ".join(f"clipscout.transforms.core.{name}" for name in CHILDREN)
    program = (
        f"import sys, {modules}\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'apache_beam', 'torch', 'torchvision'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_no_module_shadows_the_standard_library():
    names = {part for path in SHIPPED for part in module_name(path).split(".")[-1:]}
    names |= {path.stem for folder in ("demo", "templates", "benchmarks") for path in (ROOT / folder).rglob("*.py")}
    assert names & set(sys.stdlib_module_names) - {"__init__", "__main__"} == set()


def strings(node):
    return {part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)}


def code_position_strings(tree):
    """Yields the strings at places of a failure code: arguments of failures and errors, and values named code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if re.search(r"(Failure|Error|_fail\w*|failed)$", name):
                for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
                    if not isinstance(argument, (ast.Call, ast.JoinedStr)):
                        yield from strings(argument)
            for keyword in node.keywords:
                if keyword.arg in ("code", "failure_code"):
                    yield from strings(keyword.value)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "code" and isinstance(value, ast.Constant):
                    yield from strings(value)
        elif isinstance(node, ast.FunctionDef):
            for argument, default in zip(reversed(node.args.args), reversed(node.args.defaults), strict=False):
                if argument.arg == "code":
                    yield from strings(default)


@functools.cache
def sources():
    return [ast.parse(path.read_text()) for path in SHIPPED if path.name != "failures.py"]


def test_every_failure_code_in_the_source_is_known():
    found = {text for tree in sources() for text in code_position_strings(tree)}
    codes = {text for text in found if re.fullmatch(r"[a-z]+(_[a-z]+)+", text)}
    assert len(codes) > 10  # the search itself works
    assert codes - set(CODES) == set()


def death_prefixes():
    """Returns the prefixes that the source puts before the way in which a child died."""
    prefixes = {code.rpartition("_")[0] for code in CODES if code.endswith("_crashed")}
    for tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr) and len(node.values) == 2 and isinstance(node.values[0], ast.Constant):
                hole = node.values[1].value if isinstance(node.values[1], ast.FormattedValue) else None
                name = getattr(hole, "attr", getattr(hole, "id", ""))
                if name in ("kind", "code") and re.fullmatch(r"[a-z]+_", node.values[0].value):
                    prefixes.add(node.values[0].value[:-1])
    return sorted(prefixes)


@pytest.mark.parametrize("prefix", death_prefixes())
def test_every_death_of_a_child_has_a_code(prefix):
    assert all(ChildError(death, "").fatal for death in DEATHS)
    assert {f"{prefix}_{death}" for death in DEATHS} - set(CODES) == set()


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_known_failure_code_is_used(code):
    written = {text for tree in sources() for text in strings(tree)}
    prefix, _, death = code.rpartition("_")
    joined = death in DEATHS and ({prefix, f"{prefix}_"} & written)
    assert code in written or joined


def test_every_failure_code_has_a_known_category_and_a_meaning():
    for category, meaning in CODES.values():
        assert category in CATEGORIES
        assert meaning


def test_everything_is_imported_by_the_name_that_it_has_when_installed():
    """Else a class would exist twice, and an installed one would take a user's own `transforms` or `pipeline`."""
    for folder in ("clipscout", "pipeline", "transforms", "templates", "demo", "benchmarks", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            named = re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(), re.MULTILINE)
            assert not {"pipeline", "transforms"} & {*named}, path


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [(supervisor._MEDIA, {"yt_dlp", "torch", "apache_beam"}), (supervisor._WEB, {"av", "torch", "apache_beam"})],
    ids=["files", "web"],
)
def test_children_import_nothing_that_they_do_not_need(modules, unwanted):
    program = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\nprint(*sys.modules)"
    command = [sys.executable, "-c", program, "clipscout.transforms.core.child.entry", *modules]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert unwanted & {*done.stdout.split()} == set()


def test_every_json_file_has_the_one_writer():
    """Any other would write NaN, which only Python reads."""
    for path in SHIPPED:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("write_bytes", "put", "write"):
                inside = [ast.unparse(part.func) for part in ast.walk(node) if isinstance(part, ast.Call)]
                assert "json.dumps" not in inside, f"{path}: {ast.unparse(node)}"
