"""Recipes: everything that a stored network depends on, as plain settings. ``pettutor train NAME`` follows one."""

import importlib
from dataclasses import asdict, dataclass, field, replace

from pettutor.networks.backend import load_keras
from pettutor.networks.parts.slice_by_slice import as_volumes
from pettutor.networks.training.data import SubjectSplit, split_subjects
from pettutor.networks.training.simulated_scans import ScanSettings

SIZES = ("slab", "mini")
# Activity that every network sees as 1: about the mean over the heads of the embedded subjects (FDG).
SCALE = 50.0
BASELINE_ITERATIONS = 60  # of the MLEM that every network is compared with
SLAB_HEIGHTS = (-32.0, -22.0, -12.0, -2.0, 8.0, 18.0, 28.0, 38.0)
SLAB_VALIDATION_HEIGHTS = (-27.0, -7.0, 13.0, 33.0)
SLAB_TEST_HEIGHTS = (0.0, 20.0)
DOSES = (1 / 3, 1.0, 3.0)  # tested: the dose trained at, and what the network has not seen

# Post-processing networks start from what, at the dose trained at, gives the best image after a Gaussian filter.
POST_PROCESSING = ScanSettings(heights=SLAB_HEIGHTS, start="mlem", iterations=BASELINE_ITERATIONS)
# Unrolled networks go on from a short OSEM (choice).
UNROLLED = replace(POST_PROCESSING, start="osem", iterations=4, subsets=6)


