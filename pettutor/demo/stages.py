"""The steps of the demo: scan and reconstruct, MAP with MR, train a network that corrects images, the table."""

import contextlib
import io
import time
from dataclasses import dataclass, replace

import numpy as np
from tqdm.auto import tqdm

from pettutor import measures
from pettutor.acquisition import AcquisitionModel
from pettutor.arrays import array_module, find_cupy, to_numpy
from pettutor.reconstruction import Record, bsrem, mlem, priors
from pettutor.simulation import simulate

NORMALISER = "rms"


class Stopwatch:
    """Seconds of every stage, and a progress bar for each."""

    def __init__(self, count, progress):
        self.count, self.progress = count, progress
        self.seconds = {}

    @contextlib.contextmanager
    def stage(self, name, steps=1, unit="step"):
        """Time a stage; gives its progress bar."""
        title = f"[{len(self.seconds) + 1}/{self.count}] {name}"
        begin = time.perf_counter()
        form = "{desc:<38}{percentage:3.0f}% |{bar:24}| {n_fmt}/{total_fmt} {unit} [{elapsed}<{remaining}{postfix}]"
        with tqdm(total=steps, desc=title, unit=unit, disable=not self.progress, bar_format=form) as bar:
            yield bar
            bar.update(steps - bar.n)
        self.seconds[name] = time.perf_counter() - begin


@dataclass(frozen=True)
class Scan:
    """A phantom, what was counted of it and its MLEM image; prompts and acquisition model only where asked for."""

    truth: object
    image: np.ndarray
    record: Record
    counts: dict
    prompts: object = None
    A: AcquisitionModel | None = None


def scan(subject, projector, settings, *, seed, height=0.0, bar=None, keep=False):
    """Simulate a subject and reconstruct it by MLEM.

    Parameters
    ----------
    subject : pettutor.phantoms.Subject
    projector : Projector
    settings : DemoSettings
    seed : sequence of int
        Everything that is drawn (structure, lesions, detectors, noise) comes from it.
    height : float
        z (mm) of the head that lies in the middle of the scanner: the bed moves.
    bar : tqdm, optional
        Advances by one an iteration.
    keep : bool
        Keep prompts and acquisition model.
    """
    rng = np.random.default_rng(list(seed))
    grid = projector.grid
    truth = subject.on(grid.moved((height, 0.0, 0.0)), structure=settings.structure, seed=rng)
    truth = replace(with_lesions(truth, rng), grid=grid)
    size = projector.scanner.name
    data = simulate(
        truth,
        projector,
        counts=settings.counts(size),
        randoms_fraction=settings.randoms_fraction,
        psf_fwhm=settings.simulated_fwhm,
        seed=rng,
    )
    counts = {name: float(getattr(data, name).sum(dtype=np.float64)) for name in ("prompts", "trues", "randoms")}
    factors = {"attenuation": data.attenuation, "normalisation": data.normalisation, "background": data.randoms}
    prompts = data.prompts
    del data
    if projector.device == "cuda":
        prompts = find_cupy().asarray(prompts)
        factors = {name: find_cupy().asarray(value) for name, value in factors.items()}
    A = AcquisitionModel(projector, **factors, psf_fwhm=settings.modelled_fwhm)
    del factors
    image, record = whole_run(mlem, prompts, A, iterations=settings.iterations, bar=bar)
    kept = {"prompts": prompts, "A": A} if keep else {}
    return Scan(truth, to_numpy(image), record, counts, **kept)


def whole_run(method, *data, iterations, bar=None, **settings):
    """Run `mlem`, `osem` or the like to its end: (image, record).

    Ctrl-C makes them give back what they have and say so. Half a reconstruction is of no use here: it is raised again.
    """
    record = Record()
    step = None if bar is None else (lambda iteration, image: bar.update())
    with contextlib.redirect_stdout(io.StringIO()):
        image = method(*data, iterations=iterations, record=record, callback=step, **settings)
    if record.iterations < iterations:
        raise KeyboardInterrupt
    return image, record


