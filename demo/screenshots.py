"""The README's pictures of the report: `python -m demo.screenshots FOLDER DOCS`, with chromium on the machine.

Only footage is mined whose frames may stand in the repository (`footage.FOOTAGE` names the licences).
"""

import shutil
import sys
from pathlib import Path

from clipscout.pipeline.run import main
from demo.footage import FOOTAGE
from demo.scenes import ACTIONS
from tests.browser import opening, running_chromium

SHOWN_ACTIONS = ("writing", "on a bike")


def mine(folder: Path) -> Path:
    """Mines the footage and returns the page of the report."""
    videos = folder / "videos"
    videos.mkdir(parents=True, exist_ok=True)
    for one in FOOTAGE:
        if one.notice and one.path:
            shutil.copyfile(one.path, videos / one.name)
    rows = "".join(f"{name},videos/*.mp4,{';'.join(ACTIONS[name])}\n" for name in SHOWN_ACTIONS)
    (folder / "queries.csv").write_text(f"action,path,classes\n{rows}".replace("videos/*", f"{videos}/*"))
    status = main([f"--input={folder}/queries.csv", f"--output={folder}/out", "--clip_seconds=2", "--progress=none"])
    assert status == 0
    return folder / "out/report/index.html"


def draw(page: Path, docs: Path) -> None:
    """Writes pictures of the clips with a threshold, at a desk's width, and of a video, at a phone's; and a plot."""
    with running_chromium() as browser, opening(browser) as opened:
        desk = opened(page, viewport={"width": 1180, "height": 760}).page
        desk.goto(f"{page.as_uri()}#/clips")
        desk.get_by_label("threshold as a number").fill("0.3")
        desk.keyboard.press("Tab")
        desk.wait_for_timeout(1500)
        desk.screenshot(path=docs / "report.jpg", type="jpeg", quality=72)
        phone = opened(page, viewport={"width": 390, "height": 760}, has_touch=True, color_scheme="dark").page
        phone.goto(f"{page.as_uri()}#/clips?action=on%20a%20bike")
        phone.get_by_role("link", name="responses over time").first.click()
        phone.wait_for_timeout(2500)
        phone.screenshot(path=docs / "report_phone.jpg", type="jpeg", quality=72)
    shutil.copyfile(page.parent / "scores/on_a_bike.svg", docs / "scores.svg")


if __name__ == "__main__":
    draw(mine(Path(sys.argv[1]).resolve()), Path(sys.argv[2]))
