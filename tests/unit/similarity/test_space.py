"""The nearest vectors, held against the definition in double precision."""

import numpy as np
import pytest
from numpy.typing import NDArray

from musicfp.similarity import space
from musicfp.similarity.embeddings import EMBEDDINGS, Embedding, available
from musicfp.similarity.space import ExactSpace

RNG_SEED = 5


def vectors(n: int, n_dimensions: int = 26) -> NDArray[np.float32]:
    """Return vectors whose dimensions differ in scale and place, as cepstra do, a few of them alike."""
    rng = np.random.default_rng(RNG_SEED)
    centres = rng.normal(size=(7, n_dimensions))
    made = centres[rng.integers(7, size=n)] + 0.5 * rng.normal(size=(n, n_dimensions))
    return (made * rng.uniform(0.1, 80, n_dimensions) + rng.uniform(-600, 100, n_dimensions)).astype(np.float32)


def filled(rows: NDArray[np.float32]) -> ExactSpace:
    made = ExactSpace(rows.shape[1])
    for number, row in enumerate(rows):
        made.put(str(number), row)
    return made


def by_definition(rows: NDArray[np.float32], query: int) -> NDArray[np.float64]:
    """Return the cosine distance of one row to all, on z-scored vectors."""
    z = (rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)) / rows.std(axis=0, dtype=np.float64)
    unit = z / np.linalg.norm(z, axis=1)[:, np.newaxis]
    return np.asarray(1 - unit @ unit[query])


@pytest.mark.parametrize("n", [2, 3, 300, 1200])
def test_neighbours_and_distances_are_those_of_the_definition(n: int) -> None:
    rows = vectors(n)
    found = filled(rows).nearest([str(number) for number in range(min(n, 40))], first=10)
    for query in range(min(n, 40)):
        expected = by_definition(rows, query)
        order = [row for row in np.argsort(expected) if row != query][:10]
        assert [int(each.track_id) for each in found[str(query)]] == order
        assert [each.distance for each in found[str(query)]] == pytest.approx(expected[order], abs=2e-5)


def test_asking_for_many_gives_the_same_as_one_by_one() -> None:
    made = filled(vectors(100))
    together = made.nearest([str(number) for number in range(50)], first=5)
    for key, neighbours in together.items():
        alone = made.nearest([key], first=5)[key]
        assert [each.track_id for each in alone] == [each.track_id for each in neighbours]
        assert [each.distance for each in alone] == pytest.approx([each.distance for each in neighbours], abs=1e-5)


def test_it_never_finds_itself_but_finds_its_copy_first() -> None:
    rows = vectors(50)
    made = filled(rows)
    made.put("copy", rows[3])
    nearest = made.nearest(["3"], first=50)["3"]
    assert nearest[0].track_id == "copy"
    assert nearest[0].distance == pytest.approx(0, abs=1e-5)
    assert len(nearest) == 50
    assert "3" not in {each.track_id for each in nearest}


def test_who_is_alone_has_no_neighbours_and_who_is_not_there_no_answer() -> None:
    made = ExactSpace(3)
    assert made.nearest(["a"], first=5) == {}
    made.put("a", np.array([1, 2, 3], dtype=np.float32))
    assert made.nearest(["a", "b"], first=5) == {"a": []}


def test_removed_tracks_are_found_no_more_and_leave_the_others_in_place() -> None:
    rows = vectors(400)
    made = filled(rows)
    for number in range(0, 400, 2):
        made.remove(str(number))
    made.remove("0")
    made.remove("never there")
    assert len(made) == 200
    kept = np.arange(1, 400, 2)
    expected = by_definition(rows[kept], 0)
    nearest = made.nearest(["1"], first=8)["1"]
    assert [int(each.track_id) for each in nearest] == [int(kept[row]) for row in np.argsort(expected)[1:9]]


def test_another_vector_of_a_track_takes_the_place_of_the_first() -> None:
    rows = vectors(60)
    made = filled(rows)
    made.put("7", rows[8])
    assert len(made) == 60
    assert made.nearest(["8"], first=1)["8"][0].track_id == "7"


def test_a_dimension_that_is_the_same_everywhere_counts_for_nothing() -> None:
    rows = vectors(80)
    with_constant = np.concatenate([rows, np.full((80, 1), 123.4, dtype=np.float32)], axis=1)
    plain, more = filled(rows).nearest(["0"], first=9)["0"], filled(with_constant).nearest(["0"], first=9)["0"]
    assert [each.track_id for each in plain] == [each.track_id for each in more]


def test_equal_vectors_have_no_direction_and_no_nan() -> None:
    made = filled(np.ones((4, 3), dtype=np.float32))
    assert [each.distance for each in made.nearest(["0"], first=3)["0"]] == [1.0, 1.0, 1.0]


def test_statistics_stay_while_little_is_new_and_follow_when_much_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A twentieth: so one track among thousands costs no pass over all for them."""
    monkeypatch.setattr(space, "_ALWAYS_RETAKE_BELOW", 0)
    rows = vectors(200)
    made = filled(rows)
    before = made.nearest(["0"], first=1)
    mean = made._mean.copy()
    for number in range(10):
        made.put(f"new {number}", rows[0] + 1000)
    assert made.nearest(["0"], first=1) == before
    assert (made._mean == mean).all()
    made.put("one more", rows[0] + 1000)
    made.nearest(["0"], first=1)
    assert (made._mean > mean + 10).all()


def test_a_vector_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="The vector of x has shape"):
        filled(vectors(3)).put("x", np.zeros(4, dtype=np.float32))


def test_an_embedding_is_there_when_all_its_features_are() -> None:
    two = Embedding("two", "Two.", ("a.x", "a.y"))
    assert list(available(["a.x"], [two])) == []
    assert available(["a.y", "a.x", "b.z"], [two]) == {"two": two}
    assert len({each.name for each in EMBEDDINGS}) == len(EMBEDDINGS)
