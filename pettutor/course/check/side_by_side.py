"""Checks of lesson 14: the error of a paired difference, the noise at a contrast, the contrast at a network's noise."""

import numpy as np

from pettutor.course.check.exercise import Mistake, NotYet, call, exercise, near, number, numbers, pair, recognise

LESSON = "14_side_by_side"


@exercise(
    LESSON,
    "the error of a paired difference",
    "Both methods saw the same scans, so take the difference scan by scan first: `first - second`.",
    "Its mean is the answer. Its standard error is the standard deviation (`ddof=1`) over the root of their number.",
)
def paired_difference(paired_difference):
    """Check a comparison: ``paired_difference(first, second)`` gives the mean difference and its standard error.

    Parameters
    ----------
    paired_difference : function
        first, second: (scans,), of the same scans in the same order; gives two numbers.

    Returns
    -------
    Verdict
    """
    rng = np.random.default_rng(20)
    for count in (12, 5):
        shared = rng.normal(0, 0.2, count)
        first, second = (mean + shared + rng.normal(0, 0.05, count) for mean in (0.58, 0.55))
        given = first.copy(), second.copy()
        mean, error = pair(call(paired_difference, *given), "the mean difference and its standard error")
        if not (np.array_equal(given[0], first) and np.array_equal(given[1], second)):
            raise Mistake("Your function changes what it is given. `first - second` makes a new array.")
        if np.ndim(mean) or np.ndim(error):
            raise Mistake("Return two numbers. The mean and the standard error are over all scans.")
        _explain_difference(number(mean, "the mean difference"), number(error, "its standard error"), first, second)
    return "What both methods share, the noise of the scans, falls out of the difference and of its error."


def _explain_difference(mean, error, first, second):
    difference, n = first - second, len(first)
    right, its_error = difference.mean(), difference.std(ddof=1) / np.sqrt(n)
    if near(mean, its_error) and near(error, right):
        raise Mistake("The two are exchanged: first the mean difference, then its standard error.")
    recognise(
        mean,
        {
            "The sign is wrong: the first less the second.": -right,
            "The sign is lost: the mean of the differences, not of their sizes.": np.abs(difference).mean(),
            "This is the median. Take the mean.": np.median(difference),
            "This is the sum. Take the mean.": difference.sum(),
            "This is relative to the second. The plain difference is wanted.": right / second.mean(),
            "This is the mean of the first method alone.": first.mean(),
        },
        1e-6,
    )
    if not near(mean, right, 1e-6):
        raise Mistake(f"The mean difference of two small arrays: expected {right:.4f}, got {mean:.4g}.")
    variances = first.var(ddof=1) + second.var(ddof=1)
    recognise(
        error,
        {
            "This is the error for scans that have nothing in common. Yours are the same: the spread of the "
            "*differences* counts.": np.sqrt(variances / n),
            "This is the spread of a single difference. The error of the mean is that over the root of n.": its_error
            * np.sqrt(n),
            "`ddof=1` is missing: the mean comes from the same scans.": difference.std() / np.sqrt(n),
            "Divide by the root of n, not by n.": its_error / np.sqrt(n),
            "This is a variance. The standard error is its root.": its_error**2,
            "This is the variance of a single difference.": difference.var(ddof=1),
            "Divide by the root of n. (n - 1 is in the standard deviation already.)": difference.std(ddof=1)
            / np.sqrt(n - 1),
            "These are two standard errors. The bound of the verdict comes later.": 2 * its_error,
        },
        1e-6,
    )
    if not near(error, its_error, 1e-6):
        raise Mistake(f"The standard error of the mean difference: expected {its_error:.5f}, got {error:.4g}.")


def _curves():
    """Curves of two methods in two regions, and the points of the one that is asked for."""
    import pandas as pd

    rows = []
    for method, lead in (("MLEM + Gaussian", 0.0), ("U-Net", 0.07)):
        for region, gain in (("lesion 1", 0.05), ("grey matter", 0.0)):
            for setting, (std, crc) in enumerate(((0.42, 0.71), (0.22, 0.58), (0.11, 0.4), (0.05, 0.22))):
                rows.append({"method": method, "region": region, "setting": setting,
                             "std": std * (1 + lead), "crc": crc + gain + lead})  # fmt: skip
    return pd.DataFrame(rows)


@exercise(
    LESSON,
    "the noise of a method at a contrast",
    'First the rows of the method in grey matter: `method` as asked, `region` "grey matter".',
    'Then lesson 8\'s trick: exchange the names of `crc` and `std`, and `pt.measures.at_equal_noise(..., crc, "crc")`.',
)
def noise_of_method(noise_at):
    """Check an interpolation: ``noise_at(curves, method, crc)`` gives the noise at a contrast of grey matter.

    Parameters
    ----------
    noise_at : function
        curves: table with the columns ``method``, ``region``, ``setting``, ``std`` and ``crc``; method: str; crc:
        float; gives a fraction.

    Returns
    -------
    Verdict
    """
    curves = _curves()
    for method, crc in (("U-Net", 0.4), ("MLEM + Gaussian", 0.3), ("MLEM + Gaussian", 0.62)):
        kept = curves.copy()
        got = number(call(noise_at, kept, method, crc), "the noise")
        if not kept.equals(curves):
            raise Mistake("Your function changes the table that it is given: `rename` makes a new one.")
        _explain_noise(got, curves, method, crc)
    return "Of the right method and region, along its curve, with the two columns exchanged."


