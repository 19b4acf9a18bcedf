"""Maximum-likelihood expectation maximisation."""

from tqdm.auto import tqdm

from pettutor.arrays import array_module
from pettutor.reconstruction.inputs import check_background, check_data, check_iterations, same_layout, start_image
from pettutor.reconstruction.poisson import em_update, log_likelihood, ratio
from pettutor.reconstruction.record import Record


def mlem(y, A, *, iterations=11, background=None, start=None, mask=None, record=None, callback=None, progress=False):
    """Reconstruct by MLEM: ``x ← x / (Aᵀ1) · Aᵀ(y / (A x + r))``.

    Parameters
    ----------
    y : array of ``A.out_shape``
        Measured counts (prompts).
    A : operator
        Anything with the contract ``A(x)``, ``A.T(y)``, ``in_shape``, ``out_shape``.
    iterations : int
        From ``start``; 10 and then 20 more from the result are the same as 30, bit for bit.
    background : array or float, optional
        Expected randoms and scatter r; by default ``A.background`` where the operator has one, else 0.
    start : array of ``A.in_shape``, optional
        First image, >= 0 (default: all 1). Also how to resume.
    mask : bool array of ``A.in_shape``, optional
        Voxels to reconstruct; the others stay 0.
    record : Record, optional
        Grows with log-likelihood and seconds of each iteration.
    callback : callable, optional
        ``callback(iteration, image)`` after every iteration, counted from 1; the image is that iteration's own array.
    progress : bool
        Show a progress bar.

    Returns
    -------
    array of ``A.in_shape``
        Stopping by the keyboard gives back the last finished image and says so.

    Raises
    ------
    TypeError, ValueError
        Arrays of the wrong shape or dtype, negative or non-finite values, fewer than one iteration.

    References
    ----------
    L. A. Shepp, Y. Vardi, IEEE Trans. Med. Imaging 1(2):113, 1982; K. Lange, R. Carson, J. Comput. Assist. Tomogr.
    8(2):306, 1984.
    """
    y = check_data(y, A)
    iterations = check_iterations(iterations)
    r = check_background(background, A, y)
    image = start_image(start, mask, A, y)
    record = Record() if record is None else record

    ones = array_module(y).ones(A.out_shape, A.dtype)
    sensitivity = A.T(ones)  # s = Aᵀ1
    del ones
    if mask is not None:
        sensitivity = sensitivity * mask
    try:
        for iteration in tqdm(range(1, iterations + 1), desc="MLEM", disable=not progress, unit="iteration"):
            finish = record.timed()
            expected = A(image)  # ȳ = A x + r
            expected += r
            y = same_layout(y, expected)
            likelihood = log_likelihood(y, expected)
            # x ← x / s · Aᵀ(y / ȳ)
            image = em_update(image, A.T(ratio(y, expected)), sensitivity)
            record.log_likelihood.append(likelihood)
            finish()
            if callback is not None:
                callback(iteration, image)
    except KeyboardInterrupt:
        print(f"MLEM stopped after {record.iterations} iterations; this is the last finished image")
    return image
