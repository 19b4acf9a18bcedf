"""FBSEM-Net: forward-backward splitting EM unrolled, with a CNN in the splitting step."""

from pettutor.networks.physics.unrolled import check_unrolled, make_inputs, make_networks, small_unet, with_mr


def FBSEMNet(
    input_shape=(128, 128, 1),
    *,
    cnn=None,
    unrolls=8,
    shared=True,
    kappa=0.3,
    learn_kappa=True,
    scans=None,
    scale=1.0,
    name="fbsem_net",
):
    """Build FBSEM-Net: every unroll regularises the image, makes an EM update and fuses the two,

        z ← f(θ | x [, MR]),    x_EM ← (x/s) Aᵀ(y/(A x + r)),    x⁺ ← argmax  s (x_EM log x - x) - ρ/2 (x - z)² ,

    which is one MAP-EM step with the reference z. Unlike MAPEM-Net it carries no multiplier from unroll to unroll.

    Parameters
    ----------
    input_shape : (y, x, channels) or (z, y, x, channels)
        Channel 0 is the image; further channels are MR, which f sees too.
    cnn : callable, optional
        ``cnn(input_shape)`` builds f, to one channel. Default: a small residual U-Net that starts as "leave the image
        as it is" (choice; the paper has a residual CNN of five layers with batch normalisation).
    unrolls, shared, kappa, learn_kappa, scans, scale
        As for `MAPEMNet`; the paper shares f and learns the fusion weight.

    Returns
    -------
    keras.Model
        From {"image", "scan"[, "mr"]} to the image after the last unroll, (batch, …, 1).

    Raises
    ------
    TypeError, ValueError
        Another shape, or a CNN that does not fit it.

    References
    ----------
    A. Mehranian, A. J. Reader, IEEE Trans. Radiat. Plasma Med. Sci. 5(1):54, 2021 (online 2020).
    """
    from pettutor.networks.physics.layers import MAPEMStep, keras

    shape = check_unrolled(input_shape, unrolls)
    inputs = make_inputs(shape)
    networks = make_networks(cnn, shape, 1 if shared else unrolls, small_unet(residual=True))
    step = MAPEMStep(scans, scale, kappa=kappa, learn_kappa=learn_kappa, name="map_em_step")
    x = inputs["image"]
    for k in range(unrolls):
        z = networks[k % len(networks)](with_mr(x, inputs))
        x = step(x, z, inputs["scan"])
    return keras.Model(inputs, x, name=name)
