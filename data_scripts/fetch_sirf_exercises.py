#!/usr/bin/env python3
"""Fetch the data of SIRF-Exercises: the NEMA image quality phantom on a Siemens Biograph mMR; on request the MR data.

python data_scripts/fetch_sirf_exercises.py --dry-run
python data_scripts/fetch_sirf_exercises.py --parts pet mr
"""

import sys

from zenodo import DataSet, Part, main

# The checksums are those in SIRF-Exercises' own scripts/download_data.sh.
SIRF_EXERCISES = DataSet(
    name="sirf_exercises",
    what="Raw data of SIRF-Exercises (CCP SyneRBI)",
    parts={
        "pet": Part(
            1304454,
            "NEMA image quality phantom, Siemens Biograph mMR: list mode, normalisation, mu-map",
            {"NEMA_IQ.zip": "ef848b8f6d5fd57b072a953b374ba4da"},
        ),
        "mr": Part(
            2633785,
            "ACR phantom, GRAPPA, Physikalisch-Technische Bundesanstalt",
            {"PTB_ACRPhantom_GRAPPA.zip": "a7e0b72a964b1e84d37f9609acd77ef2"},
        ),
    },
    cite=(
        "SIRF: Ovtchinnikov et al., Comput. Phys. Commun. 249:107087, 2020. https://doi.org/10.1016/j.cpc.2019.107087",
    ),
    notes=("zip files: unpacking takes about as much room again",),
)

if __name__ == "__main__":
    sys.exit(main(SIRF_EXERCISES))
