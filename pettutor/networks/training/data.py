"""From simulated scans to what Keras is fed: subjects kept apart, arrays, and batches that a seed and a number name."""

from dataclasses import dataclass, field

import numpy as np

from pettutor.networks.backend import load_keras
from pettutor.networks.training.mr_spots import with_dark_spots

TEST_SUBJECT = "mni:0"  # what the lessons show
VALIDATION_SUBJECT = "mni:101"


@dataclass(frozen=True)
class SubjectSplit:
    """Who is trained on, who decides when to stop, and who is only ever tested on. No subject may be in two sets.

    Two slices of one head resemble each other more than any two heads do: split by slices, a test would ask what the
    network has seen.

    Raises
    ------
    ValueError
        A subject that is in two sets, or twice in one; an empty set.
    """

    training: tuple
    validation: tuple = (VALIDATION_SUBJECT,)
    test: tuple = (TEST_SUBJECT,)

    def __post_init__(self):
        seen = {}
        for name in ("training", "validation", "test"):
            subjects = getattr(self, name)
            subjects = (subjects,) if isinstance(subjects, str) else tuple(subjects)
            if not subjects:
                raise ValueError(f"{name}: expected at least one subject, got none")
            for subject in subjects:
                if subject in seen:
                    raise ValueError(
                        f"{name}: expected every subject in one set alone, got {subject!r}, which is in "
                        f"{seen[subject]} already"
                    )
                seen[subject] = name
            object.__setattr__(self, name, subjects)

    def check(self, scans, name):
        """Return the scans if their subjects are all in the set ``name``.

        Raises
        ------
        ValueError
            A scan of a subject that is not.
        """
        for scan in scans:
            if scan.subject not in getattr(self, name):
                raise ValueError(f"{name}: expected scans of {', '.join(getattr(self, name))}, got {scan.subject!r}")
        return scans


def split_subjects(training=16, validation=(VALIDATION_SUBJECT,), test=(TEST_SUBJECT,)):
    """Embedded subjects, split: mni:1 … for training, mni:101 to validate, mni:0 to test.

    Parameters
    ----------
    training : int or list of str
        A number of embedded subjects, or who. The first subjects of a larger number are those of a smaller one.
    validation, test : list of str

    Returns
    -------
    SubjectSplit
    """
    if isinstance(training, int):
        avoided = {*validation, *test}
        names = (f"mni:{n}" for n in range(1, training + len(avoided) + 1))
        training = [name for name in names if name not in avoided][:training]
    return SubjectSplit(tuple(training), tuple(validation), tuple(test))


def is_unrolled(model):
    """Whether a network asks the data of scans while it runs."""
    return "scan" in [tensor.name for tensor in model.inputs]


def check_apart(training, validation):
    """Raise ValueError where scans of one subject are in both lists."""
    for name, scans in (("training", training), ("validation", validation)):
        if not scans:
            raise ValueError(f"{name}: expected at least one scan, got none")
    both = {scan.subject for scan in training} & {scan.subject for scan in validation}
    if both:
        raise ValueError(
            f"validation: expected subjects that are not trained on, got {', '.join(sorted(both))} in both sets"
        )


def check_spots(most, model):
    """Raise ValueError where spots in MR are asked of a network that sees no MR, or are no number."""
    if isinstance(most, bool) or not isinstance(most, (int, np.integer)) or most < 0:
        raise ValueError(f"mr_spots: expected a whole number >= 0, got {most!r}")
    sees_mr = "mr" in [tensor.name for tensor in model.inputs] or model.inputs[0].shape[-1] == 2
    if most and not sees_mr:
        raise ValueError(f"mr_spots: expected 0 for a network that sees no MR, got {most}")


@dataclass
class Examples:
    """Network inputs and targets: ``inputs`` is a dictionary name -> array with one entry an example.

    single : whether the network takes the one input as it is, and not a dictionary.
    """

    inputs: dict
    targets: np.ndarray
    single: bool = field(default=True)

    def __len__(self):
        return len(self.targets)

    def take(self, indices):
        """Examples by number, as Keras takes them: (inputs, targets)."""
        inputs = {name: values[indices] for name, values in self.inputs.items()}
        return (next(iter(inputs.values())) if self.single else inputs), self.targets[indices]

    @property
    def all(self):
        return self.take(slice(None))

    def mirrored(self):
        """These, and each of them mirrored left to right (x is the last axis but the channels)."""

        def both(values):
            return np.concatenate([values, values[..., ::-1, :]])

        return Examples({name: both(v) for name, v in self.inputs.items()}, both(self.targets), self.single)


