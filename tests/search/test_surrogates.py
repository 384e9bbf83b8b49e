import copy
import math

import numpy as np
import pytest
import torch
from botorch.acquisition import UpperConfidenceBound, qLogExpectedImprovement
from botorch.acquisition.objective import ScalarizedPosteriorTransform
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.sampling import SobolQMCNormalSampler
from gpytorch.kernels import MaternKernel, ScaleKernel
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import LogNormalPrior
from scipy.stats import spearmanr
from torch import Tensor

from search.benchmark.table import load_table
from search.pools.features import features, layer_codes
from search.surrogates import KNOW_NOISE, SURROGATES, Layout, fit_surrogate, gaussian_process
from search.surrogates.gaussian_process import GaussianProcessSurrogate
from search.surrogates.mixture import MixtureSurrogate
from search.surrogates.natural_parameter import NaturalParameterLinear, rectified_moments

NAMES = list(SURROGATES)
SMOOTH = [name for name in NAMES if name != "forest"]


def _truth(X: Tensor) -> Tensor:
    return 40 + 10 * X[:, 0] - 5 * X[:, 1].square()


@pytest.fixture(scope="module")
def data() -> tuple[Tensor, Tensor, Tensor]:
    X = torch.randn(60, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return X[:40], _truth(X[:40]), X[40:]


@pytest.fixture(scope="module", params=NAMES)
def fitted(request, data):
    X, Y, unseen = data
    return fit_surrogate(request.param, X, Y, unlabelled=unseen, seed=0)


def test_it_predicts_unseen_scores_in_their_own_units(fitted, data):
    _, _, unseen = data
    moments = fitted.predict_moments(unseen)
    assert spearmanr(moments.mean, _truth(unseen)).statistic > 0.8
    assert abs(float((moments.mean - _truth(unseen)).mean())) < 6
    assert (moments.epistemic > 0).all()
    assert (moments.aleatoric > 0).all()


def test_it_is_less_certain_far_from_data(fitted, data):
    X, _, _ = data
    near, far = fitted.predict_moments(X).epistemic.mean(), fitted.predict_moments(6 * X).epistemic.mean()
    assert far > near


def test_it_serves_botorch_acquisitions(fitted, data):
    _, _, unseen = data
    values = UpperConfidenceBound(fitted, beta=1.0)(unseen[:, None])
    moments = fitted.predict_moments(unseen)
    assert torch.allclose(values, moments.mean + moments.epistemic, rtol=1e-3)
    noisy = fitted.posterior(unseen[:, None], observation_noise=True).variance
    assert (noisy > fitted.posterior(unseen[:, None]).variance).all()


def test_its_posterior_is_joint(fitted, data):
    """One point twice is one unknown, near points are nearly one, and the marginals are the moments."""
    _, _, unseen = data
    X = torch.stack([unseen[:4], unseen[:4], unseen[:4] + 0.01], dim=1)
    normal = fitted.posterior(X).distribution
    moments = fitted.predict_moments(X)
    torch.testing.assert_close(normal.mean, moments.mean)
    torch.testing.assert_close(normal.variance, moments.epistemic.square(), rtol=1e-3, atol=1e-6)
    correlation = normal.covariance_matrix[:, 0] / (normal.variance[:, :1] * normal.variance).sqrt()
    torch.testing.assert_close(correlation[:, 1], torch.ones(4, dtype=torch.float64), rtol=0, atol=1e-3)
    assert (correlation[:, 2] > 0.8).all()
    assert torch.isfinite(normal.rsample(torch.Size([3]))).all()
    noise = fitted.posterior(X, observation_noise=True).distribution.covariance_matrix - normal.covariance_matrix
    torch.testing.assert_close(noise, torch.diag_embed(moments.aleatoric.square()), rtol=1e-3, atol=1e-5)


def test_a_point_that_is_pending_is_not_chosen_again(fitted, data):
    _, Y, unseen = data
    point, sampler = unseen[:1], SobolQMCNormalSampler(torch.Size([256]), seed=0)

    def gain(pending: Tensor | None) -> float:
        with torch.no_grad():
            return float(qLogExpectedImprovement(fitted, Y.mean(), X_pending=pending, sampler=sampler)(point[None]))

    assert gain(point) == pytest.approx(gain(None), abs=0.05)


def test_botorch_transforms_are_applied_and_other_outputs_refused(fitted, data):
    X = data[2][:, None]
    minus = ScalarizedPosteriorTransform(torch.tensor([-1.0], dtype=torch.float64))
    torch.testing.assert_close(fitted.posterior(X, posterior_transform=minus).mean, -fitted.posterior(X).mean)
    torch.testing.assert_close(fitted.posterior(X, output_indices=[0]).mean, fitted.posterior(X).mean)
    assert (fitted.num_outputs, fitted.batch_shape) == (1, ())
    for wrong in ({"output_indices": [1]}, {"observation_noise": torch.ones(1)}):
        with pytest.raises(NotImplementedError, match="one output, the score"):
            fitted.posterior(X, **wrong)


def test_it_moves_to_another_type(fitted, data):
    X = data[2]
    moved = copy.deepcopy(fitted).to(torch.float32)
    moments = moved.predict_moments(X.float())
    assert {moment.dtype for moment in moments} == {torch.float32}
    torch.testing.assert_close(moments.mean.double(), fitted.predict_moments(X).mean, rtol=1e-2, atol=0.05)
    assert moved.posterior(X[:3].float()).mean.dtype == torch.float32


def test_a_process_given_its_own_predictions_expects_the_same_and_is_surer_of_it(data):
    fitted = fit_surrogate("gp", data[0], data[1], unlabelled=data[2], seed=0)
    waiting = data[2][:5]
    before = fitted.predict_moments(data[2])
    given = fitted.condition_on_observations(waiting, before.mean[:5])
    after = given.predict_moments(data[2])
    torch.testing.assert_close(after.mean, before.mean, rtol=1e-6, atol=1e-4)
    torch.testing.assert_close(after.aleatoric, before.aleatoric)
    assert (after.epistemic[:5] < 0.99 * before.epistemic[:5]).all()
    assert (after.epistemic <= before.epistemic + 1e-6).all()
    assert (
        given.condition_on_observations(waiting, before.mean[:5] + 5)
        .predict_moments(waiting)
        .mean.gt(after.mean[:5])
        .all()
    )
    torch.testing.assert_close(fitted.predict_moments(data[2]), before)


def test_surrogates_without_closed_form_are_fitted_anew(data):
    fitted = fit_surrogate("forest", data[0], data[1], unlabelled=data[2], seed=0)
    with pytest.raises(NotImplementedError):
        fitted.condition_on_observations(data[2], data[2][:, 0])


@pytest.mark.parametrize("name", SMOOTH)
def test_it_can_be_differentiated_twice(name, data):
    fitted = fit_surrogate(name, data[0], data[1], unlabelled=data[2], seed=0)
    X = data[2].clone().requires_grad_()
    moments = fitted.predict_moments(X)
    gradient = torch.autograd.grad((moments.mean + moments.epistemic).sum(), X, create_graph=True)[0]
    curvature = torch.autograd.grad(gradient[:, 1].sum(), X)[0]
    assert curvature.abs().max() > 0
    assert torch.isfinite(curvature).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_surrogate(name, data):
    X, Y, unseen = data
    one, two = (fit_surrogate(name, X[:8], Y[:8], unlabelled=unseen, seed=3).predict_moments(unseen) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scores", [[0.5], [0.5, 0.5, 0.5]], ids=["one observation", "all equal"])
def test_degenerate_scores_are_no_problem(name, scores, data):
    X, _, unseen = data
    Y = torch.tensor(scores, dtype=torch.float64)
    moments = fit_surrogate(name, X[: len(Y)], Y, unlabelled=unseen, seed=0).predict_moments(unseen)
    assert all(torch.isfinite(moment).all() for moment in moments)
    assert (moments.mean - 0.5).abs().max() < 1


def test_an_unknown_surrogate_is_refused(data):
    with pytest.raises(ValueError, match="'surrogate' must be one of mixture, .*, boshnas. Got 'trees'"):
        fit_surrogate("trees", data[0], data[1], unlabelled=data[2], seed=0)


def test_the_natural_parameter_layer_has_the_moments_of_sampling():
    torch.manual_seed(0)
    layer = NaturalParameterLinear(5, 3)
    torch.nn.init.constant_(layer.weight_raw, -1.0)
    mean, variance = torch.randn(1, 5), torch.rand(1, 5)
    out_mean, out_variance = layer(mean, variance)
    weights = layer.weight_mean + torch.nn.functional.softplus(layer.weight_raw).sqrt() * torch.randn(200_000, 3, 5)
    inputs = mean + variance.sqrt() * torch.randn(200_000, 5)
    samples = torch.einsum("soi,si->so", weights, inputs)
    assert torch.allclose(samples.mean(0), out_mean[0], atol=0.02)
    assert torch.allclose(samples.var(0), out_variance[0], rtol=0.02, atol=0.01)


def test_rectified_moments_are_those_of_sampling():
    mean, variance = torch.tensor([-1.0, 0.0, 2.0, -3.0]), torch.tensor([0.5, 1.0, 0.2, 4.0])
    samples = torch.relu(mean + variance.sqrt() * torch.randn(400_000, 4, generator=torch.Generator().manual_seed(0)))
    expected_mean, expected_variance = rectified_moments(mean, variance)
    assert torch.allclose(samples.mean(0), expected_mean, atol=0.005)
    assert torch.allclose(samples.var(0), expected_variance, rtol=0.03)


def test_hyperparameters_of_many_observations_come_from_some_and_predictions_use_all(monkeypatch):
    X = torch.randn(80, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    Y = _truth(X)
    monkeypatch.setattr(gaussian_process, "MOST_FITTED", 40)
    model = GaussianProcessSurrogate(X, Y, numbers=range(4))
    few = gaussian_process._spread(Y, 40)
    assert len(set(few.tolist())) == 40
    assert {int(Y.argmin()), int(Y.argmax())} <= set(few.tolist())
    rest = torch.tensor([place for place in range(80) if place not in set(few.tolist())])
    of_few = GaussianProcessSurrogate(X[few], Y[few], numbers=range(4))
    assert (model.predict_moments(X[rest]).mean - Y[rest]).abs().max() < 0.1
    assert (of_few.predict_moments(X[rest]).mean - Y[rest]).abs().max() > 0.2
    assert (model.predict_moments(X[rest]).epistemic < of_few.predict_moments(X[rest]).epistemic).all()


def test_a_smooth_process_has_the_hyperparameters_of_the_written_gradients_that_were_here_before():
    X, Y = _twelve()
    found = GaussianProcessSurrogate(X, Y, numbers=range(14), smooth=range(14)).hyperparameters
    assert float(found.amplitude) == pytest.approx(1.024422, rel=1e-4)
    assert float(found.noise) == pytest.approx(0.011758, rel=1e-4)
    assert found.scales[:4].tolist() == pytest.approx([1.92417, 28.54057, 24.29996, 21.49284], rel=1e-4)


def test_hyperparameters_are_botorchs():
    """With the same kernel and priors, at the mode of the density of the values."""
    X, Y = _twelve()
    target = (Y - Y.mean()) / Y.std(unbiased=False)
    ours = GaussianProcessSurrogate(X, Y, numbers=range(14)).hyperparameters
    shift = math.sqrt(2) + math.log(14) / 2
    matern = MaternKernel(nu=2.5, ard_num_dims=14, lengthscale_prior=LogNormalPrior(shift, math.sqrt(3)))
    model = SingleTaskGP(X, target[:, None], covar_module=ScaleKernel(matern), input_transform=None)
    matern.lengthscale = torch.full((1, 14), math.exp(shift - 1))
    model.covar_module.outputscale, model.likelihood.noise = ours.amplitude, ours.noise + 1e-6
    for fixed in (model.covar_module.raw_outputscale, model.likelihood.raw_noise):
        fixed.requires_grad_(False)
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    assert matern.lengthscale[0].tolist() == pytest.approx(ours.scales.tolist(), rel=0.05)


def _twelve() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(12, 14, dtype=torch.float64, generator=generator)
    noise = torch.randn(12, dtype=torch.float64, generator=generator)
    return X, X[:, 0].sin() + 0.3 * X[:, 1] * X[:, 2] + 0.1 * noise


def test_known_noise_is_botorchs():
    """The posterior with the same hyperparameters, and what is known beside what is found as ``train_Yvar``."""
    X, Y = _twelve()
    known = torch.linspace(0.01, 0.5, 12, dtype=torch.float64)
    ours = GaussianProcessSurrogate(X, Y, numbers=range(14), noise=known)
    found, scale = ours.hyperparameters, float(Y.std(unbiased=False))
    matern = MaternKernel(nu=2.5, ard_num_dims=14)
    variance = scale**2 * (found.noise + 1e-6) + known
    model = SingleTaskGP(
        X, Y[:, None], variance[:, None], covar_module=ScaleKernel(matern), input_transform=None, outcome_transform=None
    )
    matern.lengthscale, model.covar_module.outputscale = found.scales, scale**2 * found.amplitude
    model.mean_module.constant.data.fill_(float(Y.mean() + scale * ours._mean))
    unseen = torch.randn(5, 14, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        theirs, moments = model.posterior(unseen), ours.predict_moments(unseen)
    torch.testing.assert_close(moments.mean, theirs.mean[:, 0], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(moments.epistemic, theirs.variance[:, 0].sqrt(), rtol=1e-6, atol=1e-6)
    expected = (scale**2 * found.noise + known.median()).sqrt()
    torch.testing.assert_close(moments.aleatoric, expected.expand(5))


@pytest.mark.parametrize("name", KNOW_NOISE)
def test_a_score_that_is_known_to_be_noisy_is_believed_less(name, data):
    X, Y, unseen = data
    Y = Y.clone()
    Y[7] += 30
    noise = torch.full_like(Y, 0.01)
    noise[7] = 900.0
    for told in (20, 6):  # in the fit, and after it
        both = []
        for known in (noise, torch.zeros_like(noise)):
            model = fit_surrogate(name, X[:told], Y[:told], unlabelled=unseen, seed=0, noise=known[:told])
            if told < 20:
                model = model.condition_on_observations(X[told:20], Y[told:20], noise=known[told:20])
            both.append(float(model.predict_moments(X[7:8]).mean - _truth(X[7:8])))
        assert abs(both[0]) < 0.5 * abs(both[1])


def test_a_score_without_an_error_is_as_noisy_as_the_median_of_the_others(data):
    X, Y, unseen = data
    some = torch.tensor([4.0, 0.0, 1.0, 9.0, 0.0] * 4, dtype=torch.float64)
    all_ = torch.where(some == 0, 4.0, some)
    one, two = (
        GaussianProcessSurrogate(X[:20], Y[:20], numbers=range(4), noise=noise).predict_moments(unseen)
        for noise in (some, all_)
    )
    torch.testing.assert_close(one, two)


def test_a_mixture_is_unsure_where_its_members_differ(data):
    X, Y, unseen = data
    members = [GaussianProcessSurrogate(X[:8], Y[:8], numbers=range(4), smooth=smooth) for smooth in (range(4), ())]
    mixture = MixtureSurrogate(members)
    draws = torch.cat([member.posterior(unseen[:, None]).sample(torch.Size([20_000])).squeeze() for member in members])
    moments = mixture.predict_moments(unseen)
    scale = Y.std()
    torch.testing.assert_close(moments.mean, draws.mean(0), rtol=0, atol=0.03 * float(scale))
    torch.testing.assert_close(moments.epistemic, draws.std(0), rtol=0.03, atol=0)
    noise = torch.cat([member.predict_moments(unseen).aleatoric.expand(20_000, -1) for member in members])
    noisy = draws + noise * torch.randn(noise.shape, generator=torch.Generator().manual_seed(0), dtype=noise.dtype)
    limit = moments.mean + 0.3 * moments.epistemic
    below = (noisy <= limit).double().mean(0)
    torch.testing.assert_close(mixture.probability_below(unseen, limit), below, rtol=0, atol=0.01)
    told = mixture.condition_on_observations(unseen[:3], _truth(unseen[:3])).predict_moments(unseen)
    assert ((told.mean - _truth(unseen)).abs() < (moments.mean - _truth(unseen)).abs())[:3].all()
    assert (told.epistemic[:3] < moments.epistemic[:3]).all()


def test_few_observations_leave_intervals_that_hold_what_they_say(shared):
    """20 of the development table, and all of its others: central 50 and 95 %."""
    table = load_table(shared / "data" / "nas" / "nasbench_bert_dev.json", "glue")
    numbers, codes = features(table.specs), layer_codes(table.specs)
    varying = numbers.std(0) > 0
    scaled = (numbers[:, varying] - numbers[:, varying].mean(0)) / numbers[:, varying].std(0)
    X = torch.from_numpy(np.hstack([scaled, codes.astype(float)]))
    layout = Layout(0, scaled.shape[1], codes.shape[1])
    inside = []
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(len(table))
        seen, others = order[:20], order[20:]
        model = fit_surrogate(
            "mixture", X[seen], torch.from_numpy(table.gains[seen]), unlabelled=X[:0], seed=0, layout=layout
        )
        with torch.no_grad():
            below = model.probability_below(X[others], torch.from_numpy(table.gains[others])).numpy()
        inside.append([(np.abs(below - 0.5) <= share / 2).mean() for share in (0.5, 0.95)])
    half, most = np.mean(inside, 0)
    assert 0.4 <= half <= 0.6
    assert most >= 0.9
