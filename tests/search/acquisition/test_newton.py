import torch

from search.acquisition.newton import ascend


def _box(num_inputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.full((num_inputs,), -3.0, dtype=torch.float64), torch.full((num_inputs,), 3.0, dtype=torch.float64)


def test_it_finds_the_top_of_a_quadratic_and_of_an_ill_scaled_one():
    top = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    scale = torch.tensor([1.0, 100.0, 0.01], dtype=torch.float64)
    starts = torch.zeros(4, 3, dtype=torch.float64) + torch.arange(4)[:, None] / 4
    reached = ascend(lambda X: -((X - top).square() * scale).sum(1), starts, *_box(3))
    assert torch.allclose(reached, top.expand(4, 3), atol=1e-4)


def test_it_climbs_away_from_a_saddle_and_stays_in_the_box():
    reached = ascend(
        lambda X: X[:, 0].square() - X[:, 1].square(), torch.tensor([[0.1, 1.0]], dtype=torch.float64), *_box(2)
    )
    assert torch.allclose(reached, torch.tensor([[3.0, 0.0]], dtype=torch.float64), atol=1e-3)


def test_no_row_ever_falls():
    def bumpy(X: torch.Tensor) -> torch.Tensor:
        return torch.sin(3 * X).sum(1) - 0.1 * X.square().sum(1)

    starts = torch.rand(20, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 6 - 3
    reached = ascend(bumpy, starts, *_box(4))
    assert (bumpy(reached) >= bumpy(starts)).all()
    assert (bumpy(reached) > bumpy(starts) + 1).float().mean() > 0.8
