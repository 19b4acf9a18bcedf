"""The data of scans, kept outside the graph: a network names a scan by its number, and only images cross the bridge."""

import hashlib
import threading
from collections import OrderedDict
from typing import NamedTuple

import numpy as np

from pettutor.acquisition import AcquisitionBatch
from pettutor.arrays import array_module, describe, find_cupy, is_cupy, to_numpy
from pettutor.reconstruction.inputs import check_background, check_data, same_layout
from pettutor.reconstruction.poisson import ratio, ratio_slope

KEEP_BYTES = 512 << 20


class Scan(NamedTuple):
    """A scan: counts, operator, background, ``s = Aᵀ1`` and its mean where it is not 0 (counts per activity)."""

    prompts: object
    operator: object
    background: object
    sensitivity: object
    mean_sensitivity: float


class Scans:
    """Measured counts and acquisition models of any number of scans on one image grid.

    Parameters
    ----------
    scans : iterable of (prompts, A), optional
        As for `add`.
    keep_bytes : int
        Memory for expected counts ȳ that a training step computes on its way forward and needs once more on its way
        back. What does not fit, or is never asked for, is dropped and computed anew where it is needed: the price is
        one projection, never a leak.

    Attributes
    ----------
    in_shape : (z, y, x) of the images; None before the first scan.
    dtype : of the operators (float32; algorithms' tests take float64).

    An EM update is ``x ⊙ E(x)`` with the *EM ratio*

        E(x) = Aᵀ(y / (A x + r)) / s,    s = Aᵀ1,

    and the vector–Jacobian product of E is (derived)

        J_Eᵀ g = -Aᵀ[ (y / ȳ²) ⊙ A(g / s) ],

    so that images are all that goes in and comes out.
    """

    def __init__(self, scans=(), keep_bytes=KEEP_BYTES):
        self.keep_bytes = int(keep_bytes)
        self.in_shape = self.dtype = None
        self._scans = []
        self._expected = OrderedDict()  # (scan, image) -> ȳ
        self._going_back = False
        # a framework may call from several threads of its own; the projector uses all cores for one
        self._lock = threading.RLock()
        for prompts, A in scans:
            self.add(prompts, A)

    def __len__(self):
        return len(self._scans)

    def __getitem__(self, number):
        """The `Scan` of that number."""
        return self._chosen([number])[0]

    def __repr__(self):
        where = "" if self.in_shape is None else f" on images of {self.in_shape}"
        return f"<Scans: {len(self)}{where}>"

    def add(self, prompts, A, background=None):
        """Add a scan and return its number.

        Parameters
        ----------
        prompts : array of ``A.out_shape``
            Measured counts.
        A : operator
            Of the same image shape, dtype and device as the others'.
        background : sinogram or float, optional
            Expected randoms and scatter; by default ``A.background``, where there is one.

        Raises
        ------
        TypeError, ValueError
            Data that do not fit the operator, or a scan that does not fit the others.
        """
        y = check_data(prompts, A)
        r = check_background(background, A, y)
        if self._scans and (A.in_shape, A.dtype, is_cupy(y)) != (self.in_shape, self.dtype, self.on_gpu):
            raise ValueError(
                f"scan: expected images of {self.in_shape}, {self.dtype}, {'CuPy' if self.on_gpu else 'NumPy'} like "
                f"the others, got {A.in_shape} and {describe(y)}"
            )
        xp = array_module(y)
        s = A.T(xp.ones(A.out_shape, A.dtype))
        inside = s > 0
        if not bool(inside.any()):
            raise ValueError("scan: expected an operator that sees something, got a sensitivity of 0 everywhere")
        mean = float(s[inside].mean(dtype=np.float64))
        self.in_shape, self.dtype = A.in_shape, A.dtype
        self._scans.append(Scan(y, A, r, s, mean))
        return len(self._scans) - 1

    @property
    def on_gpu(self):
        """Whether the scans lie on a GPU (CuPy arrays)."""
        return bool(self._scans) and is_cupy(self._scans[0].prompts)

    def sensitivity(self, numbers):
        """Sensitivity over its mean where it is not 0: images (n, z, y, x), about 1, dimensionless."""
        chosen = self._chosen(numbers)
        xp = array_module(chosen[0].sensitivity)
        return xp.stack([c.sensitivity / self.dtype.type(c.mean_sensitivity) for c in chosen])

    def em_ratio(self, numbers, images, keep=False):
        """E(x) of every image: (n, z, y, x), 0 where the sensitivity is 0.

        Parameters
        ----------
        numbers : n whole numbers
            Which scan each image belongs to.
        images : array (n, z, y, x)
            Activity.
        keep : bool
            Keep the expected counts for `em_ratio_gradient` at the same images.

        Raises
        ------
        ValueError
            A number without scan, images of another shape.
        """
        chosen, images = self._chosen(numbers), self._here(images, len(numbers))
        with self._lock:
            A = AcquisitionBatch([c.operator for c in chosen])
            expected = self._expected_counts(chosen, A, images)
            ratios = self._over_scans(ratio, chosen, expected)
            if keep and self.keep_bytes:
                if self._going_back:  # a new training step: what the last one has left (its first layer's) goes
                    self._expected.clear()
                    self._going_back = False
                for number, image, mean in zip(numbers, images, expected, strict=True):
                    self._keep(_key(number, image), mean)
            back = A.T(ratios)
            return self._over_sensitivity(back, chosen)

    def em_ratio_gradient(self, numbers, images, gradient):
        """``J_Eᵀ g`` at every image: two projections where the expected counts were kept, else three."""
        chosen, images = self._chosen(numbers), self._here(images, len(numbers))
        gradient = self._here(gradient, len(numbers))
        with self._lock:
            A = AcquisitionBatch([c.operator for c in chosen])
            self._going_back = True
            kept = [
                self._expected.pop(_key(n, image), None) if self._expected else None
                for n, image in zip(numbers, images, strict=True)
            ]
            if any(k is None for k in kept):
                expected = self._expected_counts(chosen, A, images)
            else:
                expected = array_module(images).stack(kept)
            slopes = self._over_scans(ratio_slope, chosen, expected)
            slopes *= A(self._over_sensitivity(gradient, chosen))
            return -A.T(slopes)

    # ---- small parts

    def _chosen(self, numbers):
        try:
            return [self._scans[int(n)] if int(n) >= 0 else self._scans[len(self)] for n in numbers]
        except IndexError:
            known = f"0 … {len(self) - 1}" if self._scans else "none: no scan was added"
            raise ValueError(f"scan: expected the number of a scan ({known}), got {list(map(int, numbers))}") from None

    def _here(self, images, count):
        """Images on the scans' device, in their dtype."""
        expected = (count, *self.in_shape)
        if tuple(images.shape) != expected:
            raise ValueError(f"images: expected shape {expected}, got {describe(images)}")
        if self.on_gpu:
            return find_cupy().ascontiguousarray(find_cupy().asarray(images, dtype=self.dtype))
        return np.ascontiguousarray(to_numpy(images), dtype=self.dtype)

    def _expected_counts(self, chosen, A, images):
        """ȳ = A x + r."""
        expected = A(images)
        for mean, scan in zip(expected, chosen, strict=True):
            mean += scan.background
        return expected

    def _over_scans(self, function, chosen, expected):
        result = array_module(expected).empty_like(expected)
        for out, mean, scan in zip(result, expected, chosen, strict=True):
            out[...] = function(same_layout(scan.prompts, mean), mean)
        return result

    def _over_sensitivity(self, images, chosen):
        xp = array_module(images)
        result = xp.empty_like(images)
        for out, image, scan in zip(result, images, chosen, strict=True):
            inside = scan.sensitivity > 0
            out[...] = xp.where(inside, image / xp.where(inside, scan.sensitivity, 1), 0)
        return result

    def _keep(self, key, expected):
        if key is None or expected.nbytes > self.keep_bytes:
            return
        self._expected[key] = expected
        self._expected.move_to_end(key)
        while sum(e.nbytes for e in self._expected.values()) > self.keep_bytes:
            self._expected.popitem(last=False)


def _key(number, image):
    """What an image's expected counts are kept under: its scan and its content.

    By content, because a framework is free to call forward and backward in any order, or twice. On a GPU the content
    would have to come to the host first: there nothing is kept.
    """
    if is_cupy(image):
        return None
    return int(number), hashlib.blake2b(image, digest_size=16).digest()
