"""Weights that are not needed are removed, and are no parents any more."""

import pytest

from search import BOSHNAS, BOSHNASSettings, Candidate, Origin
from search.keeping import ModelKeeper


@pytest.fixture
def trained(tiny_library, tmp_path):
    """A search with four trained models, of scores 0 to 3."""
    boshnas = BOSHNAS(tiny_library, settings=BOSHNASSettings(num_init=1))
    specs = tiny_library.specs[:4]
    for score, spec in enumerate(specs):
        (tmp_path / spec.hash).mkdir()
        boshnas.tell(Candidate(spec, Origin()), float(score))
    return boshnas, [spec.hash for spec in specs]


def test_the_best_and_parents_in_use_stay(trained, tiny_library, tmp_path):
    boshnas, hashes = trained
    boshnas.remember(Candidate(tiny_library.specs[9], Origin("transfer", hashes[0])))
    ModelKeeper(boshnas, tmp_path, 2).clean()
    assert {path.name for path in tmp_path.iterdir()} == {hashes[0], hashes[2], hashes[3]}
    assert boshnas.trained == [hashes[3], hashes[2], hashes[0]]
    boshnas.tell(Candidate(tiny_library.specs[9], Origin("transfer", hashes[0])), 1.5)
    (tmp_path / tiny_library.specs[9].hash).mkdir()
    ModelKeeper(boshnas, tmp_path, 2).clean()
    assert {path.name for path in tmp_path.iterdir()} == {hashes[2], hashes[3]}


def test_what_was_removed_keeps_its_score_and_has_no_children(trained, tmp_path):
    boshnas, hashes = trained
    ModelKeeper(boshnas, tmp_path, 1).clean()
    assert boshnas.best is not None
    assert boshnas.best[1] == 3.0
    asked = boshnas.ask(6)
    assert {parent for candidate in asked for parent in candidate.origin.parents} <= {hashes[3]}
    assert not {candidate.spec.hash for candidate in asked} & set(hashes)
