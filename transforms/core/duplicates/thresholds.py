"""From which cosine on clips show the same: it belongs to the features, so each feature model has its own."""

from clipscout.transforms.core.classifiers.specs import ClassifierSpec

#: Of the paper, for Inception-V1's last average pool (arXiv 1705.06950, section 3).
_PAPERS = 0.97
#: Architecture to what was measured with it: `tests/test_meaning.py`, and the table in docs/duplicates.md.
_MEASURED = {"lite0": 0.93}


def default_similarity(spec: ClassifierSpec) -> float:
    """Returns the least cosine of two clips that show the same, for the features of a classifier."""
    return _MEASURED.get(spec.architecture, _PAPERS)


def is_measured(spec: ClassifierSpec) -> bool:
    """Tells whether the default of a classifier was measured; else it is the paper's, of another model."""
    return spec.architecture in _MEASURED
