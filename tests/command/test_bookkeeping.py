"""What a video costs besides its media does not depend on how many an output holds already."""

import json
import subprocess
import sys

VIDEOS, HELD = 40, 3000
#: Names in a page of a listing.
PAGE = 1000


def requests(folder, held):
    """Returns the requests of a run over records without media."""
    command = [sys.executable, "-m", "benchmarks.measure", "bookkeeping", str(folder), str(VIDEOS), str(held)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])["by_kind"]


def test_only_the_listing_of_clips_grows_with_what_an_output_holds(tmp_path):
    before, after = (requests(tmp_path / str(held), held) for held in (0, HELD))
    listed = after.pop("list") - before.pop("list")
    assert after == before
    assert before["read"] == before["facts"] <= VIDEOS
    assert listed == 3 * HELD // PAGE  # a clip, its poster and its record: others may have to be removed
