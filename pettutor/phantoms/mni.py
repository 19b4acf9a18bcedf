"""The embedded head: the ICBM MNI152 atlas that ships with nilearn, with a head grown around it.

T1, grey and white matter are those of the atlas (the average of 152 brains, nonlinear symmetric 2009a); what is
neither, inside the brain, is csf; skull, scalp and face are grown (:mod:`pettutor.phantoms.head`). N = 0 is the atlas
itself, other N seeded smooth deformations of it. The files are read with nibabel where nilearn keeps them: importing
``nilearn.datasets`` takes seconds (it loads scikit-learn and pandas), and the first picture should not wait for it.
"""

import functools
import importlib.util
from pathlib import Path

import numpy as np

from pettutor.phantoms import tissues
from pettutor.phantoms.subject import STEREOTAXIC_CENTRE, Subject

CITATION = (
    "Fonov et al., Unbiased average age-appropriate atlases for pediatric studies, NeuroImage 54:313, 2011; "
    "Fonov et al., Unbiased nonlinear average age-appropriate brain templates from birth to adulthood, "
    "NeuroImage 47(S1):S102, 2009"
)
_FILE = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
# The atlas is an average: csf is washed out in its narrow sulci. Weighing it more gives about what real heads have.
_CSF_WEIGHT = 1.7
# Atlas T1 (0 to 255) of csf, grey and white matter -> T1 values of the tissues.
_T1_FROM, _T1_TO = (0.0, 103.0, 169.0, 215.0, 255.0), (0.0, 48.0, 106.0, 154.0, 195.0)

_FRONT = 20  # mm added in front of the atlas
BENDING = 3.0  # mm, standard deviation of each component of the deformation
WAVELENGTH = 20.0  # mm, standard deviation of the Gaussian that smooths it
SCALING = 0.04  # standard deviation of the scale along each axis


def atlas_file(kind):
    """Path of an atlas volume ("t1", "gm" or "wm") inside the installed nilearn.

    Raises
    ------
    FileNotFoundError
        nilearn is not installed, or keeps the atlas elsewhere.
    """
    spec = importlib.util.find_spec("nilearn")  # finds the package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the embedded brain is part of nilearn, which is not installed: pip install nilearn")
    path = Path(next(iter(spec.submodule_search_locations))) / "datasets" / "data" / _FILE.format(kind)
    if not path.exists():
        raise FileNotFoundError(f"the embedded brain: expected {path.name} in nilearn, got none (nilearn too new?)")
    return path


def _read(kind):
    import nibabel

    volume = nibabel.load(atlas_file(kind))
    corner = volume.affine[:3, 3]
    if not np.allclose(volume.affine[:3, :3], np.eye(3)):
        raise ValueError(
            f"the embedded brain: expected 1 mm voxels along the axes, got affine {volume.affine.tolist()}"
        )
    return np.asanyarray(volume.dataobj).transpose(2, 1, 0), tuple(corner[::-1])


def _tissue_labels(brain, grey, white):
    """Most likely of csf, grey and white matter; ``grey`` and ``white`` are probabilities times 255 (uint8)."""
    labels = np.where(white > grey, np.uint8(tissues.WHITE), np.uint8(tissues.GREY))
    for k in range(len(labels)):  # plane by plane: small temporaries
        g, w = grey[k].astype(np.float32), white[k].astype(np.float32)
        labels[k][_CSF_WEIGHT * (255.0 - g - w) > np.maximum(g, w)] = tissues.CSF
    labels[~brain] = tissues.BACKGROUND
    return labels


def _paint_t1(labels, brain, t1):
    """T1 of the head: the atlas's own inside the brain, tissue values around it."""
    out = np.rint(tissues.lookup_table(tissues.T1)).astype(np.uint8)[labels]
    scaled = np.rint(np.interp(np.arange(256), _T1_FROM, _T1_TO)).astype(np.uint8)
    out[brain] = scaled[t1[brain]]
    return out