@dataclass(frozen=True)
class Recipe:
    """How a network is made, trained and tested.

    name, size : what it is called, and the scanner.
    channels : what the network sees: ("pet",) or ("pet", "t1").
    options : of the builder (see `build`).
    scans : ScanSettings of the training scans.
    validation_heights, test_heights, test_doses, test_realisations : of the other scans; test scans have the standard
        lesions, in PET and MR.
    subjects : SubjectSplit
    scale : activity that the network sees as 1.
    minutes : wall-clock limit instead of the epochs, where there is one.
    epochs, learning_rate, batch_size, multipliers, patience, round_updates : of `train`; `BCDNet.fit` takes the batch
        size, the epochs for every layer, and the patience in layers.
    seed : of the weights' start and the order of the examples; the scans have their own.
    mr_spots : of `train`.
    by_slices : whether a network on volumes has a CNN on slices, see `as_volumes`.
    starts_from : size at which the package has weights that the training starts from, if any.
    stored : whether trained weights belong into the package.
    """

    name: str
    size: str
    channels: tuple = ("pet",)
    options: dict = field(default_factory=dict)
    scans: ScanSettings = POST_PROCESSING
    validation_heights: tuple = SLAB_VALIDATION_HEIGHTS
    test_heights: tuple = SLAB_TEST_HEIGHTS
    test_doses: tuple = DOSES
    test_realisations: int = 2
    subjects: SubjectSplit = field(default_factory=split_subjects)
    scale: float = SCALE
    epochs: float = 60
    minutes: float | None = None
    learning_rate: float = 3e-3
    batch_size: int = 8
    multipliers: dict = field(default_factory=dict)
    patience: int | None = 12
    round_updates: int | None = None
    seed: int = 0
    mr_spots: int = 0
    by_slices: bool = False
    starts_from: str | None = None
    stored: bool = False

    @property
    def input_shape(self):
        """(y, x, channels) of a network on slices, (z, y, x, channels) on volumes."""
        planes = {"slab": (), "mini": (31,) if self.is_unrolled else ()}[self.size]
        return (*planes, 128, 128, len(self.channels))

    @property
    def is_unrolled(self):
        """Whether the network has the physics inside."""
        return self.name in UNROLLED_NETWORKS

    @property
    def is_greedy(self):
        """Whether it is trained layer by layer, by a method of its own."""
        return self.name == "bcd_net"

    def validation_scans(self):
        """Settings of the scans that decide when to stop."""
        return replace(self.scans, heights=self.validation_heights)

    def test_scans(self):
        """Settings of the scans of the test subjects."""
        return replace(
            self.scans, heights=self.test_heights, doses=self.test_doses, realisations=self.test_realisations,
            lesions="standard", lesions_in="both",
        )  # fmt: skip

    def build(self):
        """The untrained network, seeded: a keras.Model, or a `BCDNet`."""
        if self.by_slices:
            return as_volumes(replace(self, size="slab", by_slices=False).build(), self.input_shape[0])
        load_keras().utils.set_random_seed(self.seed)
        module, name = BUILDERS[self.name]
        builder = getattr(importlib.import_module(f"pettutor.networks.{module}"), name)
        options = dict(self.options)
        if self.is_greedy:
            return builder(2, scale=self.scale, **options)  # also in volumes: in 3-D a layer takes twelve minutes
        if self.is_unrolled:
            options["scale"] = self.scale
        return builder(self.input_shape, **options)

    def smoke(self):
        """The same in a minute: one subject, one height, a few updates. It learns nothing; it shows that all works."""
        return replace(
            self,
            scans=replace(self.scans, heights=(0.0,), iterations=1),
            subjects=replace(self.subjects, training=self.subjects.training[:1]),
            validation_heights=(0.0,), test_heights=(0.0,), test_doses=(1.0,), test_realisations=1,
            options=self.options | ({"unrolls": 2} if self.is_unrolled else {"layers": 2} if self.is_greedy else {}),
            epochs=2, minutes=None, batch_size=1, round_updates=2, patience=None, starts_from=None, stored=False,
        )  # fmt: skip

    def as_dict(self):
        """Plain data, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data):
        """What `as_dict` gave, from JSON or not."""
        data = dict(data)
        data["scans"] = ScanSettings(**data["scans"])
        data["subjects"] = SubjectSplit(**{name: tuple(values) for name, values in data["subjects"].items()})
        lists = {name: tuple(value) for name, value in data.items() if isinstance(value, list)}
        options = {k: tuple(v) if isinstance(v, list) else v for k, v in data["options"].items()}
        return cls(**data | lists | {"options": options})


BUILDERS = {
    "ced": ("ced", "ced"),
    "unet": ("unet", "unet"),
    "low_count_mr": ("low_count_mr", "low_count_mr"),
    "em_net": ("em_net", "EMNet"),
    "mapem_net": ("mapem_net", "MAPEMNet"),
    "fbsem_net": ("fbsem_net", "FBSEMNet"),
    "bcd_net": ("bcd_net", "BCDNet"),
}
"""Name of a recipe -> module in ``pettutor.networks`` and builder."""
UNROLLED_NETWORKS = ("em_net", "mapem_net", "fbsem_net")

# An update costs as much as thirty of a post-processing network: a limit in minutes, and small batches.
_UNROLLED_TRAINING = {"scans": UNROLLED, "batch_size": 4, "patience": None, "stored": True}
_SLAB = (
    Recipe("ced", "slab", learning_rate=1e-2, epochs=100, stored=True),
    # as many weights as the CNN in the unrolled networks has, so that they can be compared
    Recipe("unet", "slab", options={"filters": (8, 16, 32)}, minutes=20, stored=True),
    Recipe(
        "low_count_mr", "slab", channels=("pet", "t1"), options={"filters": (8, 16, 32)}, stored=True,
        # Many lesions, in PET, in MR or in both, so that it may learn to tell them apart (lesson 9 tests it). More of
        # them cold than hot, and dark spots in T1 alone: else what is dark in T1 means csf to it, whatever PET says.
        scans=replace(POST_PROCESSING, doses=(1 / 3, 1.0), lesions_in="any", most_lesions=12, hot_share=0.4),
        mr_spots=4, minutes=20,
    ),
    Recipe("em_net", "slab", multipliers={"raw_alpha": 10.0}, minutes=18, **_UNROLLED_TRAINING),
    Recipe("mapem_net", "slab", multipliers={"raw_kappa": 10.0}, minutes=20, **_UNROLLED_TRAINING),
    Recipe("fbsem_net", "slab", multipliers={"raw_kappa": 10.0}, minutes=15, **_UNROLLED_TRAINING),
    # greedy: so many epochs for every layer; it starts where the unrolled networks do
    Recipe("bcd_net", "slab", scans=UNROLLED, options={"layers": 10}, epochs=10, patience=2, stored=True),
)  # fmt: skip


# Networks on slices, and the CNNs in unrolled ones, go on from what they learnt at slab: new to them is the noise of a
# 3-D scan, so minutes do. Of an unrolled network an update takes as long as ten at slab.
_MINI_MINUTES = {"ced": 6, "unet": 14, "low_count_mr": 10, "em_net": 15, "mapem_net": 35, "fbsem_net": 15}


def _mini(slab):
    """The same in 3-D scans: one height, since a scan has 31 slices; two doses, since the slab's weights know one."""
    mini = replace(
        slab, size="mini", scans=replace(slab.scans, size="mini", heights=(5.0,), doses=(1 / 3, 1.0)),
        validation_heights=(5.0,), test_heights=(0.0,), test_realisations=1,
    )  # fmt: skip
    if slab.is_greedy:  # layer by layer, so it learns from the beginning
        return replace(mini, epochs=2)
    mini = replace(mini, learning_rate=1e-3, minutes=_MINI_MINUTES[slab.name], patience=None, starts_from="slab")
    return replace(mini, batch_size=1, round_updates=12, by_slices=True) if slab.is_unrolled else mini


RECIPES = {(r.name, r.size): r for r in (*_SLAB, *(_mini(r) for r in _SLAB))}


def recipe(name, size="slab"):
    """The recipe of a network at a size. ``"MAPEM-Net"`` and ``"mapemnet"`` are ``"mapem_net"`` as well.

    Raises
    ------
    ValueError
        There is none; the message names those that there are.
    """
    name = plain_name(name)
    if (name, size) not in RECIPES:
        known = ", ".join(f"{n} ({' '.join(s for m, s in RECIPES if m == n)})" for n in BUILDERS)
        raise ValueError(f"network: expected one of {known}; got {name!r} at size {size!r}")
    return RECIPES[name, size]


def plain_name(name):
    """The name of a recipe, however it is spelt; other words stay as they are."""

    def letters(word):
        return str(word).lower().replace("-", "").replace("_", "")

    return next((known for known in BUILDERS if letters(known) == letters(name)), name)
