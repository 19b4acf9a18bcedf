"""A trained network whose input is reconstructed ("IterativeCNN"): ``x = f(α)`` with frozen weights."""

import numpy as np

from pettutor.arrays import check_array, to_numpy
from pettutor.networks.fitting.admm import ConstrainedReconstruction
from pettutor.networks.fitting.admm_state import fingerprint
from pettutor.networks.fitting.deep_image_prior import as_batch
from pettutor.networks.fitting.gradients import NetworkFunction
from pettutor.networks.fitting.optimisers import minimise


class InputPrior:
    """Images (z, y, x) that a frozen network makes of an image α, in units of ``scale``: ``x = scale · f(α)``."""

    def __init__(self, shape, network, others=(), dtype=np.float32):
        self.function, self.shape, self.scale = NetworkFunction(network, training=False), tuple(shape), 1.0
        channels = [np.zeros(self.shape, dtype)]
        channels += [check_array(o, "others", shape=self.shape, dtype=(np.float32, np.float64)) for o in others]
        self.inputs = as_batch(channels, network)
        self.start = channels[0].ravel().astype(np.float64)

    def _with(self, alpha):
        inputs = self.inputs.astype(self.function.dtype)
        inputs[..., 0] = alpha.reshape(inputs.shape[:-1])
        return inputs

    def image(self, alpha):
        output = self.function(self._with(alpha)).reshape(self.shape)
        return output * output.dtype.type(self.scale)

    def fit(self, alpha, target, voxels, iterations):
        """Inputs α with ``Σ (scale · f(α) - target)²`` over ``voxels`` made smaller, by L-BFGS: `Fit`."""
        layout = (*self.inputs.shape[:-1], 1)
        error = self.function.error_by_input((target / self.scale).reshape(layout), voxels.reshape(layout))

        def of_first_channel(alpha):
            value, gradient = error(self._with(alpha))
            return value, gradient[..., 0].ravel()

        return minimise(of_first_channel, alpha, iterations)

    def keep(self, alpha):
        """The network stays as it is."""


class NetworkInput(ConstrainedReconstruction):
    """A run of `network_input` that can be looked into, interrupted, saved and continued, as one of `DIPRecon` can."""

    name = "Network input"

    def __init__(self, y, A, network, others=(), *, scale, **settings):
        prior = InputPrior(A.in_shape, network, others, A.dtype)
        super().__init__(y, A, prior, scale=scale, **settings)

    def _start_variables(self, x):
        return (to_numpy(x) / self.prior.scale).ravel().astype(np.float64)  # α⁰ = x⁰

    def settings(self):
        weights = [fingerprint(weight) for weight in self.prior.function.model.get_weights()]
        own = {"network": weights, "other channels": fingerprint(self.prior.inputs), "scale": self.scale}
        return {**super().settings(), **own}

    @classmethod
    def load(cls, path, y, A, network, others=(), *, scale, **settings):
        """A run from the file that `save` wrote; data, network and settings are to be given again.

        Raises
        ------
        FileNotFoundError
        ValueError
            Not a checkpoint, or one of other data, settings, scale or weights of the network.
        """
        return cls(y, A, network, others, scale=scale, **settings).restore(path)


def network_input(
    y,
    A,
    network,
    others=(),
    *,
    scale,
    iterations=100,
    kappa=0.5,
    image_updates=2,
    fit_iterations=10,
    start=None,
    start_iterations=60,
    start_fit=0,
    background=None,
    mask=None,
    sensitivity=None,
    record=None,
    callback=None,
    progress=False,
):
    """Maximise ``L(y | x)`` subject to ``x = f(α)``, f a *trained* network with frozen weights, over its input image α.

    1. ``x ← argmax L(y | x) - ρ/2 |x - f(α) + μ|²``: ``image_updates`` of `map_em`;
    2. ``α ← argmin |f(α) - (x + μ)|²``: ``fit_iterations`` of L-BFGS from the present α;
    3. ``μ ← μ + x - f(α)``.

    Parameters
    ----------
    y, A, iterations, background, mask, sensitivity, record, callback, progress
        As for `diprecon`.
    network : keras.Model
        Trained on images in activity over ``scale``; channel 0 is the PET image. It runs as in prediction
        (``training=False``) and is not changed.
    others : sequence of float arrays (z, y, x)
        Further channels, such as the MR, as the network was trained on them.
    scale : float
        Activity that the network sees as 1.
    kappa, image_updates, fit_iterations, start, start_iterations
        As for `diprecon`; α⁰ is the start image.
    start_fit : int
        Iterations that fit f(α) to the start image first (choice: none, so f⁰ is the trained network's answer).

    Returns
    -------
    array of ``A.in_shape``
        f(α). Stopping by the keyboard gives back the last finished image and says so.

    Raises
    ------
    TypeError, ValueError
        As `diprecon`.

    References
    ----------
    K. Gong et al., Iterative PET image reconstruction using convolutional neural network representation,
    arXiv:1710.03344. L-BFGS on the input is this library's choice.
    """
    solver = NetworkInput(
        y, A, network, others, scale=scale, kappa=kappa, image_updates=image_updates, fit_iterations=fit_iterations,
        start=start, start_iterations=start_iterations, start_fit=start_fit, background=background, mask=mask,
        sensitivity=sensitivity, record=record,
    )  # fmt: skip
    return solver.run(iterations, callback=callback, progress=progress)
