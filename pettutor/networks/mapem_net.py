"""MAPEM-Net: the alternating direction method of multipliers unrolled, with MAP-EM steps and a CNN."""

from pettutor.networks.backend import load_keras
from pettutor.networks.physics.unrolled import check_unrolled, make_inputs, make_networks, small_unet, with_mr


def MAPEMNet(
    input_shape=(128, 128, 1),
    *,
    cnn=None,
    unrolls=8,
    steps=2,
    shared=True,
    kappa=0.3,
    learn_kappa=True,
    scans=None,
    scale=1.0,
    name="mapem_net",
):
    """Build MAPEM-Net. The problem ``max L(y|x) s.t. x = z`` with a prior on z gives, with the CNN f as its proximal
    map,

        x ← ``steps`` MAP-EM steps for  L(y|x) - ρ/2 ‖x - (z - μ)‖²
        z ← f(θ | x + μ)
        μ ← μ + x - z

    ``unrolls`` times. The steps are `MAPEMStep`, whose gradient crosses the projector once each way.

    Parameters
    ----------
    input_shape : (y, x, channels) or (z, y, x, channels)
        Channel 0 is the image; further channels are MR, which f sees too.
    cnn : callable, optional
        ``cnn(input_shape)`` builds f, to one channel. Default: a small residual U-Net that starts as "leave the image
        as it is" (choice).
    unrolls, steps : int
        8 and 2, as in the paper: 16 MAP-EM steps.
    shared : bool
        One f for all unrolls (choice), or one each.
    kappa, learn_kappa
        ρ without unit, see `MAPEMStep`; learnt as a softplus (choice). With the common learning rate it hardly moves.
    scans : Scans, optional
        Data to train on; `attach` gives them later.
    scale : float
        Activity that the network sees as 1.

    Returns
    -------
    keras.Model
        From {"image", "scan"[, "mr"]} to z after the last unroll, (batch, …, 1) (choice). It starts from
        x⁰ = z⁰ = the image that comes in, a short MLEM or OSEM, and μ⁰ = 0 (choice).

    Raises
    ------
    TypeError, ValueError
        Another shape, or a CNN that does not fit it.

    References
    ----------
    K. Gong et al., Fully3D 2019, Proc. SPIE 11072:110720O. Training is by ``‖z - truth‖²``.
    """
    from pettutor.networks.physics.layers import MAPEMStep

    shape = check_unrolled(input_shape, unrolls)
    check_unrolled(input_shape, steps, "steps")
    networks = make_networks(cnn, shape, 1 if shared else unrolls, small_unet(residual=True))
    step = MAPEMStep(scans, scale, kappa=kappa, learn_kappa=learn_kappa, name="map_em_step")
    return unroll(shape, networks, step, unrolls, steps, name)


def unroll(shape, networks, step, unrolls, steps, name):
    """The network from its parts: ``step(image, reference, scan)`` is the MAP-EM step."""
    inputs = make_inputs(shape)
    x = z = inputs["image"]
    dual = None  # μ, 0 at first
    for k in range(unrolls):
        reference = z if dual is None else z - dual
        for _ in range(steps):
            x = step(x, reference, inputs["scan"])
        target = x if dual is None else x + dual
        z = networks[k % len(networks)](with_mr(target, inputs))
        dual = target - z
    return load_keras().Model(inputs, z, name=name)
