"""Options of training: which devices, which precision, which learning rate for which weight."""

import contextlib

from pettutor.arrays import announce_once
from pettutor.networks.backend import load_keras


def use_all_devices(batch_size):
    """Share batches out to the devices that there are (data parallel), where there are several: call before building.

    On JAX alone: on TensorFlow Keras (3.15) takes a distribution and does nothing with it, on PyTorch it has none. What
    is done with several devices is said once.

    Parameters
    ----------
    batch_size : int
        Examples of a training step. As many devices are used as share them equally.

    Returns
    -------
    int
        Devices in use.

    Raises
    ------
    ValueError
        No batch size.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size: expected a whole number >= 1, got {batch_size!r}")
    use_one_device()
    keras = load_keras()
    devices = _devices(keras)
    if len(devices) < 2:
        return 1
    if keras.backend.backend() != "jax":
        announce_once(
            f"training on one of {len(devices)} devices: Keras shares batches out on JAX alone (set KERAS_BACKEND=jax)"
        )
        return 1
    used = max(count for count in range(1, len(devices) + 1) if batch_size % count == 0)
    announce_once(f"training on {used} of {len(devices)} devices, batches of {batch_size}")
    if used > 1:
        _share_out(keras, devices[:used])
    return used


def use_one_device():
    """Leave all that is built after this on one device, whatever a training before it did."""
    load_keras().distribution.set_distribution(None)


def _devices(keras):
    """The devices that the backend sees: its GPUs, or what it takes for the CPU."""
    if keras.backend.backend() == "torch":  # Keras cannot list its devices
        import torch

        return range(torch.cuda.device_count())
    return keras.distribution.list_devices()


def _share_out(keras, devices):
    class SharedBatches(keras.distribution.DataParallel):
        def get_data_layout(self, shape):
            if shape[0] % len(devices) == 0:
                return super().get_data_layout(shape)
            # JAX cuts no batch into unequal parts, such as the last one of a validation: every device computes it whole
            return keras.distribution.TensorLayout([None] * len(shape), self.device_mesh)

    keras.distribution.set_distribution(SharedBatches(devices=devices))


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
