"""Checks of lesson 13: the soft threshold, the sum of all filters, a layer of BCD-Net, a strength chosen in advance."""

import numpy as np

from pettutor.course.check import bench
from pettutor.course.check.exercise import (
    Mistake,
    NotYet,
    call,
    exercise,
    near,
    number,
    numbers,
    pair,
    recognise,
    unchanged,
)

LESSON = "13_bcd_net"


@exercise(
    LESSON,
    "the soft threshold",
    "Take the size `np.abs(a)`, make it smaller by t but not smaller than 0, and give it back its sign.",
    "`np.maximum(..., 0)` keeps it from getting negative; `np.sign(a)` is the sign.",
)
def soft_threshold(soft_threshold):
    """Check the soft threshold ``sign(a) max(|a| - t, 0)``: ``soft_threshold(a, t)``.

    It is 0 up to t, keeps the sign, shrinks by t, and minimises ``(u - a)² / 2 + t |u|``.

    Parameters
    ----------
    soft_threshold : function
        a: array; t: number, or array that fits; gives an array.

    Returns
    -------
    Verdict
    """
    a = np.array([[-3.1, -0.6, -0.2, 0.0], [0.15, 0.5, 1.7, 4.2], [0.45, -0.95, 2.5, -1.2]])
    given = a.copy()
    got = numbers(call(soft_threshold, given, 0.5), "the codes", a.shape)
    unchanged(a, given, "a")
    if near(got, a):
        raise NotYet("The codes are still what they were.")
    size, t = np.abs(a), 0.5
    if not near(got, np.sign(a) * np.maximum(size - t, 0), 1e-6):
        recognise(
            got,
            {
                "This is the *hard* threshold: what is kept has to be made smaller by t.": a * (size > t),
                "Negative codes are lost: take the size `np.abs(a)`, and give back the sign.": np.maximum(a - t, 0),
                "The sign is lost: multiply by `np.sign(a)`.": np.maximum(size - t, 0),
                "Small codes come out on the other side of 0: cut off with `np.maximum(..., 0)`.": np.sign(a)
                * (size - t),
                "All is shifted by t: the size has to shrink, on both sides of 0.": a - t,
                "This keeps the small codes and cuts the large ones. It should be the other way round.": np.clip(
                    a, -t, t
                ),
                "The large codes are set to 0, the small ones are kept. It should be the other way round.": a
                * (size < t),
                "The size grows by t. It has to shrink.": np.sign(a) * (size + t),
                "The codes are multiplied by what is left of their size: the sign is enough, `np.sign(a)`.": a
                * np.maximum(size - t, 0),
            },
            1e-6,
        )
        raise Mistake("A code of size |a| > t should come out as |a| - t with the sign of a, all others as 0.")
    rows = np.array([[0.1], [1.5], [0.0]])
    mine = numbers(call(soft_threshold, a.copy(), rows), "the codes with a threshold for each row", a.shape)
    if not near(mine, np.sign(a) * np.maximum(size - rows, 0), 1e-6):
        raise Mistake("Every filter has a threshold of its own: t may be an array as well.")
    return "Small codes are 0, large ones lose t and keep their sign, also with a threshold for every filter."


