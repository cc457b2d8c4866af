"""Known videos that are fetched before a job asks the web."""

import pytest

from tests.jobs import scene_video
from tests.web_jobs import video


@pytest.fixture
def server(site):
    return site(
        {"known": video("bird"), "gone": video("bird", page_error="This video has been removed by the uploader")}
    )


def test_a_job_begins_where_the_known_videos_can_be_fetched(server, job):
    canaries = f"--canary={server.url}/watch/known,{server.url}/media/known/144/video.mp4"
    status, output = job([{"action": "red", "query": "bird"}], canaries, "--cut=none")
    assert status == 0
    assert server.log()["/media/known/144/video.mp4"] == 3  # twice before, once for the job
    assert sorted(path.suffix for path in (output / "videos").iterdir()) == [".json", ".mp4"]


def test_a_job_does_not_begin_where_one_cannot(server, job, capsys):
    canaries = f"--canary={server.url}/watch/known,{server.url}/watch/gone,{server.url}/nothing.mp4"
    status, output = job([{"action": "red", "query": "bird"}], canaries)
    assert status == 2
    gone, nothing = capsys.readouterr().err.splitlines()
    assert gone.startswith(f"clipscout: --canary: {server.url}/watch/gone cannot be fetched: ")
    assert gone.endswith("This video has been removed by the uploader")
    assert nothing.startswith(f"clipscout: --canary: {server.url}/nothing.mp4 cannot be fetched: ")
    assert not output.exists()


def test_a_job_of_own_files_asks_no_site(server, job, tmp_path):
    row = {"action": "red", "path": scene_video(tmp_path / "a.mp4", ("red", 2))}
    assert job([row], f"--canary={server.url}/watch/gone", "--cut=none")[0] == 0
    assert server.log() == {}
