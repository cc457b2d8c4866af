"""How near features are to each other: all pairs, block by block, with the answers of float64.

The paper's rule (arXiv 1705.06950, section 3) is a cosine of at least some threshold. A product in float32 depends in
its last digits on the size of blocks and on the library: pairs near the threshold, and near the largest of a row, are
computed once more in float64 from the features as they were stored.
"""

from collections.abc import Iterator, Sequence

import numpy as np

#: So near to the threshold a pair is computed again, and so near to the largest of its row.
_NEAR, _NEAR_LARGEST = 1e-4, 1e-5
_TILE_ROWS = 1024
#: Of very many as near as the nearest so many are looked at, the first by name.
_MOST_CANDIDATES = 64
_PAIRS_AT_ONCE = 1024


class Described:
    """Features that are compared.

    Args:
      ids: Their names, each once, sorted.
      vectors: float32[n, size], as they were stored. One without length is near to nothing.
    """

    def __init__(self, ids: Sequence[str] | np.ndarray, vectors: np.ndarray) -> None:
        self.ids, self.vectors = np.array(ids, object), np.ascontiguousarray(vectors, np.float32)
        squares = np.einsum("ij,ij->i", self.vectors, self.vectors, dtype=np.float64)
        with np.errstate(divide="ignore"):
            self._inverse = np.where(squares > 0, 1 / np.sqrt(squares), 0.0)
        self.unit = self.vectors * self._inverse.astype(np.float32)[:, None]

    def __len__(self) -> int:
        return len(self.ids)

    def exact(self, rows: np.ndarray, other: "Described", columns: np.ndarray) -> np.ndarray:
        """Returns float64[n], the cosines of n pairs."""
        found = np.empty(len(rows), np.float64)
        for start in range(0, len(rows), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            left, right = rows[part], columns[part]
            products = np.einsum(
                "ij,ij->i", self.vectors[left].astype(np.float64), other.vectors[right].astype(np.float64)
            )
            found[part] = products * self._inverse[left] * other._inverse[right]
        return found


class Nearest:
    """The nearest of each of some features among all that were seen; of several as near the first by name.

    Attributes:
      similarity: float64[n]; -inf where none was seen.
      ids: object[n], its name; empty where none was seen.
    """

    def __init__(self, count: int) -> None:
        self.similarity, self.ids = np.full(count, -np.inf), np.full(count, "", object)

    def see(self, rows: np.ndarray, similarity: np.ndarray, ids: np.ndarray) -> None:
        """Takes pairs into account."""
        for row, near, name in zip(rows, similarity, ids, strict=True):
            if near > self.similarity[row] or (near == self.similarity[row] and name < self.ids[row]):
                self.similarity[row], self.ids[row] = near, name


def compare(
    left: Described, right: Described, threshold: float, nearest_left: Nearest, nearest_right: Nearest
) -> list[tuple[str, str]]:
    """Compares each of the left with each of the right; those of one set, where both are the same, with each other.

    Args:
      left: What is compared.
      right: What it is compared with.
      threshold: The least cosine of a pair that is tied.
      nearest_left: Gets the nearest of each on the left.
      nearest_right: The same of the right; the same object where left and right are the same.

    Returns:
      Pairs of names: a forest that ties whatever the pairs at the threshold tie.
    """
    edges: list[tuple[str, str]] = []
    same = left is right
    of_left = _Candidates(nearest_left)
    of_right = of_left if same else _Candidates(nearest_right)
    for start in range(0, len(left), _TILE_ROWS):
        rows = np.arange(start, min(start + _TILE_ROWS, len(left)))
        columns = np.arange(start if same else 0, len(right))
        products = left.unit[rows[0] : rows[-1] + 1] @ right.unit[columns[0] :].T if len(columns) else np.zeros((0, 0))
        if same:
            products[np.arange(len(rows)), np.arange(len(rows))] = -2.0  # nothing is its own neighbour
        if not products.size:
            continue
        largest = products.max(axis=1)
        of_left.note(products, rows, columns, largest, axis=0)
        of_right.note(products, columns, rows, products.max(axis=0), axis=1)
        if largest.max() >= threshold - _NEAR:
            for row, column in _tied(products, left, rows, right, columns, threshold):
                edges.append((left.ids[rows[row]], right.ids[columns[column]]))
    of_left.settle(left, right)
    if not same:
        of_right.settle(right, left)
    return edges


class _Candidates:
    """What may be the nearest of each of some features: all that come as near as float32 can tell."""

    def __init__(self, nearest: Nearest) -> None:
        self._nearest, self._largest = nearest, nearest.similarity.astype(np.float32)
        self._found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def note(self, products: np.ndarray, own: np.ndarray, others: np.ndarray, largest: np.ndarray, axis: int) -> None:
        """Takes the products of some features (along `axis`) and others, and the largest of each."""
        better = (largest >= self._largest[own] - _NEAR_LARGEST) & (largest > -1.5)
        if not better.any():
            return
        self._largest[own] = np.maximum(self._largest[own], largest)
        limits = np.where(better, largest - _NEAR_LARGEST, np.inf).astype(np.float32)
        places = np.flatnonzero(products >= (limits[:, None] if axis == 0 else limits))
        at = np.divmod(places, products.shape[1])
        self._found.append((own[at[axis]], others[at[1 - axis]], products.reshape(-1)[places]))

    def settle(self, left: Described, right: Described) -> None:
        """Computes exactly what is left."""
        if not self._found:
            return
        own, others, near = map(np.concatenate, zip(*self._found, strict=True))
        left_over = np.flatnonzero(near >= self._largest[own] - _NEAR_LARGEST)
        order = left_over[np.lexsort((others[left_over], own[left_over]))]
        own, others = own[order], others[order]
        first = np.searchsorted(own, own)  # where those of the same feature begin
        few = np.arange(len(own)) - first < _MOST_CANDIDATES
        own, others = own[few], others[few]
        self._nearest.see(own, left.exact(own, right, others), right.ids[others])


def _tied(
    products: np.ndarray, left: Described, rows: np.ndarray, right: Described, columns: np.ndarray, threshold: float
) -> Iterator[tuple[int, int]]:
    """Yields the pairs that reach the threshold; of very many some that tie all of them."""
    places = np.flatnonzero(products >= threshold - _NEAR)
    at, near = np.divmod(places, products.shape[1])
    reaches = products.reshape(-1)[places] > threshold + _NEAR
    doubtful = np.flatnonzero(~reaches)
    reaches[doubtful] = left.exact(rows[at[doubtful]], right, columns[near[doubtful]]) >= threshold
    at, near = at[reaches], near[reaches]
    if len(at) <= sum(products.shape):
        yield from zip(at.tolist(), near.tolist(), strict=True)
        return
    tied = np.zeros(products.shape, bool)
    tied[at, near] = True
    yield from _forest(tied)


def _forest(tied: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yields (row, column) pairs that tie all rows and columns that `tied` ties: each is visited once."""
    new_rows: np.ndarray = np.any(tied, axis=1)
    new_columns = np.ones(tied.shape[1], bool)
    while new_rows.any():
        first = int(new_rows.argmax())
        new_rows[first] = False
        waiting = [first]
        while waiting:
            row = waiting.pop()
            found = np.flatnonzero(tied[row] & new_columns)
            new_columns[found] = False
            for column in found:
                yield row, int(column)
                following = np.flatnonzero(tied[:, column] & new_rows)
                new_rows[following] = False
                for other in following:
                    yield int(other), int(column)
                waiting += following.tolist()
