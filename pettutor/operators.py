"""The contract that everything from the projector to a dense test matrix satisfies.

``A(x)`` forward, ``A.T(y)`` adjoint, ``A.in_shape``, ``A.out_shape``, ``A.dtype``; ``A.subset(k, n)`` is a new
operator; ``A.many(xs)`` takes several images at once.
"""

import numpy as np

from pettutor.arrays import array_module, check_array, describe


class LinearOperator:
    """A frozen linear map between arrays; subclasses give ``_forward`` and ``_adjoint``.

    Attributes
    ----------
    in_shape, out_shape : tuple of int
    dtype : numpy.dtype
        float32: what goes in and what comes out.
    input_name, output_name : str
        What the arrays are called in error messages.
    """

    dtype = np.dtype(np.float32)
    input_name = "image"
    output_name = "sinogram"

    def __init__(self, in_shape, out_shape):
        self.in_shape = tuple(int(n) for n in in_shape)
        self.out_shape = tuple(int(n) for n in out_shape)

    def __call__(self, x):
        """Forward: an array of ``in_shape`` to one of ``out_shape``.

        Raises
        ------
        TypeError, ValueError
            Wrong type, dtype, shape, or values that are not finite.
        """
        return self._forward(check_array(x, self.input_name, shape=self.in_shape, dtype=self.dtype))

    @property
    def T(self):
        """The adjoint, an operator too; ``A.T.T is A``."""
        return Adjoint(self)

    def many(self, arrays):
        """Forward for several arrays at once: (n, *in_shape) to (n, *out_shape).

        An operator that can share work between them (a stored matrix reads its weights once) does.

        Raises
        ------
        TypeError, ValueError
            As for one array.
        """
        shape = (len(arrays) if np.ndim(arrays) else 0, *self.in_shape)
        return self._forward_many(check_array(arrays, f"{self.input_name}s", shape=shape, dtype=self.dtype))

    def subset(self, k, n):
        """The ``k``-th of ``n`` view-interleaved subsets (views k, k + n, k + 2n …) as a new operator."""
        raise NotImplementedError(f"{type(self).__name__} has no subsets")

    def subset_of(self, array, k, n):
        """What of a sinogram belongs to ``subset(k, n)``: every n-th view from k on (a view of its memory)."""
        return array[:, k::n]

    def _forward(self, x):
        raise NotImplementedError

    def _adjoint(self, y):
        raise NotImplementedError

    def _forward_many(self, x):
        return array_module(x).stack([self._forward(one) for one in x])

    def _adjoint_many(self, y):
        return array_module(y).stack([self._adjoint(one) for one in y])


class Adjoint(LinearOperator):
    """The adjoint of an operator; made by ``A.T``."""

    def __init__(self, operator):
        super().__init__(operator.out_shape, operator.in_shape)
        self.dtype = operator.dtype
        self.input_name, self.output_name = operator.output_name, operator.input_name
        self._operator = operator

    @property
    def T(self):
        return self._operator

    def subset(self, k, n):
        return self._operator.subset(k, n).T

    def _forward(self, y):
        return self._operator._adjoint(y)

    def _adjoint(self, x):
        return self._operator._forward(x)

    def _forward_many(self, y):
        return self._operator._adjoint_many(y)

    def _adjoint_many(self, x):
        return self._operator._forward_many(x)

    def __repr__(self):
        return f"{self._operator!r}.T"


def check_operator(A, name="A", hint=""):
    """Return ``A`` unchanged when it keeps the contract, of this package or not; ``hint`` ends the message.

    Raises
    ------
    TypeError
        Anything else.
    """
    if not (callable(A) and all(hasattr(A, part) for part in ("T", "in_shape", "out_shape", "dtype"))):
        contract = "A(x), A.T, in_shape, out_shape, dtype"
        raise TypeError(f"{name}: expected an operator ({contract}), got {describe(A)}{hint}")
    return A


def check_subset(k, n, views):
    """Raise ValueError unless ``0 <= k < n`` and ``n`` does not exceed the number of views."""
    for name, value in (("k", k), ("n", n)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"subset {name}: expected an int, got {value!r}")
    if not (1 <= n <= views and 0 <= k < n):
        raise ValueError(f"subset: expected 0 <= k < n <= {views} views, got k={k}, n={n}")


def adjoint_mismatch(A, seed=0):
    """``|<Ax, y> - <x, A.T y>| / (|Ax| |y|)`` for random x and y, and the ratio of the two products.

    Returns
    -------
    mismatch, scale : float
        ``mismatch`` should be below 1e-5 in float32; ``scale`` is <x, A.T y> / <Ax, y>, 1 for a true adjoint.
    """
    rng = np.random.default_rng(seed)
    x = rng.random(A.in_shape, dtype=np.float32).astype(A.dtype)
    y = rng.random(A.out_shape, dtype=np.float32).astype(A.dtype)
    Ax, ATy = A(x), A.T(y)
    left, right = (float(np.sum(np.multiply(a, b, dtype=np.float64))) for a, b in ((Ax, y), (x, ATy)))
    norm = np.sqrt(np.sum(np.square(Ax, dtype=np.float64)) * np.sum(np.square(y, dtype=np.float64)))
    return abs(left - right) / float(norm), right / left