def _explain_noise(got, curves, method, crc):
    def read(method, region, at="crc", value="std"):
        one = curves[(curves["method"] == method) & (curves["region"] == region)].sort_values(at)
        return float(np.interp(crc, one[at], one[value]))

    right = read(method, "grey matter")
    if abs(got - right) < 1e-6:
        return
    other = next(name for name in curves["method"] if name != method)
    one = curves[(curves["method"] == method) & (curves["region"] == "grey matter")]
    usual = {
        "This is the noise in another region: grey matter was asked for.": read(method, "lesion 1"),
        "This is the noise of another method: use `method`.": read(other, "grey matter"),
        "This is in per cent. Give the fraction, as in the column.": 100 * right,
        "This is a CRC: the two columns are not exchanged.": read(method, "grey matter", "std", "crc"),
        "This is a setting. Read the column that holds the noise.": read(method, "grey matter", "crc", "setting"),
        "This is the noise of the nearest point. Interpolate between two.": float(
            one["std"].iloc[int((one["crc"] - crc).abs().argmin())]
        ),
        "You gave back the CRC that was asked for.": crc,
    }
    for words, wrong in usual.items():
        if abs(got - wrong) < 1e-6:
            raise Mistake(words)
    raise Mistake(f"{method}, CRC {crc} of grey matter: expected a noise of {right:.3f}, got {got:.4g}.")


@exercise(
    LESSON,
    "the gain at equal noise",
    "What contrast has the Gaussian's path at the noise of each row? `pt.measures.at_equal_noise(path, stds, value)`.",
    'The value is "grey", the levels of noise are `rows["std"].to_numpy()`; the gain is `rows["grey"]` less that.',
)
def gain_at_equal_noise(gain):
    """Check a comparison: ``gain(rows, path)`` is what a network's rows have more than the Gaussian of equal noise.

    Parameters
    ----------
    gain : function
        rows: table with ``std`` and ``grey``, a row a seed; path: the same of the Gaussian, a row a width; gives a
        number a seed.

    Returns
    -------
    Verdict
    """
    import pandas as pd

    path = pd.DataFrame({"fwhm": [0, 2, 4, 6], "std": [0.5, 0.3, 0.16, 0.06], "grey": [0.75, 0.66, 0.52, 0.3]})
    rows = pd.DataFrame({"seed": [3, 4, 5], "std": [0.11, 0.2, 0.25], "grey": [0.5, 0.57, 0.51]}, index=[7, 2, 9])
    kept = rows.copy(), path.copy()
    found = call(gain, *kept)
    if not (kept[0].equals(rows) and kept[1].equals(path)):
        raise Mistake("Your function changes a table that it is given. Make a new one.")
    if np.size(found) == len(rows) and np.isnan(np.asarray(found, float)).all():
        raise NotYet("It is still NaN for every seed.")
    if np.ndim(found) == 0:
        raise Mistake("Return one number a seed. The mean over them comes later.")
    got = numbers(found, "the gain", (len(rows),), "Are rows matched by their index? Take `.to_numpy()`.")
    rising = path.sort_values("std")
    at = {"right": np.interp(rows["std"], rising["std"], rising["grey"])}
    own = rows["grey"].to_numpy()
    if near(got, own - at["right"], 1e-6):
        return "Each seed against the Gaussian that has its noise: smoothness alone wins nothing here."
    nearest = [path["grey"][int((path["std"] - std).abs().argmin())] for std in rows["std"]]
    recognise(
        got,
        {
            "The sign is wrong: the network less the Gaussian.": at["right"] - own,
            "This is the Gaussian's contrast. The gain is the network's less that.": at["right"],
            "This is the network's contrast alone. Subtract that of the Gaussian with the same noise.": own,
            "This compares with the Gaussian's *best* contrast, which has other noise.": own - path["grey"].max(),
            "This compares with the mean of the Gaussian's path, whatever its noise.": own - path["grey"].mean(),
            "This compares with the Gaussian of the nearest noise. Interpolate between two.": own - nearest,
            "All seeds are compared at their mean noise. Each has its own.": own
            - np.interp(rows["std"].mean(), rising["std"], rising["grey"]),
            "This is relative to the Gaussian. The difference of the two contrasts is wanted.": own / at["right"] - 1,
            "Noise is subtracted from noise. Read the column `grey` at the noise `std`.": rows["std"].to_numpy()
            - np.interp(own, rising["grey"], rising["std"]),
        },
        1e-6,
    )
    raise Mistake("This is not the network's contrast less that of the Gaussian with the same noise, for each seed.")