def reconstruct_bowsher(test, settings, bar):
    """Reconstruct by MAP with Bowsher's prior from the subject's own T1, from the MLEM image on.

    Parameters
    ----------
    test : Scan
        With prompts and acquisition model.
    settings : BowsherSettings
    bar : tqdm
        Advances by one a pass over the counts.

    Returns
    -------
    image, facts : float32 (z, y, x), activity; and a dict
    """
    s, A, xp = settings, test.A, array_module(test.prompts)
    sensitivity = A.T(xp.ones(A.out_shape, np.float32))
    prior = priors.Bowsher(
        priors.strength(s.kappa, sensitivity, s.activity),
        xp.asarray(test.truth.t1),
        similar=s.similar,
        voxel_size=A.projector.grid.voxel_size,
    )
    image, record = whole_run(
        bsrem, test.prompts, A, prior, iterations=s.iterations, subsets=s.subsets, start=xp.asarray(test.image), bar=bar
    )
    return to_numpy(image), {"log_likelihood": [float(value) for value in record.log_likelihood]}


def with_lesions(phantom, rng):
    """The standard four lesions; a slice that has no room for them stays as it is (its regions name none)."""
    try:
        return phantom.with_lesions(seed=rng)
    except ValueError as error:
        if "room" not in str(error) and "middle slice" not in str(error):
            raise
        return phantom


def train_ced(training, validation, settings, seed, bar):
    """Train a CED on scans of other subjects."""
    from pettutor.networks import ced, load_keras, train_slicewise

    load_keras().utils.set_random_seed(seed)
    scale = np.mean([s.truth.pet[s.truth.regions["head"]].mean() for s in training])
    rows, columns = training[0].image.shape[1:]
    model = ced((rows, columns, 1))

    def step(epoch, loss, validation_loss, seconds):
        bar.set_postfix_str(f"validation error {validation_loss**0.5:.3f}", refresh=False)
        bar.update()

    return train_slicewise(
        model,
        [(s.image, s.truth.pet) for s in training],
        [(s.image, s.truth.pet) for s in validation],
        scale=float(scale),
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        batch_size=settings.batch_size,
        seed=seed,
        callback=step,
    )


def measure(images, truth):
    """The table: a list of rows, each with its values by image.

    Parameters
    ----------
    images : dict
        Name -> reconstructed image.
    truth : pettutor.phantoms.Phantom

    Returns
    -------
    list of dict
        ``key``, ``name``, ``unit``, ``best`` (the value of a perfect image; None where there is none), ``values``.
    """
    regions, pet = truth.regions, truth.pet
    rows = []

    def row(key, name, unit, best, function):
        rows.append(
            {
                "key": key,
                "name": name,
                "unit": unit,
                "best": best,
                "values": {k: function(x) for k, x in images.items()},
            }
        )

    for where in ("head", "brain"):
        row(
            f"nrmse_{where}",
            f"NRMSE, {where}",
            "%",
            0.0,
            lambda x, mask=regions[where]: 100 * measures.nrmse(x, pet, normaliser=NORMALISER, mask=mask),
        )
    peak = float(pet.max())
    row("psnr_head", "PSNR, head", "dB", None, lambda x: measures.psnr(x, pet, data_range=peak, mask=regions["head"]))
    grey, white = regions["grey matter"], regions["white matter"]
    for name, mask in (("grey matter", grey), ("white matter", white)):
        if mask.any():
            key = "bias_" + name.replace(" ", "_")
            row(key, f"bias, {name}", "%", 0.0, lambda x, mask=mask: 100 * measures.bias(x, pet, mask=mask))
    if white.sum() < 2:
        return rows
    if grey.any():
        row(
            "crc_grey_matter",
            "contrast recovery, grey to white matter",
            "",
            1.0,
            lambda x: measures.crc(x, pet, grey, white),
        )
    lesions = [name for name in regions if name.startswith("lesion")]
    for name, lesion in zip(lesions, truth.lesions, strict=True):
        row(
            f"crc_{name.partition(' (')[0].replace(' ', '_')}",
            f"contrast recovery, {lesion.kind} lesion of {lesion.diameter:g} mm",
            "",
            1.0,
            lambda x, mask=regions[name]: measures.crc(x, pet, mask, white),
        )
    own = 100 * measures.spatial_variation(pet, white)
    row(
        "variation_white_matter",
        f"variation over white matter (the truth's own: {own:.1f} %)",
        "%",
        own,
        lambda x: 100 * measures.spatial_variation(x, white),
    )
    return rows
