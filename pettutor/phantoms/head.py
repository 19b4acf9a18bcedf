"""A head around a brain: meninges, skull with marrow, scalp, face and neck, grown from a brain mask.

The atlas ends at the surface of the brain. The layers of the skull and the scalp follow the distance from the brain's
hull, with thicknesses of an adult that vary over the head (skull 5 to 9 mm, scalp 4 to 8 mm, more over the temporal
muscles); the face, the ears and the neck are rounded shapes joined smoothly to it, with orbits, sinuses, airways, jaw
and vertebra where an adult has them. It is a plausible head, not a measured one. Positions here are stereotaxic mm,
(z, y, x) with z up, y to the front and x to the right.
"""

import numpy as np

from pettutor.phantoms import tissues

# Outer shapes below the skull: centre and radii (z, y, x), stereotaxic mm.
_FACE = (
    ((-62.0, 28.0, 0.0), (62.0, 58.0, 68.0)),  # middle of the face
    ((-82.0, 2.0, 0.0), (58.0, 68.0, 72.0)),  # cheeks and jaw
    ((-90.0, -44.0, 0.0), (64.0, 62.0, 66.0)),  # neck
)
_NOSE = (((-52.0, 88.0, 0.0), (20.0, 16.0, 12.0)), ((-34.0, 84.0, 0.0), (18.0, 10.0, 8.0)))
_EARS = tuple(
    ((z, y, side * x), radii)
    for side in (-1.0, 1.0)
    for (z, y, x), radii in (((-30.0, -26.0, 80.0), (20.0, 15.0, 8.0)), ((-48.0, -20.0, 72.0), (18.0, 9.0, 8.0)))
)

# Inner shapes, painted in this order where the face is soft: label, centre and radii; x is mirrored.
_INNER = (
    (tissues.SKULL, (-63.0, 44.0, 23.0), (21.0, 26.0, 20.0)),  # upper jaw and cheek bone
    (tissues.SKULL, (-36.0, 20.0, 12.0), (14.0, 26.0, 16.0)),  # sphenoid
    (tissues.MARROW, (-36.0, 8.0, 14.0), (8.0, 8.0, 9.0)),
    (tissues.SKULL, (-44.0, -26.0, 54.0), (16.0, 18.0, 16.0)),  # mastoid and petrous bone
    (tissues.BACKGROUND, (-50.0, -30.0, 60.0), (6.0, 6.0, 4.0)),  # its air cells
    (tissues.SKULL, (-70.0, 8.0, 50.0), (24.0, 14.0, 4.5)),  # ramus of the mandible
    (tissues.MARROW, (-70.0, 8.0, 50.0), (20.0, 9.0, 2.0)),
    (tissues.MUSCLE, (-62.0, 14.0, 60.0), (24.0, 16.0, 6.0)),  # masseter
    (tissues.MUSCLE, (-60.0, 16.0, 36.0), (18.0, 13.0, 8.0)),  # pterygoid
    (tissues.AROUND_FAT, (-35.0, 54.0, 32.0), (17.0, 26.0, 17.0)),  # orbit
    (tissues.MUSCLE, (-36.0, 44.0, 28.0), (3.0, 18.0, 5.0)),
    (tissues.SKIN, (-36.0, 68.0, 33.0), (12.0, 12.0, 12.0)),  # eyeball
    (tissues.BACKGROUND, (-60.0, 46.0, 25.0), (15.0, 20.0, 14.0)),  # maxillary sinus
    (tissues.MUSCLE, (-88.0, 40.0, 0.0), (20.0, 32.0, 20.0)),  # tongue
    (tissues.BACKGROUND, (-50.0, 46.0, 5.5), (18.0, 30.0, 3.5)),  # nasal cavity, one each side of the septum
    (tissues.BACKGROUND, (-32.0, 22.0, 7.0), (7.0, 9.0, 6.0)),  # sphenoid sinus
    (tissues.BACKGROUND, (-72.0, 6.0, 0.0), (24.0, 7.0, 11.0)),  # pharynx
    (tissues.BACKGROUND, (-36.0, -22.0, 78.0), (3.0, 3.0, 18.0)),  # ear canal
    (tissues.MUSCLE, (-76.0, -84.0, 22.0), (30.0, 16.0, 19.0)),  # neck
    (tissues.MUSCLE, (-78.0, -48.0, 50.0), (28.0, 18.0, 8.0)),
)
_CSF_LAYER, _DURA_LAYER = 2.2, 1.0  # mm, around the hull
_CORD = (-48.0, 0.0)  # (y, x) where the spinal canal leaves the skull


