"""A scenario: a subject with lesions in a scanner, at a count level; what all its realisations and methods share."""

import functools

import numpy as np

from pettutor.acquisition import AcquisitionModel
from pettutor.arrays import find_cupy
from pettutor.geometry import Scanner
from pettutor.phantoms import Lesion, load_subject
from pettutor.projector import Projector
from pettutor.simulation import simulate
from pettutor.study.plan import canonical, seed_from


@functools.lru_cache(maxsize=1)
def _subject(name):
    return load_subject(name, progress=False)


@functools.lru_cache(maxsize=1)
def _projector(size, model, device, stored_matrix):
    scanner = Scanner.preset(size)
    projector = Projector(scanner, scanner.image_grid(), model=model, device=device)
    if stored_matrix == "auto":
        stored_matrix = size == "slab" and projector.device == "cpu"
    return projector, projector.to_matrix() if stored_matrix else projector


def phantom(description):
    """The truth of a scenario: a `pettutor.phantoms.Phantom`.

    The structure inside the tissues depends on the study's seed and the subject, and so do the places of the lesions:
    the standard lesions lie where their PET-only twins do.
    """
    subject, seed = description["subject"], description["seed"]
    grid = Scanner.preset(description["size"]).image_grid()
    truth = _subject(subject).on(
        grid,
        tracer=description["tracer"],
        structure=description["structure"],
        seed=seed_from(seed, "structure", subject),
    )
    lesions = [Lesion(**lesion) for lesion in description["lesions"]["lesions"]]
    if not lesions:
        return truth
    where = description["lesions"]["where"]
    return truth.with_lesions(seed=seed_from(seed, "lesions", subject), lesions=lesions, where=where)


class Scenario:
    """The truth, the scan without noise, and the model that reconstructs it.

    Attributes
    ----------
    truth : pettutor.phantoms.Phantom
    grid : ImageGrid
    simulation : Simulation
    A : AcquisitionModel
        With background; on a GPU its factors lie there.
    activity : float
        Mean of the truth over the head.
    seed : int
        For what methods draw beside the order of subsets.
    """

    def __init__(self, description):
        self.description = description
        self.truth = phantom(description)
        self.grid = self.truth.grid
        X, reconstructs = _projector(*(description[n] for n in ("size", "model", "device", "stored_matrix")))
        self.device = X.device
        # one scanner for all scenarios of a study: its efficiencies depend on the study's seed alone
        self.simulation = simulate(
            self.truth,
            X,
            counts=description["counts"],
            randoms_fraction=description["randoms_fraction"],
            scatter_fraction=description["scatter_fraction"],
            psf_fwhm=description["psf"]["simulated"],
            seed=seed_from(description["seed"], "scanner"),
        )
        data = self.simulation
        factors = {"attenuation": data.attenuation, "normalisation": data.normalisation, "background": data.background}
        factors = {name: self.here(values) for name, values in factors.items()}
        self.A = AcquisitionModel(reconstructs, psf_fwhm=description["psf"]["modelled"], **factors)
        self.activity = float(self.truth.pet[self.truth.regions["head"]].mean(dtype=np.float64))
        self.seed = seed_from(description["seed"], "methods")
        self._kept = {}

    def here(self, array):
        """The array on the device that reconstructs."""
        return find_cupy().asarray(array) if self.device == "cuda" else array

    @functools.cached_property
    def sensitivity(self):
        """s = Aᵀ1."""
        return self.A.T(self.here(np.ones(self.A.out_shape, np.float32)))

    def mr_image(self, name, shift=0.0):
        """ "t1" or "t2" on the host, displaced by ``shift`` mm along x: a mis-registration."""
        return getattr(self.truth.with_moved_mr((0.0, 0.0, shift)) if shift else self.truth, name)

    def counts(self, realisation):
        """Prompts of a realisation: float32 sinogram."""
        d = self.description
        what = [d[name] for name in ("subject", "lesions", "counts", "size", "structure", "tracer")]
        seed = seed_from(d["seed"], "noise", what, realisation)
        return self.here(self.simulation.realisation(seed).prompts)

    def kept(self, what, make):
        """Something dear that depends on this scenario and ``what`` (plain data), such as a kernel matrix; the last one
        of its kind stays."""
        kind, key = what[0], canonical(what)
        if self._kept.get(kind, (None,))[0] != key:
            self._kept.pop(kind, None)  # two at a time may not fit
            self._kept[kind] = key, make()
        return self._kept[kind][1]


_latest = (None, None)


def scenario_of(description):
    """The scenario, made anew where it is not the one that this process used last: cells come scenario by scenario."""
    global _latest
    key = canonical(description)
    if _latest[0] != key:
        _latest = (None, None)  # two at a time may not fit
        _latest = key, Scenario(description)
    return _latest[1]


def region_masks(truth):
    """Regions to measure in: name in the table -> mask. Lesions are "lesion 1" ... wherever they are seen."""
    masks = {"grey matter": truth.regions["grey matter"], "white matter": truth.regions["white matter"]}
    masks |= {n.partition(" (")[0]: mask for n, mask in truth.regions.items() if n.startswith("lesion")}
    return masks


def lesion_is_in_pet(truth, name):
    """Whether a lesion has a contrast in PET."""
    return truth.lesions[int(name.split()[-1]) - 1].where != "mr"
