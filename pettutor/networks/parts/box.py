"""A network that covers a box of the image, such as the head's, with 0 around it."""

import numpy as np

from pettutor.networks.backend import load_keras


def in_box(build, shape, box):
    """A network for a box of a larger image: ``out = f(θ | in)`` inside and 0 outside.

    Time and memory go with the voxels that a network covers, and so does the share of a small lesion in what it is
    fitted to and in the statistics that it normalises by. The network itself is inside, not a copy.

    Parameters
    ----------
    build : callable
        ``build(size)`` with the box's (y, x) or (z, y, x): a keras.Model from (batch, \\*size, channels) to as many
        pixels or voxels.
    shape : (int, int) or (int, int, int)
        Of the image.
    box : sequence of slice
        Rows and columns of the image, or planes, rows and columns, as of `pettutor.arrays.bounding_box`.

    Returns
    -------
    keras.Model
        From (batch, \\*shape, channels); the network as it is where the box is the whole image.

    Raises
    ------
    TypeError, ValueError
        No keras.Model came, or one with an input or output that is not of the box's size; not a slice for each axis.

    Examples
    --------
    ``in_box(lambda size: dip_unet((*size, 1), (8, 16, 32)), (128, 128), (slice(8, 120), slice(16, 112)))``
    """
    keras = load_keras()
    shape = tuple(int(n) for n in shape)
    if len(shape) not in (2, 3) or len(box) != len(shape):
        raise ValueError(f"box: expected a slice for each of (y, x) or (z, y, x), got {box!r} and the shape {shape}")
    ends = [part.indices(n)[:2] for part, n in zip(box, shape, strict=True)]
    size = tuple(stop - start for start, stop in ends)
    network = build(size)
    if not isinstance(network, keras.Model):
        raise TypeError(f"build: expected a function that gives a keras.Model, got {network!r:.80}")
    for words, found in (("input", network.input_shape), ("output", network.output_shape)):
        if tuple(found[1:-1]) != size:
            raise ValueError(f"network: expected an {words} of the box's size {size}, got {tuple(found[1:-1])}")
    margins = tuple((start, n - stop) for (start, stop), n in zip(ends, shape, strict=True))
    if not np.any(margins):
        return network
    cropping, padding = (getattr(keras.layers, f"{kind}{len(shape)}D") for kind in ("Cropping", "ZeroPadding"))
    image = keras.Input((*shape, network.input_shape[-1]), name="image")
    inside = network(cropping(margins, name="to_box")(image))
    return keras.Model(image, padding(margins, name="from_box")(inside), name=network.name)
