import pytest

from tests.benchmarks.fidelity import POLICIES, CurveTable, simulate, tables_of
from tests.benchmarks.learning_curves import PUBLISHED, load_curves


@pytest.fixture(scope="module")
def table():
    name, curves = next(iter(tables_of(load_curves(PUBLISHED))))
    return CurveTable(name, curves[:12])


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_spends_its_seconds_and_its_regret_falls(policy, table):
    outcome = simulate(table, policy, seed=0, share=0.8)
    assert outcome.regrets == sorted(outcome.regrets, reverse=True)
    assert outcome.regrets[-1] >= 0
    assert 3 <= outcome.num_ended <= outcome.num_begun <= 12
    if policy.startswith("full"):
        assert outcome.num_ended == outcome.num_begun
        assert 9 <= outcome.num_begun <= 11
