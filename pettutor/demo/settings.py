"""What the demo does at each size, and on whom the network is trained."""

from dataclasses import dataclass, field

from pettutor.simulation import DEFAULT_COUNTS


@dataclass(frozen=True)
class BowsherSettings:
    """Of MAP with Bowsher's prior: what T1 gives without any network.

    kappa : strength without unit, see `pettutor.priors.strength`; the best for the test scans of the package's networks
        at a third of the dose. It is not searched for on the scan that is shown.
    activity : typical of a head, which the strength refers to.
    similar : neighbours that T1 chooses, of 8 in a slice, of 26 in a volume.
    subsets, iterations : of BSREM, from the MLEM image on.
    """

    kappa: float = 0.01
    activity: float = 50.0
    similar: int = 9
    subsets: int = 9
    iterations: int = 12


@dataclass(frozen=True)
class DIPSettings:
    """Of DIPRecon, see `pettutor.networks.diprecon`: a compromise between time and image.

    Against the paper: a shorter fit to the start image, a softplus for the last ReLU, and Adam that keeps its averages
    from one iteration to the next (all choices).

    passes, subsets : of OSEM, whose image is the start; instead of a long MLEM.
    filters : of the 2-D `dip_unet`, which makes a volume slice by slice.
    start_fit : steps of Adam towards the start image.
    iterations, image_updates, fit_iterations, kappa, learning_rate, average_from : as of `diprecon`.
    """

    passes: int = 10
    subsets: int = 6
    filters: tuple = (8, 16, 32)
    start_fit: int = 30
    iterations: int = 10
    image_updates: int = 2
    fit_iterations: int = 2
    kappa: float = 0.3
    learning_rate: float = 5e-3
    average_from: int | None = 6


@dataclass(frozen=True)
class DemoSettings:
    """Everything that the numbers of the demo depend on, beside size, subject and seed.

    dose : trues as a share of the reference scan of the scanner.
    iterations : of MLEM.
    randoms_fraction : share of the prompts.
    simulated_fwhm, modelled_fwhm : blur of the simulated scanner and of the model in MLEM, mm.
    structure : variation inside the tissues (see ``Subject.on``).
    training_subjects : how many; one more is for validation.
    heights : mm along z at which training subjects are scanned, the middle of the field of view in the head.
    validation_heights : the same for the validation subject.
    epochs, learning_rate, batch_size : of the CED.
    every_method_on : devices on which Bowsher MAP, MAPEM-Net and DIPRecon are fast enough to be run as well.
    bowsher : BowsherSettings
    diprecon : DIPSettings
    minutes : expected time on two cores without a GPU.
    memory_gb, disk_mb : expected peak memory, and room for the results.
    """

    # less than the reference scan, and more iterations: noisy enough for a filter to have work to do
    dose: float = 0.3
    iterations: int = 16
    randoms_fraction: float = 0.3
    simulated_fwhm: float = 4.5
    modelled_fwhm: float = 2.5
    structure: float = 0.5
    training_subjects: int = 2
    heights: tuple = (0.0,)
    validation_heights: tuple = (0.0,)
    epochs: int = 20
    learning_rate: float = 1e-2
    batch_size: int = 8
    every_method_on: tuple = ("cpu", "cuda")
    bowsher: BowsherSettings = field(default_factory=BowsherSettings)
    diprecon: DIPSettings = field(default_factory=DIPSettings)
    minutes: float = 3
    memory_gb: float = 1.5
    disk_mb: int = 50

    def counts(self, size):
        """Expected trues of every scan."""
        return self.dose * DEFAULT_COUNTS[size]


SETTINGS = {
    "slab": DemoSettings(
        heights=(-20.0, -8.0, 4.0, 16.0, 28.0),
        validation_heights=(0.0, 16.0),
        epochs=60,
        bowsher=BowsherSettings(kappa=0.05, similar=3),
        diprecon=DIPSettings(passes=16, start_fit=50, iterations=12, fit_iterations=5, learning_rate=4e-3),
        minutes=1.5,
        memory_gb=1.3,
        disk_mb=20,
    ),
    "mini": DemoSettings(diprecon=DIPSettings(filters=(4, 8, 16))),  # twice as many filters take twice the time
    "mmr": DemoSettings(
        dose=1.0,
        iterations=11,
        training_subjects=1,
        epochs=25,
        every_method_on=("cuda",),
        minutes=4.0,
        memory_gb=3.0,
        disk_mb=200,
    ),
}


def image_grid(scanner):
    """The grid of the demo: 128 × 128 voxels a slice, as the network wants it.

    On the mMR these are the middle 128 × 128 of its 344 × 344: 267 mm, room for a head.
    """
    planes = scanner.image_shape[0]
    return scanner.image_grid(shape=(planes, 128, 128))


def other_subjects(shown, count):
    """Names of ``count`` embedded subjects, never the one that is shown: mni:1, mni:2 …"""
    numbers = [n for n in range(1, count + 2) if n != embedded_number(shown)]
    return [f"mni:{n}" for n in numbers[:count]]


def embedded_number(subject):
    """7 of "mni:7" or "mni:07"; None of another subject."""
    family, _, number = subject.partition(":")
    return int(number) if family == "mni" and number.isdigit() else None
