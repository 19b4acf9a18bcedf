"""What the demo does at each size, and on whom the network is trained."""

from dataclasses import dataclass

from pettutor.simulation import DEFAULT_COUNTS


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
    minutes: float = 1.3
    memory_gb: float = 1.3
    disk_mb: int = 40

    def counts(self, size):
        """Expected trues of every scan."""
        return self.dose * DEFAULT_COUNTS[size]


SETTINGS = {
    "slab": DemoSettings(
        heights=(-20.0, -8.0, 4.0, 16.0, 28.0),
        validation_heights=(0.0, 16.0),
        epochs=60,
        minutes=1.0,
        memory_gb=1.2,
        disk_mb=20,
    ),
    "mini": DemoSettings(),
    "mmr": DemoSettings(
        dose=1.0, iterations=11, training_subjects=1, epochs=25, minutes=4.0, memory_gb=3.0, disk_mb=200
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
    family, _, number = shown.partition(":")
    avoided = int(number) if family == "mni" and number.isdigit() else None
    numbers = [n for n in range(1, count + 2) if n != avoided]
    return [f"mni:{n}" for n in numbers[:count]]
