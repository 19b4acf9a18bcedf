"""A network's image as a penalty: MAP-EM towards ``f(θ₀ | z)`` with frozen weights."""

import numpy as np

from pettutor.arrays import array_module, check_array
from pettutor.networks.fitting.deep_image_prior import as_batch
from pettutor.networks.fitting.gradients import NetworkFunction
from pettutor.reconstruction.map_em import map_em
from pettutor.reconstruction.priors import Reference, strength


def cnn_penalty(
    y,
    A,
    network,
    inputs,
    *,
    scale,
    kappa=0.5,
    training=False,
    iterations=60,
    background=None,
    start=None,
    mask=None,
    sensitivity=None,
    record=None,
    callback=None,
    progress=False,
):
    """Maximise ``L(y | x) - ρ/2 |x - scale · f(θ₀ | z)|²`` by MAP-EM; the network is asked once and never changes.

    Parameters
    ----------
    y, A, iterations, background, start, mask, sensitivity, record, callback, progress
        As for `map_em`.
    network : keras.Model
        (batch, y, x, channel) or (batch, z, y, x, channel) to one channel: trained, or fitted as `DIPRecon` does it
        (``solver.prepare()``, then ``solver.network`` and ``solver.state.scale``).
    inputs : float array (z, y, x), or a tuple of several
        z, a channel each, exactly as the network wants them: an MR in [0, 1], a PET image over ``scale``.
    scale : float
        Activity that the network sees as 1.
    kappa : float
        ``ρ = kappa · mean(s) / scale``: data and network weigh as 1 to kappa.
    training : bool
        How the network is called; True for one with batch normalisation that was fitted to a single image.

    Returns
    -------
    array of ``A.in_shape``
        x, which may leave f where the data ask for it. Stopping by the keyboard gives back the last finished image.

    Raises
    ------
    TypeError, ValueError
        As `map_em`; inputs that do not fit the network or the image.

    References
    ----------
    The penalty of DIPRecon's first step (K. Gong et al., IEEE Trans. Med. Imaging 38(7):1655, 2019) with a network that
    stays as it is; the update is that of A. R. De Pierro, IEEE Trans. Med. Imaging 14(1):132, 1995.
    """
    channels = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    channels = [check_array(c, "inputs", shape=A.in_shape, dtype=(np.float32, np.float64)) for c in channels]
    xp = array_module(y)
    output = NetworkFunction(network, training).once(as_batch(channels, network)).reshape(A.in_shape)
    reference = xp.asarray(output * scale, dtype=A.dtype)
    s = A.T(xp.ones(A.out_shape, A.dtype)) if sensitivity is None else sensitivity
    rho = strength(kappa, s if mask is None else s * mask, scale)
    return map_em(
        y, A, Reference(reference, rho), iterations=iterations, background=background, start=start, mask=mask,
        sensitivity=sensitivity, record=record, callback=callback, progress=progress,
    )  # fmt: skip
