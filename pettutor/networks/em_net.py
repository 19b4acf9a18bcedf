"""EM-Net: MLEM unrolled, with a CNN in the place of the penalty's gradient."""

from pettutor.networks.physics.unrolled import check_unrolled, make_inputs, make_networks, small_unet, with_mr


def EMNet(input_shape=(128, 128, 1), *, cnn=None, unrolls=8, shared=True, scans=None, scale=1.0, name="em_net"):
    """Build EM-Net: every unroll is

        x⁺ = { x - α (x/s) [ Aᵀ(1 - y/(A x + r)) + f(θ|x) ] }₊  =  { (1 - α) x + α x_EM - α (x/s) f(θ|x) }₊ ,

    a gradient step of the penalised likelihood with the spatially adaptive step x/s of MLEM, where the penalty's
    gradient is what the CNN f makes of the image. Where s is small, f's step is limited (see `GradientStep`).

    Parameters
    ----------
    input_shape : (y, x, channels) or (z, y, x, channels)
        Channel 0 is the image; further channels are MR, which f sees too.
    cnn : callable, optional
        ``cnn(input_shape)`` builds f, to one channel. Default: a small U-Net whose last convolution starts at zero
        (choice): untrained, and with α = 1 where it starts, EM-Net **is** MLEM.
    unrolls : int
        8 (choice; the paper's number is not known to us).
    shared : bool
        One f and α for all unrolls (choice), or one each.
    scans : Scans, optional
        Data to train on; `attach` gives them later.
    scale : float
        Activity that the network sees as 1.

    Returns
    -------
    keras.Model
        From {"image", "scan"[, "mr"]} to the image after the last unroll, (batch, …, 1); see
        `pettutor.networks.physics.unrolled` and, to apply it, `pettutor.networks.reconstruct`.

    Raises
    ------
    TypeError, ValueError
        Another shape, or a CNN that does not fit it.

    References
    ----------
    K. Gong et al., Proc. SPIE 10948:1094853, 2019. Training is by the mean squared error of the last image.
    """
    from pettutor.networks.physics.layers import GradientStep, keras

    shape = check_unrolled(input_shape, unrolls)
    inputs = make_inputs(shape)
    networks = make_networks(cnn, shape, 1 if shared else unrolls, small_unet(residual=False))
    steps = [
        GradientStep(scans, scale, name=f"step_{k + 1}" if len(networks) > 1 else "step") for k in range(len(networks))
    ]
    x = inputs["image"]
    for k in range(unrolls):
        f = networks[k % len(networks)](with_mr(x, inputs))
        x = steps[k % len(steps)](x, f, inputs["scan"])
    return keras.Model(inputs, x, name=name)
