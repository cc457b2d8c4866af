"""Clips that no manifest names: counted, removed with what lies beside them, and what is not ours stays."""

import pytest

from tests.cloud_servers import always
from tests.conftest import BUCKET
from transforms.core import stale, storage

OLD = ["clips/red/a_0_1000.mp4", "clips/red/a_0_1000.json", "clips/red/a_0_1000.jpg", "clips/blue/b_5_9.mp4"]
NEW = ["clips/red/c_0_1000.mp4", "clips/red/c_0_1000.json", "clips/red/c_0_1000.jpg"]
MINE = ["clips/red/notes.txt", "clips/mine/best.mp4", "clips/red_0_1.mp4"]
NAMED = {"clips/red/c_0_1000.mp4", "clips/red/c_0_1000.jpg"}


def filled(output):
    for name in (*OLD, *NEW, *MINE):
        storage.write_bytes(storage.join(output, name), b"")
    return output


def test_they_are_counted(tmp_path):
    output = filled(str(tmp_path))
    assert stale.clean(output, NAMED, remove=False) == stale.Cleaned(removed=0, kept=2)
    assert storage.list_files(output) == sorted([*OLD, *NEW, *MINE])


def test_they_are_removed_with_the_folders_that_this_leaves_empty(tmp_path):
    output = filled(str(tmp_path))
    assert stale.clean(output, NAMED, remove=True) == stale.Cleaned(removed=2, kept=0)
    assert storage.list_files(output) == sorted([*NEW, *MINE])
    assert {path.name for path in (tmp_path / "clips").iterdir() if path.is_dir()} == {"red", "mine"}


def test_without_clips_there_is_nothing_to_do(tmp_path):
    assert stale.clean(str(tmp_path), set(), remove=True) == stale.Cleaned(removed=0, kept=0)


@pytest.mark.parametrize("name", ["out", "out/deep"])
def test_what_cannot_be_removed_is_kept_and_the_reason_told(cloud, name):
    output = filled(f"gs://{BUCKET}/{name}")
    cloud.schedule = always("403", ("delete",))
    found = stale.clean(output, NAMED, remove=True)
    assert (found.removed, found.kept) == (0, 2)
    assert found.error == f"{output}/clips/red/a_0_1000.mp4: no permission"
    cloud.schedule = always("")
    assert stale.clean(output, NAMED, remove=True) == stale.Cleaned(removed=2, kept=0)
    assert storage.list_files(output) == sorted([*NEW, *MINE])


def test_a_folder_on_gs_is_what_objects_lie_below(cloud):
    storage.write_bytes(f"gs://{BUCKET}/folder/a.mp4", b"")
    assert storage.is_folder(f"gs://{BUCKET}/folder")
    assert storage.is_folder(f"gs://{BUCKET}/folder/")
    assert storage.is_folder(f"gs://{BUCKET}")
    assert not storage.is_folder(f"gs://{BUCKET}/fold")
    assert not storage.is_folder(f"gs://{BUCKET}/folder/a.mp4")
