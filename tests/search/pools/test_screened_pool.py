"""Screened architectures as a pool: guesses in the vectors, and BOSHNAS that corrects them."""

import numpy as np
import pytest
import torch

from design_space import ModelSpec, Subarchitectures
from search import BOSHNAS, Candidate, Origin
from search.objectives import Goals, exact_costs
from search.optimizer.settings import BOSHNASSettings
from search.pools.screened_pool import ScreenedPool
from search.surrogates.gaussian_process import GaussianProcessSurrogate
from search.surrogates.residual import ResidualSurrogate

ROOT = ModelSpec.homogeneous(3, 64, 4, 128)


@pytest.fixture(scope="module")
def guesses():
    """Untrained, a child scores less the fewer layers it has."""
    specs = Subarchitectures(ROOT).sample(24, seed=0)
    return {spec: 0.5 + 0.1 * len(spec.layers) + 0.001 * number for number, spec in enumerate(specs)}


def test_guesses_stand_in_the_vectors_and_those_of_strangers_are_predicted(guesses):
    pool = ScreenedPool(guesses)
    known, stranger = next(iter(guesses)), ModelSpec.homogeneous(2, 64, 4, 96)
    [of_known, of_stranger] = pool.vectors([known, stranger])[:, pool.layout.guess_columns[0]].tolist()
    assert of_known == guesses[known]
    assert 0.6 < of_stranger < 0.85


def test_one_alone_is_a_pool_and_strangers_are_taken_to_be_as_good(guesses):
    spec = next(iter(guesses))
    vectors = ScreenedPool({spec: 0.6}).vectors([spec, ROOT])
    assert vectors[:, -1].tolist() == pytest.approx([0.6, 0.6])


def test_members_are_the_screened_ones_within_the_limits_and_the_best_guess_comes_first(guesses):
    costs = exact_costs()
    sizes = sorted(float(costs["parameters"]([spec])[0]) for spec in guesses)
    pool = ScreenedPool(guesses, Goals(constraints={"parameters": sizes[11]}, exact=costs))
    candidates = pool.candidates((), (), np.random.default_rng(0))
    assert len(candidates) == 12
    assert {spec.hash for spec in candidates.specs} <= {spec.hash for spec in guesses}
    first = max(candidates.specs, key=lambda spec: guesses[spec])
    assert pool.sobol_candidate(0, 0, ()) == first
    assert pool.sobol_candidate(0, 0, {first.hash}) != first
    with pytest.raises(ValueError, match="None of the 24 screened architectures keeps all constraints"):
        ScreenedPool(guesses, Goals(constraints={"parameters": 1.0}, exact=costs))


def test_far_from_what_is_observed_the_guess_is_believed():
    torch.manual_seed(0)
    X = torch.rand(6, 3, dtype=torch.float64)
    guess = X[:, 2]
    surrogate = ResidualSurrogate(GaussianProcessSurrogate(X, torch.full((6,), 0.05).double(), numbers=[0, 1]), 2, 2.0)
    far = torch.tensor([[50.0, 50.0, 0.3], [50.0, 50.0, 0.9]], dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(surrogate.predict_moments(far).mean, far[:, 2] + 0.1, atol=1e-3)
        assert torch.allclose(surrogate.posterior(far[:, None]).mean.flatten(), far[:, 2] + 0.1, atol=1e-3)
        assert torch.allclose(
            surrogate.probability_below(far, far[:, 2] + 0.1), torch.full((2,), 0.5).double(), atol=0.01
        )
        told = surrogate.condition_on_observations(X[:1], guess[:1] + 0.4).predict_moments(X[:1]).mean
    assert guess[0] + 0.1 < told[0] < guess[0] + 0.4


def test_boshnas_proposes_the_root_first_then_the_best_guess_that_it_can_give_weights(guesses):
    settings = BOSHNASSettings(origins=("pretrained", "transfer"), num_init=1)
    boshnas = BOSHNAS(guesses, settings=settings, roots={"bert": ROOT}, overlap=lambda parent, child: 1.0)
    [root] = boshnas.ask(2)  # nothing can inherit yet
    assert root == Candidate(ROOT, Origin("pretrained", model="bert"))
    boshnas.tell(root, 0.9)
    standard = [spec for spec in guesses if spec.format == ROOT.format]
    [child] = boshnas.ask(1)
    assert child.origin == Origin("transfer", ROOT.hash)
    assert child.spec in standard
    assert guesses[child.spec] >= sorted(guesses[spec] for spec in standard)[-3]
