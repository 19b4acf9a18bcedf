"""What every bin of a sinogram gets from its two crystals, summed over the ring pairs of its plane."""

import numpy as np

from pettutor.arrays import check_array


def ring_pair_sums(scanner, crystals, ring_weights=None):
    """Sum over the ring pairs of a plane of the product of two crystals' values; 0 in the gaps.

    Efficiencies, live times and singles rates are numbers of one crystal, and a bin has the product of two. A plane
    with span > 1 counts the events of several ring pairs, so their products are added.

    Parameters
    ----------
    scanner : Scanner
    crystals : float array (ring, crystal position)
    ring_weights : float array (ring of c0, ring of c1), optional
        A factor for each ring pair.

    Returns
    -------
    float32 (plane, view, bin), a transposed view of memory laid out (view, bin, plane)

    Raises
    ------
    TypeError, ValueError
        Arrays of another shape, or values that are negative or not finite.
    """
    shape = (scanner.rings, scanner.crystal_positions)
    floats = (np.float32, np.float64)
    check_array(crystals, "crystals", shape=shape, dtype=floats, nonnegative=True)
    plane_of = scanner.plane_of_ring_pair
    ring0, ring1 = np.nonzero(plane_of >= 0)
    order = np.argsort(plane_of[ring0, ring1], kind="stable")
    ring0, ring1 = ring0[order], ring1[order]
    first_of_plane = np.searchsorted(plane_of[ring0, ring1], np.arange(scanner.sinogram_shape[0]))
    weights = None
    if ring_weights is not None:
        check_array(ring_weights, "ring_weights", shape=(scanner.rings,) * 2, dtype=floats, nonnegative=True)
        weights = ring_weights[ring0, ring1][:, None]

    planes, views, bins = scanner.sinogram_shape
    table = np.empty((views, bins, planes), np.float32)
    for view in range(views):  # a view at a time: all ring pairs of the mMR at once would be 1.4 GB
        c0, c1 = scanner.bin_crystals[view].T
        products = crystals[:, c0][ring0] * crystals[:, c1][ring1]  # (ring pair, bin)
        if weights is not None:
            products *= weights
        sums = np.add.reduceat(products, first_of_plane, axis=0) if len(ring0) > planes else products
        table[view] = sums.T * scanner.live_bins[view][:, None]
    return table.transpose(2, 0, 1)