def examples_of(model, scans, *, scale, numbers=None):
    """What a network sees of scans, and what it should make of them.

    Parameters
    ----------
    model : keras.Model
        From images (batch, y, x, channel) or (batch, z, y, x, channel). Channel 0 is the start image over ``scale``,
        channel 1 (where there is one) the MR image. An unrolled network has a dictionary of inputs: "image", "scan"
        (the scan's number) and, where it wants the MR image apart, "mr".
    scans : list of SimulatedScan
    scale : float
        Activity that the network sees as 1.
    numbers : list of int, optional
        Numbers of the scans in the collection that an unrolled network asks.

    Returns
    -------
    Examples
        An entry for every slice, where the network is 2-D, else for every volume.

    Raises
    ------
    ValueError
        Images that do not fit the network.
    """
    tensors = {tensor.name: tensor for tensor in model.inputs}
    single = len(tensors) == 1
    shape = tuple((model.inputs[0] if single else tensors["image"]).shape[1:])
    channels = shape[-1]
    flat = len(shape) == 3  # slices, not volumes
    unrolled = is_unrolled(model)
    if channels not in (1, 2):
        raise ValueError(f"model: expected a network with 1 channel (PET) or 2 (PET, MR), got {channels}")
    if unrolled and numbers is None:
        raise ValueError("scans: expected the collection of scans that the unrolled network asks, got none")
    wanted = shape[:-1]
    for scan in scans:
        got = scan.start.shape[1:] if flat else scan.start.shape
        if any(n not in (None, m) for n, m in zip(wanted, got, strict=True)):
            raise ValueError(f"scans: expected images of {wanted} (the network's), got {got} of {scan!r}")
        if unrolled and flat and len(scan.start) > 1:
            raise ValueError(f"scans: expected single slices for a 2-D unrolled network, got {len(scan.start)}")

    def entries(name):
        images = [getattr(scan, name) for scan in scans]
        return np.concatenate(images)[..., None] if flat else np.stack(images)[..., None]

    image = entries("start") / np.float32(scale)
    if channels == 2:
        image = np.concatenate([image, entries("t1")], axis=-1)
    inputs = {"image": image}
    if "mr" in tensors:
        inputs["mr"] = entries("t1")
    if unrolled:
        inputs["scan"] = np.asarray(numbers, np.int32)
    return Examples(inputs, entries("truth") / np.float32(scale), single=single)


def batch_indices(count, batch_size, seed, update):
    """Which examples training step ``update`` (from 0) sees: (batch_size,) numbers.

    The examples come in an endless row of shuffles, cut into batches: every one is seen as often as any other, every
    batch is full, and a resumed training sees what an uninterrupted one would have seen.
    """
    places = np.arange(update * batch_size, (update + 1) * batch_size)
    order = {turn: np.random.default_rng([seed, turn]).permutation(count) for turn in set((places // count).tolist())}
    return np.array([order[place // count][place % count] for place in places.tolist()])


def batch_stream(examples, batch_size, steps, seed, mr_spots=0, voxel_size=None):
    """A ``keras.utils.PyDataset`` of ``steps`` batches; its ``first`` is the number of the first one's update.

    With ``mr_spots`` the MR images of every batch get so many dark spots at most (`with_dark_spots`); the seed and the
    update's number name them.
    """
    keras = load_keras()

    class BatchStream(keras.utils.PyDataset):
        first = 0

        def __len__(self):
            return steps

        def __getitem__(self, index):
            update = self.first + index
            batch = examples.take(batch_indices(len(examples), batch_size, seed, update))
            return _spotted(batch, mr_spots, voxel_size, np.random.default_rng([seed, update])) if mr_spots else batch

    return BatchStream()


def _spotted(batch, most, voxel_size, rng):
    """A batch with dark spots in its MR images, which are channel 1 of the one input, or the input "mr"."""
    inputs, targets = batch
    if isinstance(inputs, dict):
        mr = with_dark_spots(inputs["mr"][..., 0], most, voxel_size, rng)
        return {**inputs, "mr": mr[..., None]}, targets
    mr = with_dark_spots(inputs[..., 1], most, voxel_size, rng)
    return np.stack([inputs[..., 0], mr], axis=-1), targets
