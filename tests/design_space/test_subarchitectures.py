import itertools
import random
from collections import Counter

import numpy as np
import pytest

from design_space import Head, Layer, ModelSpec, Subarchitectures
from design_space.subarchitectures import has_removable_heads, part_of
from flexibert import FlexiBERTConfig, FlexiBERTModel, prune
from flexibert.pruning import linear_weights

MINILM = ModelSpec.homogeneous(6, 384, 12, 1536)
KINDS = [("sa", "sdp"), ("sa", "wma"), ("l", "dct"), ("c", 5)]


def attention(hidden: int, heads: int, *feed_forward: int, size: int = 4) -> Layer:
    return Layer(hidden, (Head.dot_product_attention(size),) * heads, feed_forward)


def hetero(*layers: Layer) -> ModelSpec:
    return ModelSpec(layers, "hetero")


def mixed(text: str, hidden: int, *feed_forward: int) -> Layer:
    return Layer(hidden, tuple(Head.parse(f"{head}_4") for head in text.split()), feed_forward)


TRANSFORM = {"l": 2, "o": ["sa", "l"], "h": [8, 8], "n": [2, 2], "f": [[3], [2]], "p": ["sdp", "dct"]}
TINY = {
    "equal layers": ModelSpec.homogeneous(3, 8, 2, 3),
    "one layer": ModelSpec.homogeneous(1, 8, 2, 2),
    "neurons in groups": ModelSpec.homogeneous(2, 8, 1, 70),
    "smaller layers within larger ones": hetero(
        attention(8, 2, 3), attention(8, 3, 2), attention(8, 1, 4), attention(8, 3, 2)
    ),
    "several kinds": hetero(
        mixed("sa_sdp sa_wma", 8, 2), mixed("sa_wma l_dct sa_wma", 8, 2), mixed("sa_sdp c_5", 8, 3)
    ),
    "several widths": hetero(attention(8, 2, 2), attention(12, 3, 2), attention(8, 3, 2)),
    "stacks": hetero(attention(8, 2, 2, 3), attention(8, 1, 3), attention(8, 2, 3, 2)),
    "transforms keep their heads": ModelSpec.from_dict(TRANSFORM),
}


def listed(root: ModelSpec, widths: tuple[int, ...] | None) -> set[str]:
    """Hashes of all members by their definition: every subset of layers, heads and groups of neurons."""

    def parts(layer: Layer) -> list[Layer]:
        numbers = range(1, len(layer.heads) + 1) if has_removable_heads(root) else [len(layer.heads)]
        heads = {kept for number in numbers for kept in itertools.combinations(layer.heads, number)}
        steps = [
            sorted({*range(8, width, 8), width} if width >= 64 else range(1, width + 1)) for width in layer.feed_forward
        ]
        return [Layer(layer.hidden_size, kept, stack) for kept in heads for stack in itertools.product(*steps)]

    found = set()
    for number in range(1, len(root.layers) + 1):
        for kept in itertools.combinations(root.layers, number):
            for layers in itertools.product(*map(parts, kept)):
                for width in widths or [None]:
                    narrow = [Layer(width or layer.hidden_size, layer.heads, layer.feed_forward) for layer in layers]
                    found.add(part_of(root, narrow).hash)
    return found


@pytest.mark.parametrize(
    ("name", "widths"),
    [(name, None if name in ("several widths", "transforms keep their heads") else (8, 6, 4)) for name in TINY],
    ids=TINY,
)
def test_members_are_all_parts_and_no_others(name, widths):
    space = Subarchitectures(TINY[name])
    members = [space.spec(number) for number in range(space.size)]
    hashes = [member.hash for member in members]
    assert len(set(hashes)) == space.size
    assert set(hashes) == listed(TINY[name], widths)
    assert [space.index(member) for member in members] == list(range(space.size))
    assert len(set(space.sample(space.size, seed=0))) == space.size
    rng = np.random.default_rng(0)
    assert all(space.mutated(member, rng) in space for member in members[:100])
    assert {space.at(rng.random(space.num_coordinates).tolist()).hash for _ in range(100)} <= set(hashes)


def random_root(rng: random.Random) -> ModelSpec:
    kinds = rng.sample(KINDS, rng.randint(1, 4))
    widths = [rng.choice([16, 16, 24, 40])] * 8 if rng.random() < 0.5 else [rng.choice([16, 24]) for _ in range(8)]
    return hetero(
        *(
            Layer(
                widths[place],
                tuple(Head(*rng.choice(kinds), 4) for _ in range(rng.randint(1, 6))),
                tuple(rng.choice([20, 64, 100, 512, 700]) for _ in range(rng.choice([1, 1, 2]))),
            )
            for place in range(rng.randint(1, 8))
        )
    )


