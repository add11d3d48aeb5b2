"""What is looked up for a query: the terms as they are, with any bits flipped, or the likeliest ones."""

from itertools import combinations

import numpy as np
import pytest

from musicfp.fingerprint.classifiers import N_CLASSIFIERS, code_log_probabilities, items_of
from musicfp.fingerprint.probes import TERM_BITS, flip_probes, indexed_terms, likely_probes, terms_of


def test_a_term_is_the_leading_bits_and_every_fourth_item_is_indexed(random_items) -> None:
    items = random_items(1, 9)
    assert terms_of(items).tolist() == [item >> 8 for item in items.tolist()]
    assert indexed_terms(items).tolist() == [items[at] >> 8 for at in (0, 4, 8)]


@pytest.mark.parametrize(("n_flips", "n_terms"), [(0, 1), (1, 25), (2, 301)])
def test_flips_are_all_patterns_of_so_many_wrong_bits(random_items, n_flips: int, n_terms: int) -> None:
    items = random_items(2, 3)
    probes = flip_probes(items, n_flips=n_flips)
    for number, term in enumerate(terms_of(items).tolist()):
        guessed = probes.term[probes.item == number]
        patterns = [bits for n in range(n_flips + 1) for bits in combinations(range(TERM_BITS), n)]
        assert len(set(guessed.tolist())) == n_terms == len(patterns)
        assert set(guessed.tolist()) == {term ^ sum(1 << bit for bit in bits) for bits in patterns}
    wrong = np.bitwise_count(probes.term ^ terms_of(items)[probes.item])
    assert np.all(np.diff(probes.log_probability[np.argsort(wrong, kind="stable")]) <= 1e-12)


@pytest.mark.parametrize("per_item", [1, 5, 64])
def test_likely_terms_are_the_likeliest_of_all_sixteen_million(per_item: int) -> None:
    """Held against sums over all four codes of each classifier, thinned out four times less."""
    values = np.random.default_rng(3).normal(0, 0.4, (2, N_CLASSIFIERS))
    log_probabilities = code_log_probabilities(values)
    probes = likely_probes(values, per_item=per_item)
    for item in range(2):
        totals = np.zeros(1)
        for classifier in range(TERM_BITS // 2):
            totals = np.sort((totals[:, None] + log_probabilities[item, classifier]).ravel())[-4 * per_item :]
        found = np.sort(probes.log_probability[probes.item == item])
        assert found.size == per_item == np.unique(probes.term[probes.item == item]).size
        assert found == pytest.approx(totals[-per_item:])


def test_a_value_far_from_every_threshold_is_believed() -> None:
    values = np.full((1, N_CLASSIFIERS), 50.0)
    probes = likely_probes(values, per_item=8)
    assert probes.term[probes.log_probability.argmax()] == terms_of(items_of(values))[0]
    assert probes.log_probability.max() == pytest.approx(0.0, abs=1e-6)


def test_nothing_asked_nothing_guessed() -> None:
    assert likely_probes(np.zeros((0, N_CLASSIFIERS)), per_item=8).term.size == 0
    assert flip_probes(np.zeros(0, dtype=np.uint32), n_flips=2).term.size == 0
