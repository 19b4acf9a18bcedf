#!/usr/bin/env python3
"""Fetch the public amyloid brain scan of the NiftyPET community: raw data of a Siemens Biograph mMR, about 9 GB.

python data_scripts/fetch_amyloid.py --dry-run
python data_scripts/fetch_amyloid.py --folder /where/there/is/room

Unpack the zip file; lesson 16 (notebooks/16_real_data.ipynb) runs on the folder in it.
"""

import sys

from zenodo import DataSet, Part, main

AMYLOID = DataSet(
    name="amyloid",
    what="An hour of list mode of one brain, 18F-florbetapir, Siemens Biograph mMR; normalisation; mu-map (UTE)",
    # No checksum of this file is published but the record's own.
    parts={"scan": Part(1472951, "list mode, normalisation, mu-map", {"amyloidPET_FBP_TP0.zip": None})},
    cite=(
        "Lane et al., Study protocol: Insight 46, BMC Neurology 17:75, 2017. https://doi.org/10.1186/s12883-017-0846-x",
        "with NiftyPET also: Markiewicz et al., Neuroinformatics 16:95, 2018. "
        "https://doi.org/10.1007/s12021-017-9352-y",
    ),
    notes=(
        "a real person's scan: keep to its licence, and never try to find out who it was",
        "a zip file: unpacking takes about as much room again",
        "the mu-maps of table and coils are the manufacturer's, and not in it",
    ),
)

if __name__ == "__main__":
    sys.exit(main(AMYLOID))
