"""Options of training: which devices, which precision, which learning rate for which weight."""

import contextlib

from pettutor.arrays import announce_once
from pettutor.networks.backend import load_keras


def use_all_devices():
    """Share batches out to all devices that Keras sees (data parallel), where there are several: call before building.

    Returns
    -------
    int
        Devices in use. Keras does this on JAX, and on TensorFlow only for what its distribution interface supports;
        where it does not work, one device is used, and that is said once.
    """
    keras = load_keras()
    if keras.backend.backend() == "torch":  # Keras cannot list its devices
        import torch

        if torch.cuda.device_count() < 2:
            return 1
    try:
        devices = keras.distribution.list_devices()
        if len(devices) < 2:
            return 1
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))
    except Exception as error:  # backends without it raise what they like
        announce_once(f"training on one device: Keras cannot share it out on {keras.backend.backend()} ({error})")
        return 1
    announce_once(f"training on {len(devices)} devices")
    return len(devices)


@contextlib.contextmanager
def precision(policy=None):
    """Build models with a Keras dtype policy, such as ``"mixed_float16"`` (None: leave it as it is)."""
    keras = load_keras()
    before = keras.config.dtype_policy()
    try:
        if policy is not None:
            keras.config.set_dtype_policy(policy)
        yield
    finally:
        keras.config.set_dtype_policy(before)


def adam(learning_rate, multipliers, model):
    """Adam; with a factor on the learning rate of the weights that ``multipliers`` names."""
    keras = load_keras()
    if not multipliers:
        return keras.optimizers.Adam(learning_rate)
    paths = [weight.path for weight in model.trainable_weights]
    for name in multipliers:
        if not any(_ends(path, name) for path in paths):
            raise ValueError(f"multipliers: expected the names of weights ({', '.join(paths)}), got {name!r}")

    class Adam(keras.optimizers.Adam):
        # Adam's step does not depend on the size of the gradient, so the factor has to be on the step

        def update_step(self, gradient, weight, rate):
            # on TensorFlow what comes here is its own variable, which does not know its path
            path = self._trainable_variables[self._get_variable_index(weight)].path
            for name, factor in multipliers.items():
                if _ends(path, name):
                    rate = rate * factor
            return super().update_step(gradient, weight, rate)

    return Adam(learning_rate)


def _ends(path, name):
    return f"/{path}".endswith(f"/{name}")
