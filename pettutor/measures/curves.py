"""Noise–contrast curves: what a method recovers at which noise, over its iterations or settings.

Three tables, all of pandas. *Rows*: one row an image (`image_measures`). *Curve*: one row a point, the mean over
realisations (`noise_contrast`, `curve_table`). *Comparison*: two methods at equal noise (`compare_at_equal_noise`).
"""

import numpy as np

from pettutor.arrays import check_array
from pettutor.measures.checks import FLOATS
from pettutor.measures.error import bias, nrmse
from pettutor.measures.noise import background_std
from pettutor.measures.recovery import contrast_recovery

LABELS = ("method", "setting", "iteration", "fwhm", "region")
KEYS = ("subject", "lesions", "counts", "structure", *LABELS)
MEASURES = ("crc", "crc_error", "std", "nrmse", "bias", "realisations")


def image_measures(frames, truth, region, background, *, along="iteration", labels=None, normaliser=None, mask=None):
    """The measures of every image: one row each.

    Parameters
    ----------
    frames : float array (realisation, point, z, y, x), or dict
        Points along the curve, in order: an array's are numbered from 1; a dict has value -> images
        (realisation, z, y, x), so that only the iterations or strengths that were kept need be there.
    truth : float array (z, y, x)
    region, background : bool arrays (z, y, x)
        `regions` has them.
    along : "iteration", "setting" or "fwhm"
        What changes from point to point.
    labels : dict, optional
        What stays: "method", "setting", "iteration", "fwhm" (default 0: no filter), "region".
    normaliser : str, optional
        Of `nrmse`; without it that column is NaN.
    mask : bool array (z, y, x), optional
        Where the NRMSE is taken (default: everywhere).

    Returns
    -------
    pandas.DataFrame
        Columns ``method, setting, iteration, fwhm, region, realisation, crc, std, nrmse, bias``. ``std`` belongs to the
        point, the same for all its realisations; ``bias`` is that of the image's mean in the region.

    Raises
    ------
    TypeError, ValueError
        As `contrast_recovery` and `background_std`; an unknown label; points of unlike numbers of realisations.
    """
    import pandas

    check_array(truth, "truth", dtype=FLOATS)
    labels = _checked_labels(along, labels)
    rows, count = [], None
    for value, images in _points(frames, truth).items():
        count = len(images) if count is None else count
        if len(images) != count:
            raise ValueError(f"frames: expected {count} realisations at every point, got {len(images)} at {value!r}")
        noise = background_std(images, background)
        for r, recovered in enumerate(contrast_recovery(images, truth, region, background)):
            error = np.nan if normaliser is None else nrmse(images[r], truth, normaliser=normaliser, mask=mask)
            rows.append(
                {**labels, along: value, "realisation": r, "crc": recovered, "std": noise, "nrmse": error}
                | {"bias": bias(images[r], truth, mask=region)}
            )
    return pandas.DataFrame(rows)


def noise_contrast(frames, truth, region, background, **settings):
    """A noise–contrast curve: `crc`, its standard error, `background_std`, NRMSE and bias at every point.

    Parameters, errors
        As for `image_measures`.

    Returns
    -------
    pandas.DataFrame
        As of `curve_table`, in the order of the points.
    """
    return curve_table(image_measures(frames, truth, region, background, **settings))


