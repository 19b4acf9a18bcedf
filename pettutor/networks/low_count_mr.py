"""From a low-count PET image and the patient's MR to a full-count image: the two-channel network."""

from pettutor.networks.unet import unet


def low_count_mr(
    input_shape, filters=(16, 32, 64), *, batch_normalisation=False, axial_levels=None, name="low_count_mr"
):
    """Build the U-Net that corrects a low-count PET image with the MR at its side: ``output = PET + f(PET, MR)``.

    It is trained on pairs of a reconstruction with few counts and the truth, or one with all counts. The MR only enters
    the correction: where it shows nothing new, the network can leave the PET image as it is. What it does to a lesion
    that only one of the two shows has to be tested.

    Parameters
    ----------
    input_shape : (y, x, channels) or (z, y, x, channels)
        Two channels at least: PET over the network's scale first, then MR images scaled to about [0, 1].
    filters, batch_normalisation, axial_levels, name
        As for `unet`.

    Returns
    -------
    keras.Model
        (batch, …, channels) to (batch, …, 1), not compiled; untrained it passes the PET image on.

    Raises
    ------
    TypeError, ValueError
        As `unet`; fewer than two channels.

    References
    ----------
    J. Xu, E. Gong, J. Pauly, G. Zaharchuk, arXiv:1712.04119, 2017 (residual encoder-decoder with concatenations on
    low-count PET); K. T. Chen et al., Radiology 290(3):649, 2019 (the same with MR channels). Levels, filters and no
    batch normalisation are choices.
    """
    model = unet(input_shape, filters, batch_normalisation=batch_normalisation, axial_levels=axial_levels, name=name)
    channels = model.input_shape[-1]
    if channels < 2:
        raise ValueError(f"input_shape: expected at least two channels (PET, MR), got {channels}")
    return model
