import numpy as np
import pytest
import torch

from design_space import ModelSpec
from flexibert import MORPHISMS, Morphism
from search import BOSHNAS, BOSHNASSettings, Candidate, Origin
from search.optimizer.observations import Observations
from search.optimizer.origins import Origins
from tests.search.optimizer.test_boshnas import overlap, score

OPEN = {"num_init": 4, "min_overlap": 0.25, "patience": 100}


def asked(boshnas: BOSHNAS, gains: dict[str, float], num_trials: int) -> list[Candidate]:
    """Trials whose score depends on the architecture and on the kind of origin."""
    candidates = []
    for _ in range(num_trials):
        (candidate,) = boshnas.ask(1)
        boshnas.tell(candidate, score(candidate.spec) + gains.get(candidate.origin.name, 0.0), cost_s=1.0)
        candidates.append(candidate)
    return candidates


def kinds(candidates: list[Candidate]) -> list[str]:
    return [candidate.origin.name for candidate in candidates]


@pytest.mark.parametrize(("seed", "surrogate"), [(0, "mixture"), (1, "mixture"), (0, "embedding")])
def test_the_search_learns_which_origin_pays(tiny_library, seed, surrogate):
    settings = BOSHNASSettings(**OPEN, surrogate=surrogate)
    good = asked(BOSHNAS(tiny_library, seed=seed, settings=settings, overlap=overlap), {"transfer": 0.5}, 20)[14:]
    bad = asked(BOSHNAS(tiny_library, seed=seed, settings=settings, overlap=overlap), {"transfer": -0.5}, 20)[14:]
    assert kinds(good).count("transfer") >= 4
    assert kinds(bad).count("scratch") >= 4


@pytest.mark.parametrize(("good", "bad"), [("merge", "prune"), ("prune", "merge"), ("stitch", "prune")])
def test_every_kind_is_tried_and_what_pays_is_asked_for_again(tiny_library, good, bad):
    settings = BOSHNASSettings(**OPEN, origins=("scratch", good, bad))
    found = kinds(asked(BOSHNAS(tiny_library, seed=0, settings=settings), {good: 0.5, bad: -0.5}, 14))
    assert found[:4] == ["scratch"] * 4
    assert {good, bad} <= set(found[4:7])
    # Half of the layers have half of the score: what a merged child gains makes up for that, and no more.
    assert good == "merge" or found[7:].count(good) > found[7:].count(bad)


def test_kinds_that_were_tried_on_an_earlier_level_are_not_tried_again_for_their_own_sake(tiny_library):
    settings = BOSHNASSettings(**OPEN)
    before = BOSHNAS(tiny_library, seed=0, settings=settings, overlap=overlap)
    found = asked(before, {"transfer": -0.5}, 16)
    after = BOSHNAS(tiny_library, seed=1, settings=settings, overlap=overlap)
    for candidate in found:
        known = before.predict(candidate.spec, candidate.origin)[0]
        after.add_prior_observation(candidate.spec, known, parent=True, origin=candidate.origin)
    assert kinds(asked(after, {"transfer": -0.5}, 4)) == ["scratch"] * 4


def test_children_are_asked_for_when_no_member_is_left(tiny_library):
    settings = BOSHNASSettings(num_init=1, origins=("scratch", "prune"))
    boshnas = BOSHNAS(tiny_library, settings=settings)
    for spec in tiny_library.specs:
        boshnas.add_prior_observation(spec, score(spec), parent=True)
    (candidate,) = boshnas.ask(1)
    assert candidate.origin.name == "prune"


def test_what_is_predicted_depends_on_the_origin(tiny_library):
    gains = []
    for seed in range(3):
        boshnas = BOSHNAS(tiny_library, seed=seed, settings=BOSHNASSettings(**OPEN), overlap=overlap)
        asked(boshnas, {"transfer": 0.5}, 30)
        parent, _ = boshnas.best
        child = next(spec for spec in tiny_library.specs if spec != parent and overlap(parent, spec) >= 0.5)
        scratch, transfer = boshnas.predict(child)[0], boshnas.predict(child, Origin("transfer", parent.hash))[0]
        gains.append(transfer - scratch)
    assert np.mean(gains) == pytest.approx(0.5, abs=0.2)


def test_of_equal_origins_the_cheaper_is_trained_when_seconds_count(tiny_library):
    def last(*, cost_aware: bool) -> list[str]:
        settings = BOSHNASSettings(**OPEN, cost_aware=cost_aware)
        boshnas = BOSHNAS(tiny_library, seed=0, settings=settings, overlap=overlap)
        found = []
        for _ in range(18):
            (candidate,) = boshnas.ask(1)
            cost_s = 1.0 if candidate.origin.name == "transfer" else 100.0
            boshnas.tell(candidate, score(candidate.spec), cost_s=cost_s)
            found.append(candidate)
        return kinds(found[12:])

    assert last(cost_aware=True) == ["transfer"] * 6
    assert "scratch" in last(cost_aware=False)