def _ellipsoid(axes, centre, radii):
    """Approximate signed distance in mm to an ellipsoid (exact near the surface), float32."""
    z, y, x = ((a - c) / r for a, c, r in zip(axes, centre, radii, strict=True))
    z, y, x = z[:, None, None], y[None, :, None], x[None, None, :]
    k0 = np.sqrt(z * z + y * y + x * x)
    rz, ry, rx = radii
    k1 = np.sqrt((z / rz) ** 2 + (y / ry) ** 2 + (x / rx) ** 2)
    return (k0 * (k0 - 1) / np.maximum(k1, 1e-6)).astype(np.float32)


def _join(a, b, width):
    """Smooth minimum of two distances: shapes flow into each other over ``width`` mm."""
    h = np.clip(0.5 + 0.5 * (b - a) / width, 0, 1)
    return b + (a - b) * h - width * h * (1 - h)


def hull_distance(brain, step, reach, smoothing, margin):
    """Signed distance in mm from the closed, smoothed hull of a brain mask: negative inside. float32.

    Parameters
    ----------
    brain : numpy.ndarray
        bool (z, y, x).
    step : float
        Voxel edge, mm.
    reach : float
        mm; gaps narrower than twice this are closed.
    smoothing : float
        Standard deviation of the Gaussian that rounds the result, mm.
    margin : int
        Voxels added on every side: the brain must be further than ``reach`` from the ends.
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    brain = np.pad(brain, margin, mode="edge")  # below, the brainstem goes on
    outside = distance_transform_edt(~brain, sampling=step).astype(np.float32)
    grown = outside < reach
    depth = distance_transform_edt(grown, sampling=step).astype(np.float32)
    # inside the grown set the hull lies ``reach`` below its surface, outside it is as far as the brain
    signed = np.where(grown, np.float32(reach) - depth, outside)
    inner = tuple(slice(margin, n - margin) for n in brain.shape)
    return gaussian_filter(signed, smoothing / step, mode="nearest")[inner]


def _thickness(z, y, x):
    """Thickness in mm of skull and scalp, and how temporal a place is (0 to 1): arrays over the volume."""
    front = np.clip((y - 30) / 50, 0, 1)
    back = np.clip((-60 - y) / 40, 0, 1)
    low = np.clip((-5 - z) / 30, 0, 1)
    top = np.clip((z - 30) / 40, 0, 1)
    temple = np.exp(-(((z + 8) / 30) ** 2) - ((y - 8) / 34) ** 2) * np.clip((np.abs(x) - 35) / 25, 0, 1)
    skull = 4.6 + 1.5 * front + 1.5 * back * (1 + low) - 1.5 * temple + 0.6 * top
    scalp = 6.0 + 0.8 * top + 4.0 * back * low - 0.6 * front + 5.0 * temple
    return skull, scalp, temple


def _smooth_noise(rng, shape, sigma):
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), sigma)
    return noise / noise.std()


def grow_head(brain, axes):
    """Grow a head around a brain.

    Parameters
    ----------
    brain : numpy.ndarray
        bool (z, y, x) at 1 mm.
    axes : three numpy.ndarray
        Stereotaxic mm of the voxels along (z, y, x).

    Returns
    -------
    numpy.ndarray
        uint8 labels everywhere (csf inside the hull, where the brain's own labels belong on top).
    """
    # everything smooth is computed at 2 mm, the smoothest at 4 mm, and interpolated
    coarse = tuple(a[::2].astype(np.float32) for a in axes)
    z, y, x = coarse[0][:, None, None], coarse[1][None, :, None], coarse[2][None, None, :]
    # the dura lies on the first hull; the second, rounder, keeps the skull's outside from following every lobe
    inner = hull_distance(brain[::2, ::2, ::2], 2.0, reach=8.0, smoothing=2.0, margin=2)
    wide = hull_distance(brain[::4, ::4, ::4], 4.0, reach=30.0, smoothing=6.0, margin=10)
    wide = _double(wide)[tuple(slice(n) for n in inner.shape)]
    base = inner - np.float32(_CSF_LAYER + _DURA_LAYER)
    skull, scalp, temple = _thickness(z, y, x)
    rng = np.random.default_rng(152)  # the same head every time
    noise = _smooth_noise(rng, inner.shape, 4.0)
    grain = _smooth_noise(rng, inner.shape, 1.2)
    vault = wide - (_CSF_LAYER + _DURA_LAYER + skull + 0.5 * noise)
    # at least a thin table of bone everywhere, and no block of bone where the hull is far from the brain
    cap = np.interp(coarse[0], (-62.0, -40.0), (6.0, 18.0)).astype(np.float32)[:, None, None]
    table = np.maximum(np.minimum(vault, base - 2.5), base - cap)
    outer = np.minimum(vault - scalp, base - 5.5)
    for centre, radii in _FACE:
        outer = _join(outer, _ellipsoid(coarse, centre, radii), 16.0)
    for centre, radii in _NOSE:
        outer = _join(outer, _ellipsoid(coarse, centre, radii), 6.0)
    for centre, radii in _EARS:
        outer = _join(outer, _ellipsoid(coarse, centre, radii), 3.0)
    fields = np.empty((5, *inner.shape), np.float32)
    for field, values in zip(fields, (inner, table, outer, grain, temple), strict=True):
        field[...] = values
    labels, deep = np.empty(brain.shape, np.uint8), np.empty(brain.shape, bool)
    for k in range(brain.shape[0]):  # plane by plane: it stays in the processor's cache
        labels[k], deep[k] = _classify(_fine_plane(fields, k, brain.shape[1:]), axes, k)
    _paint_inner(labels, deep, axes)
    return labels


def _double(field, axes=(0, 1, 2)):
    """Linear interpolation of samples at even indices to all indices (the last one repeats its neighbour)."""
    for axis in axes:
        source = np.moveaxis(field, axis, 0)
        out = np.empty((2 * source.shape[0], *source.shape[1:]), np.float32)
        out[::2], out[-1] = source, source[-1]
        out[1:-1:2] = 0.5 * (source[1:] + source[:-1])
        field = np.moveaxis(out, 0, axis)
    return field


def _fine_plane(fields, k, shape):
    """Plane ``k`` at 1 mm of fields sampled at 2 mm: float32 (field, y, x)."""
    below, above = k // 2, min((k + 1) // 2, fields.shape[1] - 1)
    plane = fields[:, below] if below == above else 0.5 * (fields[:, below] + fields[:, above])
    return _double(plane, (1, 2))[:, : shape[0], : shape[1]]


def _classify(fields, axes, k):
    """Labels of one plane from its fields, and where deep soft tissue is."""
    inner, table, outer, grain, temple = fields
    z, y, x = axes
    labels = np.zeros(inner.shape, np.uint8)
    inside = outer < 0
    labels[inside] = tissues.SKIN
    # subcutaneous fat between the skin and the deeper soft tissue, in patches
    labels[(outer < -2.2) & (outer > -4.2 + 0.8 * grain) & (grain > -0.9)] = tissues.FAT
    soft = inside & (table > 0)
    labels[soft & (outer < -3.5) & (temple > 0.3)] = tissues.MUSCLE
    deep = soft & (outer < -8.0)
    labels[deep & (grain > 1.1)] = tissues.FAT
    labels[deep & (grain < -1.0)] = tissues.MUSCLE
    base = inner - _CSF_LAYER - _DURA_LAYER
    bone = (table <= 0) & (base >= 0)
    labels[bone] = tissues.SKULL
    # marrow between two tables of bone where the skull is thick enough, in patches
    labels[bone & (base > 1.5) & (table < -1.4) & (grain > -0.7)] = tissues.MARROW
    labels[(base < 0) & (inner >= _CSF_LAYER)] = tissues.DURA
    labels[inner < _CSF_LAYER] = tissues.CSF
    # superior sagittal sinus: a triangle below the bone of the midline
    if z[k] > -10:
        labels[(inner > -4.0) & (base < 0) & (np.abs(x)[None, :] < 0.8 * (inner + 5.0)) & (y < 65)[:, None]] = (
            tissues.VESSELS
        )
    # spinal canal and the vertebra round it, below the skull
    if z[k] < -50:
        radius = np.hypot((y - _CORD[0])[:, None], (x - _CORD[1])[None, :])
        below = inner > -1.0
        labels[below & (radius < 22)] = tissues.SKULL
        labels[below & (radius < 19) & (radius > 15)] = tissues.MARROW
        labels[below & (radius < 12)] = tissues.DURA
        labels[below & (radius < 11)] = tissues.CSF
    return labels, deep


def _paint_inner(labels, where, axes):
    for label, centre, radii in _INNER:
        for side in (1.0, -1.0) if centre[2] else (1.0,):
            middle = (centre[0], centre[1], side * centre[2])
            box = tuple(slice(*np.searchsorted(a, (c - r, c + r))) for a, c, r in zip(axes, middle, radii, strict=True))
            z, y, x = (((a[s] - c) / r) ** 2 for a, s, c, r in zip(axes, box, middle, radii, strict=True))
            shape = z[:, None, None] + y[None, :, None] + x[None, None, :] < 1
            air = label == tissues.BACKGROUND  # airways may come close to the skin, other parts stay inside
            labels[box][shape & (where[box] | air)] = label
