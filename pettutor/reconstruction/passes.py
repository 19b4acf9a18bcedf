"""The loop that all algorithms share: passes over the data, in one part or in several, in some order."""

from typing import NamedTuple

import numpy as np
from tqdm.auto import tqdm

from pettutor.arrays import array_module, check_array
from pettutor.reconstruction.inputs import check_background, check_data, check_iterations, same_layout, start_image
from pettutor.reconstruction.poisson import em_update, log_likelihood, ratio
from pettutor.reconstruction.record import Record

ORDERS = ("interleaved", "random")


class Part(NamedTuple):
    """What one update works with: an operator, its counts and background, and its sensitivity."""

    operator: object
    counts: object
    background: object
    sensitivity: object


def run_passes(
    name,
    y,
    A,
    *,
    subsets,
    order,
    iterations,
    background,
    start,
    mask,
    sensitivity,
    record,
    callback,
    progress,
    prior=None,
    steps=None,
):
    """``iterations`` passes over ``subsets`` parts of the data; ``order(finished passes)`` gives the parts' order.

    ``steps(finished passes, image, parts)`` is called before every pass and gives its update: a function of the image,
    ``Aᵀ(y/ȳ)`` of a part and its sensitivity, to the new image; by default that of EM. ``prior.value`` makes the
    objective. See `mlem`, `osem` and `map_em` for the other arguments.
    """
    y = check_data(y, A)
    iterations = check_iterations(iterations)
    r = check_background(background, A, y)
    image = start_image(start, mask, A, y)
    record = Record() if record is None else record
    xp = array_module(y)
    detected_only = sensitivity is not None  # of all lines that could have been seen, y holds those that were
    if detected_only:
        sensitivity = check_array(sensitivity, "sensitivity", shape=A.in_shape, dtype=A.dtype, nonnegative=True)

    def part(k):
        def of(sinogram):
            return sinogram if subsets == 1 or not getattr(sinogram, "ndim", 0) else A.subset_of(sinogram, k, subsets)

        operator = A if subsets == 1 else A.subset(k, subsets)
        if detected_only:
            seen = sensitivity if subsets == 1 else sensitivity / A.dtype.type(subsets)
        else:
            seen = operator.T(xp.ones(operator.out_shape, A.dtype))  # s = Aᵀ1
        return Part(operator, of(y), of(r), seen if mask is None else seen * mask)

    parts = [part(k) for k in range(subsets)]
    if subsets > 1:  # a voxel that one part does not see waits for the others; what none sees is 0
        image = xp.where(sum(p.sensitivity for p in parts) > 0, image, 0).astype(A.dtype)
    finished = image
    try:
        for iteration in tqdm(range(1, iterations + 1), desc=name, disable=not progress, unit="iteration"):
            finish = record.timed()
            likelihood, entering = 0.0, image
            step = (steps or em_steps)(record.iterations, image, parts)
            for k in order(record.iterations):
                operator, _, background_of_part, seen = parts[k]
                expected = operator(image)  # ȳ = A x + r
                expected += background_of_part
                parts[k] = parts[k]._replace(counts=same_layout(parts[k].counts, expected))
                counts = parts[k].counts
                total = float((seen * image).sum(dtype="float64")) if detected_only else None
                likelihood += log_likelihood(counts, expected, total)
                image = step(image, operator.T(ratio(counts, expected)), seen)
            finished = image
            record.log_likelihood.append(likelihood)
            if prior is not None:
                record.objective.append(likelihood - prior.value(entering))
            finish()
            if callback is not None:
                callback(iteration, image)
    except KeyboardInterrupt:
        print(f"{name} stopped after {record.iterations} iterations; this is the last finished image")
    return finished


def em_steps(finished, image, parts):
    """EM's update: ``x ← x / s · Aᵀ(y / ȳ)``; a voxel that one of several parts does not see keeps its value."""
    whole = len(parts) == 1
    return lambda image, back, seen: em_update(image, back, seen, elsewhere=0 if whole else image)


def order_of_passes(subsets, order, seed):
    """A function from the number of finished passes to the order of the subsets in the next one."""
    if isinstance(subsets, bool) or not isinstance(subsets, (int, np.integer)) or subsets < 1:
        raise ValueError(f"subsets: expected a whole number >= 1, got {subsets!r}")
    if order not in ORDERS:
        raise ValueError(f"order: expected one of {', '.join(map(repr, ORDERS))}, got {order!r}")

    def of_pass(finished):
        if order == "interleaved":
            return interleaved_order(subsets)
        drawn = seed if isinstance(seed, np.random.Generator) else np.random.default_rng((seed, finished))
        return drawn.permutation(subsets).tolist()

    return of_pass


def interleaved_order(subsets):
    """range(subsets) so that neighbours in time lie far apart: by their binary digits read backwards."""
    digits = max(1, (subsets - 1).bit_length())
    return sorted(range(subsets), key=lambda k: int(f"{k:0{digits}b}"[::-1], 2))