@pytest.mark.parametrize("seed", range(20))
def test_numbers_and_specs_are_one_to_one(seed):
    """Of random roots, and of a member of each, which is a root again."""
    rng = random.Random(seed)
    root = random_root(rng)
    for space in (Subarchitectures(root), Subarchitectures(Subarchitectures(root).sample(1, seed=seed)[0])):
        numbers = [0, space.size - 1, *(rng.randrange(space.size) for _ in range(30))]
        specs = [space.spec(number) for number in numbers]
        assert [space.index(spec) for spec in specs] == numbers
        assert [ModelSpec.from_dict(spec.to_dict()) for spec in specs] == specs
        for spec in specs:
            shuffled = [
                Layer(x.hidden_size, tuple(rng.sample(x.heads, len(x.heads))), x.feed_forward) for x in spec.layers
            ]
            assert space.spec(space.index(ModelSpec(tuple(shuffled), spec.format))) == spec
        assert space.spec(space.index(space.root)).hash == space.root.hash


@pytest.mark.parametrize("root", [MINILM, ModelSpec.homogeneous(24, 1024, 16, 4096)], ids=["minilm", "large"])
def test_large_roots_have_exact_sizes(root):
    depth, heads, groups = len(root.layers), len(root.layers[0].heads), root.layers[0].feed_forward[0] // 32
    space = Subarchitectures(root)
    assert space.size == 3 * sum((heads * groups) ** number for number in range(1, depth + 1))
    assert {spec.layers[0].hidden_size for spec in space.sample(100, seed=0)} == {
        root.layers[0].hidden_size * share // 4 for share in (4, 3, 2)
    }


def test_a_sample_is_reproducible_distinct_and_of_all_sizes():
    space = Subarchitectures(MINILM)
    specs = space.sample(400, seed=1)
    assert specs == space.sample(400, seed=1) != space.sample(400, seed=2)
    assert len({spec.hash for spec in specs}) == 400
    shares = np.array([linear_weights(spec) for spec in specs]) / linear_weights(MINILM)
    counts, _ = np.histogram(np.log(shares), np.log([1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0001]))
    assert (counts > 40).all()
    assert shares.max() > 0.95 > 1 / 20 > shares.min()
    small = [spec for spec, share in zip(specs, shares, strict=True) if 1 / 16 < share < 1 / 8]
    assert {len(spec.layers) for spec in small} == {1, 2, 3, 4, 5, 6}


def test_the_first_coordinate_is_the_share_of_weights():
    space, rng = Subarchitectures(MINILM), np.random.default_rng(0)
    for number, wanted in ((0.0, 1), (0.25, 1 / 64**0.25), (0.5, 1 / 8), (0.75, 1 / 64**0.75)):
        points = rng.random((100, space.num_coordinates))
        points[:, 0] = number
        shares = [linear_weights(space.at(point)) / linear_weights(MINILM) for point in points.tolist()]
        assert np.median(shares) == pytest.approx(wanted, rel=0.05)
        assert np.abs(np.log(np.array(shares) / wanted)).mean() < 0.15
    assert space.at([0.0] * space.num_coordinates) == MINILM


@pytest.mark.parametrize("density", [1.0, 0.75, 0.5])
def test_children_of_pruning_are_members_and_roots(density):
    uneven = hetero(
        mixed("sa_sdp sa_wma sa_sdp sa_wma", 16, 512),
        mixed("sa_sdp c_5 c_5 c_5", 24, 100),
        mixed("sa_wma sa_sdp", 16, 70),
    )
    for root in (
        MINILM,
        uneven,
        ModelSpec.homogeneous(2, 64, 4, 100),
        ModelSpec.from_dict(TRANSFORM | {"f": [[128], [100]]}),
    ):
        child = prune(root, density=density)
        space = Subarchitectures(root)
        assert space.spec(space.index(child)).hash == child.hash
        assert prune(child, density=0.9) in Subarchitectures(child)


def test_a_child_that_can_be_written_in_the_standard_format_is():
    space = Subarchitectures(MINILM)
    narrow = ModelSpec.homogeneous(2, 192, 6, 96)
    assert narrow in space
    assert ModelSpec(narrow.layers, "hetero") not in space
    assert ModelSpec(MINILM.layers[:2], "standard") in space
    assert ModelSpec(narrow.layers, "hetero") in Subarchitectures(ModelSpec(MINILM.layers, "hetero"))
    fewer = ModelSpec((attention(192, 5, 96, size=32), attention(192, 6, 96, size=32)), "hetero")
    assert fewer in space


