"""Slow, independent float64 references that the tests compare with; nothing here imports the code under test."""

import itertools

import numpy as np


def joseph_weights(start, end, grid):
    """Voxel weights of one line by Joseph's method, plane by plane: {(k, j, i): mm}."""
    start, end = np.asarray(start, float), np.asarray(end, float)
    direction = end - start
    # the dominant axis; ties go to x before y before z
    axis = max((2, 1, 0), key=lambda a: abs(direction[a]))
    spacing = grid.voxel_size[axis] * np.linalg.norm(direction) / abs(direction[axis])
    others = [a for a in range(3) if a != axis]
    weights = {}
    for plane in range(grid.shape[axis]):
        t = (grid.origin[axis] + plane * grid.voxel_size[axis] - start[axis]) / direction[axis]
        if not 0 <= t <= 1:
            continue
        point = start + t * direction
        position = [(point[a] - grid.origin[a]) / grid.voxel_size[a] for a in others]
        low = [int(np.floor(p)) for p in position]
        for corner in itertools.product((0, 1), repeat=2):
            index = [0, 0, 0]
            index[axis] = plane
            weight = spacing
            for a, p, base, c in zip(others, position, low, corner, strict=True):
                index[a] = base + c
                weight *= (p - base) if c else 1 - (p - base)
            if weight and all(0 <= n < size for n, size in zip(index, grid.shape, strict=True)):
                weights[tuple(index)] = weights.get(tuple(index), 0.0) + weight
    return weights


def joseph_integral(image, start, end, grid):
    """One line integral by `joseph_weights`."""
    return sum(w * float(image[v]) for v, w in joseph_weights(start, end, grid).items())


def ellipsoid_chords(starts, ends, centre, semi_axes):
    """Exact lengths that lines (…, 3) run inside an ellipsoid (an infinite semi-axis makes a cylinder), mm."""
    centre, semi = np.asarray(centre, float), np.asarray(semi_axes, float)
    direction = ends - starts
    p, d = (starts - centre) / semi, direction / semi
    a, b, c = (d * d).sum(-1), (p * d).sum(-1), (p * p).sum(-1) - 1
    root = np.sqrt(np.maximum(b * b - a * c, 0))
    low, high = np.clip((-b - root) / a, 0, 1), np.clip((-b + root) / a, 0, 1)
    return (high - low) * np.linalg.norm(direction, axis=-1)


def ellipsoid_image(grid, centre, semi_axes, fine=4):
    """Fraction of each voxel inside an ellipsoid, by ``fine``³ points a voxel."""
    total = np.zeros(grid.shape)
    offsets = (np.arange(fine) + 0.5) / fine - 0.5
    axes = [o + d * np.arange(n) for o, d, n in zip(grid.origin, grid.voxel_size, grid.shape, strict=True)]
    for shift in itertools.product(offsets, repeat=3):
        z, y, x = (
            ((a + s * d - c) / e) ** 2
            for a, s, d, c, e in zip(axes, shift, grid.voxel_size, centre, semi_axes, strict=True)
        )
        total += (z[:, None, None] + y[:, None] + x) <= 1
    return (total / fine**3).astype(np.float32)


def mlem(y, matrix, background, iterations, start):
    """MLEM on a dense float64 matrix, bin by bin and voxel by voxel."""
    x = np.array(start, float)
    bins, voxels = matrix.shape
    for _ in range(iterations):
        expected = [sum(matrix[i, j] * x[j] for j in range(voxels)) + background[i] for i in range(bins)]
        new = np.zeros(voxels)
        for j in range(voxels):
            sensitivity = sum(matrix[i, j] for i in range(bins))
            if sensitivity > 0:
                back = sum(matrix[i, j] * (y[i] / expected[i] if expected[i] > 0 else 1.0) for i in range(bins))
                new[j] = x[j] / sensitivity * back
        x = new
    return x
