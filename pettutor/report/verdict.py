"""Whether the networks helped: words that are computed from the numbers."""

PRIMARY = "nrmse_head"
# Differences below this share of the value are called equal.
SAME = 0.005
# What is not run where it would take too long.
LEFT_OUT = "Bowsher MAP, MAPEM-Net and DIPRecon"
PLAIN = {"mlem": "MLEM", "gaussian": "the best Gaussian filter"}
GUIDED = {"bowsher": "Bowsher MAP"}  # sees T1, and has no network
NETWORKS = {"ced": "the CED", "mapem_net": "MAPEM-Net", "diprecon": "DIPRecon"}
NAMES = PLAIN | GUIDED | NETWORKS


def verdict(rows, no_network=None, skipped=None):
    """Say how the images with networks compare with MLEM and with the best Gaussian.

    Parameters
    ----------
    rows : list of dict
        The table of `pettutor.demo.stages.measure`; the row "nrmse_head" decides.
    no_network : str, optional
        Why there are no networks at all.
    skipped : str, optional
        Why Bowsher MAP, MAPEM-Net and DIPRecon are missing.

    Returns
    -------
    dict
        ``better`` and ``not_better``: the networks whose image is nearer to the truth than MLEM and every Gaussian of
        it, and the others, the best first; ``text``; ``worse``: sentences on every measure where a network is further
        from the truth than MLEM or the Gaussian.
    """
    values = next(row["values"] for row in rows if row["key"] == PRIMARY)
    networks = sorted((name for name in NETWORKS if name in values), key=values.get)
    if not networks:
        text = f"No network was run: {no_network}.{_guided(values)}"
        text += f" {GUIDED['bowsher']} was not run: {skipped}." if skipped else ""
        return {"better": [], "not_better": [], "text": text, "worse": []}
    to_beat = min(values[name] for name in PLAIN)
    better = [name for name in networks if values[name] < to_beat]
    not_better = [name for name in networks if name not in better]
    text = f"Error over the head (NRMSE): {_plain(values)}. "
    if better:
        share = _percent(1 - values[better[0]] / to_beat)
        how_far = f"{_have(better, 'by', 'by up to')} {share}"
        text += f"{_start(_with_values(better, values))} {_have(better, 'is', 'are')} below that, {how_far}."
    if not_better:
        which = f"{_with_values(not_better, values)} {_have(not_better, 'is', 'are')} not"
        text += f" {_start(which)}." if better else f"{_start(which)} below that."
    text += _guided(values)
    if skipped:
        text += f" {LEFT_OUT} were not run: {skipped}."
    return {"better": better, "not_better": not_better, "text": text, "worse": _worse(rows, networks)}


def _plain(values):
    if values["gaussian"] == values["mlem"]:
        return f"MLEM {values['mlem']:.1f} %, which no Gaussian filter improves"
    return f"MLEM {values['mlem']:.1f} %, after the best Gaussian filter {values['gaussian']:.1f} %"


def _guided(values):
    """What T1 gives without a network: the mark for those that see it, too."""
    return "".join(
        f" Without a network, from counts and T1: {GUIDED[k]} {values[k]:.1f} %." for k in GUIDED if k in values
    )


def _worse(rows, networks):
    """Measures with a perfect value to which MLEM or the Gaussian is closer than a network."""
    sentences = []
    for row in rows:
        if row["best"] is None or row["key"] == PRIMARY:
            continue
        distance = {name: abs(value - row["best"]) for name, value in row["values"].items()}
        best = min(PLAIN, key=distance.get)
        limit = SAME * max(abs(row["best"]), distance[best])
        losers = [name for name in networks if distance[name] - distance[best] > limit]
        if losers:
            unit = f" {row['unit']}" if row["unit"] else ""
            shown = {name: number(value, row["unit"]) + unit for name, value in row["values"].items()}
            said = _listed([f"{shown[name]} with {NAMES[name]}" for name in losers])
            sentences.append(f"{row['name']}: {said}, against {shown[best]} with {NAMES[best]}")
    return sentences


def _with_values(names, values):
    return _listed([f"{NAMES[name]} ({values[name]:.1f} %)" for name in names])


def _listed(words):
    """a; a and b; a, b and c."""
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def _start(sentence):
    return sentence[0].upper() + sentence[1:]


def _have(names, one, several):
    return one if len(names) == 1 else several


def _percent(share):
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.1f} %"


def number(value, unit):
    """A number as tables show it."""
    digits = 1 if unit else 2
    value = round(value, digits) + 0.0  # no minus before a zero
    return f"{value:.{digits}f}".replace("-", "−")
