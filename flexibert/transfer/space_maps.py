"""Linear maps from a space of one network to the same space of another, which may be larger or smaller.

A space is what several matrices write and several read: the residual stream, the neurons of a feed-forward layer, the
dimensions of a head. A matrix W of the source that writes one mapped space and reads another becomes
``write W read``. Where ``read write`` is the identity on all that the source puts into the space, the function stays.

Growing copies units (``grown_residual``: LayerNorm's mean and variance stay, so whole multiples are exact) or adds
units that nothing reads yet (``padded``). Shrinking keeps the principal directions of the states (``projected``; of
all linear maps to k dimensions the one that loses least, where a random one, Johnson and Lindenstrauss 1984, loses
the same share of every direction), or single units where an activation stands between (``selected``).
Shapes: S source size, T target size, N sampled states.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import pad

RIDGE = 1e-6


@dataclass(frozen=True)
class SpaceMap:
    """How a space of the source lies in the target's.

    Attributes:
        write: (T, S), target coordinates of what the source writes.
        read: (S, T), source coordinates of what the target holds.
        is_unmapped: (T,), coordinates without a counterpart, which keep the target's values.
        source_unit: (T,), the unit of the source that a coordinate copies, -1 for none; where one unit is copied
            several times, its readers differ by noise that cancels, so that training can tell the copies apart.
        norm_scale: factor of LayerNorm weights, for units that do not vary shrink the variance.
    """

    write: Tensor
    read: Tensor
    is_unmapped: Tensor
    source_unit: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))
    norm_scale: float = 1.0

    def norm_weight(self, weight_S: Tensor) -> Tensor:
        """LayerNorm weights (T,): the diagonal of ``write diag(w) read``, rows normalised."""
        share = self.write.abs() if len(self.source_unit) else self.write.square()
        share = share / share.sum(dim=1, keepdim=True).clamp_min(1e-12)
        return self.norm_scale * (share @ weight_S.to(share))

    def cancelling_noise(self, rows: int, std: float, generator: torch.Generator) -> Tensor:
        """Noise (rows, T) that is zero in sum over the copies of each unit, and zero where a unit has one copy."""
        noise = torch.zeros(rows, len(self.write), dtype=self.write.dtype)
        units, counts = self.source_unit[self.source_unit >= 0].unique(return_counts=True)
        for unit in units[counts > 1]:
            places = (self.source_unit == unit).nonzero().flatten()
            drawn = torch.randn(rows, len(places), generator=generator).to(noise) * std
            noise[:, places] = drawn - drawn.mean(dim=1, keepdim=True)
        return noise


def identity(size: int) -> SpaceMap:
    """Both spaces are one."""
    eye = torch.eye(size, dtype=torch.float64)
    return SpaceMap(eye, eye, torch.zeros(size, dtype=torch.bool), torch.arange(size))


def grown_residual(source: int, target: int) -> SpaceMap:
    """Whole copies of all units, and for the rest units that hold the mean of all, which leaves the mean as it is."""
    copies = target // source
    repeated = torch.eye(source, dtype=torch.float64).repeat(copies, 1)
    mean = torch.full((target - copies * source, source), 1 / source, dtype=torch.float64)
    read = torch.cat([repeated.T / copies, torch.zeros(source, len(mean), dtype=torch.float64)], dim=1)
    units = torch.cat([torch.arange(source).repeat(copies), torch.full((len(mean),), -1)])
    scale = (copies * source / target) ** 0.5
    return SpaceMap(torch.cat([repeated, mean]), read, torch.zeros(target, dtype=torch.bool), units, scale)


def spread(source: int, target: int) -> SpaceMap:
    """Copies of units, evenly: for a space with an activation before it and a LayerNorm after it."""
    units = torch.arange(target) % source
    counts = torch.bincount(units, minlength=source)
    write = torch.zeros(target, source, dtype=torch.float64)
    write[torch.arange(target), units] = 1
    return SpaceMap(write, (write / counts).T.contiguous(), torch.zeros(target, dtype=torch.bool), units)


def selected(units: Tensor, source: int, states_NS: Tensor | None = None) -> SpaceMap:
    """Some of the source's units.

    Args:
        units: (T,) of the source.
        source: number of them all.
        states_NS: sampled states; with them ``read`` is the regression of all units on the kept ones.
    """
    write = torch.zeros(len(units), source, dtype=torch.float64)
    write[torch.arange(len(units)), units] = 1
    is_all = len(units) == source
    read = write.T.contiguous() if states_NS is None or is_all else regression(states_NS[:, units], states_NS)
    return SpaceMap(write, read, torch.zeros(len(units), dtype=torch.bool))


def padded(space: SpaceMap, target: int, *, is_unmapped: bool = True) -> SpaceMap:
    """The map with further units up to ``target``, which nothing reads yet: the target's own, or zeros."""
    missing = target - len(space.write)
    write, read = pad(space.write, (0, 0, 0, missing)), pad(space.read, (0, missing))
    return SpaceMap(write, read, pad(space.is_unmapped, (0, missing), value=is_unmapped))


