"""Dictionaries of image patches: learnt from one image, they approximate another by a few atoms a patch."""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from pettutor.arrays import array_module, check_array, is_cupy, random_generator, to_numpy
from pettutor.threads import share_out

BLOCK = 8192  # patches that are coded at once


@dataclass(frozen=True, eq=False, repr=False)
class PatchCode:
    """What a dictionary makes of an image.

    image : float array (z, y, x)
        The mean of what the overlapping patches say, ``Σ R_pᵀ (m_p + D α_p) / Σ R_pᵀ R_p``.
    counts : float array (z, y, x)
        In how many patches each voxel lies, the diagonal of ``Σ R_pᵀ R_p``.
    supports : int array (patch, sparsity)
        Atoms of each patch, -1 for none; patches in the order (z, y, x) of their corners.
    disagreement : float
        ``Σ_p |m_p + D α_p|² - Σ_j counts_j image_j²``: how much the patches differ where they overlap.
    """

    image: object
    counts: object
    supports: object
    disagreement: float

    def misfit(self, x):
        """``Σ_p |R_p x - m_p - D α_p|²`` of an image, a float."""
        return float((self.counts * (x - self.image) ** 2).sum(dtype="float64")) + self.disagreement


class Dictionary:
    """Atoms for image patches; made by `learn_dictionary`.

    A patch is coded as its own mean plus a few atoms. The mean costs nothing and the atoms have mean 0, so a dictionary
    learnt from MR codes PET as well, and coding c·x gives c times the result.

    Parameters
    ----------
    atoms : float array (atom, voxels of a patch)
        Made to have mean 0 and length 1. At least as many patterns as a patch is to be coded with.
    patch_shape : (int, int, int)
        Of a patch (z, y, x).

    Raises
    ------
    TypeError, ValueError
        Shapes that do not fit, an atom that is constant.
    """

    def __init__(self, atoms, patch_shape):
        atoms = check_array(atoms, "atoms", ndim=2, dtype=(np.float32, np.float64))
        self.patch_shape = tuple(int(n) for n in patch_shape)
        if len(self.patch_shape) != 3 or atoms.shape[1] != math.prod(self.patch_shape):
            raise ValueError(f"atoms: expected rows of {self.patch_shape} numbers, got shape {atoms.shape}")
        atoms = atoms - atoms.mean(axis=1, keepdims=True)
        length = array_module(atoms).sqrt((atoms**2).sum(axis=1, keepdims=True))
        if not float(length.min()) > 1e-6:
            raise ValueError("atoms: expected patterns that are not constant, got one that is")
        self.atoms = atoms / length

    def code(self, image, *, sparsity, threshold=0.0, stride=1, previous=None):
        """Approximate an image patch by patch, by orthogonal matching pursuit.

        Each atom in turn is the one most alike to what is left of the patch; then all chosen so far are fitted anew.

        Parameters
        ----------
        image : float array (z, y, x)
        sparsity : int
            Atoms a patch at most, beside its mean; 0 takes the mean alone.
        threshold : float
            In the image's units: an atom is taken only where it lowers the patch's ``|R_p x - m_p - D α_p|²`` by more
            than ``threshold²`` (so this is the ν of a penalty ``ν ‖α_p‖₀``). Flat parts then get no atoms, edges get
            all they need.
        stride : int
            Step between patches; 1 takes all that overlap. The last one of an axis always ends with the image.
        previous : PatchCode, optional
            Of an image before: where its atoms fit a patch of this one better than those found now, they stay. The
            approximation can then only get better.

        Returns
        -------
        PatchCode

        Raises
        ------
        TypeError, ValueError
            An image smaller than a patch, or of another dtype; a sparsity or stride out of range.

        References
        ----------
        Y. C. Pati, R. Rezaiifar, P. S. Krishnaprasad, Asilomar Conf. Signals 1993; R. Rubinstein et al., Technion
        CS-2008-08 (many signals with one matrix of the atoms' products).
        """
        xp = array_module(image)
        image = check_array(image, "image", ndim=3, dtype=(np.float32, np.float64))
        if any(n < p for n, p in zip(image.shape, self.patch_shape, strict=True)):
            raise ValueError(f"image: expected at least the patch's {self.patch_shape} voxels, got {image.shape}")
        most = min(len(self.atoms), self.atoms.shape[1] - 1)
        check_whole(sparsity, "sparsity", 0, most)
        check_whole(stride, "stride", 1, min(p for p in self.patch_shape if p > 1) if max(self.patch_shape) > 1 else 1)
        if isinstance(threshold, bool) or np.ndim(threshold) or not (np.isfinite(threshold) and threshold >= 0):
            raise ValueError(f"threshold: expected a number >= 0, got {threshold!r}")
        atoms = xp.asarray(self.atoms, image.dtype)
        corners = [_corners(n, p, stride) for n, p in zip(image.shape, self.patch_shape, strict=True)]
        windows = xp.lib.stride_tricks.sliding_window_view(image, self.patch_shape)
        number = [len(c) for c in corners]
        supports = xp.empty((math.prod(number), sparsity), np.int16 if len(self.atoms) < 2**15 else np.int32)
        if previous is not None and previous.supports.shape != supports.shape:
            raise ValueError(f"previous: expected atoms of shape {supports.shape}, got {previous.supports.shape}")
        # blocks of rows of patches; every block keeps its own sum, and they are added in order: any number of threads
        # gives the same bits
        rows = max(1, BLOCK // number[2])
        blocks = [
            (z, begin, min(begin + rows, number[1]))
            for z, begin in itertools.product(range(number[0]), range(0, number[1], rows))
        ]
        sums, energies = [None] * len(blocks), [0.0] * len(blocks)

        def run(which, z, begin, end):
            at = xp.ix_(*(xp.asarray(c) for c in (corners[0][z : z + 1], corners[1][begin:end], corners[2])))
            patches = windows[at].reshape(-1, atoms.shape[1])
            here = slice((z * number[1] + begin) * number[2], (z * number[1] + end) * number[2])
            kept = None if previous is None else previous.supports[here]
            approximation, supports[here] = _pursuit(patches, atoms, sparsity, threshold**2, kept)
            energies[which] = float((approximation**2).sum(dtype="float64"))
            size = (end - begin, number[2], *self.patch_shape)
            sums[which] = self._spread(approximation.reshape(size), corners, begin, end)

        jobs = [(which, *block) for which, block in enumerate(blocks)]
        if is_cupy(image):
            for job in jobs:
                run(*job)
        else:
            share_out(run, jobs)
        total = xp.zeros(image.shape, image.dtype)
        for (z, begin, _), part in zip(blocks, sums, strict=True):
            first = corners[0][z], corners[1][begin], 0
            total[tuple(slice(a, a + n) for a, n in zip(first, part.shape, strict=True))] += part
        counts = [_cover(c, p, n) for c, p, n in zip(corners, self.patch_shape, image.shape, strict=True)]
        counts = xp.asarray(counts[0][:, None, None] * counts[1][:, None] * counts[2], image.dtype)
        mean = total / counts
        disagreement = math.fsum(energies) - float((counts * mean * mean).sum(dtype="float64"))
        return PatchCode(mean, counts, supports, max(disagreement, 0.0))

    def _spread(self, patches, corners, begin, end):
        """The sum of patches (row, column, z, y, x) where they lie, for a block of rows of patches."""
        xp = array_module(patches)
        y, x = corners[1][begin:end] - corners[1][begin], corners[2]
        depth, height, width = self.patch_shape
        result = xp.zeros((depth, y[-1] + height, x[-1] + width), patches.dtype)
        for dz, dy, dx in np.ndindex(self.patch_shape):
            result[dz, (y + dy)[:, None], x + dx] += patches[:, :, dz, dy, dx]  # no voxel twice in one assignment
        return result

    def __repr__(self):
        return f"<Dictionary of {len(self.atoms)} atoms, patches of {' × '.join(map(str, self.patch_shape))} voxels>"


def learn_dictionary(image, *, patch_shape=5, atoms=64, samples=2000, mask=None, passes=2, seed=0):
    """Learn a dictionary from the patches of an image, such as the patient's MR (scikit-learn, mini-batches).

    Minimises ``Σ_p (½ |R_p z - m_p - D α_p|² + |α_p|₁)`` over atoms of length 1 and over the codes, by turns; the
    patches are scaled to a standard deviation of 1. While learning, the sum of the weights is the price instead of
    their number (`Dictionary.code` counts them). Flat patches (a hundredth of the image's contrast and less) teach
    nothing and are left out.

    Parameters
    ----------
    image : float array (z, y, x)
        The units do not matter.
    patch_shape : int or (int, int, int)
        Voxels of a patch (z, y, x); one number for all axes but those of a single voxel.
    atoms : int
        Atoms in all.
    samples : int
        Patches to learn from, drawn where there are more.
    mask : bool array, optional
        Patches whose middle voxel lies in it are taken.
    passes : int
        Over the samples; a millisecond a patch and pass.
    seed : int or numpy.random.Generator
        Draws the patches and the first atoms.

    Returns
    -------
    Dictionary
        In the image's dtype.

    Raises
    ------
    TypeError, ValueError
        As `Dictionary`; fewer patches with contrast than atoms.

    References
    ----------
    J. Mairal, F. Bach, J. Ponce, G. Sapiro, J. Mach. Learn. Res. 11:19, 2010 (learning); J. Tang et al., Phys. Med.
    Biol. 61:6347, 2016 (MR dictionaries for PET).
    """
    from sklearn.decomposition import MiniBatchDictionaryLearning

    image = to_numpy(check_array(image, "image", ndim=3, dtype=(np.float32, np.float64)))
    if np.ndim(patch_shape) == 0:
        check_whole(patch_shape, "patch_shape", 2, max(image.shape))
        patch_shape = tuple(min(int(patch_shape), n) if n > 1 else 1 for n in image.shape)
    if any(n < p for n, p in zip(image.shape, patch_shape, strict=True)):
        raise ValueError(f"image: expected at least the patch's {tuple(patch_shape)} voxels, got {image.shape}")
    check_whole(atoms, "atoms", 1, None)
    rng = random_generator(seed)
    patches = np.lib.stride_tricks.sliding_window_view(image, patch_shape)
    if mask is not None:
        mask = to_numpy(check_array(mask, "mask", shape=image.shape, dtype=bool))
        middle = tuple(slice(p // 2, p // 2 + n) for p, n in zip(patch_shape, patches.shape[:3], strict=True))
        corners = np.argwhere(mask[middle])
    else:
        corners = np.argwhere(np.ones(patches.shape[:3], bool))
    corners = rng.permutation(corners)[: 4 * samples]
    chosen = patches[tuple(corners.T)].reshape(len(corners), -1)
    chosen = chosen - chosen.mean(axis=1, keepdims=True)
    chosen = chosen[chosen.std(axis=1) > 0.01 * image.std()][:samples]
    if len(chosen) < atoms:
        raise ValueError(f"image: expected at least {atoms} patches with contrast (one an atom), got {len(chosen)}")
    chosen = chosen / chosen.std()
    learning = MiniBatchDictionaryLearning(
        atoms, batch_size=256, max_iter=passes, fit_algorithm="lars", max_no_improvement=None, tol=0,
        random_state=int(rng.integers(2**31)),
    )  # fmt: skip
    learnt = learning.fit(chosen).components_
    return Dictionary(learnt.astype(image.dtype), patch_shape)


def _pursuit(patches, atoms, sparsity, price=0.0, kept=None):
    """Orthogonal matching pursuit of many patches at once: (approximations, atoms of each).

    One patch after the other, as scikit-learn's does it, takes some twenty times as long.
    """
    xp = array_module(patches)
    mean = patches.mean(axis=1, keepdims=True)
    likeness = (patches - mean) @ atoms.T  # D^T y
    products = atoms @ atoms.T
    # what is left is nothing but rounding where it is less than this
    nothing = 100 * xp.finfo(patches.dtype).eps * xp.sqrt((patches**2).sum(axis=1))
    support = xp.full((len(patches), sparsity), -1, np.intp)
    weights = xp.zeros((len(patches), sparsity), patches.dtype)
    gain = xp.zeros(len(patches), patches.dtype)
    for step in range(sparsity):
        left = abs(likeness - _combine(weights[:, :step], support[:, :step], products))
        xp.put_along_axis(left, xp.where(support[:, :step] < 0, support[:, :1], support[:, :step]), 0, axis=1)
        best = left.argmax(axis=1)
        useful = xp.take_along_axis(left, best[:, None], axis=1)[:, 0] > nothing
        if step:
            useful &= support[:, step - 1] >= 0
        support[:, step] = xp.where(useful, best, -1)
        fitted, explained = _fit(likeness, products, support[:, : step + 1])
        worth = useful & (explained - gain > price)
        support[:, step] = xp.where(worth, best, -1)
        weights[:, : step + 1] = xp.where(worth[:, None], fitted, weights[:, : step + 1])
        gain = xp.where(worth, explained, gain)
    if kept is not None and sparsity:
        kept = kept.astype(np.intp)
        other, gain_of_kept = _fit(likeness, products, kept)
        # explains more of the patch's energy, for its price
        better = (gain_of_kept - price * (kept >= 0).sum(axis=1) > gain - price * (support >= 0).sum(axis=1))[:, None]
        support, weights = xp.where(better, kept, support), xp.where(better, other, weights)
    return mean + _combine(weights, support, atoms), support


def _fit(likeness, products, support):
    """Least squares on the chosen atoms: weights (patch, atom), and the energy that they explain."""
    xp = array_module(likeness)
    real = support >= 0
    rows = xp.where(real, support, 0)
    both = real[:, :, None] & real[:, None, :]
    # an atom that is none gets an equation of its own, with the solution 0
    alone = xp.eye(support.shape[1], dtype=likeness.dtype)
    matrix = xp.where(both, products[rows[:, :, None], rows[:, None, :]], alone)
    right = xp.where(real, xp.take_along_axis(likeness, rows, axis=1), 0)
    weights = xp.linalg.solve(matrix, right[..., None])[..., 0]
    return weights, (weights * right).sum(axis=1)


def _combine(weights, support, rows):
    """Sums of some rows of a matrix, each with its weight: (patch, column)."""
    xp = array_module(weights)
    result = xp.zeros((len(weights), rows.shape[1]), weights.dtype)
    for k in range(weights.shape[1]):
        result += weights[:, k, None] * rows[support[:, k]]  # -1 takes the last row, with weight 0
    return result


def _corners(voxels, patch, stride):
    """First voxels of the patches along an axis; the last patch ends with the image."""
    last = voxels - patch
    return np.unique(np.append(np.arange(0, last + 1, stride), last))


def _cover(corners, patch, voxels):
    """In how many patches each voxel of an axis lies."""
    return np.bincount((corners[:, None] + np.arange(patch)).ravel(), minlength=voxels).astype(np.float64)


def check_whole(value, name, least, most):
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        limits = f">= {least}" if most is None else f"{least} … {most}"
        raise ValueError(f"{name}: expected a whole number {limits}, got {value!r}")
