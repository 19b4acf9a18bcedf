"""A network with as many parameters as another one: what a fair comparison needs."""

import math

from pettutor.arrays import announce_once
from pettutor.networks.unet import check_filters


def count_trainable(model):
    """Number of trainable parameters of a Keras model."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def parameters_like(builder, like, *, filters=(16, 32, 64), tolerance=0.05):
    """Choose a network's filters so that it has as many trainable parameters as another.

    First all ``filters`` are scaled by one factor, then single levels are changed by one while that brings the count
    nearer. The count that was reached is printed.

    Parameters
    ----------
    builder : callable
        ``builder(filters)`` gives a Keras model, e.g. ``lambda filters: unet((128, 128, 1), filters)``; more filters
        must give more parameters.
    like : int or keras.Model
        The wanted count, or the model that has it.
    filters : tuple of int
        Their proportions.
    tolerance : float
        How far the nearest count may be off, as a share of the wanted one.

    Returns
    -------
    keras.Model
        Freshly built.

    Raises
    ------
    TypeError, ValueError
        Something else than a count or a model; no filters give a count within the tolerance.
    """
    target = like if isinstance(like, int) and not isinstance(like, bool) else None
    if hasattr(like, "trainable_weights"):
        target = count_trainable(like)
    if target is None:
        raise TypeError(f"like: expected a number of parameters or a Keras model, got {like!r:.80}")
    if target < 1:
        raise ValueError(f"like: expected at least one trainable parameter, got {target}")
    shape = check_filters(filters)
    known = {}

    def count(candidate):
        if candidate not in known:
            known[candidate] = count_trainable(builder(candidate))
        return known[candidate]

    def scaled(factor):
        return tuple(max(1, round(factor * n)) for n in shape)

    def miss(candidate):
        return abs(count(candidate) - target)

    best = min(_bracket(scaled, count, target), key=miss)
    while miss(best):
        around = [(*best[:k], best[k] + d, *best[k + 1 :]) for k in range(len(best)) for d in (1, -1) if best[k] + d]
        nearer = min(around, key=miss)
        if miss(nearer) >= miss(best):
            break
        best = nearer
    reached = count(best)
    words = f"{reached:,} parameters with filters {best} for {target:,} ({100 * (reached / target - 1):+.2f} %)"
    if miss(best) > tolerance * target:
        raise ValueError(f"like: expected filters within {100 * tolerance:g} % of the count, got at best {words}")
    model = builder(best)
    announce_once(f"{model.name}: {words}")
    return model


def _bracket(scaled, count, target):
    """The filters with the next fewer and the next more parameters, along a common factor."""
    low, high = 0.0, 1.0
    while count(scaled(high)) < target:
        low, high = high, 2 * high
        if high > 4096:
            raise ValueError(f"builder: expected more parameters with more filters, got {count(scaled(low)):,} at most")
    while scaled(low) != scaled(high) and high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (middle, high) if count(scaled(middle)) < target else (low, middle)
    return scaled(low), scaled(high)
