"""The lattice filter against a plain Gaussian, against the lattice written with loops, and its invariants."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyratok.modeling_pyratok import permutohedral_lattice
from pyratok.modeling_pyratok.permutohedral_lattice import PermutohedralLattice


def random_points(count: int, dimensions: int, spread: float, seed: int = 0) -> torch.Tensor:
    return (torch.rand(count, dimensions, generator=torch.Generator().manual_seed(seed)) - 0.5) * spread


def gaussian_matrix(points: torch.Tensor) -> torch.Tensor:
    """(N, N): exp(-|f_i - f_j|^2 / 2), in float64."""
    return torch.exp(-torch.cdist(points.double(), points.double()).square() / 2)


def lattice_matrix(points: torch.Tensor) -> torch.Tensor:
    return PermutohedralLattice(points).filter(torch.eye(len(points)))


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return torch.corrcoef(torch.stack([a.double().flatten(), b.double().flatten()]))[0, 1].item()


# The lattice is known to be a good Gaussian where points are dense, and a blurry, lossy one where they are sparse: the
# bounds say how good. `normalised` is about filter(v) / filter(1), `plain` about filter(v), which shows the loss.
@pytest.mark.parametrize(
    ("dimensions", "count", "spread", "plain", "normalised", "kernel"),
    [
        (1, 500, 10, 0.01, 0.005, 0.99),
        (2, 800, 8, 0.03, 0.010, 0.99),
        (3, 800, 5, 0.04, 0.010, 0.98),
        (6, 800, 2, 0.20, 0.010, 0.96),
        (6, 800, 5, 0.80, 0.150, 0.90),
    ],
)
def test_close_to_a_gaussian_filter(dimensions, count, spread, plain, normalised, kernel):
    points = random_points(count, dimensions, spread, seed=dimensions)
    values = torch.rand(count, 2, generator=torch.Generator().manual_seed(9))
    lattice, gaussian = PermutohedralLattice(points), gaussian_matrix(points)
    found, wanted = lattice.filter(values).double(), gaussian @ values.double()
    assert ((found - wanted).norm() / wanted.norm()).item() < plain
    found /= lattice.filter(torch.ones(count, 1))
    wanted /= gaussian.sum(1, keepdim=True)
    assert ((found - wanted).norm() / wanted.norm()).item() < normalised
    assert correlation(lattice_matrix(points), gaussian) > kernel


def looped_filter(points: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The lattice as in the paper, in plain Python and float64, vertices found by trying all that could enclose a point."""
    count, d = points.shape
    touched: dict[tuple[int, ...], float] = {}
    shares = [_barycentric(point) for point in points.double().tolist()]
    for share, value in zip(shares, values.tolist(), strict=True):
        for vertex, weight in share.items():
            touched[vertex] = touched.get(vertex, 0.0) + weight * value
    blurred = [_blur(touched, range(d + 1)), _blur(touched, range(d, -1, -1))]
    volume = (d + 1) ** (d - 0.5) / ((d + 1) * math.sqrt(2 / 3)) ** d
    mass = (2 * math.pi) ** (d / 2) / volume
    sums = [
        sum(weight * (one[v] + two[v]) / 2 for v, weight in share.items())
        for share in shares
        for one, two in [blurred]
    ]
    return torch.tensor(sums, dtype=torch.float64) * mass


def _barycentric(point: list[float]) -> dict[tuple[int, ...], float]:
    d = len(point)
    scaled = [x * (d + 1) * math.sqrt(2 / 3) / math.sqrt((i + 1) * (i + 2)) for i, x in enumerate(point)]
    position = [sum(scaled[i:]) - (i * scaled[i - 1] if i else 0.0) for i in range(d + 1)]
    nearest = [math.floor(x / (d + 1)) for x in position]
    corners = itertools.product(*[[(d + 1) * (low - 1 + n) for n in range(4)] for low in nearest])
    # The origin of the simplex is the corner of sum 0 from which no coordinate is more than d + 1 beyond another.
    for corner in corners:
        away = [x - c for x, c in zip(position, corner, strict=True)]
        if sum(corner) == 0 and max(away) - min(away) <= d + 1:
            break
    order = sorted(range(d + 1), key=lambda i: -away[i])
    weights = [(away[order[d - k]] - away[order[d - k + 1]]) / (d + 1) if k else None for k in range(d + 1)]
    weights[0] = 1 - sum(weights[1:])
    lowered = [{order[m] for m in range(d - k + 1, d + 1)} for k in range(d + 1)]
    return {tuple(c + k - (d + 1) * (i in lowered[k]) for i, c in enumerate(corner)): weights[k] for k in range(d + 1)}


def _blur(touched: dict[tuple[int, ...], float], axes: range) -> dict[tuple[int, ...], float]:
    for axis in axes:
        step = [(-(len(axes) - 1) if i == axis else 1) for i in range(len(axes))]
        touched = {
            vertex: value / 2
            + sum(touched.get(tuple(c + side * s for c, s in zip(vertex, step, strict=True)), 0.0) for side in (-1, 1))
            / 4
            for vertex, value in touched.items()
        }
    return touched