@pytest.mark.parametrize(
    "stranger",
    [
        ModelSpec.homogeneous(7, 384, 12, 1536),
        ModelSpec.homogeneous(6, 384, 6, 1536),
        ModelSpec.homogeneous(6, 384, 12, 1552),
        ModelSpec.homogeneous(6, 384, 12, 1000),
        ModelSpec.homogeneous(6, 96, 3, 96),
        hetero(attention(384, 13, 96, size=32)),
        hetero(attention(384, 3, 96, 96, size=32)),
        hetero(attention(384, 3, 96, size=32), attention(192, 3, 96, size=32)),
        hetero(Layer(384, (Head("sa", "wma", 32),), (96,))),
        ModelSpec.side_by_side([ModelSpec.homogeneous(2, 192, 6, 96), ModelSpec.homogeneous(2, 192, 6, 96)]),
    ],
    ids=[
        "deeper",
        "head size",
        "more neurons",
        "no groups",
        "width",
        "heads",
        "stack",
        "widths",
        "operation",
        "grouped",
    ],
)
def test_strangers_are_none(stranger):
    space = Subarchitectures(MINILM)
    assert stranger not in space
    with pytest.raises(ValueError, match="Not a part of the root"):
        space.index(stranger)
    assert space.mutated(stranger, np.random.default_rng(0)) in space


def test_mutations_change_little():
    space, rng = Subarchitectures(MINILM), np.random.default_rng(0)
    differences: Counter[str] = Counter()
    for spec in space.sample(300, seed=0):
        other = space.mutated(spec, rng)
        assert other in space
        assert other != spec
        assert abs(len(other.layers) - len(spec.layers)) <= 1
        if len(other.layers) != len(spec.layers):
            differences["depth"] += 1
        elif other.layers[0].hidden_size != spec.layers[0].hidden_size:
            differences["width"] += 1
            assert [layer.feed_forward for layer in other.layers] == [layer.feed_forward for layer in spec.layers]
        else:
            changed = [(a, b) for a, b in zip(spec.layers, other.layers, strict=True) if a != b]
            parts = sum((len(a.heads) != len(b.heads)) + (a.feed_forward != b.feed_forward) for a, b in changed)
            assert parts in (1, 2)
            differences[f"{parts} parts"] += 1
    assert min(differences[name] for name in ("depth", "width", "1 parts", "2 parts")) >= 10


def test_mutations_reach_every_member():
    root = hetero(attention(8, 2, 3), mixed("sa_sdp sa_wma sa_sdp", 8, 2), attention(8, 1, 4))
    space, rng = Subarchitectures(root, (8, 4)), np.random.default_rng(0)
    reached, spec = set(), space.spec(0)
    for _ in range(20_000):
        spec = space.mutated(spec, rng)
        reached.add(space.index(spec))
    assert len(reached) > 0.99 * space.size


def test_networks_can_be_built_of_members():
    root = ModelSpec.homogeneous(2, 16, 4, 32)
    for spec in Subarchitectures(root).sample(10, seed=0):
        config = FlexiBERTConfig(model_dict=spec.to_dict(), vocab_size=8)
        assert FlexiBERTModel(config).config.model_spec == spec


@pytest.mark.parametrize(
    ("root", "hidden_sizes", "message"),
    [
        (ModelSpec.side_by_side([MINILM, MINILM]), (), "'root' must be a single architecture. Got 2 groups"),
        (MINILM, (384, 500), r"whole numbers from 1 to the root's 384. Got \(384, 500\)"),
        (TINY["several widths"], (4,), r"'hidden_sizes' must be left out .* several widths.* Got \(4,\)"),
        (TINY["transforms keep their heads"], (4,), "standard layers whose heads belong together"),
    ],
    ids=["grouped", "too wide", "several widths", "transforms"],
)
def test_what_cannot_be_is_refused(root, hidden_sizes, message):
    with pytest.raises(ValueError, match=message):
        Subarchitectures(root, hidden_sizes)


def test_numbers_outside_of_the_space_are_refused():
    space = Subarchitectures(TINY["one layer"])
    with pytest.raises(ValueError, match=r"'index' must be in range\(12\). Got 12"):
        space.spec(12)
    with pytest.raises(ValueError, match="'num_specs' must be at most the number of architectures 12. Got 13"):
        space.sample(13, seed=0)
