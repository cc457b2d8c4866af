"""Outputs of a daily job from the days before."""

import datetime

import pytest

from clipscout.transforms.core.duplicates.references import days_before

DATE = datetime.date(2026, 3, 4)


@pytest.mark.parametrize("pattern", ["out/{date}", "out/run-{date}-x", "out/{date}/below", "{date}"])
def test_days_before_the_run_are_found_oldest_first(tmp_path, monkeypatch, pattern):
    monkeypatch.chdir(tmp_path)
    for day in ("2026-03-05", "2026-03-04", "2026-03-03", "2025-12-31", "other"):
        (tmp_path / pattern.replace("{date}", day)).mkdir(parents=True)
    expected = [pattern.replace("{date}", day) for day in ("2025-12-31", "2026-03-03")]
    assert days_before(pattern, DATE) == expected
    assert days_before(f"{tmp_path}/{pattern}", DATE) == [f"{tmp_path}/{one}" for one in expected]


def test_there_are_none_where_nothing_is(tmp_path):
    assert days_before(f"{tmp_path}/none/{{date}}", DATE) == []
    assert days_before(f"{tmp_path}/{{date}}/{{date}}", DATE) == []


def test_on_google_cloud_folders_are_what_objects_lie_below(cloud):
    from clipscout.transforms.core.storage import filesystem

    root = "gs://clipscout-test/out"
    for day in ("2026-03-05", "2026-03-03", "2026-03-01"):
        filesystem.write_bytes(f"{root}/{day}/summary.json", b"{}")
    filesystem.write_bytes(f"{root}/2026-02-01", b"no folder")
    assert days_before(f"{root}/{{date}}", DATE) == [f"{root}/2026-03-01", f"{root}/2026-03-03"]
