"""End-to-end deep image prior: the Poisson likelihood maximised over a network's weights, without ADMM."""

import contextlib
import io
from dataclasses import dataclass

import numpy as np
from tqdm.auto import tqdm

from pettutor.arrays import array_module, check_array, to_numpy
from pettutor.networks.fitting.admm import typical_activity
from pettutor.networks.fitting.deep_image_prior import DeepImagePrior
from pettutor.networks.fitting.optimisers import AdamSteps, check_count
from pettutor.reconstruction.inputs import check_background, check_data, check_iterations, check_number
from pettutor.reconstruction.mlem import mlem
from pettutor.reconstruction.passes import order_of_passes
from pettutor.reconstruction.poisson import log_likelihood, ratio
from pettutor.reconstruction.record import Record

START_ITERATIONS = 10


@dataclass(frozen=True)
class EndToEndState:
    """Where a run stands: the weights, Adam's moments, the scale, and the sum of the averaged images."""

    weights: np.ndarray
    moments: tuple
    scale: float
    total: np.ndarray | None = None
    averaged: int = 0


def end_to_end_dip(
    y,
    A,
    mr=None,
    *,
    iterations=200,
    subsets=1,
    order="interleaved",
    network=None,
    filters=None,
    learning_rate=1e-3,
    start=None,
    start_fit=100,
    scale=None,
    average_from=None,
    stopping=None,
    background=None,
    mask=None,
    record=None,
    callback=None,
    progress=False,
    seed=0,
):
    """Maximise ``L(y | f(θ | z)) = Σ y log ȳ - ȳ``, ``ȳ = A f(θ | z) + r``, over the weights θ by Adam.

    The gradient is ``J_θᵀ Aᵀ (y / ȳ - 1)``: the projector's answer, pulled back through the network. No variable
    beside θ, and no ρ; but every step costs a projection, and only stopping in time keeps the noise out.

    Parameters
    ----------
    y, A, mr, network, filters, scale, average_from, stopping, background, mask, record, callback, progress, seed
        As for `diprecon`. ``record.log_likelihood`` is of the image that enters each iteration; with subsets it is
        the sum over them, each at the image that enters it.
    iterations : int
        Passes over the data.
    subsets, order : int, str
        As for `osem`: Adam steps once for each subset (block iterative), with the subset's own gradient.
    learning_rate : float
        Of Adam. With 1e-2 its first steps throw away the fit to the start image.
    start : array of ``A.in_shape``, optional
        The network is first fitted to it; by default to the result of 10 iterations of MLEM.
    start_fit : int
        L-BFGS iterations of that fit; 0 for none, so that the network starts as it is.

    Returns
    -------
    array of ``A.in_shape``
        Stopping by the keyboard gives back the last finished image and says so.

    Raises
    ------
    TypeError, ValueError
        As `osem` and `diprecon`.
    NotImplementedError
        Subsets of an operator without.
    FloatingPointError
        The gradient is not finite.

    References
    ----------
    F. Hashimoto, Y. Onishi, K. Ote, H. Tashima, T. Yamaya, arXiv:2212.11844, for the idea (their loss and optimiser
    differ). Adam and the fit to a start image are this library's choices.
    """
    y, iterations = check_data(y, A), check_iterations(iterations)
    r, xp = check_background(background, A, y), array_module(y)
    subset_order = order_of_passes(subsets, order, 0)
    check_count(start_fit, "start_fit", 0)
    if average_from is not None:
        check_count(average_from, "average_from")
    inside = xp.ones(A.in_shape, bool) if mask is None else check_array(mask, "mask", shape=A.in_shape, dtype=bool)
    record = Record() if record is None else record
    state = record.coefficients
    if state is not None and not isinstance(state, EndToEndState):
        raise TypeError(f"record: expected one of end_to_end_dip, got coefficients {state!r:.60}")
    if start is not None:
        check_array(start, "start", shape=A.in_shape, dtype=A.dtype, nonnegative=True)
    prior = DeepImagePrior(A.in_shape, mr, network=network, filters=filters, seed=seed, mask=mask)
    parts = [_part(A, y, r, k, subsets) for k in range(subsets)]
    seen = sum(operator.T(xp.ones(operator.out_shape, A.dtype)) for operator, _, _ in parts) * inside > 0
    if state is None:
        state = _begin(y, A, r, prior, mask, seen, start, start_fit, scale, learning_rate)
    prior.scale = state.scale
    norm = 1 / max(float(y.sum(dtype="float64")), 1.0)  # of a loss per count

    def image_of(weights):
        return xp.where(seen, xp.asarray(prior.image(weights), dtype=A.dtype), 0).astype(A.dtype)

    image, stopped = image_of(state.weights), False
    try:
        for iteration in tqdm(range(1, iterations + 1), desc="End-to-end DIP", disable=not progress, unit="iteration"):
            finish, likelihood, new = record.timed(), 0.0, image
            adam = AdamSteps(state.weights, prior.function.dtype, learning_rate, state.moments)
            for k in subset_order(record.iterations):
                operator, counts, background_of_part = parts[k]
                expected = operator(new)  # ȳ = A f(θ) + r
                expected += background_of_part
                likelihood += log_likelihood(counts, expected)
                # -∂L/∂f = Aᵀ (1 - y / ȳ), as if the subset were all data
                slope = subsets * norm * operator.T(1 - ratio(counts, expected)) * seen
                gradient = prior.pull_back(adam.weights, to_numpy(slope))
                if not np.isfinite(gradient).all():
                    raise FloatingPointError(f"end-to-end DIP: expected a finite gradient in iteration {iteration}")
                adam(gradient)
                new = image_of(adam.weights)
            total, averaged = state.total, state.averaged
            if average_from is not None and record.iterations + 1 >= average_from:
                total, averaged = (0 if total is None else total) + new.astype("float64"), averaged + 1
            state = EndToEndState(adam.weights, adam.moments, state.scale, total, averaged)
            image, record.coefficients = new, state
            record.log_likelihood.append(likelihood)
            finish()
            stopped = stopping is not None and stopping(to_numpy(image))
            if callback is not None:
                callback(iteration, image)
            if stopped:
                break
    except KeyboardInterrupt:
        print(f"End-to-end DIP stopped after {record.iterations} iterations; this is the last finished image")
    prior.keep(state.weights)
    if stopped:
        return xp.asarray(stopping.best, dtype=A.dtype)
    return (state.total / state.averaged).astype(A.dtype) if state.averaged else image


def _part(A, y, r, k, subsets):
    """Operator, counts and background of one subset."""

    def of(sinogram):
        return sinogram if subsets == 1 or not np.ndim(sinogram) else A.subset_of(sinogram, k, subsets)

    return (A if subsets == 1 else A.subset(k, subsets)), of(y), of(r)


def _begin(y, A, r, prior, mask, seen, start, start_fit, scale, learning_rate):
    """The network fitted to a start image."""
    x = start
    if x is None:
        record = Record()
        with contextlib.redirect_stdout(io.StringIO()):
            x = mlem(y, A, iterations=START_ITERATIONS, background=r, mask=mask, record=record)
        if record.iterations < START_ITERATIONS:
            raise KeyboardInterrupt  # the keyboard: there is no image of this method yet
    x = x * seen
    activity = typical_activity(x, seen) if scale is None else check_number(scale, "scale: expected > 0", zero=False)
    prior.scale, weights = activity, prior.start
    if start_fit:
        weights = prior.fit(weights, to_numpy(x), to_numpy(seen), start_fit).weights
    return EndToEndState(weights, AdamSteps(weights, prior.function.dtype, learning_rate).moments, activity)