@functools.lru_cache(maxsize=1)
def _atlas():
    """Labels and T1 of the atlas in its grown head (uint8, y to the front), and the axes in stereotaxic mm."""
    from pettutor.phantoms.head import grow_head

    (t1, corner), (grey, _), (white, _) = (_read(kind) for kind in ("t1", "gm", "wm"))
    # room for forehead and nose in front
    t1, grey, white = (np.pad(a, ((0, 0), (0, _FRONT), (0, 0))) for a in (t1, grey, white))
    axes = tuple(c + np.arange(n, dtype=np.float32) for c, n in zip(corner, t1.shape, strict=True))
    brain = t1 > 0
    labels = _tissue_labels(brain, grey, white)
    head = grow_head(brain, axes)
    labels[~brain] = head[~brain]
    return labels, _paint_t1(labels, brain, t1), axes


@functools.lru_cache(maxsize=4)
def load_mni(number):
    """Load embedded subject ``number``; see :func:`pettutor.phantoms.load_subject`."""
    labels, t1, axes = _atlas()
    if number:
        labels, t1 = _deform((labels, t1), displacement(labels.shape, number))
    zc, yc, xc = STEREOTAXIC_CENTRE
    labels, t1 = labels[:, ::-1], t1[:, ::-1]  # y from anterior to posterior
    for array in (labels, t1):
        array.flags.writeable = False  # shared by every caller
    deformed = f", deformed with seed {number}" if number else ""
    return Subject(
        name=f"mni:{number}",
        source=f"ICBM MNI152 2009a atlas{deformed}, head grown around it (not BrainWeb)",
        citation=CITATION,
        labels=labels,
        voxel_size=(1.0, 1.0, 1.0),
        origin=(float(axes[0][0] - zc), float(yc - axes[1][-1]), float(axes[2][0] - xc)),
        t1_map=t1,
    )


def displacement(shape, seed):
    """A smooth random deformation: where each voxel of subject ``seed`` looks in the atlas.

    Returns
    -------
    numpy.ndarray
        float32 (3, z/4, y/4, x/4), displacements in voxels (1 mm) on every fourth voxel.
    """
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng([152, seed])
    coarse = tuple(-(-n // 4) + 1 for n in shape)
    bend, stretch = np.empty((2, 3, *coarse), np.float32)
    for axis in range(3):
        noise = gaussian_filter(rng.standard_normal(coarse, dtype=np.float32), WAVELENGTH / 4, mode="wrap")
        bend[axis] = BENDING / noise.std() * (noise - noise.mean())
        along = 4 * np.arange(coarse[axis], dtype=np.float32) - 0.5 * shape[axis]
        scale = np.exp(SCALING * np.clip(rng.standard_normal(), -2, 2))
        stretch[axis] = ((1 / scale - 1) * along).reshape([-1 if a == axis else 1 for a in range(3)])
    while _smallest_jacobian(bend + stretch) < 0.3:  # no draw may fold the image or crush a part of it
        bend *= 0.9
    return bend + stretch


def _smallest_jacobian(field):
    """Smallest determinant of the deformation's derivative: below 0 it folds."""
    gradient = np.stack([np.stack(np.gradient(u, 4.0)) for u in field])
    return float(np.linalg.det(np.moveaxis(gradient, (0, 1), (-2, -1)) + np.eye(3, dtype=np.float32)).min())


def _deform(volumes, field):
    """Pull volumes of one shape back through a deformation, plane by plane, to the nearest voxel."""
    shape = volumes[0].shape
    out = [np.empty(shape, np.uint8) for _ in volumes]
    (iz, wz), (iy, wy), (ix, wx) = (_every_fourth(n) for n in shape)
    rows, columns = (np.arange(n, dtype=np.float32) for n in shape[1:])
    for k in range(shape[0]):
        u = field[:, iz[k]] * (1 - wz[k]) + field[:, iz[k] + 1] * wz[k]
        u = u[:, iy] * (1 - wy)[:, None] + u[:, iy + 1] * wy[:, None]
        u = u[:, :, ix] * (1 - wx) + u[:, :, ix + 1] * wx
        at = (k + u[0], rows[:, None] + u[1], columns + u[2])
        index = np.zeros(shape[1:], np.int32)
        for position, n in zip(at, shape, strict=True):
            index *= n
            index += np.clip(np.rint(position), 0, n - 1).astype(np.int32)
        for target, source in zip(out, volumes, strict=True):
            np.take(source, index, out=target[k], mode="clip")
    return out


def _every_fourth(count):
    """For linear interpolation from every fourth sample: the left neighbour and the weight of the right one."""
    position = np.arange(count, dtype=np.float32) / 4
    first = position.astype(int)
    return first, position - first
