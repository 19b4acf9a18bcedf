"""The mMR at span 1, as its list mode counts: a plane for every ring pair, against the scanner's published facts."""

import math

import numpy as np
import pytest

import pettutor as pt


@pytest.fixture(scope="module")
def scanner():
    return pt.Scanner.preset("mmr", span=1)


def crystal(c):
    """(y, x) of a live crystal position, mm: 8 crystals of 4.011 mm and a gap on each of 56 flat blocks, y down."""
    block, place = divmod(c, 9)
    assert place < 8
    angle = math.pi / 2 - math.pi / 56 - 0.001 - block * 2 * math.pi / 56
    along = (place - 3.5) * 32.09 / 8  # crystals are counted towards decreasing angle
    x = 334.7 * math.cos(angle) + along * math.sin(angle)
    up = 334.7 * math.sin(angle) - along * math.cos(angle)
    return -up, x


def test_a_segment_for_every_ring_difference(scanner):
    differences = [0, *(sign * d for d in range(1, 61) for sign in (-1, 1))]
    assert [s.number for s in scanner.segments] == differences
    # 64, 63, 63, 62, 62 … 4, 4: so many pairs of 64 rings are so far apart
    sizes = [64 - abs(d) for d in differences]
    assert [s.size for s in scanner.segments] == sizes
    assert sum(sizes) == 4084 == scanner.sinogram_shape[0]
    assert [s.planes.start for s in scanner.segments] == [sum(sizes[:n]) for n in range(121)]


@pytest.mark.parametrize(
    ("plane", "rings"),
    [
        (0, (0, 0)),
        (63, (63, 63)),
        (64, (1, 0)),  # the first of segment -1: its second end at smaller z
        (127, (0, 1)),
        (64 + 2 * sum(64 - d for d in range(1, 37)) + 5, (42, 5)),  # the sixth of segment -37
        (4083, (3, 63)),
    ],
)
def test_ends_of_a_line_lie_on_two_crystals_of_its_two_rings(scanner, plane, rings):
    view, w = 17, 101
    c0, c1 = (math.floor(view + 0.5 * n) % 504 for n in (504 - 2 + 172 - w, 1008 - 2 - 172 + w))
    ends = scanner.lor_endpoints(slice(plane, plane + 1), slice(view, view + 1), slice(w, w + 1))
    for end, c, ring in zip(ends, (c0, c1), rings, strict=True):
        assert end.shape == (1, 1, 1, 3)
        np.testing.assert_allclose(end.ravel(), ((ring - 31.5) * 4.0625, *crystal(c)), atol=1e-9)
    assert scanner.plane_of_ring_pair[rings] == plane and scanner.ring_pairs_per_plane[plane] == 1
