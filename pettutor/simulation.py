"""Simulated scans: expected counts from a phantom, Poisson noise, and everything a reconstruction needs beside them."""

from dataclasses import dataclass, field, replace

import numpy as np

from pettutor.acquisition import AcquisitionModel, check_fwhm, gaussian_filter
from pettutor.arrays import array_module, check_array, check_number, is_cupy, random_generator, to_numpy
from pettutor.projector import Projector

# Trues of the reference scan; the smaller scanners get what gives a voxel about the same noise.
DEFAULT_COUNTS = {"mmr": 100e6, "mini": 10e6, "slab": 0.5e6}

# Spread of the crystals' efficiencies in a real block detector, about 10 % (lognormal)
EFFICIENCY_SPREAD = 0.1


@dataclass(frozen=True, repr=False)
class Simulation:
    """A simulated scan; every sinogram is float32 (plane, view, bin), in counts where not said otherwise.

    With time of flight, counts are (plane, view, bin, tof); attenuation and normalisation hold for every bin of it.

    prompts : measured counts, with Poisson noise.
    trues : expected unscattered coincidences, without noise.
    randoms : expected random coincidences, flat over the live detectors' efficiencies.
    scatter : expected scattered coincidences (all zero unless asked for).
    attenuation : survival factors ``exp(-∫mu)``, 0 … 1.
    normalisation : counts per activity · mm: efficiencies, ring pairs, gaps (0) and the scan's calibration.
    psf_fwhm : width of the simulated blur, mm (z, y, x).
    seed : what drew the noise and the efficiencies.

    As the calibration sits in ``normalisation``, reconstructed images come out in the phantom's own activity units.
    """

    prompts: np.ndarray
    trues: np.ndarray
    randoms: np.ndarray
    scatter: np.ndarray
    attenuation: np.ndarray
    normalisation: np.ndarray
    psf_fwhm: tuple
    seed: object = field(default=0)

    @property
    def background(self):
        """Expected randoms plus scatter: what the model adds to the trues."""
        return self.randoms + self.scatter

    def realisation(self, seed):
        """The same scan once more: same expected counts and efficiencies, other noise.

        Parameters
        ----------
        seed : int or numpy.random.Generator

        Returns
        -------
        Simulation
            Shares everything but its prompts.
        """
        prompts = poisson_counts(self.trues + self.randoms + self.scatter, random_generator(seed))
        return replace(self, prompts=prompts, seed=seed if isinstance(seed, (int, np.integer)) else repr(seed))

    def __repr__(self):
        total = {n: float(getattr(self, n).sum(dtype=np.float64)) for n in ("prompts", "trues", "randoms", "scatter")}
        words = ", ".join(f"{name} {value:.4g}" for name, value in total.items())
        return f"<Simulation {self.prompts.shape}: {words}; psf {self.psf_fwhm} mm, seed {self.seed!r}>"


def simulate(
    truth,
    projector,
    *,
    counts=None,
    randoms_fraction=0.3,
    scatter_fraction=0.0,
    psf_fwhm=4.5,
    efficiency_spread=EFFICIENCY_SPREAD,
    seed=0,
):
    """Simulate a scan of ``truth``: ``prompts ~ Poisson(N · A_µ · X · H x + randoms + scatter)``.

    Parameters
    ----------
    truth : phantom with ``.pet`` and ``.mu``, or a float32 image (z, y, x)
        Activity in arbitrary units, and mu in 1/cm (none for a plain image).
    projector : Projector
    counts : float, optional
        Expected trues; by default 100 M for the mMR, 10 M for ``mini``, 0.5 M for ``slab``.
    randoms_fraction : float
        Share of randoms in the expected prompts, 0 … 1 (1 excluded).
    scatter_fraction : float
        Share of scatter in the expected trues + scatter, 0 … 1 (1 excluded). The scatter estimate is the unattenuated
        projection of the activity smoothed heavily (a shape, not a physical single-scatter simulation).
    psf_fwhm : float or three floats
        Gaussian blur of the scanner, mm.
    efficiency_spread : float
        Relative spread of the crystal efficiencies (lognormal); 0 for a perfect scanner.
    seed : int or numpy.random.Generator

    Returns
    -------
    Simulation

    Raises
    ------
    TypeError, ValueError
        Images off the projector's grid, negative or empty activity; fractions or counts that are no number or out of
        range; a width that is none.
    """
    if not isinstance(projector, Projector):
        raise TypeError(f"projector: expected a pettutor.Projector, got {projector!r:.80}")
    scanner, grid = projector.scanner, projector.grid
    if projector.out_shape[:3] != scanner.sinogram_shape:
        raise ValueError(f"projector: expected all views, got a subset {projector!r}")
    _check_same_grid(truth, grid)
    pet = check_array(getattr(truth, "pet", truth), "truth.pet", shape=grid.shape, nonnegative=True)
    if not float(pet.max()) > 0:
        raise ValueError("truth.pet: expected some activity, got an image of zeros")
    mu = getattr(truth, "mu", None)
    counts = _default_counts(scanner) if counts is None else counts
    counts = check_number(counts, "counts: expected a number of trues > 0", zero=False)
    randoms_fraction = _check_share(randoms_fraction, "randoms_fraction")
    scatter_fraction = _check_share(scatter_fraction, "scatter_fraction")
    efficiency_spread = _check_share(efficiency_spread, "efficiency_spread")
    rng = random_generator(seed)

    plain = projector.without_tof  # attenuation and efficiency hold for every time-of-flight bin
    attenuation = attenuation_factors(mu, plain) if mu is not None else None
    efficiency = detector_efficiencies(scanner, efficiency_spread, rng)
    if is_cupy(pet):
        efficiency = array_module(pet).asarray(efficiency)
    ideal = AcquisitionModel(projector, attenuation=attenuation, normalisation=efficiency, psf_fwhm=psf_fwhm)
    trues = ideal(pet)
    scale = np.float32(counts / float(trues.sum(dtype=np.float64)))
    trues *= scale
    response = efficiency if projector.tof is None else efficiency[..., None]

    scatter = _like_zeros(trues)
    if scatter_fraction:
        scatter = _scatter_shape(pet, projector) * response
        scatter *= np.float32(_share(scatter_fraction, counts) / float(scatter.sum(dtype=np.float64)))
    randoms = _like_zeros(trues)
    if randoms_fraction:
        randoms += response  # flat over the live detectors, and over the time-of-flight bins
        prompts_without = counts + _share(scatter_fraction, counts)
        randoms *= np.float32(_share(randoms_fraction, prompts_without) / float(randoms.sum(dtype=np.float64)))
    return Simulation(
        prompts=poisson_counts(trues + randoms + scatter, rng),
        trues=trues,
        randoms=randoms,
        scatter=scatter,
        attenuation=_like_zeros(efficiency) + 1 if attenuation is None else attenuation,
        normalisation=efficiency * scale,
        psf_fwhm=check_fwhm(psf_fwhm),
        seed=seed if isinstance(seed, (int, np.integer)) else repr(seed),
    )


