"""What a transfer matches, decided on specs alone."""

import time

import pytest

from design_space import ModelSpec
from flexibert import FlexiBERTConfig, transfer_overlap, transfer_plan


def _standard(**change: list) -> ModelSpec:
    base = {"l": 2, "o": ["sa", "sa"], "h": [16, 16], "n": [2, 2], "f": [[32], [32]], "p": ["sdp", "sdp"]}
    return ModelSpec.from_dict(base | change)


def _hetero(*layers: list[str], width: int = 16) -> ModelSpec:
    depth = len(layers)
    return ModelSpec.from_dict({"l": depth, "o": list(layers), "h": [width] * depth, "f": [[32]] * depth})


def test_equal_specs_match_completely() -> None:
    plan = transfer_plan(_standard(), _standard())
    assert plan.heads == (((0, 0), (1, 1)), ((0, 0), (1, 1)))
    assert plan.is_complete
    assert transfer_overlap(_standard(), _standard()) == 1.0


def test_heads_match_by_operation_and_parameter_in_order() -> None:
    source = _hetero(["sa_sdp_8", "sa_wma_8", "c_5_8", "sa_sdp_8"])
    target = _hetero(["sa_wma_8", "sa_sdp_8", "sa_sdp_8", "sa_sdp_8", "c_9_8", "l_dft_8"])
    assert transfer_plan(source, target).heads == (((0, 1), (1, 0), (2, 3)),)


@pytest.mark.parametrize("p", [["sdp", "wma"], ["wma", "sdp"]])
def test_sdp_and_wma_are_different_heads(p: list) -> None:
    assert not transfer_plan(_standard(), _standard(p=p)).is_complete
    assert transfer_overlap(_standard(), _standard(p=p)) < 1
    assert transfer_plan(_hetero(["sa_sdp_8"]), _hetero(["sa_wma_8"])).num_layers == 0


def test_transfer_stops_at_the_first_layer_without_a_matched_head() -> None:
    source = _hetero(["sa_sdp_8"], ["l_dft_8", "c_5_8"], ["sa_sdp_8"])
    assert transfer_plan(source, _hetero(["sa_sdp_8"], ["l_dct_8"], ["sa_sdp_8"])).num_layers == 1
    assert transfer_plan(source, _hetero(["sa_sdp_8"], ["l_dct_8", "c_5_8"], ["sa_sdp_8"])).num_layers == 3
    assert transfer_plan(_standard(o=["l", "sa"], p=["dft", "sdp"]), _standard()).num_layers == 0


def test_a_deeper_target_is_not_complete_and_a_shallower_one_is() -> None:
    shallow = _hetero(["sa_sdp_8"])
    deep = _hetero(["sa_sdp_8"], ["sa_sdp_8"])
    assert not transfer_plan(shallow, deep).is_complete
    assert transfer_plan(deep, shallow).is_complete
    assert 0 < transfer_overlap(shallow, deep) < 1
    assert transfer_overlap(deep, shallow) == 1.0


def test_overlap_counts_the_common_part_of_every_axis() -> None:
    config = FlexiBERTConfig(
        vocab_size=10, max_position_embeddings=4, type_vocab_size=2, position_embedding_type="absolute"
    )
    source = ModelSpec.from_dict({"l": 1, "o": ["sa"], "h": [8], "n": [2], "f": [[6]], "p": ["sdp"]})
    target = ModelSpec.from_dict({"l": 1, "o": ["sa"], "h": [12], "n": [2], "f": [[4]], "p": ["sdp"]})

    def entries(width: int, stack: int) -> int:
        tables_and_norm, attention = (10 + 4 + 2) * width + 2 * width, 4 * (width * width + width) + 2 * width
        feed_forward = width * stack + stack + stack * width + width + 2 * width
        return tables_and_norm + attention + feed_forward + width * width + width

    assert transfer_overlap(source, target, config) == entries(8, 4) / entries(12, 4)
    assert transfer_overlap(target, source, config) == entries(8, 4) / entries(8, 6)


def test_formats_do_not_mix() -> None:
    with pytest.raises(
        ValueError, match=r"models of one format. Got a source in the standard and a target in the hetero format"
    ):
        transfer_plan(_standard(), _hetero(["sa_sdp_8"]))
    with pytest.raises(ValueError, match="models of one format"):
        transfer_overlap(_hetero(["sa_sdp_8"]), _standard())


def test_overlaps_of_new_pairs_take_less_than_a_millisecond() -> None:
    specs = [
        _standard(h=[width, other], f=[[a], [b]])
        for width in (16, 32)
        for other in (16, 32)
        for a in (8, 16)
        for b in (8, 16)
    ]
    started = time.perf_counter()
    overlaps = [transfer_overlap(source, target) for source in specs for target in specs]
    assert (time.perf_counter() - started) / len(overlaps) < 1e-3
    assert all(0 < overlap <= 1 for overlap in overlaps)