@exercise(
    LESSON,
    "the sum of all filters",
    "For a pair, `convolve2d(c, d)` is the filter that both together are: 3 × 3 and 3 × 3 make 5 × 5.",
    "Sum them over all pairs: `sum(convolve2d(c, d) for c, d in pairs)`.",
)
def overall_filter(overall_filter):
    """Check a sum of convolutions: ``overall_filter(pairs)`` gives the one filter that a denoiser without threshold is.

    Parameters
    ----------
    overall_filter : function
        pairs: list of (encoder's filter, decoder's filter), arrays (3, 3); gives an array (5, 5).

    Returns
    -------
    Verdict
    """
    from scipy.signal import convolve2d, correlate2d

    rng = np.random.default_rng(12)
    pairs = [(rng.normal(0, 1, (3, 3)), rng.normal(0, 1, (3, 3))) for _ in range(4)]
    found = call(overall_filter, [(c.copy(), d.copy()) for c, d in pairs])
    if np.shape(found) == (3, 3):
        products = {
            'With `mode="same"` the rim is cut off: 3 × 3 and 3 × 3 make 5 × 5.': [
                convolve2d(c, d, mode="same") for c, d in pairs
            ],
            "You multiplied voxel by voxel. One filter after the other is a convolution: `convolve2d`.": [
                c * d for c, d in pairs
            ],
            "This is a matrix product. One filter after the other is a convolution: `convolve2d`.": [
                c @ d for c, d in pairs
            ],
        }
        recognise(np.asarray(found, float), {words: sum(each) for words, each in products.items()}, 1e-6)
    if np.shape(found) == (len(pairs), 5, 5):
        raise Mistake("These are all the filters, one a pair. The image gets their sum.")
    got = numbers(found, "the filter", (5, 5))
    each = [convolve2d(c, d) for c, d in pairs]
    if near(got, sum(each), 1e-6):
        return "One filter is all that a denoiser without a threshold can be; and yours is the sum over all pairs."
    recognise(
        got,
        {
            "This is the first pair alone. Sum over all of them.": each[0],
            "This is the last pair alone. Sum over all of them.": each[-1],
            "This is the mean. The outputs of the filters are added up.": sum(each) / len(pairs),
            "This is a correlation: it mirrors one of the filters. Take `convolve2d`.": sum(
                correlate2d(c, d) for c, d in pairs
            ),
            "This is a correlation: it mirrors one of the two filters. Take `convolve2d`.": sum(
                correlate2d(d, c) for c, d in pairs
            ),
            "The encoder's filters are convolved with themselves: `for c, d in pairs`.": sum(
                convolve2d(c, c) for c, _ in pairs
            ),
            "First all encoders and all decoders are summed. Each decoder belongs to its own encoder.": convolve2d(
                sum(c for c, _ in pairs), sum(d for _, d in pairs)
            ),
        },
        1e-6,
    )
    raise Mistake("This is not the sum of `convolve2d(c, d)` over all pairs.")


@exercise(
    LESSON,
    "a layer of BCD-Net",
    "First the reference: `u = denoise(x)`. Then one iteration of `pt.map_em` towards it, from x.",
    "`pt.map_em(y, A, pt.priors.Reference(u, rho), iterations=1, start=x)`.",
)
def bcd_layer(layer):
    """Check a layer: ``layer(y, A, x, denoise, rho)`` is a denoiser, then one MAP-EM step from x towards its image.

    Parameters
    ----------
    layer : function
        y: float32 (plane, view, bin); A: acquisition model; x: float32 (z, y, x); ``denoise(x)`` gives an image; rho:
        float; gives float32 (z, y, x).

    Returns
    -------
    Verdict
    """
    scan = bench.scan()
    y, A, rng = scan.y, scan.A, np.random.default_rng(13)
    x = rng.uniform(1, 15, A.in_shape).astype(np.float32)
    rho, denoise = bench.strength(1.3), bench.Denoiser(axis=-1, share=0.6, offset=2)
    given = x.copy()
    got = numbers(call(layer, y, A, given, denoise, rho), "the image", A.in_shape)
    unchanged(x, given, "x")
    em = bench.em_step(y, A, x)
    if near(got, x, 1e-6) or (near(got, em, 1e-4) and not denoise.calls):
        raise NotYet("The denoiser is not used yet.")
    count = denoise.calls
    right = bench.map_step(y, A, x, denoise(x), rho)
    if near(got, right, 1e-4):
        if count != 1:
            raise Mistake(f"`denoise` is called {count} times. Once is enough: keep its image.")
        return "The denoiser proposes, the counts decide: one step from x towards u."
    recognise(got, _wrong_layers(y, A, x, denoise, rho), 1e-4)
    raise Mistake("This is not one MAP-EM step from x with the reference `denoise(x)`.")


def _wrong_layers(y, A, x, denoise, rho):
    u, em = denoise(x), bench.em_step(y, A, x).astype(np.float32)
    right = bench.map_step(y, A, x, u, rho)
    return {
        "This is u itself: the counts are not asked. Make one step of MAP-EM towards it.": u,
        "This is MLEM: u is not used as the reference.": em,
        "The reference is x, the image before the denoiser. It is u.": bench.map_step(y, A, x, x, rho),
        "The step starts from u. It starts from x; u is the reference.": bench.map_step(y, A, u, u, rho),
        "u and x are exchanged: the reference is u, the start is x.": bench.map_step(y, A, u, x, rho),
        "The step starts from an image of ones: `start=x` is missing.": bench.map_step(y, A, np.ones_like(x), u, rho),
        "These are two steps. One is enough: `iterations=1`.": bench.map_step(y, A, right, u, rho),
        "The denoiser comes first, then the counts: yours is the other way round.": denoise(em),
        "The denoiser gets the image of an EM step. It gets x.": bench.map_step(y, A, x, denoise(em), rho),
        "rho is doubled. `pt.priors.Reference(u, rho)` takes it as it is.": bench.map_step(y, A, x, u, 2 * rho),
        "rho is halved. `pt.priors.Reference(u, rho)` takes it as it is.": bench.map_step(y, A, x, u, rho / 2),
        "This is a mean of the EM image and u. Each voxel has its own balance: `pt.map_em`.": (em + u) / 2,
    }


