"""How well an image explains the counts: the Poisson log-likelihood."""

from pettutor.arrays import check_array
from pettutor.reconstruction import poisson
from pettutor.reconstruction.inputs import check_background, check_data, same_layout


def log_likelihood(y, A, image, *, background=None, sensitivity=None):
    """The Poisson log-likelihood of an image, without the constant ``Σ log y!``,

        L(y | x) = Σ_i y_i log ȳ_i - ȳ_i ,    ȳ = A x + r .

    What a `Record` holds of every image that an algorithm passes through. Bins with ȳ = 0 and y = 0 say nothing.

    Parameters
    ----------
    y : array of ``A.out_shape``
        Measured counts (prompts).
    A : operator
        As for `mlem`.
    image : array of ``A.in_shape``
        Activity, >= 0.
    background : array of ``A.out_shape`` or number, optional
        r in counts; by default ``A.background``, or 0 where it has none.
    sensitivity : array of ``A.in_shape``, optional
        For list mode, where A holds the detected lines alone: the back projection of 1 on all lines that the scanner
        could have seen. ``Σ ȳ`` is then ``Σ s x``, as in `mlem` (without the background's constant).

    Returns
    -------
    float
        Summed in float64.

    Raises
    ------
    TypeError, ValueError
        Data that do not fit the operator, negative counts or activity.

    References
    ----------
    L. A. Shepp, Y. Vardi, IEEE Trans. Med. Imaging 1(2):113, 1982.
    """
    y = check_data(y, A)
    check_array(image, "image", shape=A.in_shape, dtype=A.dtype, nonnegative=True)
    expected = A(image)
    expected += check_background(background, A, y)
    total = None
    if sensitivity is not None:
        s = check_array(sensitivity, "sensitivity", shape=A.in_shape, dtype=A.dtype, nonnegative=True)
        total = float((s * image).sum(dtype="float64"))
    return poisson.log_likelihood(same_layout(y, expected), expected, total)
