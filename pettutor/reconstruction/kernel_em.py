"""Kernel expectation maximisation: the image as a mixture that another image lays out."""

from pettutor.arrays import check_array
from pettutor.operators import LinearOperator
from pettutor.reconstruction.inputs import check_data
from pettutor.reconstruction.passes import order_of_passes, run_passes
from pettutor.reconstruction.record import Record


def kernel_em(
    y,
    A,
    kernel,
    *,
    iterations=100,
    subsets=1,
    order="interleaved",
    seed=0,
    background=None,
    start=None,
    mask=None,
    sensitivity=None,
    record=None,
    callback=None,
    progress=False,
):
    """Reconstruct the image ``x = K α`` by EM for α: ``α ← α / (Kᵀ Aᵀ1) · Kᵀ Aᵀ(y / (A K α + r))``.

    The likelihood never falls (with one subset). There is no penalty: K alone says which images are easily reached, so
    what it does not know of, such as a lesion that only PET shows, comes up slowly. It takes several times the
    iterations of MLEM; with the identity for K it is MLEM.

    Parameters
    ----------
    y : array of ``A.out_shape``
        Measured counts (prompts).
    A : operator
    kernel : KernelMatrix or any operator to ``A.in_shape``
        K, weights >= 0; `mr_kernel` makes it from MR images.
    subsets, order, seed
        As for `osem`; 1 for the algorithm that never lets the likelihood fall.
    start : array of ``kernel.in_shape``, optional
        First *coefficients* α, >= 0 (default: all 1). To resume: those that ``record.coefficients`` holds.
    mask : bool array of ``A.in_shape``, optional
        Voxels of x to reconstruct; the others stay 0.
    record : Record, optional
        Grows with log-likelihood and seconds of each iteration; ``record.coefficients`` is the last α.
    callback : callable, optional
        ``callback(iteration, image)`` after every iteration, counted from 1; the image is K α, an array of its own.
    iterations, background, sensitivity, progress
        As for `mlem` (the sensitivity is that of A, ``Aᵀ1``).

    Returns
    -------
    array of ``A.in_shape``
        K α. Stopping by the keyboard gives back that of the last finished iteration and says so.

    Raises
    ------
    TypeError, ValueError
        As `osem`; a kernel that is no operator, or does not give images of A.
    NotImplementedError
        Subsets of an operator without.

    References
    ----------
    G. Wang, J. Qi, IEEE Trans. Med. Imaging 34(1):61, 2015.
    """
    check_data(y, A)
    K = _Masked(kernel, A, mask)
    record = Record() if record is None else record
    if sensitivity is not None:
        sensitivity = check_array(sensitivity, "sensitivity", shape=A.in_shape, dtype=A.dtype, nonnegative=True)
        sensitivity = K.T(sensitivity)  # of the coefficients

    def image_of(iteration, coefficients):
        record.coefficients = coefficients
        callback(iteration, K(coefficients))

    record.coefficients = run_passes(
        "Kernel EM", y, _Product(A, K), subsets=subsets, order=order_of_passes(subsets, order, seed),
        iterations=iterations, background=background, start=start, mask=None, sensitivity=sensitivity, record=record,
        callback=None if callback is None else image_of, progress=progress,
    )  # fmt: skip
    return K(record.coefficients)


class _Masked(LinearOperator):
    """The kernel, and after it 0 outside the mask."""

    input_name, output_name = "start", "image"

    def __init__(self, kernel, A, mask):
        if not (callable(kernel) and all(hasattr(kernel, name) for name in ("T", "in_shape", "out_shape", "dtype"))):
            raise TypeError(f"kernel: expected an operator such as mr_kernel makes, got {kernel!r:.80}")
        if tuple(kernel.out_shape) != tuple(A.in_shape):
            raise ValueError(f"kernel: expected one that gives images of shape {A.in_shape}, got {kernel!r:.80}")
        if kernel.dtype != A.dtype:
            raise TypeError(f"kernel: expected dtype {A.dtype} (that of the operator), got {kernel.dtype}")
        super().__init__(kernel.in_shape, A.in_shape)
        self.dtype = A.dtype
        self.kernel = kernel
        self.mask = None if mask is None else check_array(mask, "mask", shape=A.in_shape, dtype=bool)

    def _forward(self, coefficients):
        image = self.kernel(coefficients)
        return image if self.mask is None else image * self.mask

    def _adjoint(self, image):
        return self.kernel.T(image if self.mask is None else image * self.mask)


class _Product(LinearOperator):
    """A after K: coefficients to counts."""

    input_name = "start"

    def __init__(self, A, K):
        super().__init__(K.in_shape, A.out_shape)
        self.dtype, self.background = A.dtype, getattr(A, "background", 0.0)
        self.A, self.K = A, K

    def subset(self, k, n):
        return _Product(self.A.subset(k, n), self.K)

    def subset_of(self, array, k, n):
        return self.A.subset_of(array, k, n)

    def _forward(self, coefficients):
        return self.A(self.K(coefficients))

    def _adjoint(self, y):
        return self.K.T(self.A.T(y))
