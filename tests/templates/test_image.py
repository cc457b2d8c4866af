"""The Dockerfile: what it copies exists, what it needs is pinned, and all that names a version agrees."""

import ast
import contextlib
import fnmatch
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from clipscout.pipeline import cloud
from templates import describe

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "templates/Dockerfile").read_text()
IGNORE = (ROOT / "templates/Dockerfile.dockerignore").read_text()
LOCK = dict(re.findall(r"^([a-z0-9.-]+)==([^ ;\n]+)", (ROOT / "requirements/lock.txt").read_text(), re.MULTILINE))
PINS = dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", (ROOT / "requirements/pins.txt").read_text(), re.MULTILINE))
#: What must not become part of an image, nor be sent to a builder.
OUTSIDE = (
    ".git/config",
    ".venv/bin/python",
    "tests/jobs.py",
    "demo_output/results/summary.json",
    "bench_output/x",
    "templates/README.md",
    "templates/schedule/terraform.tfvars",
    "templates/schedule/terraform.tfstate",
    "pipeline/__pycache__/run.pyc",
    "transforms/core/__pycache__/web.pyc",
    "cookies.txt",
)


def instructions(text):
    """Returns (instruction, its text) of a Dockerfile, lines joined."""
    bare = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    lines = [line.strip() for line in bare.replace("\\\n", "").splitlines() if line.strip()]
    return [tuple(line.split(None, 1)) for line in lines]


def stages():
    """Returns the instructions of each stage, by the stage's name; the last one is called `image`."""
    found, name = {}, None
    for word, rest in instructions(TEXT):
        if word == "FROM":
            name = rest.split(" AS ")[1] if " AS " in rest else "image"
            found[name] = []
        elif name:
            found[name].append((word, rest))
    return found


ARGS = dict(rest.split("=", 1) for word, rest in instructions(TEXT) if word == "ARG" and "=" in rest)
STAGES = stages()
IMAGE = STAGES["image"]


def given_to_a_build(path):
    """Tells whether a path is part of the build's context: the last pattern that fits wins."""
    kept = True
    for line in IGNORE.splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!").removeprefix("/")
        parts = path.split("/")
        above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        if pattern.startswith("**/"):
            fits = pattern[3:] in parts
        elif pattern.endswith("/**"):
            fits = path.startswith(pattern[:-2])
        else:  # a star does not reach over a slash
            fits = any(part.count("/") == pattern.count("/") and fnmatch.fnmatchcase(part, pattern) for part in above)
        if fits:
            kept = line.startswith("!")
    return kept


def copies(stage):
    """Yields (source, target) of what a stage copies from the context."""
    for word, rest in STAGES[stage]:
        if word == "COPY" and not rest.startswith("--from="):
            *sources, target = rest.split()
            yield from ((source, target) for source in sources)


