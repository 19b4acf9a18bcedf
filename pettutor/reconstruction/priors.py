"""Penalties for maximum-a-posteriori reconstruction: what `map_em` needs to know of a prior.

A prior gives ``value(x)``, ``gradient(x)`` and a separable quadratic that lies above it and touches it at x,
``surrogate(x)`` -> (rho, z): ``U(x') <= U(x) + sum_j rho_j/2 [(x'_j - z_j)² - (x_j - z_j)²]`` with equality at x.
Maximising with the surrogate in the prior's place never lets the objective fall (A. R. De Pierro, IEEE Trans. Med.
Imaging 14(1):132, 1995).
"""

import itertools

import numpy as np

from pettutor.arrays import array_module, check_array


class Reference:
    """Closeness to a given image: ``U(x) = sum_j rho_j/2 (x_j - z_j)²``; the network's step of DIPRecon and MAPEM-Net.

    Parameters
    ----------
    image : float array (z, y, x)
        z, the image to stay close to.
    rho : float or array of the image's shape
        Weights >= 0, in 1/activity².
    """

    def __init__(self, image, rho):
        self.image = check_array(image, "image", finite=True, dtype=(np.float32, np.float64))
        if np.ndim(rho):
            self.rho = check_array(rho, "rho", shape=image.shape, dtype=image.dtype, nonnegative=True)
        elif np.isfinite(rho) and rho >= 0:
            self.rho = float(rho)
        else:
            raise ValueError(f"rho: expected a weight >= 0, got {rho!r}")

    def value(self, x):
        """The penalty of an image, a float."""
        return float((0.5 * self.rho * (x - self.image) ** 2).sum(dtype="float64"))

    def gradient(self, x):
        """Its derivative by every voxel."""
        return self.rho * (x - self.image)

    def surrogate(self, x):
        """(rho, z): the penalty itself."""
        if x.shape != self.image.shape:
            raise ValueError(f"image: expected shape {x.shape} (that of the reconstruction), got {self.image.shape}")
        return self.rho, self.image


class Smoothness:
    """Quadratic smoothing: ``U(x) = beta/2 sum over pairs {j, k} of neighbours of w_jk (x_j - x_k)²``.

    Parameters
    ----------
    beta : float
        Strength >= 0, in 1/activity².
    voxel_size : (float, float, float)
        mm (z, y, x): w_jk is the smallest voxel size over the distance of the two. The 26 voxels round a voxel are its
        neighbours (8 in a single slice); what lies outside the image counts nothing.
    """

    def __init__(self, beta, voxel_size=(1.0, 1.0, 1.0)):
        if not (np.isfinite(beta) and beta >= 0):
            raise ValueError(f"beta: expected a strength >= 0, got {beta!r}")
        size = np.asarray(voxel_size, dtype=float)
        if size.shape != (3,) or not (np.isfinite(size).all() and (size > 0).all()):
            raise ValueError(f"voxel_size: expected three lengths > 0 (z, y, x) in mm, got {voxel_size!r}")
        self.beta = float(beta)
        # one of every two opposite neighbours: (step, weight)
        steps = [step for step in itertools.product((-1, 0, 1), repeat=3) if step > (0, 0, 0)]
        self.neighbours = [(step, float(size.min() / np.linalg.norm(size * step))) for step in steps]

    def weights(self, number, like):
        """w_jk for neighbour ``number`` and every voxel j of the image ``like`` that has it: a number, or an array."""
        return self.neighbours[number][1]

    def _pairs(self, x):
        """For every kind of neighbour: where the voxels j lie, where their neighbours k, and the weights."""
        for number, (step, _) in enumerate(self.neighbours):
            here, there = _shifted(step, x.shape)
            if x[here].size:
                yield here, there, self.weights(number, x)

    def value(self, x):
        """The penalty of an image, a float."""
        return sum(
            float((0.5 * self.beta * w * (x[here] - x[there]) ** 2).sum(dtype="float64"))
            for here, there, w in self._pairs(x)
        )

    def gradient(self, x):
        """Its derivative by every voxel."""
        result = array_module(x).zeros_like(x)
        for here, there, w in self._pairs(x):
            slope = self.beta * w * (x[here] - x[there])
            result[here] += slope
            result[there] -= slope
        return result

    def surrogate(self, x):
        """(rho, z): with ``(x_j - x_k)² <= (2 x_j - m)²/2 + (2 x_k - m)²/2``, m = the pair's sum at x."""
        xp = array_module(x)
        total, sums = xp.zeros_like(x), xp.zeros_like(x)  # of w_jk, and of w_jk times the pair's mean
        for here, there, w in self._pairs(x):
            mean = w * (0.5 * (x[here] + x[there]))
            total[here] += w
            total[there] += w
            sums[here] += mean
            sums[there] += mean
        return 2 * self.beta * total, sums / xp.where(total > 0, total, 1)


class Bowsher(Smoothness):
    """Smoothing only towards those neighbours that look alike in another image, such as the patient's MR.

    ``w_jk`` of `Smoothness` is kept, halved, or dropped, as k is among the most similar neighbours of j and j among
    those of k (J. E. Bowsher et al., IEEE NSS/MIC 2004).

    Parameters
    ----------
    beta, voxel_size
        As of `Smoothness`.
    image : float array (z, y, x)
        The other image; its units do not matter.
    similar : int
        How many of the neighbours of a voxel are taken, 1 … 26.
    """

    def __init__(self, beta, image, similar=9, voxel_size=(1.0, 1.0, 1.0)):
        super().__init__(beta, voxel_size)
        image = check_array(image, "image", finite=True, dtype=(np.float32, np.float64))
        if isinstance(similar, bool) or not isinstance(similar, (int, np.integer)) or not 1 <= similar <= 26:
            raise ValueError(f"similar: expected a whole number 1 … 26, got {similar!r}")
        xp = array_module(image)
        steps = [step for step, _ in self.neighbours]
        both = steps + [tuple(-s for s in step) for step in steps]
        difference = xp.full((len(both), *image.shape), np.inf, np.float32)
        for number, step in enumerate(both):
            here, there = _shifted(step, image.shape)
            difference[number][here] = abs(image[here] - image[there])
        # rank of every neighbour of a voxel, by likeness; equal ones in the order of the steps
        rank = difference.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
        chosen = (rank < similar) & (difference < np.inf)
        self._kept = []
        for number, step in enumerate(steps):
            here, there = _shifted(step, image.shape)
            opposite = number + len(steps)
            self._kept.append(chosen[number][here].astype(np.uint8) + chosen[opposite][there])
        self._shape = image.shape

    def weights(self, number, like):
        if like.shape != self._shape:
            raise ValueError(f"image: expected shape {like.shape} (that of the reconstruction), got {self._shape}")
        return like.dtype.type(0.5 * self.neighbours[number][1]) * self._kept[number]


def _shifted(step, shape):
    """Slices of the voxels that have a neighbour at ``step``, and of these neighbours."""
    here = tuple(slice(max(0, -s), n - max(0, s)) for s, n in zip(step, shape, strict=True))
    there = tuple(slice(max(0, s), n - max(0, -s)) for s, n in zip(step, shape, strict=True))
    return here, there
