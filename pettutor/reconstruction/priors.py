"""Penalties for maximum-a-posteriori reconstruction: what `map_em` and `bsrem` need to know of a prior.

A prior gives ``value(x)``, ``gradient(x)`` and a separable quadratic that lies above it and touches it at x,
``surrogate(x)`` -> (rho, z): ``U(x') <= U(x) + sum_j rho_j/2 [(x'_j - z_j)² - (x_j - z_j)²]`` for every image x' >= 0,
with equality at x. Maximising with the surrogate in the prior's place never lets the objective fall (A. R. De Pierro,
IEEE Trans. Med. Imaging 14(1):132, 1995). ``curvature(x)`` is a diagonal C, at least half of what the Hessian at x does
to any image: it says how far a step along the gradient may go. `strength` turns a number without unit into the strength
of any of them.
"""

import numpy as np

from pettutor.arrays import array_module, check_array
from pettutor.reconstruction.inputs import check_number
from pettutor.reconstruction.neighbours import Neighbours, shifted


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

    def curvature(self, x):
        """The weights."""
        return self.rho


class Smoothness(Neighbours):
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
        super().__init__(beta, voxel_size)

    def _value(self, x, first, planes):
        return sum(
            float((0.5 * self.beta * w * (x[here] - x[there]) ** 2).sum(dtype="float64"))
            for here, there, w in self._pairs(x, first, planes)
        )

    def gradient(self, x):
        """Its derivative by every voxel."""
        return self._by_planes(self._gradient, x)

    def _gradient(self, x, first):
        result = array_module(x).zeros_like(x)
        for here, there, w in self._pairs(x, first):
            slope = self.beta * w * (x[here] - x[there])
            result[here] += slope
            result[there] -= slope
        return result

    def surrogate(self, x):
        """(rho, z): with ``(x_j - x_k)² <= (2 x_j - m)²/2 + (2 x_k - m)²/2``, m = the pair's sum at x."""
        return self._by_planes(self._surrogate, x, results=2)

    def _surrogate(self, x, first):
        xp = array_module(x)
        total, sums = xp.zeros_like(x), xp.zeros_like(x)  # of w_jk, and of w_jk times the pair's mean
        for here, there, w in self._pairs(x, first):
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
        steps = [step for step, _ in self.neighbours]
        both = steps + [tuple(-s for s in step) for step in steps]
        chosen = _most_similar(image, both, similar)
        self._kept = []
        for number, step in enumerate(steps):
            here, there = shifted(step, image.shape)
            opposite = number + len(steps)
            self._kept.append(chosen[number][here].astype(np.uint8) + chosen[opposite][there])
        self._shape = image.shape

    def check(self, x):
        """Raise a ValueError for an image of another shape."""
        if x.shape != self._shape:
            raise ValueError(f"image: expected shape {x.shape} (that of the reconstruction), got {self._shape}")

    def _weights(self, number, first, planes, dtype):
        return dtype.type(0.5 * self.neighbours[number][1]) * self._kept[number][first : first + planes]


def _most_similar(image, steps, similar, planes=4):
    """Whether the neighbour at each of the ``steps`` is among the ``similar`` most similar of a voxel: bool (step, …).

    Some planes at a time: the ranks of all neighbours would take fifty times the memory of the image.
    """
    xp = array_module(image)
    chosen = xp.zeros((len(steps), *image.shape), bool)
    for first in range(0, len(image), planes):
        low, high = max(first - 1, 0), min(first + planes + 1, len(image))
        part = image[low:high]
        difference = xp.full((len(steps), *part.shape), np.inf, np.float32)
        for number, step in enumerate(steps):
            here, there = shifted(step, part.shape)
            difference[number][here] = abs(part[here] - part[there])
        inside = slice(first - low, min(first + planes, len(image)) - low)
        difference = difference[:, inside]
        # rank of every neighbour of a voxel, by likeness; equal ones in the order of the steps
        rank = difference.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
        chosen[:, first : first + planes] = (rank < similar) & (difference < np.inf)
    return chosen


