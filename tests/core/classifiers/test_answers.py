"""A new action leaves what stands in a track of the earlier ones as it is, to the last bit."""

import numpy as np
import pytest

from clipscout.transforms.core.classifiers.answers import Answers
from clipscout.transforms.core.classifiers.responses import Texts
from clipscout.transforms.core.classifiers.specs import ClassifierSpec, Preprocessing, Prompts
from clipscout.transforms.core.storage import filesystem, tracks
from tests.core.storage.test_tracks import outputs_of, read, scores_of

PLACE = ("f00d", "ab" * 16)
LABELS = tuple(f"label {number}" for number in range(20))
RED, BLUE = ("label 3",), ("label 5", "label 6")


def answers(output, response="action", prompts=None, labels=LABELS):
    spec = ClassifierSpec("any", "torchscript", "w.pt", labels, Preprocessing(), prompts=prompts)
    rng = np.random.default_rng(2)
    known = dict(zip(LABELS, rng.normal(size=(20, 20)), strict=True))

    def ask_model(names):
        return Texts({name: known[name].astype(np.float32) for name in names}, np.ones((1, 20), np.float32), 3.0)

    return Answers(spec, response, str(output), ask_model)


def store(output, asking, scores, outputs):
    writer = tracks.Writer(asking.asked(scores.wanted))
    writer.add(scores, outputs)
    facts = {"decoded_seconds": 1.0, "frames_decoded": 1, "flags": [], "shot_boundaries": [], "reached_end": True}
    filesystem.write_bytes(tracks.TrackFiles(str(output), *PLACE).track(), writer.finish(facts))
    return read(output)


@pytest.mark.parametrize("wanted", [(RED, BLUE), (BLUE, RED), (RED,)], ids=["after", "before", "alone"])
def test_responses_that_stand_there_stay_beside_new_ones(tmp_path, wanted):
    scores, outputs = scores_of(wanted=(RED,)), outputs_of()
    asking = answers(tmp_path)
    found = asking.of(store(tmp_path, asking, scores, outputs), wanted)
    assert found.wanted == wanted
    assert np.array_equal(found.responses[:, wanted.index(RED)], scores.responses[:, 0])
    if BLUE in wanted:
        summed = outputs[:, [5, 6]].sum(axis=1)
        np.testing.assert_allclose(found.responses[:, wanted.index(BLUE)], summed, rtol=1e-4)
    assert (found.top_labels, found.responses.dtype) == (scores.top_labels, np.float32)


def test_of_what_was_not_kept_new_labels_are_not_answered(tmp_path):
    asking = answers(tmp_path)
    stored = store(tmp_path, asking, scores_of(wanted=(RED,)), None)
    assert asking.of(stored, (RED, BLUE)) is None
    assert asking.of(stored, (RED,)).wanted == (RED,)


@pytest.mark.parametrize(
    ("response", "prompts", "kept"),
    [("action", Prompts(), True), ("any", Prompts(), False), ("action", Prompts(("a {}",)), False)],
    ids=["new action", "any name", "other prompts"],
)
def test_shares_that_stand_there_stay_unless_something_else_is_asked(tmp_path, response, prompts, kept):
    scores = scores_of(wanted=(RED,))
    stored = store(tmp_path, answers(tmp_path, prompts=Prompts(), labels=()), scores, outputs_of())
    found = answers(tmp_path, response, prompts, labels=()).of(stored, (BLUE, RED))
    assert found.wanted == (BLUE, RED)
    assert np.array_equal(found.responses[:, 1], scores.responses[:, 0]) is kept
    assert set(found.top_labels) <= {*RED, *BLUE}
