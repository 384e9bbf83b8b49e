import numpy as np

from design_space import DesignSpace


def test_mutations_are_members_that_differ_in_one_stack_or_in_depth(tiny_space: DesignSpace):
    level = tiny_space.level(layers_per_stack=1)
    rng = np.random.default_rng(0)
    spec = level.spec(5000)
    mutants = [level.mutated(spec, rng) for _ in range(100)]
    assert all(mutant in level and mutant != spec for mutant in mutants)
    same_depth = [mutant for mutant in mutants if len(mutant.layers) == len(spec.layers)]
    assert 80 <= len(same_depth) < 100
    assert {sum(a != b for a, b in zip(m.layers, spec.layers, strict=True)) for m in same_depth} == {1}


def test_mutations_of_heterogeneous_heads_change_one_head_or_one_other_respect(hetero_space: DesignSpace):
    level = hetero_space.level(layers_per_stack=1)
    rng = np.random.default_rng(0)
    spec = level.spec(1000)
    mutants = [level.mutated(spec, rng) for _ in range(300)]
    assert all(mutant in level and mutant.hash != spec.hash for mutant in mutants)
    assert {sum(a != b for a, b in zip(m.layers, spec.layers, strict=True)) for m in mutants} == {1}
    near = {other for place in (0, 1) for other in level.branches[0][place].near(spec.layers[place])}
    changed = [a for mutant in mutants for a, b in zip(mutant.layers, spec.layers, strict=True) if a != b]
    assert near <= set(changed)
    assert sum(layer in near for layer in changed) > 0.6 * len(changed)  # others are drawn anew
