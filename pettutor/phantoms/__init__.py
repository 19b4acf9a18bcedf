"""Phantoms: heads to image (embedded and BrainWeb), lesions, and simple objects whose truth is known in closed form."""

from pettutor.phantoms.brainweb import SUBJECTS as BRAINWEB_SUBJECTS
from pettutor.phantoms.lesions import STANDARD_LESIONS, Lesion
from pettutor.phantoms.objects import (
    NEMA_DIAMETERS,
    NEMA_RING_RADIUS,
    contrast_resolution,
    cylinder,
    ellipsoid,
    image_quality,
    point_sources,
    ring_positions,
    sphere,
    spheres,
)
from pettutor.phantoms.phantom import Phantom
from pettutor.phantoms.subject import Subject, load_subject
from pettutor.phantoms.tissues import LABELS


def fetch_brainweb(subject, **settings):
    """Download a BrainWeb subject; see :func:`pettutor.phantoms.download.fetch_brainweb`."""
    from pettutor.phantoms.download import fetch_brainweb as fetch  # what a class without network never needs

    return fetch(subject, **settings)


__all__ = [
    "BRAINWEB_SUBJECTS",
    "LABELS",
    "NEMA_DIAMETERS",
    "NEMA_RING_RADIUS",
    "STANDARD_LESIONS",
    "Lesion",
    "Phantom",
    "Subject",
    "contrast_resolution",
    "cylinder",
    "ellipsoid",
    "fetch_brainweb",
    "image_quality",
    "load_subject",
    "point_sources",
    "ring_positions",
    "sphere",
    "spheres",
]