class RelativeDifference(Neighbours):
    """Relative difference prior: an edge counts by its height over the activity on its two sides.

    ``U(x) = beta sum over pairs {j, k} of neighbours of w_jk φ(x_j, x_k)``, with ``φ(a, b) = (a - b)² / t`` and
    ``t = a + b + gamma |a - b| + epsilon``. Between nearly equal voxels of activity a this is `Smoothness` of the
    strength beta/a; high edges cost in proportion to their height only. It is convex for x >= 0.

    Parameters
    ----------
    beta : float
        Strength >= 0, in 1/activity.
    gamma : float
        >= 0. The larger, the cheaper are edges: what is higher than about 2/gamma of the activity counts as one.
    epsilon : float
        >= 0, in activity: makes the prior smooth where the image is 0. It should be small against the activities of
        interest (a thousandth of the greatest is usual, and more than enough). With 0, two voxels that are both 0
        count nothing, and algorithms are slow round them.
    voxel_size : (float, float, float)
        As of `Smoothness`.

    References
    ----------
    J. Nuyts et al., IEEE Trans. Nucl. Sci. 49(1):56, 2002.
    """

    def __init__(self, beta, gamma=2.0, epsilon=1e-3, voxel_size=(1.0, 1.0, 1.0)):
        super().__init__(beta, voxel_size)
        self.gamma = check_number(gamma, "gamma: expected a number >= 0")
        self.epsilon = check_number(epsilon, "epsilon: expected an activity >= 0")

    def _terms(self, x, first, planes=None):
        """For every kind of neighbour: where, beta times the weights, the difference d and 1/t (0 for two zeros)."""
        xp = array_module(x)
        for here, there, w in self._pairs(x, first, planes):
            d = x[here] - x[there]
            t = x[here] + x[there] + self.gamma * abs(d) + self.epsilon
            yield here, there, self.beta * w, d, xp.where(t > 0, 1 / xp.where(t > 0, t, 1), 0)

    def _value(self, x, first, planes):
        terms = self._terms(x, first, planes)
        return sum(float((w * d * d * inverse).sum(dtype="float64")) for _, _, w, d, inverse in terms)

    def gradient(self, x):
        """Its derivative by every voxel: ``∂φ/∂a = 2 m - m² - gamma m |m|``, m = d/t, and with -m for b."""
        return self._by_planes(self._gradient, x)

    def _gradient(self, x, first):
        result = array_module(x).zeros_like(x)
        for here, there, w, d, inverse in self._terms(x, first):
            m = d * inverse
            result[here] += w * (2 * m - m * m - self.gamma * m * abs(m))
            result[there] += w * (-2 * m - m * m + self.gamma * m * abs(m))
        return result

    def _curvature(self, x, first):
        """The curvature of the surrogate, rho."""
        rho = array_module(x).zeros_like(x)
        tau = min(2**0.5, 1 + self.gamma)
        for here, there, w, _, inverse in self._terms(x, first):
            curvature = 8 / tau**2 * w * inverse
            rho[here] += curvature
            rho[there] += curvature
        return rho

    def curvature(self, x):
        """Half of the surrogate's: where the image is flat, the diagonal of the Hessian."""
        return 0.5 * self._by_planes(self._curvature, x)

    def surrogate(self, x):
        """(rho, z): each pair adds the curvature ``8 / (τ² t)`` to its voxels, τ = min(√2, 1 + gamma).

        That is 4 / t for gamma >= 0.42, and where the two are equal nothing smaller will do. Proof, epsilon/2 being
        added to all activities, for a pair at p >= q >= 0 (with P = (p, q), T its t) that moves to X = (a, b) >= 0 by
        V:

        - on the side a >= b, t is linear and φ - (its tangent at P) is exactly ``4 (qa - pb)² / (T² t)``. As a cross
          product ``qa - pb`` is below both ``|P| |V|`` and ``|X| |V|``; and t >= τ|X|, T >= τ|P|, as t >= √2|X| where
          a = b, (1 + gamma)|X| on the axis, and is concave on the arc between. So it is <= ``4 |V|² / (τ² T)``.
        - a point with a < b has a mirror image (b, a) on that side. Going over from there, φ stays, what it has
          above the tangent grows by ``2mδ (2 - gamma m)``, m = (p - q)/T, δ = b - a, and the bound grows by
          ``8 (p - q) δ / (τ² T) = 8 mδ / τ²``, which is no less because τ² <= 2.
        """
        rho = self._by_planes(self._curvature, x)
        return rho, x - self.gradient(x) / array_module(x).where(rho > 0, rho, 1)


def strength(kappa, sensitivity, activity, order=2):
    """The strength of a prior, ``kappa · mean(s) · activity^(1 - order)``, from a number kappa without unit.

    kappa keeps its meaning when counts, scanner or units change: near convergence a `Reference` with this rho weighs
    data and image as 1 to kappa.

    Parameters
    ----------
    kappa : float
        >= 0; 1 is strong.
    sensitivity : array
        ``s = Aᵀ1``; the mean is over the voxels where s > 0.
    activity : float
        > 0, typical of the object.
    order : int
        A penalty that grows with the image's scale c as c^order: 2 for `Reference`, `Smoothness` and `Bowsher`, 1 for
        `RelativeDifference`.

    Returns
    -------
    float
        rho or beta.

    Raises
    ------
    TypeError, ValueError
        Numbers out of range; a sensitivity that is 0 everywhere.
    """
    kappa = check_number(kappa, "kappa: expected a number >= 0")
    activity = check_number(activity, "activity: expected a number > 0", zero=False)
    if order not in (1, 2):
        raise ValueError(f"order: expected 1 or 2, got {order!r}")
    s = check_array(sensitivity, "sensitivity", dtype=(np.float32, np.float64), nonnegative=True)
    seen = int((s > 0).sum())
    if not seen:
        raise ValueError("sensitivity: expected a voxel with a sensitivity > 0, got none")
    return kappa * (float(s.sum(dtype="float64")) / seen) * activity ** (1 - order)
