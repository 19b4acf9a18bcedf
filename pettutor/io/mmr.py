"""The Siemens Biograph mMR as its raw-data files number it: rings, planes, detector buckets."""

import functools

import numpy as np

from pettutor.geometry import Scanner

RINGS, CRYSTALS, VIEWS, BINS = 64, 504, 252, 344
PLANE_BINS = VIEWS * BINS  # addresses of one plane
BUCKETS = 224  # detector buckets that report their singles: 28 round the ring, of 18 positions and 8 rings each


@functools.cache
def plane_in_file(span):
    """int (ring of c0, ring of c1): the plane in which a raw-data file has a ring pair, -1 for none; read-only.

    Raw data of the mMR come in segments 0, -1, +1 … of the manufacturer's sign, in which the first crystal of a bin is
    the one that is c1 here. So the first oblique segment of a file has c1 in the *higher* ring: its table is the
    transpose of the library's. (NiftyPET's and STIR's readers agree on it.)
    """
    table = Scanner.preset("mmr", span=span).plane_of_ring_pair.T.copy()
    table.flags.writeable = False
    return table


def check_scanner(scanner, first_ring=None):
    """First ring of the mMR that a scanner stands for: that asked for, else such that its rings lie in the middle.

    Raises
    ------
    TypeError, ValueError
        A scanner that is not made of rings of the mMR, or rings that it does not have.
    """
    if not isinstance(scanner, Scanner):
        raise TypeError(f"scanner: expected a pettutor.Scanner, got {scanner!r:.80}")
    same_ring = (scanner.crystal_positions, scanner.positions_per_block, scanner.crystals_per_block, scanner.bins)
    if same_ring != (CRYSTALS, 9, 8, BINS) or scanner.rings > RINGS or scanner.max_ring_difference > 60:
        raise ValueError(
            f"scanner: expected rings of the mMR ({CRYSTALS} crystal positions in blocks of 8 and a gap, {BINS} bins, "
            f"at most {RINGS} rings and a ring difference of 60), got {scanner}"
        )
    highest = RINGS - scanner.rings
    if first_ring is None:
        return highest // 2
    if isinstance(first_ring, bool) or not isinstance(first_ring, (int, np.integer)) or not 0 <= first_ring <= highest:
        raise ValueError(f"first_ring: expected a ring 0 … {highest} for {scanner.rings} rings, got {first_ring!r}")
    return int(first_ring)


def pairs_in_file(table, scanner, first_ring):
    """The part of a (ring, ring) table of the whole mMR that belongs to a scanner's rings."""
    here = slice(first_ring, first_ring + scanner.rings)
    return table[here, here]


def buckets_of_crystals():
    """int (ring, crystal position): the bucket that each crystal of the whole mMR belongs to."""
    ring, crystal = np.indices((RINGS, CRYSTALS))
    return crystal // 18 + 28 * (ring // 8)