def test_columns_say_what_is_inherited_what_is_lost_and_how_good_the_parents_are(tiny_library):
    parent, other, child = tiny_library.specs[3], tiny_library.specs[40], tiny_library.specs[100]
    origins = Origins(("scratch", "transfer", "stitch"), lambda parent, child: 0.6, 0.5)
    observed = Observations()
    for spec, value in ((parent, 0.9), (other, 0.5), (tiny_library.specs[7], 0.1)):
        observed.add(Candidate(spec, Origin()), value, parent=True)
    stitched = Candidate(ModelSpec.side_by_side([parent, parent]), Origin("stitch", parent.hash, other.hash))
    rows = origins.columns(
        [Candidate(child, Origin()), Candidate(child, Origin("transfer", parent.hash)), stitched], observed
    )
    assert origins.num_columns == 4
    assert rows[0].tolist() == [0, 0, 0, 0]
    unit = float(np.std([0.9, 0.5, 0.1]))
    assert rows[1, 0] == 0.6
    assert 0 <= rows[1, 1] < 1
    torch.testing.assert_close(rows[:, 2], torch.tensor([0, 0.4 / unit, 0.2 / unit], dtype=torch.float64))
    assert rows[2, [0, 3]].tolist() == [1.0, 1.0]
    unknown = origins.columns([Candidate(child, Origin("transfer", "gone"))], observed)
    assert unknown.tolist() == [[1, 0, 0, 0]]


def test_where_only_scratch_is_possible_vectors_hold_nothing_about_origins(tiny_library):
    assert Origins(("scratch",), overlap, 0.5).num_columns == 0
    assert Origins(("scratch", "transfer"), None, 0.5).num_columns == 0
    assert BOSHNAS(tiny_library)._state.from_scratch(torch.ones(2, 5)).shape == (2, 5)


def test_transfers_are_from_the_first_parents_of_the_same_format_with_enough_in_common(tiny_library):
    child, *parents = tiny_library.specs[:6]
    shares = dict(zip((parent.hash for parent in parents), (0.2, 0.8, 0.4, 0.9, 1.0), strict=True))
    origins = Origins(("scratch", "transfer"), lambda parent, child: shares[parent.hash], 0.5)
    found = [origin.parents[0] for origin in origins.inheriting(child, parents)]
    assert found == [parents[1].hash, parents[3].hash]


def test_a_further_morphism_that_fills_architectures_is_proposed_by_its_own_share_and_told_apart(
    tiny_library, monkeypatch
):
    class FromTwo(Morphism):
        name, num_parents, sentence = "from_two", 2, "Averages two parents."

        def inherited_share(self, parents, child, overlap):
            return min(overlap(parent, child) for parent in parents)

        def make(self, parents, child, materials):
            return materials.blank()

    monkeypatch.setitem(MORPHISMS, "from_two", FromTwo())
    child, *parents = tiny_library.specs[:5]
    shares = dict(zip((parent.hash for parent in parents), (0.9, 0.2, 0.6, 0.7), strict=True))
    origins = Origins(("scratch", "transfer", "from_two"), lambda parent, child: shares[parent.hash], 0.5)
    first, second, third, fourth = origins.inheriting(child, parents)
    assert [first, second] == [Origin("transfer", parents[0].hash), Origin("transfer", parents[2].hash)]
    assert third == Origin("from_two", parents[0].hash, parents[2].hash)
    assert fourth == Origin("from_two", parents[0].hash, parents[3].hash)
    observed = Observations()
    for parent in parents:
        observed.add(Candidate(parent, Origin()), 0.5, parent=True)
    assert origins.columns([Candidate(child, first), Candidate(child, third)], observed)[:, [0, 3]].tolist() == [
        [0.9, 0.0],
        [0.6, 1.0],
    ]


def test_what_a_trained_parent_holds_can_be_pruned_out_of_it_in_any_format():
    parent, child = ModelSpec.homogeneous(4, 32, 2, 64), ModelSpec.homogeneous(2, 32, 2, 64)
    (of_half,) = [child for child in MORPHISMS["prune"].children([parent]) if child.arguments["density"] == 0.5]
    origins = Origins(("scratch", "transfer", "prune"), lambda parent, child: 0.6, 0.8)
    assert origins.num_columns == 4
    assert origins.inheriting(child, [parent]) == [Origin("prune", parent.hash, density=0.5)]
    assert origins.inheriting(of_half.spec, [child, parent])[0].parents == (parent.hash,)
    assert origins.inheriting(parent, [child]) == []
    observed = Observations()
    observed.add(Candidate(parent, Origin()), 0.5, parent=True)
    filled = Candidate(child, Origin("prune", parent.hash, density=0.5))
    assert origins.columns([filled], observed)[0, [0, 3]].tolist() == [1.0, 1.0]


def test_weights_are_transferred_within_a_format_only():
    parent = ModelSpec.homogeneous(4, 32, 2, 64)
    child = ModelSpec(parent.layers, "hetero")
    origins = Origins(("scratch", "transfer"), lambda parent, child: 1.0, 0.0)
    assert origins.inheriting(child, [parent]) == []
    assert origins.inheriting(parent, [parent]) == [Origin("transfer", parent.hash)]
