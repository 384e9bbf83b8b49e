import random

import pytest

from design_space import DesignSpace
from tests.conftest import ROOT

SIZES = {
    "design_space_test": (9_312, 84_943_872, 57_840, 3_317_817_600),
    "design_space_small": (63_756, 4_032_821_520, 1_193_556, 1_421_971_583_760),
    "design_space": (432_653_508, 186_694_503_874_009_488, 148_231_867_644, 21_964_384_040_055_167_554_704),
}


def _space(name: str) -> DesignSpace:
    return DesignSpace.from_yaml(ROOT / "design_space" / f"{name}.yaml")


@pytest.mark.parametrize("name", SIZES)
def test_sizes_are_exact(name):
    space = _space(name)
    sizes = [
        space.size(layers_per_stack=layers, heterogeneous_feed_forward=mixed)
        for mixed in (False, True)
        for layers in (2, 1)
    ]
    assert tuple(sizes) == SIZES[name]


@pytest.mark.parametrize("path", sorted((ROOT / "design_space").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_space_we_ship_loads_and_survives_its_dictionary(path):
    space = DesignSpace.from_yaml(path)
    assert DesignSpace.from_dict(space.to_dict()) == space
    assert space.datasets


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", SIZES)
def test_index_inverts_spec(name, layers, mixed):
    space, options = _space(name), {"layers_per_stack": layers, "heterogeneous_feed_forward": mixed}
    rng, size = random.Random(5), space.size(**options)
    for i in [0, size - 1, *(rng.randrange(size) for _ in range(20))]:
        assert space.index(space.spec(i, **options), **options) == i


def test_members_are_all_different(tiny_space):
    size = tiny_space.size(layers_per_stack=2)
    assert size == 272
    assert len({tiny_space.spec(i, layers_per_stack=2).hash for i in range(size)}) == size


def test_a_sample_is_reproducible_distinct_and_may_be_the_whole_space(tiny_space):
    some = tiny_space.sample(40, layers_per_stack=1, seed=1)
    assert (
        some == tiny_space.sample(40, layers_per_stack=1, seed=1) != tiny_space.sample(40, layers_per_stack=1, seed=2)
    )
    assert len(set(some)) == 40
    assert len(set(tiny_space.sample(272, layers_per_stack=2, seed=0))) == 272
    with pytest.raises(ValueError, match="at most the number of architectures 272. Got 273"):
        tiny_space.sample(273, layers_per_stack=2, seed=0)


def test_a_sample_covers_depths_in_proportion(tiny_space):
    deep = sum(len(spec.layers) == 4 for spec in tiny_space.sample(100, layers_per_stack=2, seed=0))
    assert deep >= 85  # 256 of 272


def test_a_stranger_has_no_index(tiny_space, flexibert_space):
    stranger = flexibert_space.spec(0, layers_per_stack=2)
    with pytest.raises(ValueError, match="Not in the design space"):
        tiny_space.index(stranger, layers_per_stack=2)
    uneven = tiny_space.spec(70_000 - 5_000, layers_per_stack=1)
    with pytest.raises(ValueError, match="Not in the design space at 2 layers per stack"):
        tiny_space.index(uneven, layers_per_stack=2)


def test_places_outside_the_space_are_refused(tiny_space):
    with pytest.raises(ValueError, match=r"'index' must be in range\(272\). Got 272"):
        tiny_space.spec(272, layers_per_stack=2)


def test_layers_per_stack_must_divide_every_depth(flexibert_space):
    with pytest.raises(ValueError, match=r"must divide every option of 'encoder_layers'. Got 3, but \[2, 4\]"):
        flexibert_space.size(layers_per_stack=3)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (("num_heads:", "num_head:"), "Unknown key 'num_head' in 'architecture' of .* Did you mean 'num_heads'"),
        (("num_heads: [2, 4]", "num_heads: [2, 3]"), "'num_heads' 3 does not divide 'hidden_size' 128"),
        (
            ("c: [5, 9]", "c: [5, 8]"),
            "'operation_parameters' of 'c' must be an odd kernel size. Got 8; use 3, 5, 7",
        ),
        (("[sa, l, c]", "[sa, l, conv]"), "'operation_types' must be among 'sa' .*Got 'conv'"),
        (("hidden_size: [128, 256]", "hidden_size: [128, 128]"), "'hidden_size' lists 128 more than once"),
        (("hidden_size: [128, 256]", "hidden_size: 128"), "'hidden_size' must be a list of one or more options"),
        (("sdp, wma]", "sdp, wmu]"), "'operation_parameters' of 'sa' must be one of sdp, wma. Got 'wmu'"),
        (("datasets:", "dataset:"), "Unknown key 'dataset' in .* Did you mean 'datasets'"),
        (("  encoder_layers: [2, 4]\n", ""), "Key 'encoder_layers' is missing"),
        (("  num_heads: [2, 4]", "  num_heads: [2, 4]\n  num_heads: [2]"), "given more than once: num_heads"),
        (("architecture:", "architecture: ["), "is not valid YAML"),
    ],
    ids=lambda value: value[1].strip()[:25] if isinstance(value, tuple) else "",
)
def test_a_wrong_yaml_is_refused_with_the_reason(tmp_path, edit, message):
    text = (ROOT / "design_space" / "design_space_test.yaml").read_text()
    assert edit[0] in text
    path = tmp_path / "space.yaml"
    path.write_text(text.replace(*edit))
    with pytest.raises(ValueError, match=message):
        DesignSpace.from_yaml(path)


def test_a_missing_yaml_is_named(tmp_path):
    with pytest.raises(ValueError, match="No such file: .*nowhere.yaml"):
        DesignSpace.from_yaml(tmp_path / "nowhere.yaml")


def test_the_order_of_labels_is_the_documented_one(flexibert_space):
    positions = flexibert_space.label_order().positions
    expected = {"input": 0, "output": 1, "add_norm": 2, "f512": 4, "f1024": 5, "l_h128_p-dft": 7, "l_h128_p-dct": 8}
    expected |= {"l_h256_p-dft": 9, "l_h256_p-dct": 10, "sa_h128_p-sdp": 12, "sa_h128_p-wma": 13, "sa_h256_p-sdp": 14}
    expected |= {"sa_h256_p-wma": 15, "c_h128_p-5": 17, "c_h128_p-9": 18, "c_h256_p-5": 19, "c_h256_p-9": 20}
    assert positions == expected


def test_the_order_takes_in_labels_of_other_spaces(flexibert_space):
    order = flexibert_space.label_order()
    assert order.extended(["f512"]) is order
    wider = order.extended(["f2048", "sa_sdp_64"]).positions
    assert wider["f2048"] == 6
    assert wider["l_h128_p-dft"] == 8
    assert wider["sa_h256_p-wma"] < wider["sa_sdp_64"] < wider["c_h128_p-5"]