def curve_table(rows):
    """Curves from a table of images: the mean over realisations at every point.

    Parameters
    ----------
    rows : pandas.DataFrame
        One row an image, as `image_measures` makes it: ``realisation, crc, std``, and as they are there ``nrmse, bias``
        and what tells the points apart: ``subject, lesions, counts, structure, method, setting, iteration, fwhm,
        region``.

    Returns
    -------
    pandas.DataFrame
        One row a point, in the order of the rows: the columns that tell it apart, ``crc``, ``crc_error`` (standard
        deviation over realisations / √realisations, ddof = 1: how well this mean is known), ``std``, ``nrmse``,
        ``bias``, ``realisations``.

    Raises
    ------
    ValueError
        A column is missing, a realisation comes twice at a point, or its images disagree on the noise.
    """
    _check_columns(rows, ("realisation", "crc", "std"), "rows")
    keys = _keys(rows)
    rows = rows.assign(**{name: np.nan for name in ("nrmse", "bias") if name not in rows.columns})
    groups = rows.groupby(keys, sort=False, dropna=False)
    table = groups.agg(
        crc=("crc", "mean"), crc_error=("crc", "sem"), std=("std", "first"), nrmse=("nrmse", "mean"),
        bias=("bias", "mean"), realisations=("realisation", "nunique"), images=("realisation", "size"),
        noises=("std", "nunique"),
    ).reset_index()  # fmt: skip
    for wrong, what in (
        (table["images"] != table["realisations"], "each realisation once"),
        (table["noises"] > 1, "one noise (std) for all realisations"),
    ):
        if wrong.any():
            raise ValueError(
                f"rows: expected {what} at a point, got more at {table.loc[wrong, keys].iloc[0].to_dict()}"
            )
    return table[[*keys, *MEASURES]]


def at_equal_noise(curve, std, value="crc"):
    """What a curve has at a given noise, by linear interpolation along its path.

    The path is the curve's own order; it need not be monotone. It is walked from its less noisy end, and the first
    crossing of the noise counts. Noise that the path never has gives NaN: nothing is extrapolated.

    Parameters
    ----------
    curve : pandas.DataFrame
        One curve, as `noise_contrast` makes it.
    std : float or sequence of floats
        Fractions, as in the column.
    value : str
        The column to interpolate; "iteration" or "setting" say where on the path it is.

    Returns
    -------
    float, or array of floats for a sequence

    Raises
    ------
    ValueError
        A column is missing or not finite, no point, or more than one curve (method, region …).
    """
    _check_columns(curve, ("std", value), "curve")
    _check_single(curve, "curve")
    noise, values = (curve[name].to_numpy(np.float64) for name in ("std", value))
    if not len(curve) or not (np.isfinite(noise).all() and np.isfinite(values).all()):
        raise ValueError(f"curve: expected at least one point, std and {value} finite, got {len(curve)} points")
    found = np.array([_interpolated(noise, values, wanted) for wanted in np.ravel(std)])
    return found if np.ndim(std) else float(found[0])


def compare_at_equal_noise(first, second, std, value="crc"):
    """Two methods at equal noise on the same realisations: the paired difference and how well it is known.

    Each method's path is crossed as by `at_equal_noise`; the same two points and weights then interpolate every
    realisation's value. The noise of a realisation that both methods share falls out of the difference. The error
    does not hold how well the noise level itself is known, nor the choice of subject, nor a network's seed.

    Parameters
    ----------
    first, second : pandas.DataFrame
        Rows of `image_measures`, one method each, with the same realisations.
    std : float or sequence of floats
    value : str
        "crc", or another column.

    Returns
    -------
    pandas.DataFrame
        A row for each noise: ``std``, ``first``, ``second`` (means over realisations), ``difference`` (first - second),
        ``difference_error`` (its standard error, ddof = 1), ``realisations``. NaN where a path never has that noise.

    Raises
    ------
    ValueError
        As `at_equal_noise`; realisations that are not the same, or fewer than two.
    """
    import pandas

    paths = [_path(rows, value, name) for rows, name in ((first, "first"), (second, "second"))]
    if not paths[0][2].equals(paths[1][2]):
        known, got = (list(path[2]) for path in paths)
        raise ValueError(f"second: expected the realisations of first, {known} (they are compared in pairs), got {got}")
    count = len(paths[0][2])
    if count < 2:
        raise ValueError(f"first: expected at least two realisations, got {count}")
    found = []
    for wanted in np.ravel(std):
        one, two = (_interpolated(noise, values, wanted) for noise, values, _ in paths)
        difference = one - two
        error = difference.std(ddof=1) / np.sqrt(count)
        found.append([wanted, one.mean(), two.mean(), difference.mean(), error, count])
    names = ["std", "first", "second", "difference", "difference_error", "realisations"]
    return pandas.DataFrame(found, columns=names).astype({"realisations": int})


