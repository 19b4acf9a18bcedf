"""The acquisition model: what the scanner is expected to count, ``y = N · A_µ · X · H x + r``."""

import numpy as np

from pettutor.arrays import array_module, check_array, check_counts, check_number, ndimage_module
from pettutor.geometry import ImageGrid
from pettutor.operators import LinearOperator, check_operator

# FWHM of a Gaussian over its standard deviation
FWHM_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))


def gaussian_filter(image, fwhm, grid):
    """Blur an image with a Gaussian; outside the image is zero, so the filter is its own adjoint.

    Parameters
    ----------
    image : float array (z, y, x)
    fwhm : float or (float, float, float)
        Full width at half maximum in mm, one for all axes or (z, y, x); 0 leaves an axis as it is. An axis of one
        voxel is left alone too: a single slice stands for an object that does not change along z.
    grid : ImageGrid
        Gives the voxel size.

    Raises
    ------
    ValueError
        A negative or non-finite width, or an image that is not on the grid.
    """
    if not isinstance(grid, ImageGrid):
        raise TypeError(f"grid: expected a pettutor.ImageGrid, got {grid!r:.80}")
    check_array(image, "image", shape=grid.shape, dtype=(np.float32, np.float64), finite=False)
    sigma = [
        w / FWHM_PER_SIGMA / d if n > 1 else 0.0
        for w, d, n in zip(check_fwhm(fwhm, "fwhm"), grid.voxel_size, grid.shape, strict=True)
    ]
    if not any(sigma):
        return image.copy()
    # beyond 4 sigma a Gaussian is below 4e-4 of its peak
    return ndimage_module(image).gaussian_filter(image, sigma, mode="constant", truncate=4.0)


def check_fwhm(fwhm, name="psf_fwhm"):
    """Return three widths in mm from one or three numbers >= 0, else raise ValueError."""
    several = isinstance(fwhm, (list, tuple)) or np.ndim(fwhm)  # NumPy knows no rank of lists of unequal length
    widths = tuple(fwhm) if several else (fwhm,) * 3
    if len(widths) != 3:
        raise ValueError(f"{name}: expected one width or three (z, y, x) in mm, got {fwhm!r:.80}")
    return tuple(check_number(width, f"{name}: expected widths >= 0 mm") for width in widths)


