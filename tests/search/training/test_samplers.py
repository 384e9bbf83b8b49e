"""Orders of rows: complete, reproducible, of little padding, and split among processes without repetition."""

import datasets as hf_datasets
import numpy as np
import pytest
import torch

from search.training.samplers import EpochOrder, LongestFirst, lengths_of


def _lengths(num: int) -> np.ndarray:
    return np.random.default_rng(0).integers(8, 65, num)


def _padding(order: list[int], lengths: np.ndarray, batch_size: int) -> float:
    batches = [lengths[order[start : start + batch_size]] for start in range(0, len(order), batch_size)]
    return 1 - sum(batch.sum() for batch in batches) / sum(batch.max() * len(batch) for batch in batches)


@pytest.mark.parametrize("lengths", [None, _lengths(635)], ids=["equal", "grouped"])
def test_an_epoch_has_every_row_once_in_an_order_of_its_own(lengths):
    orders = {}
    for epoch in (0, 1):
        order = EpochOrder(635, batch_size=32, seed=7, lengths=lengths)
        order.set_epoch(epoch)
        orders[epoch] = list(order)
        assert sorted(orders[epoch]) == list(range(635))
        torch.manual_seed(epoch)  # the global state does not matter
        assert list(order) == orders[epoch]
    assert orders[0] != orders[1]
    assert orders[0] != list(EpochOrder(635, batch_size=32, seed=8, lengths=lengths))


@pytest.mark.parametrize("num", [128, 635, 5000])
def test_texts_of_a_batch_are_of_similar_length(num):
    lengths = _lengths(num)
    order = list(EpochOrder(num, batch_size=32, seed=0, lengths=lengths))
    shuffled = list(EpochOrder(num, batch_size=32, seed=0))
    assert _padding(shuffled, lengths, 32) > 0.35
    assert _padding(order, lengths, 32) < 0.2
    means = [lengths[order[start : start + 32]].mean() for start in range(0, num - 31, 32)]
    assert means != sorted(means)  # batches are not


def test_several_processes_get_different_rows_and_all_of_them_in_time():
    seen = set()
    for epoch in range(30):
        order = EpochOrder(70, batch_size=8, seed=0, lengths=_lengths(70), num_processes=2)
        order.set_epoch(epoch)
        rows = list(order)
        assert len(rows) == len(set(rows)) == len(order) == 64  # rounds of 2 x 8
        seen |= set(rows)
    assert seen == set(range(70))
    assert len(list(EpochOrder(10, batch_size=8, seed=0, num_processes=2))) == 10  # too few to leave some out


def test_outputs_of_an_evaluation_come_back_in_the_order_of_rows():
    rows = hf_datasets.Dataset.from_dict({"input_ids": [[1], [1, 2, 3], [], [1, 2]]})
    lengths = lengths_of(rows)
    assert lengths.tolist() == [1, 3, 0, 2]
    order = LongestFirst(lengths)
    assert list(order) == [1, 3, 0, 2]
    assert order.restored(lengths[list(order)][:, None]).tolist() == [[1], [3], [0], [2]]
    assert lengths_of(rows.select([3, 1])).tolist() == [2, 3]