def attenuation_factors(mu, projector):
    """Survival factors ``exp(-∫mu dl)`` of a map in 1/cm: float32 sinogram, 0 … 1 (lengths are mm, hence the 10)."""
    mu = check_array(mu, "mu", shape=projector.in_shape, nonnegative=True)
    factors = projector(mu)
    factors *= np.float32(-0.1)
    return array_module(factors).exp(factors, out=factors)


def detector_efficiencies(scanner, spread, seed):
    """Relative sensitivity of every bin: product of its two crystals', times ring pairs summed in the plane.

    Crystal efficiencies are lognormal with mean 1 and relative standard deviation ``spread``, one a transaxial position
    and one a ring (their product stands for each crystal's own); empty positions give 0.

    Returns
    -------
    float32 (plane, view, bin), a transposed view of memory laid out (view, bin, plane)
    """
    rng = random_generator(seed)
    sigma = np.sqrt(np.log1p(spread**2))

    def draw(size):
        return np.exp(sigma * rng.standard_normal(size) - 0.5 * sigma**2)

    crystals, rings = draw(scanner.crystal_positions), draw(scanner.rings)
    pairs = crystals[scanner.bin_crystals].prod(axis=-1) * scanner.live_bins
    by_ring_pair = rings[:, None] * rings[None, :]
    plane_of = scanner.plane_of_ring_pair
    used = plane_of >= 0
    planes = np.bincount(plane_of[used], by_ring_pair[used], minlength=scanner.sinogram_shape[0])
    table = pairs[:, :, None].astype(np.float32) * planes.astype(np.float32)
    return table.transpose(2, 0, 1)


def _check_share(value, name):
    return check_number(value, f"{name}: expected a share in 0 … 1 (1 excluded)", below=1)


def _check_same_grid(truth, grid):
    other = getattr(truth, "grid", None)
    if other is not None and other != grid:
        raise ValueError(f"truth: expected a phantom on the projector's grid {grid}, got one on {other}")


def _default_counts(scanner):
    if scanner.name not in DEFAULT_COUNTS:
        raise ValueError(f"counts: expected a number of trues (scanner {scanner.name!r} has no default), got None")
    return DEFAULT_COUNTS[scanner.name]


def _share(fraction, rest):
    """The amount that makes up ``fraction`` of itself and ``rest``."""
    return fraction / (1 - fraction) * rest


def _like_zeros(sinogram):
    return array_module(sinogram).zeros_like(sinogram)  # keeps the memory layout


def _scatter_shape(pet, projector):
    # scattered photons forget fine structure: a blur of about 10 cm is the usual picture of it
    return projector(gaussian_filter(pet, 100.0, projector.grid))


def poisson_counts(expected, rng):
    """Draw Poisson counts about a sinogram.

    Parameters
    ----------
    expected : array (plane, view, bin) or (plane, view, bin, tof)
        Counts >= 0, NumPy or CuPy.
    rng : numpy.random.Generator

    Returns
    -------
    float32 array of the same shape, kind and memory layout
    """
    by_view = np.moveaxis(to_numpy(expected), 0, -1)
    counts = np.empty(by_view.shape, np.float32)
    for v in range(len(by_view)):  # a view at a time: Poisson draws are 64-bit integers
        counts[v] = rng.poisson(by_view[v])
    counts = np.moveaxis(counts, -1, 0)
    return array_module(expected).asarray(counts) if is_cupy(expected) else counts
