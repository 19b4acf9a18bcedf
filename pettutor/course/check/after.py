"""Checks of lesson 15: FBSEM-Net as a loop, a correction by a second CNN."""

import functools

import numpy as np

from pettutor.course.check import bench
from pettutor.course.check.exercise import (
    Mistake,
    NotYet,
    call,
    describe,
    exercise,
    keras_here,
    near,
    numbers,
    recognise,
    unchanged,
)

LESSON = "15_after"


@exercise(
    LESSON,
    "FBSEM-Net as a loop",
    "Two lines in the loop: `z = denoise(x)`, then one MAP-EM step from x with z as the reference.",
    "`x = pt.map_em(y, A, pt.priors.Reference(z, rho), iterations=1, start=x)`; the counts speak last, so return x.",
)
def fbsem_loop(fbsem_loop):
    """Check a loop: ``fbsem_loop(y, A, start, denoise, rho, unrolls)`` is FBSEM-Net.

    Parameters
    ----------
    fbsem_loop : function
        y: float32 (plane, view, bin); A: acquisition model; start: float32 (z, y, x); ``denoise(x)`` gives an image;
        rho: float; unrolls: int; gives float32 (z, y, x).

    Returns
    -------
    Verdict
    """
    scan = bench.scan()
    y, A, rng = scan.y, scan.A, np.random.default_rng(17)
    start = rng.uniform(1, 15, A.in_shape).astype(np.float32)
    rho, denoise = bench.strength(0.9), bench.Denoiser(axis=-2, share=0.5, offset=1)
    given = start.copy()
    got = numbers(call(fbsem_loop, y, A, given, denoise, rho, 3), "the image", A.in_shape)
    unchanged(start, given, "start")
    count = denoise.calls
    right = _unrolled(y, A, start, denoise, rho, 3)
    if near(got, right, 1e-4):
        if count != 3:
            raise Mistake(f"In 3 unrolls `denoise` is called {count} times. Once in each is enough: keep its image.")
        return "The CNN proposes, one EM step answers, and the last word is with the counts."
    if near(got, start, 1e-6):
        raise NotYet("The image is still the one that it started from.")
    if near(got, bench.em_steps(y, A, start, 3), 1e-4):
        raise NotYet("These are still iterations of MLEM: the CNN is missing.")
    recognise(got, _wrong_loops(y, A, start, denoise, rho), 1e-4)
    raise Mistake("These are not unrolls of `z = denoise(x)` and one MAP-EM step from x towards z.")


def _unrolled(y, A, start, denoise, rho, unrolls, steps=1, reference=None, begin=None):
    x = start
    for _ in range(unrolls):
        z = denoise(x) if reference is None else reference(x)
        x = x if begin is None else begin(x, z)
        for _ in range(steps):
            x = bench.map_step(y, A, x, z, rho)
    return x


def _wrong_loops(y, A, start, denoise, rho):
    one, two = (_unrolled(y, A, start, denoise, rho, unrolls) for unrolls in (1, 2))
    turned, first = start, denoise(start)
    for _ in range(3):
        turned = denoise(bench.map_step(y, A, turned, turned, rho))
    return {
        "You return z. In FBSEM-Net the counts speak last: x is the output.": denoise(two),
        "Two steps of MAP-EM are those of MAPEM-Net. Here it is one, `iterations=1`.": _unrolled(
            y, A, start, denoise, rho, 3, steps=2
        ),
        "The reference is x itself: the CNN is not asked.": _unrolled(
            y, A, start, denoise, rho, 3, reference=lambda x: x
        ),
        "The reference is made once, from the start image. Ask the CNN in every unroll.": _unrolled(
            y, A, start, denoise, rho, 3, reference=lambda x: first
        ),
        "The step starts from z. It starts from x; z is the reference.": _unrolled(
            y, A, start, denoise, rho, 3, begin=lambda x, z: z
        ),
        "Every step starts from the first image: `start=x`.": _unrolled(
            y, A, start, denoise, rho, 3, begin=lambda x, z: start
        ),
        "The CNN comes before the step, and its image is the reference. Yours comes after it.": turned,
        "Only one unroll was made: is `return` inside the loop?": one,
        "One unroll is missing.": two,
        "rho is doubled. `pt.priors.Reference(z, rho)` takes it as it is.": _unrolled(y, A, start, denoise, 2 * rho, 3),
        "rho is halved. `pt.priors.Reference(z, rho)` takes it as it is.": _unrolled(y, A, start, denoise, rho / 2, 3),
    }


SHAPE = (6, 5, 1)  # view, bin, channel


