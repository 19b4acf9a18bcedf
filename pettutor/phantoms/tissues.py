"""Tissue labels and the intensity each tissue has in PET, mu, T1 and T2.

Labels are those of the BrainWeb anatomical models (Aubert-Broche et al., NeuroImage 32:138, 2006); the intensities
are those of the ``brainweb`` package (C. da Costa-Luis). A tissue that is not listed is 0.
"""

import numpy as np

LABELS = (
    "background",
    "csf",
    "grey matter",
    "white matter",
    "fat",
    "muscle",
    "skin",  # in BrainWeb: skin and muscle
    "skull",
    "vessels",
    "around fat",
    "dura",
    "marrow",
)
"""Names of the labels 0 to 11."""

(BACKGROUND, CSF, GREY, WHITE, FAT, MUSCLE, SKIN, SKULL, VESSELS, AROUND_FAT, DURA, MARROW) = range(len(LABELS))

MU_BONE = 0.13
MU_TISSUE = 0.0975

PET = {
    "fdg": {WHITE: 32.0, GREY: 128.0, SKIN: 16.0},
    "amyloid": {WHITE: 29.0, GREY: 66.0, SKIN: 35.0},
}
"""Tracer -> label -> activity, arbitrary units."""

MU = {
    **dict.fromkeys((CSF, GREY, WHITE, FAT, MUSCLE, SKIN, VESSELS, AROUND_FAT), MU_TISSUE),
    **dict.fromkeys((SKULL, DURA, MARROW), MU_BONE),
}
"""Label -> linear attenuation coefficient at 511 keV, 1/cm."""

# The package paints a group "bone" (skull, dura, marrow) on top of skull and marrow; here the more specific value wins
# and the group's remains for the dura.
T1 = {WHITE: 154.0, GREY: 106.0, SKIN: 92.0, SKULL: 48.0, MARROW: 180.0, DURA: 48.0, CSF: 48.0}
T2 = {WHITE: 70.0, GREY: 100.0, SKIN: 70.0, SKULL: 100.0, MARROW: 250.0, DURA: 200.0, CSF: 250.0}

LESION_VALUES = {
    "fdg": {"hot": 192.0, "cold": 16.0},
    "amyloid": {"hot": 99.0, "cold": 14.5},
    # the package subtracts 0.8 of white matter's value for a cold lesion in MR
    "t1": {"hot": 159.0, "cold": 30.8},
    "t2": {"hot": 150.0, "cold": 14.0},
}
"""Image -> kind of lesion -> value inside it."""


def tracer_values(tracer):
    """Return the dictionary label -> activity of a tracer.

    Raises
    ------
    ValueError
        An unknown tracer.
    """
    if tracer not in PET:
        raise ValueError(f"tracer: expected one of {', '.join(map(repr, PET))}, got {tracer!r}")
    return PET[tracer]


def lookup_table(values):
    """Return a float64 array: label (0 to 11) -> value, 0 where nothing is listed."""
    table = np.zeros(len(LABELS))
    for label, value in values.items():
        table[label] = value
    return table