def best_units(states_NS: Tensor, count: int) -> Tensor:
    """The units (count,) that tell most of the others, by pivoted Cholesky decomposition of the second moments."""
    moments = states_NS.double().T @ states_NS.double() / len(states_NS)
    factor = moments.new_zeros(len(moments), count)
    rest = moments.diagonal().clone()
    chosen = torch.zeros(len(moments), dtype=torch.bool)
    for number in range(count):
        unit = int(rest.masked_fill(chosen, -1).argmax())
        chosen[unit] = True
        column = moments[:, unit] - factor[:, :number] @ factor[unit, :number]
        factor[:, number] = column / rest[unit].clamp_min(1e-12).sqrt()
        rest = (rest - factor[:, number].square()).clamp_min(0)
    return chosen.nonzero().flatten()


def shared_directions(weights: list[Tensor], table: Tensor | None, target: int) -> SpaceMap:
    """The directions of a head in which the queries and keys (heads, D, H) of all heads, and a table (rows, D) of
    relative positions, are largest together; a rotation keeps products."""
    grams = [(weight @ weight.transpose(1, 2)).sum(dim=0) for weight in weights]
    grams += [] if table is None else [table.T @ table]
    _, vectors = torch.linalg.eigh(torch.stack([gram / gram.trace().clamp_min(1e-12) for gram in grams]).sum(dim=0))
    basis = vectors.flip(1)[:, :target]
    return SpaceMap(basis.T.contiguous(), basis, torch.zeros(target, dtype=torch.bool))


def best_product(out: Tensor, into: Tensor, target: int) -> SpaceMap:
    """The map of D values to fewer under which ``out`` (H, D) times ``into`` (D, H) changes least (Eckart, Young)."""
    factor_out, factor_into = torch.linalg.qr(out)[1], torch.linalg.qr(into.T)[1]
    left, sizes, right = torch.linalg.svd(factor_out @ factor_into.T)
    root = sizes[:target].clamp_min(1e-12).sqrt()
    write = (left[:, :target] / root).T @ factor_out
    read = factor_into.T @ (right[:target].T / root)
    return SpaceMap(write, read, torch.zeros(target, dtype=torch.bool))


def regression(given_NT: Tensor, wanted_NS: Tensor, ridge: float = RIDGE) -> Tensor:
    """The matrix R (S, T) of smallest ``|wanted - given RT|²``, by ridge regression."""
    given, wanted = given_NT.double(), wanted_NS.double()
    gram = given.T @ given
    gram += ridge * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    return torch.linalg.solve(gram, given.T @ wanted).T


def projected(states_NS: Tensor, target: int) -> SpaceMap:
    """The principal directions of states that LayerNorm gave: the vector of ones, which carries the mean, maps to the
    vector of ones, and lengths are scaled so that LayerNorm finds the variance it expects."""
    states = states_NS.double()
    size = states.shape[1]
    centred = states - states.mean(dim=1, keepdim=True)
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    ones = torch.ones(size, 1, dtype=states.dtype) / size**0.5
    kept = torch.linalg.qr(torch.cat([ones, vectors.flip(1)[:, : target - 1]], dim=1))[0]  # (S, T)
    target_ones = torch.ones(target, 1, dtype=states.dtype) / target**0.5
    basis = torch.linalg.qr(torch.cat([target_ones, torch.eye(target, dtype=states.dtype)[:, 1:]], dim=1))[0]
    # QR may turn signs; both first columns are made to point along the ones.
    kept[:, 0], basis[:, 0] = ones[:, 0], target_ones[:, 0]
    projection = basis @ kept.T
    length = (centred @ projection.T).square().mean().sqrt() / centred.square().mean().sqrt()
    return SpaceMap(projection / length, projection.T.contiguous() * length, torch.zeros(target, dtype=torch.bool))


def blocks(maps: list[tuple[int, int, SpaceMap]], num_source: int, num_target: int) -> SpaceMap:
    """Maps of pieces of equal size as one map.

    Args:
        maps: (target piece, source piece, map) of those that correspond; other pieces of the target keep its values.
        num_source: pieces in the source.
        num_target: pieces in the target.
    """
    target, source = maps[0][2].write.shape if maps else (0, 0)
    write = torch.zeros(num_target, target, num_source, source, dtype=torch.float64)
    read = torch.zeros(num_source, source, num_target, target, dtype=torch.float64)
    own = torch.ones(num_target, target, dtype=torch.bool)
    for place, piece, piece_map in maps:
        write[place, :, piece], read[piece, :, place] = piece_map.write, piece_map.read
        own[place] = piece_map.is_unmapped
    joint = num_target * target, num_source * source
    return SpaceMap(write.reshape(joint), read.reshape(joint[::-1]), own.flatten())