@functools.cache
def _dual():
    """A convolution of two channels as the dual CNN, with weights of its own."""
    keras, rng = keras_here(), np.random.default_rng(18)
    convolution = keras.layers.Conv2D(1, 3, padding="same")
    convolution.build((None, *SHAPE[:-1], 2))
    convolution.set_weights([rng.normal(0, 0.4, (3, 3, 2, 1)), np.array([0.3])])
    return convolution


@exercise(
    LESSON,
    "the dual CNN",
    "`ops.concatenate([ratio, c], axis=-1)` is one tensor with two channels: what the CNN gets to see.",
    "The CNN *corrects* the ratio: add what it gives, `ratio + dual(...)`.",
)
def dual_correction(corrected):
    """Check a correction: ``corrected(ratio, c, dual)`` is the ratio plus what the dual CNN makes of it and of c.

    Needs Keras. With a CNN that gives 0 the ratio has to be left alone: then the untrained network is MLEM.

    Parameters
    ----------
    corrected : function
        ratio, c: tensors (batch, view, bin, 1); dual: network from two channels to one; gives a tensor.

    Returns
    -------
    Verdict
    """
    keras = keras_here()
    seen = []

    def dual(tensor):
        shape = tuple(getattr(tensor, "shape", ()))
        seen.append(shape)
        if shape != (None, *SHAPE[:-1], 2):
            raise ValueError(f"expected two channels, got a tensor of shape {shape}")
        return _dual()(tensor)

    inputs = [keras.Input(SHAPE), keras.Input(SHAPE)]
    try:
        output = call(corrected, *inputs, dual)
    except Mistake:
        _explain_channels(seen)
        raise
    if output is inputs[0]:
        raise NotYet("This is still the ratio alone: the dual CNN is not asked.")
    if not isinstance(output, keras.KerasTensor) or tuple(output.shape) != (None, *SHAPE):
        got = getattr(output, "shape", describe(output))
        raise Mistake(f"Return a tensor with the shape of the ratio, {(None, *SHAPE)}: got {got}.")
    rng = np.random.default_rng(19)
    ratio, c = (rng.uniform(0.2, 2, (2, *SHAPE)).astype(np.float32) for _ in range(2))
    got = keras.ops.convert_to_numpy(keras.Model(inputs, output)([ratio, c]))
    _explain_correction(numbers(got, "the corrected ratio", ratio.shape), ratio, c)
    if len(seen) != 1:
        raise Mistake(f"The dual CNN is asked {len(seen)} times. Once is enough.")
    return "The CNN sees the ratio and the factors and corrects the ratio; one that gives 0 leaves MLEM as it is."


def _explain_channels(shapes):
    for shape in shapes:
        if shape == (None, *SHAPE):
            raise Mistake(
                "The dual CNN gets one channel. It sees two, the ratio and c: `ops.concatenate([...])`."
            ) from None
        if shape != (None, *SHAPE[:-1], 2):
            words = (
                f"The dual CNN gets a tensor of shape {shape}, expected {(None, *SHAPE[:-1], 2)}: the channels are the "
            )
            raise Mistake(words + "last axis, `axis=-1`.") from None


def _explain_correction(got, ratio, c):
    def said(*channels):
        return _as_numpy(_dual()(np.concatenate(channels, axis=-1)))

    say = said(ratio, c)
    if near(got, ratio + say, 1e-4):
        return
    recognise(
        got,
        {
            "This is what the CNN says, alone. It corrects the ratio: add it.": say,
            "The CNN's word is subtracted. (It could learn the sign; but the formula adds it.)": ratio - say,
            "The CNN's word is multiplied by the ratio. Add it, so that a CNN of 0 changes nothing.": ratio * say,
            "The ratio is multiplied by 1 + the CNN's word. The formula adds it.": ratio * (1 + say),
            "c is added as well. The CNN sees it, and that is all.": ratio + c + say,
            "The CNN's word is added to c. It corrects the ratio.": c + say,
            "The channels are exchanged: first the ratio, then c.": ratio + said(c, ratio),
            "The CNN gets the ratio twice. Its second channel is c.": ratio + said(ratio, ratio),
            "The CNN gets c twice. Its first channel is the ratio.": ratio + said(c, c),
            "c is multiplied into the ratio. That comes later, in the back projection.": c * (ratio + say),
        },
        1e-4,
    )
    raise Mistake("This is not the ratio plus what the CNN makes of the two channels (ratio, c).")


def _as_numpy(tensor):
    return keras_here().ops.convert_to_numpy(tensor)
