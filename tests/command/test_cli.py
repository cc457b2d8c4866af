"""The command `clipscout`: its words, its pages, and what it says of what it does not know."""

import subprocess
import sys
import time

import pytest

import clipscout
from clipscout.pipeline import cli
from tests.jobs import ROOT


def command(*given, **settings):
    made = [sys.executable, "-m", "clipscout", *given]
    return subprocess.Popen(made, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings)


@pytest.mark.parametrize("given", [["--help"], ["-h"]])
def test_its_page_names_every_command(given, capsys):
    assert cli.main(given) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in cli.COMMANDS)


def test_without_a_word_it_says_what_there_is(capsys):
    assert cli.main([]) == 2
    assert "usage: clipscout COMMAND" in capsys.readouterr().err


def test_it_tells_its_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"clipscout {clipscout.__version__}\n"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["lables"], "unknown command 'lables'; did you mean labels?"),
        (["run"], "unknown command 'run'; expected one of mine, labels, features, report"),
        (["labels", "--clasifier=lite0"], "unknown argument '--clasifier'; did you mean --classifier?"),
        (["labels", "pizza"], "unknown argument 'pizza'; a value follows its option, and a glob stands in quotes"),
        (["labels", "--classifier"], "argument --classifier: expected one argument"),
    ],
)
def test_what_it_does_not_know_is_one_line(given, expected, capsys):
    assert cli.main(given) == 2
    assert capsys.readouterr().err == f"clipscout: {expected}\n"


@pytest.mark.parametrize("given", [["mine", "--help"], ["labels", "--help"], ["--help"], ["--version"]])
def test_pages_import_no_library(given):
    program = (
        "import sys; from clipscout.pipeline import cli; sys.argv = ['clipscout', *sys.argv[1:]]\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "print({name.split('.')[0] for name in sys.modules} & {'apache_beam', 'torch', 'numpy', 'av', 'rich'})"
    )
    done = subprocess.run([sys.executable, "-c", program, *given], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_a_reader_that_goes_away_is_no_error():
    labels = command("labels", "--classifier=torchvision:r3d_18")
    assert labels.stdout.readline() == "abseiling\n"
    labels.stdout.close()
    assert labels.stderr.read() == ""
    assert labels.wait(60) in (0, 141)  # all of it was written before, or not
    # nothing was read at all
    closed = command("labels", "--classifier=torchvision:r3d_18")
    closed.stdout.close()
    assert (closed.stderr.read(), closed.wait(60)) == ("", 141)


def test_options_without_a_word_are_those_of_mine(tmp_path):
    given = (f"--input={tmp_path}/none.csv", f"--output={tmp_path}/out", "--progress=none")
    told = []
    for words in ([], ["mine"]):
        done = command(*words, *given)
        told.append((done.communicate(timeout=100)[1], done.returncode))
    assert told[0] == told[1] == (f"clipscout: --input: no file matches '{tmp_path}/none.csv'\n", 2)


def test_the_module_of_a_checkout_is_the_command():
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "pipeline", "--version"], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == f"clipscout {clipscout.__version__}\n"
    assert time.monotonic() - began < 10
