"""Whether the network helped: words that are computed from the numbers."""

PRIMARY = "nrmse_head"
# Differences below this share of the value are called equal.
SAME = 0.005
NAMES = {"mlem": "MLEM", "gaussian": "the best Gaussian filter", "ced": "the CED"}


def verdict(rows, no_network=None):
    """Say how the CED compares with MLEM and with the best Gaussian.

    Parameters
    ----------
    rows : list of dict
        The table of `pettutor.demo.stages.measure`; the row "nrmse_head" decides.
    no_network : str, optional
        Why there is no CED.

    Returns
    -------
    dict
        ``improves``: True, False, or None without a CED; ``text``; ``worse``: sentences on every measure where the CED
        is further from the truth than MLEM or the Gaussian.
    """
    values = next(row["values"] for row in rows if row["key"] == PRIMARY)
    if "ced" not in values:
        return {"improves": None, "text": f"The CED was not run: {no_network}.", "worse": []}
    ced = values["ced"]
    beaten = [name for name in ("mlem", "gaussian") if ced < values[name]]
    if len(beaten) == 2:
        first, second = (f"{_percent(1 - ced / values[k])} below {NAMES[k]} ({values[k]:.1f} %)" for k in beaten)
        rest = ", which no Gaussian filter improves" if values["gaussian"] == values["mlem"] else f" and {second}"
        text = f"The CED improves the image of a subject it never saw: NRMSE {ced:.1f} %, {first}{rest}."
    elif beaten:
        (lost,) = {"mlem", "gaussian"} - set(beaten)
        text = (
            f"The CED does not improve on {NAMES[lost]} here: NRMSE {ced:.1f} % against {values[lost]:.1f} %, though "
            f"it is below {NAMES[beaten[0]]} ({values[beaten[0]]:.1f} %)."
        )
    else:
        text = (
            f"The CED does not improve the image here: NRMSE {ced:.1f} % against {values['mlem']:.1f} % of MLEM and "
            f"{values['gaussian']:.1f} % of the best Gaussian filter."
        )
    return {"improves": len(beaten) == 2, "text": text, "worse": _worse(rows)}


def _worse(rows):
    """Measures with a perfect value to which another image is closer than the CED's."""
    sentences = []
    for row in rows:
        if row["best"] is None or row["key"] == PRIMARY:
            continue
        distance = {name: abs(value - row["best"]) for name, value in row["values"].items()}
        best = min(distance, key=distance.get)
        if distance["ced"] - distance[best] > SAME * max(abs(row["best"]), distance[best]):
            unit = f" {row['unit']}" if row["unit"] else ""
            mine, other = (number(row["values"][name], row["unit"]) for name in ("ced", best))
            sentences.append(f"{row['name']}: {mine}{unit} with {NAMES['ced']}, {other}{unit} with {NAMES[best]}")
    return sentences


def _percent(share):
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.1f} %"


def number(value, unit):
    """A number as tables show it."""
    digits = 1 if unit else 2
    value = round(value, digits) + 0.0  # no minus before a zero
    return f"{value:.{digits}f}".replace("-", "−")