class AcquisitionModel(LinearOperator):
    """The scanner's linear response and its background: ``A x = N · A_µ · X · H x``, expected counts ``A x + r``.

    Parameters
    ----------
    projector : LinearOperator
        X, image (z, y, x) to sinogram (plane, view, bin); blurring also needs its ``.grid``.
    attenuation : float32 sinogram, optional
        Probability that neither photon is absorbed, ``exp(-∫mu)``, 0 … 1.
    normalisation : float32 sinogram, optional
        Counts per unit of line integral: crystal efficiencies, ring pairs per plane, scan time; 0 in the gaps.
        With time of flight, both factors may be (plane, view, bin): they hold for every time-of-flight bin.
    psf_fwhm : float or three floats
        Width of the Gaussian resolution model H, mm; 0 for none. H is its own adjoint.
    background : float32 sinogram or float, optional
        Expected randoms and scatter r, counts.

    The operator is the linear part; ``A.expected(x)`` adds the background. ``A.T`` holds exactly the transposed factors
    in reverse order.

    Raises
    ------
    TypeError, ValueError
        A projector that is no operator; factors or a background of another shape or dtype, negative or not finite; a
        width that is none; a blur without a grid.
    """

    def __init__(self, projector, *, attenuation=None, normalisation=None, psf_fwhm=0.0, background=None):
        check_operator(projector, "projector")
        super().__init__(projector.in_shape, projector.out_shape)
        self.dtype = projector.dtype
        self.projector = projector
        self.psf_fwhm = check_fwhm(psf_fwhm)
        self.grid = getattr(projector, "grid", None)
        if any(self.psf_fwhm) and self.grid is None:
            raise ValueError("psf_fwhm: expected a projector with a grid (it gives the voxel size), got one without")
        factors = [
            self._check_factor(f, name)
            for f, name in ((attenuation, "attenuation"), (normalisation, "normalisation"))
            if f is not None
        ]
        # one factor a bin is all that is ever needed
        self.factors = None if not factors else factors[0] if len(factors) == 1 else factors[0] * factors[1]
        background = 0.0 if background is None else background
        self.background = check_counts(background, "background", shape=self.out_shape, dtype=self.dtype)

    def _check_factor(self, factor, name):
        for_all_times = len(self.out_shape) == 4 and np.ndim(factor) == 3
        shape = self.out_shape[:3] if for_all_times else self.out_shape
        factor = check_array(factor, name, shape=shape, dtype=self.dtype, nonnegative=True)
        return factor[..., None] if for_all_times else factor

    def expected(self, x):
        """Expected counts ``A x + r`` of an image: float32 sinogram."""
        counts = self(x)
        counts += self.background
        return counts

    def subset(self, k, n):
        """The model of every n-th view, its factors and background too; see `Projector.subset`."""
        part = object.__new__(type(self))
        part.__dict__.update(self.__dict__)
        part.projector = self.projector.subset(k, n)
        part.out_shape = part.projector.out_shape
        for name in ("factors", "background"):
            value = getattr(self, name)
            setattr(part, name, self.subset_of(value, k, n) if np.ndim(value) else value)
        return part

    def subset_of(self, array, k, n):
        """What of a sinogram belongs to ``subset(k, n)``, as the projector says."""
        return self.projector.subset_of(array, k, n)

    def _forward(self, x):
        if any(self.psf_fwhm):
            x = gaussian_filter(x, self.psf_fwhm, self.grid)
        y = self.projector._forward(x)
        return y if self.factors is None else array_module(y).multiply(y, self.factors, out=y)

    def _adjoint(self, y):
        if self.factors is not None:
            y = y * self.factors
        x = self.projector._adjoint(y)
        return gaussian_filter(x, self.psf_fwhm, self.grid) if any(self.psf_fwhm) else x

    def __repr__(self):
        width = ", ".join(f"{w:g}" for w in self.psf_fwhm)
        return f"<AcquisitionModel {self.in_shape} -> {self.out_shape}, psf {width} mm, {self.projector!r}>"


class AcquisitionBatch(LinearOperator):
    """Several scans side by side, each with its own acquisition model: images (n, z, y, x) to sinograms (n, …).

    The block-diagonal operator of the models. Those that share one projector project together, which a stored matrix
    does much faster than one by one.

    Parameters
    ----------
    models : sequence of AcquisitionModel, or of other operators
        All of one shape and dtype.

    Raises
    ------
    ValueError
        None at all, or models of different shapes or dtypes.
    """

    def __init__(self, models):
        self.models = tuple(models)
        kinds = {(m.in_shape, m.out_shape, m.dtype) for m in self.models}
        if len(kinds) != 1:
            got = ", ".join(f"{i} -> {o} {d}" for i, o, d in sorted(kinds, key=str)) or "none"
            raise ValueError(f"models: expected operators of one shape and dtype, got {got}")
        ((in_shape, out_shape, dtype),) = kinds
        super().__init__((len(self.models), *in_shape), (len(self.models), *out_shape))
        self.dtype = dtype
        first = self.models[0]
        shared = getattr(first, "projector", None)
        self._projector = shared if all(getattr(m, "projector", None) is shared for m in self.models) else None

    def _forward(self, x):
        if self._projector is None:
            return array_module(x).stack([m._forward(one) for m, one in zip(self.models, x, strict=True)])
        y = self._projector._forward_many(self._blurred(x))
        for model, one in zip(self.models, y, strict=True):
            if model.factors is not None:
                one *= model.factors
        return y

    def _adjoint(self, y):
        if self._projector is None:
            return array_module(y).stack([m._adjoint(one) for m, one in zip(self.models, y, strict=True)])
        weighted = array_module(y).empty_like(y)
        for model, one, out in zip(self.models, y, weighted, strict=True):
            out[...] = one if model.factors is None else one * model.factors
        return self._blurred(self._projector._adjoint_many(weighted))

    def _blurred(self, images):
        if not any(any(m.psf_fwhm) for m in self.models):
            return images
        blurred = [
            gaussian_filter(one, m.psf_fwhm, m.grid) if any(m.psf_fwhm) else one
            for m, one in zip(self.models, images, strict=True)
        ]
        return array_module(images).stack(blurred)
