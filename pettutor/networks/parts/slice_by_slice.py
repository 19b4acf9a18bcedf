"""A CNN on slices at work in volumes: trained on single slices, used inside 3-D physics."""

import numpy as np

from pettutor.networks.backend import load_keras


def slice_by_slice(network, planes, *, at_once=8, name=None):
    """Apply one 2-D network to every slice of a volume: ``out[k] = f(θ | in[k])``, k = 0 … planes - 1.

    The network itself is inside, not a copy: training the one trains the other.

    Parameters
    ----------
    network : keras.Model
        From (batch, y, x, channels) to (batch, y, x, outputs).
    planes : int
        z of the volumes.
    at_once : int
        Slices that enter the network as one batch. Where no gradient is asked for, only their maps are in memory.
    name : str, optional
        Default: the network's.

    Returns
    -------
    keras.Model
        (batch, z, y, x, channels) to (batch, z, y, x, outputs), not compiled.

    Raises
    ------
    TypeError, ValueError
        Not a 2-D network with one input and one output, or another number of planes.

    Examples
    --------
    A MAPEM-Net on volumes with a 2-D CNN, to be trained there:
    ``MAPEMNet((31, 128, 128, 1), cnn=lambda shape: slice_by_slice(unet(shape[1:], (8, 16, 32)), shape[0]))``.
    """
    keras = load_keras()
    planes, at_once = _count(planes, "planes"), _count(at_once, "at_once")
    if not isinstance(network, keras.Model):
        raise TypeError(f"network: expected a keras.Model, got {network!r:.80}")
    shapes = [getattr(network, "input_shape", None), getattr(network, "output_shape", None)]
    if not all(isinstance(shape, tuple) and len(shape) == 4 for shape in shapes):
        raise ValueError(f"network: expected (batch, y, x, channels) in and out, got {shapes[0]} and {shapes[1]}")
    volume = keras.Input((planes, *shapes[0][1:]), name="volume")
    parts = []
    for begin in range(0, planes, at_once):
        end = min(begin + at_once, planes)
        slices = keras.ops.reshape(volume[:, begin:end], (-1, *shapes[0][1:]))
        parts.append(keras.ops.reshape(network(slices), (-1, end - begin, *shapes[1][1:])))
    out = keras.ops.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]
    return keras.Model(volume, out, name=network.name if name is None else name)


def as_volumes(model, planes):
    """An unrolled network of single slices as one of volumes: its CNNs `slice_by_slice`, its physics in 3-D.

    The steps on the data are the same for slices and volumes, and their weights have no unit (κ is relative to the mean
    sensitivity), so nothing is trained anew. What the CNNs have learnt is the noise and blur of single slices, and
    those of a 3-D scan differ: whether it helps there has to be measured.

    Parameters
    ----------
    model : keras.Model
        From `EMNet`, `MAPEMNet` or `FBSEMNet` with ``input_shape`` (y, x, channels), trained or not.
    planes : int

    Returns
    -------
    keras.Model
        Inputs and output as the model's, with an axis z after the batch. Its weights are the model's own, not copies,
        and its steps hold the same scans.

    Raises
    ------
    TypeError, ValueError
        Not such a network, one on volumes, or another number of planes.
    """
    keras = load_keras()
    planes = _count(planes, "planes")
    names = [tensor.name for tensor in model.inputs] if isinstance(model, keras.Model) else []
    if not {"image", "scan"} <= set(names):
        raise TypeError(f"model: expected an unrolled network (inputs 'image' and 'scan'), got {model!r:.80}")
    shapes = {tensor.name: tuple(tensor.shape[1:]) for tensor in model.inputs}
    if len(shapes["image"]) != 3:
        raise ValueError(f"model: expected one on slices (y, x, 1), got one on {shapes['image']}")
    inputs = {}
    for tensor in model.inputs:
        shape = shapes[tensor.name] if tensor.name == "scan" else (planes, *shapes[tensor.name])
        inputs[tensor.name] = keras.Input(shape, dtype=tensor.dtype, name=tensor.name)
    changed = {}

    def on_volumes(operation):
        if not isinstance(operation, keras.Model):
            return operation  # the steps, sums and differences work in any number of dimensions
        if operation.name not in changed:
            changed[operation.name] = slice_by_slice(operation, planes)
        return changed[operation.name]

    return keras.models.clone_model(model, input_tensors=inputs, clone_function=on_volumes)


def _count(value, name):
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name}: expected a whole number >= 1, got {value!r}")
    return int(value)
