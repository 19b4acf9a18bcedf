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


def siddon_weights(start, end, grid):
    """Exact length of a line in every voxel, by sorting its crossings of all faces: {(k, j, i): mm}.

    Where it runs along a face, half the length belongs to either side.
    """
    start, end = np.asarray(start, float), np.asarray(end, float)
    direction = end - start
    crossings = [np.array([0.0, 1.0])]
    for axis in range(3):
        if direction[axis] != 0:
            faces = grid.origin[axis] + (np.arange(grid.shape[axis] + 1) - 0.5) * grid.voxel_size[axis]
            crossings.append((faces - start[axis]) / direction[axis])
    at = np.unique(np.clip(np.concatenate(crossings), 0, 1))
    length = np.linalg.norm(direction)
    weights = {}
    for low, high in itertools.pairwise(at):
        position = (start + 0.5 * (low + high) * direction - grid.origin) / grid.voxel_size
        sides = []  # the voxels along each axis; two where the line runs along a face
        for p in position + 0.5:
            face = abs(p - round(p)) < 1e-9
            sides.append((round(p) - 1, round(p)) if face else (int(np.floor(p)),))
        voxels = list(itertools.product(*sides))
        for voxel in voxels:
            if all(0 <= n < size for n, size in zip(voxel, grid.shape, strict=True)):
                weights[voxel] = weights.get(voxel, 0.0) + (high - low) * length / len(voxels)
    return weights


def face_points(start, end, tangents, across, along):
    """The points of two crystal faces that belong together, ``across`` mm along the faces and ``along`` mm along z.

    ``tangents``: unit vectors (y, x) along the two faces; a point on one side of the line pairs with one on that side.
    """
    start, end = np.asarray(start, float), np.asarray(end, float)
    normal = np.array([-(end - start)[2], (end - start)[1]])  # (y, x), across the line
    points = []
    for point, tangent in zip((start, end), tangents, strict=True):
        tangent = np.asarray(tangent, float)
        y, x = across * (tangent if tangent @ normal >= 0 else -tangent)
        points.append(point + np.array([along, y, x]))
    return points


def multi_ray_weights(start, end, tangents, width, height, rays, grid):
    """Mean of `siddon_weights` over rays (across, along z) between the middles of equal parts of the two faces."""
    weights = {}
    for n, m in itertools.product(range(rays[0]), range(rays[1])):
        across, along = (
            size * ((2 * r + 1) / (2 * c) - 0.5) for size, r, c in zip((width, height), (n, m), rays, strict=True)
        )
        for voxel, weight in siddon_weights(*face_points(start, end, tangents, across, along), grid).items():
            weights[voxel] = weights.get(voxel, 0.0) + weight / (rays[0] * rays[1])
    return weights


def _planes(start, end, grid):
    """The axis that a line walks along (y or x, ties to x), and the planes of voxel centres between its ends."""
    walk = 2 if abs(end[2] - start[2]) >= abs(end[1] - start[1]) else 1
    for plane in range(grid.shape[walk]):
        position = grid.origin[walk] + plane * grid.voxel_size[walk]
        if 0 <= (position - start[walk]) / (end[walk] - start[walk]) <= 1:
            yield walk, plane, position


def _meet(ray, walk, position, axis):
    """Where a ray (start, end) meets the plane ``position`` of the axis ``walk``."""
    start, end = ray
    return start[axis] + (position - start[walk]) / (end[walk] - start[walk]) * (end[axis] - start[axis])


def distance_driven_weights(start, end, tangents, width, height, grid):
    """Voxel weights of the tube between two crystal faces, plane by plane from its four edge rays: {(k, j, i): mm}."""
    start, end = np.asarray(start, float), np.asarray(end, float)
    beside = [face_points(start, end, tangents, part * width, 0.0) for part in (-0.5, 0.5)]
    above = [face_points(start, end, tangents, 0.0, part * height) for part in (-0.5, 0.5)]
    weights = {}
    for walk, plane, position in _planes(start, end, grid):
        cross = 3 - walk
        shares = []  # of the tube, in every voxel along z and along the cross axis
        for axis, rays in ((0, above), (cross, beside)):
            low, high = sorted(_meet(ray, walk, position, axis) for ray in rays)
            centres = grid.origin[axis] + grid.voxel_size[axis] * np.arange(grid.shape[axis])
            upper, lower = centres + 0.5 * grid.voxel_size[axis], centres - 0.5 * grid.voxel_size[axis]
            shares.append(np.maximum(np.minimum(upper, high) - np.maximum(lower, low), 0) / (high - low))
        factor = grid.voxel_size[walk] * np.linalg.norm(end - start) / abs(end[walk] - start[walk])
        for k, j in itertools.product(*(np.flatnonzero(s) for s in shares)):
            voxel = (k, plane, j) if walk == 1 else (k, j, plane)
            weights[voxel] = factor * shares[0][k] * shares[1][j]
    return weights


def tube_weights(start, end, tangents, width, height, grid, fine=200):
    """`distance_driven_weights` by brute force: the voxels that ``fine``² rays of the tube hit on every plane."""
    start, end = np.asarray(start, float), np.asarray(end, float)
    parts = (np.arange(fine) + 0.5) / fine - 0.5
    ends = np.array(
        [[face_points(start, end, tangents, a * width, b * height) for b in parts[[0, -1]]] for a in parts]
    )  # (across, lowest and highest, end, zyx); in between they lie evenly
    weights = {}
    for walk, plane, position in _planes(start, end, grid):
        cross = 3 - walk
        first, last = ends[:, :, 0], ends[:, :, 1]
        part = (position - first[..., walk]) / (last[..., walk] - first[..., walk])
        at = first + part[..., None] * (last - first)
        z = np.linspace(at[:, 0, 0], at[:, 1, 0], fine, axis=1)
        j = np.broadcast_to(np.floor((at[:, :1, cross] - grid.origin[cross]) / grid.voxel_size[cross] + 0.5), z.shape)
        k = np.floor((z - grid.origin[0]) / grid.voxel_size[0] + 0.5)
        factor = grid.voxel_size[walk] * np.linalg.norm(end - start) / abs(end[walk] - start[walk])
        inside = (k >= 0) & (k < grid.shape[0]) & (j >= 0) & (j < grid.shape[cross])
        hits = (k[inside] * grid.shape[cross] + j[inside]).astype(int)
        counts = np.bincount(hits, minlength=grid.shape[0] * grid.shape[cross]).reshape(grid.shape[0], -1)
        for row, column in np.argwhere(counts):
            voxel = (row, plane, column) if walk == 1 else (row, column, plane)
            weights[voxel] = factor * counts[row, column] / fine**2
    return weights


def box_chords(starts, ends, low, high):
    """Exact lengths that lines (…, 3) run inside the box between the corners ``low`` and ``high``, mm."""
    direction = ends - starts
    with np.errstate(divide="ignore", invalid="ignore"):
        one, other = (low - starts) / direction, (high - starts) / direction
    one, other = (
        np.where(direction == 0, np.where(side, -np.inf, np.inf), part)
        for side, part in ((starts >= low, one), (starts >= high, other))
    )
    enter, leave = np.minimum(one, other).max(-1), np.maximum(one, other).min(-1)
    return np.maximum(np.minimum(leave, 1) - np.maximum(enter, 0), 0) * np.linalg.norm(direction, axis=-1)


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
