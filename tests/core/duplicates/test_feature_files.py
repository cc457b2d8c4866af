"""Files of features: the same bytes for the same features, and one line for each fault."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clipscout.transforms.core.duplicates import feature_files, references
from clipscout.transforms.core.duplicates.feature_files import FeatureFileError, FeatureModel, Features
from clipscout.transforms.core.storage.filesystem import StorageError

MODEL = FeatureModel("lite0", "0123")


def some(count=3, size=8):
    names = [f"{place}" for place in range(count)]
    vectors = np.random.default_rng(0).standard_normal((count, size)).astype(np.float32)
    clips = [f"clips/a/{name}.mp4" for name in names]
    scores, frames = np.arange(count, dtype=np.float64), np.full(count, 25, np.int32)
    return Features(names, ["a"] * count, names, clips, names, scores, frames, vectors)


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "features.parquet"
    feature_files.write(str(found), MODEL, some())
    return found


def test_what_is_read_is_what_was_written(path, tmp_path):
    read, written = feature_files.read(str(path), MODEL), some()
    for name in ("ids", "actions", "keys", "clips", "contents"):
        assert getattr(read, name) == getattr(written, name)
    for name in ("scores", "frames", "vectors"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name))
    assert read.vectors.dtype == np.float32
    assert feature_files.read(str(path), MODEL, vectors=False).vectors.shape == (3, 0)
    feature_files.write(str(tmp_path / "again"), MODEL, some())
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def rewritten(path, change):
    table = pq.read_table(path)
    pq.write_table(change(table), path)


def with_column(name, values, kind=None):
    def change(table):
        place = table.schema.get_field_index(name)
        array = pa.array(values, kind or table.schema.field(name).type)
        return table.set_column(place, name, array)

    return change


NOT_FINITE = [[1.0] * 8, [float("nan")] * 8, [1.0] * 8]
FAULTS = {
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:-100]), "not a file of features, or a damaged one"),
    "empty": (lambda path: path.write_bytes(b""), "not a file of features, or a damaged one"),
    "text": (lambda path: path.write_text("hello"), "not a file of features, or a damaged one"),
    "not ours": (
        lambda path: pq.write_table(pa.table({"a": [1]}), path),
        "it is no file of features that Clipscout made",
    ),
    "NaN": (lambda path: rewritten(path, with_column("feature", NOT_FINITE)), "field feature: that of clips/a/1.mp4"),
    "infinite": (
        lambda path: rewritten(path, with_column("feature", [[1.0] * 8, [1.0] * 8, [float("inf")] + [1.0] * 7])),
        "field feature: that of clips/a/2.mp4 holds numbers that are not finite",
    ),
    "missing feature": (
        lambda path: rewritten(path, with_column("feature", [None, *NOT_FINITE[:1] * 2])),
        "Expected all lists to be of size=8",
    ),
    "another size": (
        lambda path: rewritten(path, with_column("feature", [[1.0] * 4] * 3, pa.list_(pa.float32(), 4))),
        "field feature: is fixed_size_list<element: float>[4], expected fixed_size_list<item: float>[8]",
    ),
    "no names": (lambda path: rewritten(path, lambda table: table.drop_columns(["clip"])), "field clip: is missing"),
    "another type": (
        lambda path: rewritten(path, with_column("score", ["a"] * 3, pa.string())),
        "field score: is string",
    ),
    "empty name": (lambda path: rewritten(path, with_column("id", ["a", None, "b"])), "field id: has empty values"),
}


@pytest.mark.parametrize(("damage", "told"), FAULTS.values(), ids=FAULTS)
def test_a_file_that_cannot_be_used_is_told_in_one_line_with_its_field(path, damage, told):
    damage(path)
    with pytest.raises(FeatureFileError) as caught:
        feature_files.read(str(path), MODEL)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert re.sub(r"\s", " ", told) in text
    assert "\n" not in text


def test_a_bit_that_flipped_is_noticed(path):
    content = bytearray(path.read_bytes())
    vectors = some().vectors.tobytes()
    content[content.index(vectors) + 40] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(FeatureFileError, match="damaged"):
        feature_files.read(str(path), MODEL)


def test_features_of_another_model_are_refused_by_name(path):
    with pytest.raises(FeatureFileError) as caught:
        feature_files.read(str(path), FeatureModel("resnet50", "4567"))
    assert "field fingerprint: holds features of lite0 (0123), and this job's are of resnet50 (4567)" in str(
        caught.value
    )


def test_a_file_that_is_not_there_is_no_damage(tmp_path):
    with pytest.raises(StorageError) as caught:
        feature_files.read(str(tmp_path / "none.parquet"), MODEL)
    assert caught.value.code == "not_found"


def test_a_reference_is_a_file_a_glob_a_folder_or_an_output(path, tmp_path):
    assert [one.uris for one in references.named(str(path), MODEL)] == [(str(path),)]
    assert [one.uris for one in references.named(f"{tmp_path}/*.parquet", MODEL)] == [(str(path),)]
    (folder,) = references.named(str(tmp_path), MODEL)
    assert (folder.uris, folder.root) == ((str(path),), "")
    block = f"{MODEL.block_folder(str(tmp_path / 'out'), 'an action')}/1.parquet"
    feature_files.write(block, MODEL, some())
    feature_files.write(MODEL.clip_file(str(tmp_path / "out"), "sha"), MODEL, some(1))
    (output,) = references.named(str(tmp_path / "out"), MODEL)
    assert (output.uris, output.root) == ((block,), str(tmp_path / "out"))
    assert [one.root for one in references.named(block, MODEL)] == [str(tmp_path / "out")]
    for wrong, told in (
        ("none.parquet", "no file matches"),
        ("*.csv", "no file matches"),
        ("empty", "holds no file of"),
    ):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(FeatureFileError, match=told):
            references.named(str(tmp_path / wrong), MODEL)
    with pytest.raises(FeatureFileError, match=r"features of other models only \(0123\)"):
        references.named(str(tmp_path / "out"), FeatureModel("resnet50", "4567"))


def test_a_reference_without_rows_is_told(tmp_path):
    path = str(tmp_path / "none.parquet")
    feature_files.write(path, MODEL, some(0))
    (told,) = references.check(references.named(path, MODEL), MODEL)
    assert told == f"{path}: holds no features: nothing could be seen"
