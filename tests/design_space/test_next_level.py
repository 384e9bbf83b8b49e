import itertools

import pytest

from design_space import ModelSpec, next_level


def _spec(layers: int, operation: str, parameter: str | int, hidden: int, heads: int, widths: list[int]) -> ModelSpec:
    return ModelSpec.from_dict(
        {
            "l": layers,
            "o": [operation] * layers,
            "h": [hidden] * layers,
            "n": [heads] * layers,
            "f": [widths] * layers,
            "p": [parameter] * layers,
        }
    )


A = _spec(2, "sa", "sdp", 128, 2, [512])
B = _spec(4, "l", "dct", 256, 2, [512, 512])


def _level(a: ModelSpec, b: ModelSpec, **options: bool):
    return next_level([(a, b)], old_layers_per_stack=2, new_layers_per_stack=1, **options)


def test_children_take_any_choice_of_either_parent_and_keep_the_longer_tail():
    level = _level(A, B)
    # Places 1 and 2: two hidden sizes, one number of heads, two operations, two feed-forward stacks; places 3 and 4:
    # the deeper parent's layer.
    assert level.size == 8**2
    members = [level.spec(i) for i in range(level.size)]
    assert len({spec.hash for spec in members}) == 64  # what both parents share is listed once
    assert all(len(spec.layers) == 4 and spec.layers[2:] == B.layers[2:] for spec in members)
    firsts = {
        (layer.hidden_size, layer.heads[0].operation, len(layer.feed_forward))
        for spec in members
        for layer in spec.layers[:2]
    }
    assert firsts == set(itertools.product((128, 256), ("sa", "l"), (1, 2)))
    assert B in level
    assert A not in level


def test_a_parent_with_itself_spans_itself_alone():
    level = _level(A, A)
    assert [level.spec(i) for i in range(level.size)] == [A]


def test_index_inverts_spec():
    level = _level(A, B, heterogeneous_feed_forward=True)
    assert all(level.index(level.spec(i)) == i for i in range(level.size))


def test_heads_that_do_not_divide_a_width_are_left_out():
    level = _level(_spec(2, "sa", "sdp", 96, 3, [64]), _spec(2, "sa", "sdp", 128, 4, [64]))
    shapes = {(layer.hidden_size, len(layer.heads)) for i in range(level.size) for layer in level.spec(i).layers}
    assert shapes == {(96, 3), (96, 4), (128, 4)}


def test_overlapping_pairs_give_every_architecture_once():
    level = next_level([(A, B), (B, A), (B, B)], old_layers_per_stack=2, new_layers_per_stack=1)
    assert level.size == 65 + 64  # an upper bound: branches overlap
    assert len(list(level.stream(seed=0, limit=level.size))) == 64


@pytest.mark.parametrize(
    ("old", "new", "pairs", "message"),
    [
        (2, 3, [(A, B)], "'new_layers_per_stack' must divide 'old_layers_per_stack' 2. Got 3"),
        (4, 2, [(A, B)], "must consist of stacks of 4 equal layers"),
        (2, 1, [], "at least one pair of parents"),
    ],
    ids=["granularity", "stacks", "nothing"],
)
def test_bad_input_is_refused(old, new, pairs, message):
    with pytest.raises(ValueError, match=message):
        next_level(pairs, old_layers_per_stack=old, new_layers_per_stack=new)
