"""The maps of the ``brainweb`` package (1.7), reproduced with their faults, for comparison only.

What differs from the correct maps: around-fat, dura and marrow are never matched and stay 0 everywhere (also in mu);
"bone" is painted over skull; images are sampled by linear interpolation at voxel centres instead of averaged; the head
lies half a voxel off along x on the mMR grid. Noise is drawn as the package draws it after ``brainweb.seed(seed)``,
but from a generator of its own.
"""

import numpy as np

from pettutor.phantoms import tissues
from pettutor.phantoms.resample import axis_segments
from pettutor.phantoms.texture import STRENGTH

LOST = (tissues.AROUND_FAT, tissues.DURA, tissues.MARROW)


def _layout(subject, grid):
    """Resized shape and left padding along (z, y, x), as in ``brainweb.toPetMmr``."""
    resized = [
        int(np.rint(n * d / g))
        for n, d, g in zip(subject.labels.shape, subject.voxel_size, grid.voxel_size, strict=True)
    ]
    if any(abs(c) > 1e-6 for c in grid.centre) or any(r > n for r, n in zip(resized, grid.shape, strict=True)):
        raise ValueError(
            f"grid: expected a grid centred at (0, 0, 0) of at least {tuple(resized)} voxels for legacy=True "
            f"(the package pads, it cannot crop), got shape {tuple(grid.shape)}, centre {tuple(grid.centre)}"
        )
    left = [(n - r) // 2 for r, n in zip(resized, grid.shape, strict=True)]
    # the package pads first and turns y round afterwards
    left[1] = grid.shape[1] - resized[1] - left[1]
    return resized, left


def package_segments(subject, grid):
    """Segments that put the labels where the package puts its images."""
    resized, left = _layout(subject, grid)
    return tuple(
        axis_segments(p, r / n, n, 0.0, 1.0, g)
        for p, r, n, g in zip(left, resized, subject.labels.shape, grid.shape, strict=True)
    )


def _taps(count, resized):
    """Two neighbours and the weight of the second for linear interpolation at the resized voxels' centres."""
    position = (np.arange(resized) + 0.5) * count / resized - 0.5
    first = np.floor(position).astype(int)
    return first, position - first


def _sample(labels, table, resized):
    """Linear interpolation of ``table[labels]``, painting only the label voxels that are needed."""
    axes = [_taps(n, r) for n, r in zip(labels.shape, resized, strict=True)]
    out = np.zeros(resized)
    for corner in np.ndindex(2, 2, 2):
        index, weight = [], []
        for (first, w), c, n in zip(axes, corner, labels.shape, strict=True):
            i = first + c
            inside = (i >= 0) & (i < n)  # zero outside the volume
            index.append(np.clip(i, 0, n - 1))
            weight.append(np.where(inside, w if c else 1 - w, 0.0))
        out += table[labels[np.ix_(*index)]] * (
            weight[0][:, None, None] * weight[1][None, :, None] * weight[2][None, None, :]
        )
    return out


def package_images(subject, grid, pet_values, structure, seed):
    """Return the images pet, mu, t1 and t2 of the package on a grid, float32."""
    from scipy.ndimage import gaussian_filter

    if structure > 0 and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise TypeError(f"seed: expected an int with legacy=True (it seeds NumPy's old generator), got {seed!r}")
    resized, left = _layout(subject, grid)
    box = tuple(slice(p, p + r) for p, r in zip(left, resized, strict=True))
    values = {
        "pet": pet_values,
        "mu": tissues.MU,
        "t1": {**tissues.T1, tissues.SKULL: 48.0},
        "t2": {**tissues.T2, tissues.SKULL: 200.0},
    }
    images = {}
    # the package draws from NumPy's old generator, in the order pet, t1, t2
    state = np.random.RandomState(seed) if structure > 0 else None
    for name in ("pet", "t1", "t2", "mu"):
        table = tissues.lookup_table({k: v for k, v in values[name].items() if k not in LOST})
        part = _sample(subject.labels, table, resized)
        if state is not None and name in STRENGTH:
            # drawn before y is turned round, hence the flip; zeros outside, hence a rim where the noise is weaker
            r = gaussian_filter(state.random(tuple(grid.shape)), 1.0, mode="constant")[:, ::-1]
            part *= 1 + structure * STRENGTH[name] * (2 * r[box] - 1)
        images[name] = np.zeros(grid.shape, np.float32)
        images[name][box] = part
    return {name: images[name] for name in ("pet", "mu", "t1", "t2")}