def setup_arguments():
    """Returns what setup.py hands to setuptools, where it is written out."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    call = next(
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setup"
    )
    written = {}
    for keyword in call.keywords:
        with contextlib.suppress(ValueError):  # is worked out
            written[keyword.arg] = ast.literal_eval(keyword.value)
    return written


def requirements():
    """Returns all that setup.py asks for, of all extras."""
    written = setup_arguments()
    return [*written["install_requires"], *(line for extra in written["extras_require"].values() for line in extra)]


def not_met(lines):
    """Returns the requirements that lock.txt does not meet."""
    asked = [Requirement(line) for line in lines]
    locked = [LOCK.get(canonicalize_name(one.name)) for one in asked]
    return [
        str(one)
        for one, found in zip(asked, locked, strict=True)
        if found is None or not one.specifier.contains(found, prereleases=True)
    ]


def test_what_is_copied_exists_and_is_given_to_the_build():
    sources = [source for stage in STAGES for source, _ in copies(stage)]
    assert {"clipscout/__init__.py", "pipeline", "transforms", "requirements/lock.txt", "templates/main.py"} <= set(
        sources
    )
    for source in sources:
        path = ROOT / source
        files = [path] if path.is_file() else list(path.rglob("*.py")) + list(path.rglob("*.txt"))
        assert files, source
        assert [str(file) for file in files if not given_to_a_build(str(file.relative_to(ROOT)))] == []


def test_all_of_our_code_is_given_to_the_build_and_nothing_else_is():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    listed += [
        str(path.relative_to(ROOT)) for name in ("pipeline", "transforms") for path in (ROOT / name).rglob("*.py")
    ]
    packages = {path for path in listed if path.startswith(("pipeline/", "transforms/"))}
    assert len(packages) > 70
    assert {path for path in packages if not given_to_a_build(path)} == set()
    given = {path for path in listed if given_to_a_build(path)} - packages
    assert {path.split("/")[0] for path in given} <= {
        *("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "CHANGELOG.md", "LICENSE"),
        *("clipscout", "requirements", "templates"),
    }


def test_gcloud_reads_the_same_patterns_in_the_same_way(tmp_path):
    """Cloud Build is sent what git's rules leave, docker is given what docker's rules leave."""
    paths = [str(path.relative_to(ROOT)) for name in ("pipeline", "transforms") for path in (ROOT / name).rglob("*.py")]
    paths += [*OUTSIDE, *(source for stage in STAGES for source, _ in copies(stage)), "templates/Dockerfile"]
    (tmp_path / ".gitignore").write_text(IGNORE)
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True, capture_output=True)
    ask = ["git", "check-ignore", "--no-index", "--stdin"]
    done = subprocess.run(ask, cwd=tmp_path, input="\n".join(paths), capture_output=True, text=True, check=False)
    assert set(done.stdout.split()) == {path for path in paths if not given_to_a_build(path)}


@pytest.mark.parametrize("path", OUTSIDE)
def test_what_has_no_place_in_an_image_is_kept_out(path):
    assert not given_to_a_build(path)


def test_stages_that_are_copied_from_exist():
    named = re.findall(r"--from=(\S+)", TEXT)
    assert set(named) == {"wheel", "beam", "launcher"}
    assert set(named) <= set(STAGES)


def test_bases_are_pinned():
    bases = [rest.split(" AS ")[0] for word, rest in instructions(TEXT) if word == "FROM"]
    for base in bases:
        full = re.sub(r"\$\{(\w+)\}", lambda hole: ARGS[hole[1]], base)
        tag = full.rpartition("/")[2].partition(":")[2]
        assert re.search(r"\d", tag), full
        assert "latest" not in full
    assert bases[-1] == bases[2]  # a wheel is built by the Python that it is for


def test_the_launcher_and_the_workers_find_their_programs():
    environment = dict(pair.split("=", 1) for word, rest in IMAGE if word == "ENV" for pair in rest.split())
    program = environment["FLEX_TEMPLATE_PYTHON_PY_FILE"]
    assert ("templates/main.py", program) in list(copies("image"))
    assert "FLEX_TEMPLATE_PYTHON_SETUP_FILE" not in TEXT
    assert "FLEX_TEMPLATE_PYTHON_REQUIREMENTS_FILE" not in TEXT
    assert IMAGE[-1] == ("ENTRYPOINT", '["/opt/apache/beam/boot"]')
    assert ("COPY", "--from=beam /opt/apache/beam /opt/apache/beam") in IMAGE
    launcher = "/opt/google/dataflow/python_template_launcher"
    assert ("COPY", f"--from=launcher {launcher} {launcher}") in IMAGE
    assert environment[cloud.IMAGE_VARIABLE] == "${IMAGE}"
    assert environment["PYTHONUNBUFFERED"] == "1"
    assert environment["RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT"] == "1"
    assert "/usr/local/nvidia/lib64" in environment["LD_LIBRARY_PATH"]
    assert "PATH=${PATH}:" in TEXT


def test_our_code_comes_after_the_layer_with_torch():
    order = [f"{word} {rest}" for word, rest in IMAGE]
    (heavy,) = [place for place, text in enumerate(order) if "--requirement" in text]
    assert "--constraint /template/lock.txt" in order[heavy]
    before = " ".join(order[:heavy])
    assert "requirements/lock.txt" in before
    assert "/requirements.txt" in before
    assert not re.search(r"pipeline|transforms|/wheels|templates/main|BEAM", before)
    (own,) = [text for text in order if ".whl" in text]
    assert "--no-deps" in own
    assert "pip check" in own


def test_the_build_ends_with_a_proof_of_what_is_in_the_image():
    proof = next(rest for word, rest in reversed(IMAGE) if word == "RUN")
    imported = re.search(r"import ([^;]+);", proof)[1].replace(" ", "").split(",")
    for name in ("torch", "torchvision", "av", "yt_dlp", "apache_beam", "clipscout.pipeline.run"):
        assert name in imported
    assert "deno --version" in proof
    assert "apache_beam.__version__ == '${BEAM_VERSION}'" in proof
    assert ("ARG", "BEAM_VERSION") in IMAGE


def test_no_secret_and_no_download_from_somewhere():
    assert not re.search(r"(?i)password|secret|token|credential|_key\b", TEXT)
    assert not [word for word, _ in instructions(TEXT) if word == "ADD"]
    assert not re.search(r"\b(curl|wget|apt-get|git)\b", TEXT)
    assert "http" not in TEXT


def test_the_requirements_are_those_of_the_wheel_with_the_extras_that_jobs_need(capsys, monkeypatch):
    (program,) = re.findall(r'python -c "(import runpy.+?)" > /requirements.txt', TEXT.replace("\\\n", ""))
    monkeypatch.chdir(ROOT)
    monkeypatch.setitem(sys.modules, "setuptools", None)  # put back at the end
    exec(program, {})
    printed = capsys.readouterr().out.splitlines()
    written = setup_arguments()
    extras = written["extras_require"]
    assert printed == [*written["install_requires"], *extras["demo"], *extras["clip"], *extras["cpu"]]
    for line in printed:
        name = re.split(r"[\[<>=]", line)[0].lower().replace("_", "-")
        assert name in LOCK, line


def test_the_versions_of_beam_agree():
    assert ARGS["BEAM_VERSION"] == PINS["apache-beam"] == LOCK["apache-beam"] == version("apache-beam")
    assert f"apache-beam[gcp]=={ARGS['BEAM_VERSION']}" in setup_arguments()["install_requires"]


def test_the_lock_meets_every_requirement():
    assert len(requirements()) > 25
    assert not_met(requirements()) == []


LINES = {
    "its own version": (f"torch=={LOCK['torch']}", True),
    "an older version": ("torch==2.0.0", False),
    "an end below": (f"torch<{LOCK['torch']}", False),
    "a start above": (f"torchvision>{LOCK['torchvision']}", False),
    "another spelling": ("PyYAML>=5", True),
    "with an extra": (f"apache-beam[gcp]!={LOCK['apache-beam']}", False),
    "not locked": ("clipscout-unknown", False),
}


@pytest.mark.parametrize(("line", "met"), LINES.values(), ids=LINES)
def test_a_requirement_apart_from_the_lock_is_found(line, met):
    assert (not_met([line]) == []) is met


@pytest.mark.parametrize("name", ["torch", "torchvision", "apache-beam"])
def test_what_shapes_results_is_held(name):
    (asked,) = [one for one in map(Requirement, requirements()) if one.name == name]
    assert asked.specifier
    assert PINS[name] == LOCK[name]


def test_the_versions_of_python_agree():
    short = re.search(r"^python:(\d+\.\d+)\.\d+-slim", ARGS["PYTHON_IMAGE"])[1]
    assert short == "3.11"
    assert ARGS["BEAM_IMAGE"] == f"apache/beam_python{short}_sdk"
    assert f"/python{short.replace('.', '')}-template-launcher-base:" in ARGS["LAUNCHER_IMAGE"]
    assert f"python{short}" in (ROOT / "Makefile").read_text()
    assert f"--python-version {short}" in (ROOT / "Makefile").read_text()
    assert f'target-version = "py{short.replace(".", "")}"' in (ROOT / "pyproject.toml").read_text()
    assert f"Python :: {short}" in (ROOT / "setup.py").read_text()


def test_the_versions_of_torch_agree_with_what_is_told_of_the_driver():
    told = re.findall(r"torch (\d+\.\d+\.\d+), built for CUDA (\d+)", (ROOT / "templates/README.md").read_text())
    assert told == [(LOCK["torch"], LOCK["cuda-toolkit"].split(".")[0])]


def test_ci_installs_what_the_image_installs():
    makefile = (ROOT / "Makefile").read_text()
    assert "--constraint requirements/lock.txt" in makefile
    assert "[demo,clip,cpu,dev]" in makefile
    assert "\nmake lint\nmake test\nmake test-command\n" in (ROOT / ".ci/run").read_text()


def test_cloud_build_builds_this_file():
    build = yaml.safe_load((ROOT / "templates/cloudbuild.yaml").read_text())
    (step,) = build["steps"]
    (_, command) = step["args"]
    words = command.split()
    assert (step["entrypoint"], words[:2], words[-1]) == ("bash", ["docker", "build"], ".")
    assert "--file=templates/Dockerfile" in words
    assert build["substitutions"] == {"_ARGUMENTS": ""}
    used = set(re.findall(r"\$\{(_\w+)\}", (ROOT / "templates/cloudbuild.yaml").read_text()))
    given = set(re.findall(r"(_[A-Z]+)=", re.search(r'--substitutions="([^"]+)"', build_script())[1]))
    assert used == given
    assert build["images"] == ["${_IMAGE}", "${_CACHE}"]


def build_script():
    return describe.METADATA_FILE.with_name("build.sh").read_text()
