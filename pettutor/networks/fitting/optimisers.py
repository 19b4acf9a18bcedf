"""Fitting one network to one image: L-BFGS by scipy, or Adam by Keras.

The loss is the mean squared error over the voxels, ``E(θ) = Σ_j w_j (f_j(θ | z) - t_j)² / Σ_j w_j``.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from pettutor.networks.backend import load_keras
from pettutor.networks.fitting.gradients import as_function

OPTIMISERS = ("lbfgs", "adam")


@dataclass
class Fit:
    """What came of a fit.

    weights : the network's weights after it, a flat float64 vector.
    loss : mean squared error at the start and after each iteration.
    evaluations : of the gradient.
    message : why it ended.
    moments : Adam's state, to go on from; None for L-BFGS.
    output : the network's at those weights, of the target's shape, where the fit needed it (Adam); None for L-BFGS.
    """

    weights: np.ndarray
    loss: list = field(default_factory=list)
    evaluations: int = 0
    message: str = ""
    moments: tuple | None = None
    output: np.ndarray | None = None


def fit_lbfgs(model, inputs, target, *, iterations=10, voxel_weights=None, start=None, memory=10):
    """Fit the weights of a network by L-BFGS (``scipy.optimize.minimize(method="L-BFGS-B")``, without bounds).

    The memory of past gradients begins empty at every call. A line search that finds no lower loss ends the fit; the
    loss never rises.

    Parameters
    ----------
    model : keras.Model or NetworkFunction
        Its weights are set to the result.
    inputs, target, voxel_weights : arrays (batch, …, channel)
    iterations : int
        At most so many.
    start : flat vector, optional
        Weights to start from (default: the model's).
    memory : int
        Pairs of past steps and gradient differences.

    Returns
    -------
    Fit

    Raises
    ------
    TypeError, ValueError
        Shapes that do not fit, fewer than one iteration.
    FloatingPointError
        The loss is not finite.
    """
    function = as_function(model)
    error = function.error_by_weights(inputs, target, voxel_weights)
    fit = minimise(error, function.weights if start is None else start, iterations, memory)
    function.weights = fit.weights
    return fit


def minimise(error, start, iterations, memory=10):
    """Minimise ``error(vector) -> (value, gradient)`` by L-BFGS: `Fit`."""
    from scipy.optimize import minimize

    check_count(iterations, "iterations")
    fit = Fit(np.array(start, np.float64))
    last = [math.nan]

    def evaluate(vector):
        value, gradient = error(vector)
        if not (math.isfinite(value) and np.isfinite(gradient).all()):
            raise FloatingPointError(f"fit: expected a finite loss and gradient, got a loss of {value}")
        fit.evaluations += 1
        last[0] = value
        if not fit.loss:
            fit.loss.append(value)
        return value, gradient

    # no stopping by small changes: whoever asks for ten iterations gets ten; maxcor is the memory
    result = minimize(
        evaluate, fit.weights, jac=True, method="L-BFGS-B", callback=lambda vector: fit.loss.append(last[0]),
        options={"maxiter": iterations, "maxcor": memory, "ftol": 0.0, "gtol": 0.0, "maxfun": 30 * iterations},
    )  # fmt: skip
    fit.weights, fit.message = result.x, str(result.message)
    return fit


def fit_adam(model, inputs, target, *, iterations=10, learning_rate=1e-2, voxel_weights=None, start=None, moments=None):
    """Fit the weights of a network by Adam (`keras.optimizers.Adam`).

    Parameters
    ----------
    model, inputs, target, iterations, voxel_weights, start
        As for `fit_lbfgs`.
    learning_rate : float
    moments : tuple, optional
        ``Fit.moments`` of the fit before: Adam goes on with its averages of the gradient. None begins anew.

    Returns
    -------
    Fit
    """
    check_count(iterations, "iterations")
    function = as_function(model)
    error = function.error_by_weights(inputs, target, voxel_weights)
    steps = AdamSteps(function.weights if start is None else start, function.dtype, learning_rate, moments)
    fit = Fit(steps.weights)
    for _ in range(iterations):
        value, gradient = error(steps.weights)
        if not (math.isfinite(value) and np.isfinite(gradient).all()):
            raise FloatingPointError(f"fit: expected a finite loss and gradient, got a loss of {value}")
        fit.loss.append(value)
        steps(gradient)
    # the last loss needs no gradient, and who fits wants the image anyway
    fit.output = function(inputs, steps.weights)
    fit.loss.append(float(np.average(np.square(fit.output - target, dtype=np.float64), weights=voxel_weights)))
    fit.evaluations = iterations
    fit.weights, fit.moments, fit.message = steps.weights, steps.moments, "all iterations done"
    function.weights = fit.weights
    return fit


class AdamSteps:
    """Keras's Adam on one flat vector, whose state can be taken out and put back.

    Parameters
    ----------
    weights : flat vector
    dtype : str
        In which the steps are computed.
    learning_rate : float
    moments : tuple of arrays, optional
    """

    def __init__(self, weights, dtype, learning_rate, moments=None):
        if not (math.isfinite(learning_rate) and learning_rate > 0):
            raise ValueError(f"learning_rate: expected a number > 0, got {learning_rate!r}")
        keras = load_keras()
        self._variable = keras.Variable(np.asarray(weights, dtype), dtype=dtype, name="weights")
        self._optimiser = keras.optimizers.Adam(learning_rate)
        self._optimiser.build([self._variable])
        self._state = [v for v in self._optimiser.variables if v is not self._optimiser.learning_rate]
        if moments is not None:
            if [np.shape(m) for m in moments] != [tuple(v.shape) for v in self._state]:
                raise ValueError(f"moments: expected those of {len(weights)} weights, got others")
            for variable, value in zip(self._state, moments, strict=True):
                variable.assign(np.asarray(value, str(variable.dtype)))

    def __call__(self, gradient):
        """One step against the gradient."""
        ops = load_keras().ops
        self._optimiser.apply([ops.convert_to_tensor(np.asarray(gradient, str(self._variable.dtype)))])

    @property
    def weights(self):
        return np.array(load_keras().ops.convert_to_numpy(self._variable), np.float64)

    @property
    def moments(self):
        """Number of steps and both averages, NumPy arrays."""
        return tuple(np.array(load_keras().ops.convert_to_numpy(v)) for v in self._state)


def check_count(value, name, least=1):
    """A whole number >= ``least``."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name}: expected a whole number >= {least}, got {value!r}")
    return int(value)