@pytest.mark.parametrize(("dimensions", "count", "spread"), [(1, 30, 20), (2, 60, 4), (3, 60, 3), (5, 15, 1.5)])
def test_equal_to_the_lattice_with_loops(dimensions, count, spread):
    points = random_points(count, dimensions, spread, seed=3)
    values = torch.rand(count, generator=torch.Generator().manual_seed(4))
    found = PermutohedralLattice(points).filter(values[:, None])[:, 0].double()
    torch.testing.assert_close(found, looped_filter(points, values), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_neighbours_beyond_the_furthest_points_are_nobody(dimensions):
    """Points at the corners of boxes of many sizes: past the last coordinate the packed keys must not go round."""
    for size in torch.linspace(0.5, 9, 18).tolist():
        # Shifted a little, so that none lies between two simplices, where either is right.
        points = torch.cartesian_prod(*[torch.tensor([0.0, size])] * dimensions)
        points = points + random_points(len(points), dimensions, 0.1, seed=2)
        values = torch.rand(len(points), generator=torch.Generator().manual_seed(6))
        found = PermutohedralLattice(points).filter(values[:, None])[:, 0].double()
        torch.testing.assert_close(found, looped_filter(points, values), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("spread", [2, 8, 100])
def test_the_filter_is_symmetric(spread):
    matrix = lattice_matrix(random_points(300, 6, spread))
    torch.testing.assert_close(matrix, matrix.T, rtol=1e-5, atol=1e-7)
    assert (matrix >= 0).all() and (matrix.diag() > 0).all()


def test_constants_survive_normalisation():
    lattice = PermutohedralLattice(random_points(1000, 6, 20))
    constant = lattice.filter(torch.full((1000, 1), 0.3)) / lattice.filter(torch.ones(1000, 1))
    torch.testing.assert_close(constant, torch.full((1000, 1), 0.3))


def test_channels_are_filtered_apart():
    lattice, values = PermutohedralLattice(random_points(500, 6, 8)), torch.randn(500, 5)
    together = lattice.filter(values)
    alone = torch.cat([lattice.filter(values[:, n : n + 1]) for n in range(5)], dim=1)
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


def test_points_that_are_far_apart_do_not_meet():
    points = torch.cat([random_points(20, 6, 1), random_points(20, 6, 1) + 40])
    matrix = lattice_matrix(points)
    assert (matrix[:20, 20:] == 0).all() and (matrix[20:, :20] == 0).all()
    assert (matrix[:20, :20] > 0).all() and (matrix[20:, 20:] > 0).all()


def test_equal_points_are_one_point():
    points = random_points(4, 6, 3)
    values = torch.rand(12, 1)
    repeated = PermutohedralLattice(points.repeat(3, 1)).filter(values)
    once = PermutohedralLattice(points).filter(values.view(3, 4, 1).sum(0))
    torch.testing.assert_close(repeated, once.repeat(3, 1), rtol=1e-5, atol=1e-6)


def test_the_order_of_points_does_not_matter():
    points, values, order = random_points(400, 6, 6), torch.rand(400, 2), torch.randperm(400)
    there = PermutohedralLattice(points).filter(values)
    again = PermutohedralLattice(points[order]).filter(values[order])
    torch.testing.assert_close(again, there[order], rtol=1e-5, atol=1e-6)


def test_pieces_make_no_difference(monkeypatch):
    points, values = random_points(100, 6, 6), torch.rand(100, 2)
    whole = PermutohedralLattice(points).filter(values)
    monkeypatch.setattr(permutohedral_lattice, "POINTS_AT_ONCE", 7)
    assert torch.equal(PermutohedralLattice(points).filter(values), whole)


def test_the_same_bits_every_time():
    points, values = random_points(5000, 6, 6), torch.rand(5000, 3)
    assert torch.equal(PermutohedralLattice(points).filter(values), PermutohedralLattice(points).filter(values))


def test_vertices_are_shared():
    assert PermutohedralLattice(torch.zeros(1000, 6)).num_vertices == 7
    assert PermutohedralLattice(random_points(1000, 6, 2)).num_vertices < 2000
    assert PermutohedralLattice(random_points(50, 6, 500)).num_vertices == 50 * 7


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 8), st.floats(0, 80), st.floats(-100, 100), st.integers(0, 10**6))
def test_any_points(count, dimensions, spread, offset, seed):
    points = random_points(count, dimensions, spread, seed) + offset
    lattice = PermutohedralLattice(points)
    filtered = lattice.filter(torch.ones(count, 1))
    assert lattice.num_vertices <= count * (dimensions + 1)
    assert filtered.isfinite().all() and (filtered > 0).all()
    assert filtered.max() < count * 2  # at a vertex the kernel's peak is over 1: 1.9 for d = 8


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (torch.zeros(3), "(3,)"),
        (torch.zeros(0, 6), "(0, 6)"),
        (torch.zeros(6, 0), "(6, 0)"),
        (torch.zeros(3, 2, dtype=torch.int64), "int64"),
        (torch.zeros(1, 1).expand(2**29, 3), "536,870,912 points of 3 dimensions are too many"),
        (torch.tensor([[0.0, math.nan]]), "NaN"),
        (torch.tensor([[0.0, math.inf]]), "infinite"),
        (torch.tensor([[0.0] * 6, [5000.0] * 6]), "5000.0"),
        (torch.tensor([[0.0], [1e8]]), "100000000.0"),
    ],
)
def test_wrong_features(features, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        PermutohedralLattice(features)


@pytest.mark.parametrize("values", [torch.zeros(3), torch.zeros(4, 1), torch.zeros(3, 0), torch.zeros(3, 1).long()])
def test_wrong_values(values):
    with pytest.raises(ValueError, match=r"\(3, channels\), got"):
        PermutohedralLattice(torch.zeros(3, 2)).filter(values)