def _interpolated(noise, values, wanted):
    """``values`` (point, …) where the path of ``noise`` (point,) first is ``wanted``, from its less noisy end."""
    if noise[-1] < noise[0]:
        noise, values = noise[::-1], values[::-1]
    if noise[0] == wanted:
        return values[0]
    for k in range(len(noise) - 1):
        low, high = sorted(noise[k : k + 2])
        if low <= wanted <= high and low < high:
            weight = (wanted - noise[k]) / (noise[k + 1] - noise[k])
            return (1 - weight) * values[k] + weight * values[k + 1]
    return np.full_like(values[0], np.nan)


def _path(rows, value, name):
    """(noise (point,), values (point, realisation), realisations) of one method's rows, in their order."""
    import pandas

    _check_columns(rows, ("realisation", "std", value), name)
    _check_single(rows, name)
    point = rows.groupby(_keys(rows), sort=False, dropna=False).ngroup().to_numpy()
    known = pandas.Index(rows["realisation"].unique()).sort_values()
    order, shape = np.lexsort((rows["realisation"], point)), (point.max(initial=-1) + 1, len(known))
    whole = len(rows) == np.prod(shape) > 0
    if not whole or (rows["realisation"].to_numpy()[order].reshape(shape) != known.to_numpy()).any():
        curve_table(rows.assign(crc=rows[value]))  # names a realisation that comes twice
        raise ValueError(f"{name}: expected the same realisations at every point")
    noise, values = (rows[column].to_numpy(np.float64)[order].reshape(shape) for column in ("std", value))
    if not (np.isfinite(noise).all() and np.isfinite(values).all()):
        raise ValueError(f"{name}: expected finite std and {value}")
    if (noise != noise[:, :1]).any():
        curve_table(rows.assign(crc=rows[value]))  # names the point
    noise = noise[:, 0]
    return noise, values, known


def _points(frames, truth):
    """{value: images (realisation, z, y, x)}."""
    if isinstance(frames, dict):
        points = frames
    else:
        check_array(frames, "frames", ndim=truth.ndim + 2, dtype=FLOATS, finite=False)
        points = {k + 1: frames[:, k] for k in range(frames.shape[1])}
    if not points:
        raise ValueError("frames: expected at least one point, got none")
    for value, images in points.items():
        check_array(images, f"frames at {value!r}", ndim=truth.ndim + 1, dtype=FLOATS)
    return points


def _checked_labels(along, labels):
    if along not in ("iteration", "setting", "fwhm"):
        raise ValueError(f"along: expected one of 'iteration', 'setting', 'fwhm', got {along!r}")
    labels = {} if labels is None else labels
    wrong = [name for name in labels if name not in LABELS or name == along]
    if wrong:
        expected = ", ".join(name for name in LABELS if name != along)
        raise ValueError(f"labels: expected some of {expected} (along the curve runs {along!r}), got {wrong[0]!r}")
    defaults = {"method": "", "setting": np.nan, "iteration": np.nan, "fwhm": 0.0, "region": ""}
    return {**defaults, **labels}


def _keys(rows):
    return [name for name in KEYS if name in rows.columns]


def _check_columns(table, names, called):
    missing = [name for name in names if name not in getattr(table, "columns", ())]
    if missing:
        raise ValueError(f"{called}: expected a table with columns {', '.join(names)}, {missing[0]!r} is missing")


def _check_single(table, called):
    """One curve: a single method, region and subject."""
    for name in ("subject", "lesions", "counts", "structure", "method", "region"):
        if name in table.columns and table[name].nunique(dropna=False) > 1:
            found = ", ".join(map(str, table[name].unique()))
            raise ValueError(f"{called}: expected one curve, got several of {name}: {found}")