@exercise(
    LESSON,
    "a strength chosen in advance",
    "Choose by the validation head alone: `min(kappas, key=on_validation)` is the κ with the least error there.",
    "Only then ask the test head, once and for this κ alone: `return best, on_test(best)`.",
)
def tuned_kappa(tuned):
    """Check a choice: ``tuned(kappas, on_validation, on_test)`` gives the best κ and its error on the test head.

    The validation head alone decides, and the test head is asked once.

    Parameters
    ----------
    tuned : function
        kappas: sequence of floats; ``on_validation(kappa)`` and ``on_test(kappa)`` are errors in per cent; gives a κ
        and an error.

    Returns
    -------
    Verdict
    """
    kappas = (0.2, 0.9, 2.0, 5.0, 30.0)
    tables = (((21.0, 18.5, 17.0, 19.5, 24.0), (20.0, 19.0, 19.5, 16.0, 25.0)),
              ((14.0, 15.5, 16.0, 15.0, 13.0), (12.0, 15.0, 17.5, 16.0, 18.0)))  # fmt: skip
    for validation, test in tables:
        asked = {"validation": [], "test": []}

        def error(kappa, table, name, asked=asked):
            if kappa not in kappas:
                raise ValueError(f"kappa: expected one of {kappas}, got {kappa}")
            asked[name].append(kappa)
            return table[kappas.index(kappa)]

        found = call(
            tuned,
            kappas,
            lambda kappa, table=validation: error(kappa, table, "validation"),
            lambda kappa, table=test: error(kappa, table, "test"),
        )
        if not asked["validation"]:
            if len(set(asked["test"])) > 1:
                raise Mistake("You chose on the test head. The choice belongs to the validation head: `on_validation`.")
            raise NotYet("Your function never asks the validation head: try the κ with `on_validation(...)`.")
        kappa, value = pair(found, "κ and its error on the test head")
        _explain_kappa(number(kappa, "κ"), number(value, "the error"), kappas, validation, test, asked)
    return "The validation head chose, and the test head was asked once. Its error is now an honest one."


def _explain_kappa(kappa, value, kappas, validation, test, asked):
    best = kappas[int(np.argmin(validation))]
    if len(set(asked["test"])) > 1:
        raise Mistake(
            f"The test head was asked for {len(set(asked['test']))} strengths. Ask it once, after the choice: who "
            "looks at many has chosen by it."
        )
    if kappa in (*validation, *test) and value in kappas:
        raise Mistake("The two are exchanged: first κ, then its error on the test head.")
    if kappa in validation and kappa not in kappas:
        raise Mistake("This is the least error. The κ that has it is wanted: `min(kappas, key=on_validation)`.")
    if len(set(asked["validation"])) < len(kappas):
        raise Mistake("Not all κ were tried on the validation head.")
    if kappa == kappas[int(np.argmax(validation))]:
        raise Mistake("This is the κ with the *largest* error on the validation head.")
    if kappa == np.argmin(validation) and kappa != best:
        raise Mistake("This is the place in the list, counted from 0. The κ itself is wanted.")
    if kappa != best:
        raise Mistake(f"With the validation errors {validation} for κ = {kappas} expected κ = {best:g}, got {kappa:g}.")
    if value == min(validation):
        raise Mistake(
            "The error is that of the validation head, on which κ was chosen, so it is a little too good. Return that "
            "of the test head."
        )
    if not asked["test"]:
        raise Mistake("The test head was never asked. Its error is the second thing to return.")
    if value != test[kappas.index(best)]:
        raise Mistake(f"The error should be that of the chosen κ on the test head, {test[kappas.index(best)]:g} %.")
