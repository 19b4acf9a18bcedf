"""A trained network of any kind with one face, and what it is worth on test scans."""

from dataclasses import dataclass

import numpy as np

from pettutor import measures
from pettutor.arrays import check_array, to_numpy
from pettutor.networks.backend import load_keras
from pettutor.networks.training.recipes import BASELINE_ITERATIONS
from pettutor.networks.training.scan_files import grid_of
from pettutor.networks.training.slicewise import SliceNetwork
from pettutor.reconstruction import best_gaussian, mlem

NORMALISER = "rms"  # of the truth over the head
IMAGES = ("start", "mlem", "gaussian", "network")


@dataclass
class TrainedNetwork:
    """A trained network: ``network(start, mr=t1, prompts=y, A=A)`` gives an image, whatever kind it is.

    A post-processing network uses the start image (and MR, where it has a channel for it) alone; an unrolled one asks
    the counts too. What a network has no use for may be given all the same, so that one line serves all of them.

    model : keras.Model, or a `BCDNet`
    recipe : Recipe
    record : dict
        Recipe, history of the training, test figures, versions; see `pettutor.networks.training.stored_weights`.
    """

    model: object
    recipe: object
    record: dict

    @property
    def scale(self):
        """Activity that the network sees as 1."""
        return self.recipe.scale

    @property
    def asks_the_counts(self):
        """Whether the network has the physics inside, and needs ``prompts`` and ``A``."""
        return self.recipe.is_greedy or self.recipe.is_unrolled

    def __call__(self, start, *, mr=None, prompts=None, A=None):
        """Apply the network.

        Parameters
        ----------
        start : float32 image (z, y, x)
            The kind of image that the network was trained to start from, activity (``recipe.scans`` says which).
        mr : float32 image (z, y, x), optional
            T1 over `pettutor.networks.T1_MAXIMUM`, about 0 … 1.
        prompts, A : optional
            Counts and acquisition model, as for `mlem`.

        Returns
        -------
        float32 image (z, y, x), activity.

        Raises
        ------
        TypeError, ValueError
            Something that the network needs is missing, or does not fit it.
        """
        with_mr = "t1" in self.recipe.channels
        if with_mr and mr is None:
            raise ValueError(f"mr: expected an image (the network {self.recipe.name!r} sees MR), got none")
        if self.asks_the_counts:
            if prompts is None or A is None:
                raise ValueError(
                    f"prompts, A: expected counts and a model (the network {self.recipe.name!r} asks them), got none"
                )
            if self.recipe.is_greedy:
                return self.model.reconstruct(prompts, A, start)
            from pettutor.networks.physics.unrolled import reconstruct

            return reconstruct(self.model, prompts, A, start, mr=mr if with_mr else None)
        volumes = (start, mr) if with_mr else (start,)
        if len(self.model.input_shape) == 4:
            return SliceNetwork(self.model, self.scale)(*volumes)
        check_array(start, "start", shape=self.model.input_shape[1:-1])
        x = np.stack([start / np.float32(self.scale), *volumes[1:]], axis=-1)[None]
        out = load_keras().ops.convert_to_numpy(self.model(x, training=False))
        return out[0, ..., 0].astype(np.float32) * np.float32(self.scale)

    def of_scan(self, scan):
        """Apply the network to a `SimulatedScan`."""
        if not self.asks_the_counts:
            return self(scan.start, mr=scan.t1)
        return self(scan.start, mr=scan.t1, prompts=scan.prompts_on(), A=scan.acquisition_model())


def test_figures(network, scans, progress=None, *, iterations=BASELINE_ITERATIONS):
    """What a network is worth: for every test scan NRMSE over the head and contrast recovery, beside its start image,
    MLEM, and MLEM with the best Gaussian filter.

    The Gaussian is the best that there is, chosen with the truth of the very test scans, one width a dose: a network
    that beats it beats every Gaussian.

    Parameters
    ----------
    network : TrainedNetwork
    scans : list of SimulatedScan
    progress : callable, optional
        Called after every scan.
    iterations : int
        Of MLEM.

    Returns
    -------
    list of dict
        One a scan: ``subject``, ``height``, ``dose``, ``realisation``, ``key`` (of the scan), ``gaussian_mm`` and for
        each of "start", "mlem", "gaussian" and "network" a dict: ``nrmse`` (%), ``grey`` and ``lesions`` (mean over the
        lesions in PET): contrast recovery coefficients against white matter.
    """
    rows = []
    for dose in sorted({scan.dose for scan in scans}):
        group = [scan for scan in scans if scan.dose == dose]
        images = [_mlem(scan, iterations) for scan in group]
        width, filtered = best_gaussian(
            images, [scan.truth for scan in group], grid_of(group[0].description["size"]),
            mask=[scan.regions["head"] for scan in group], normaliser=NORMALISER,
        )  # fmt: skip
        for scan, plain, smooth in zip(group, images, filtered, strict=True):
            d = scan.description
            row = {name: d[name] for name in ("subject", "height", "dose", "realisation")}
            row |= {"key": scan.key, "gaussian_mm": width}
            for who, x in zip(IMAGES, (scan.start, plain, smooth, network.of_scan(scan)), strict=True):
                row[who] = figures_of(x, scan)
            rows.append(row)
            if progress is not None:
                progress()
    return rows


def _mlem(scan, iterations):
    d = scan.description
    if d["start"] == "mlem" and d["iterations"] == iterations:
        return scan.start
    return to_numpy(mlem(scan.prompts_on(), scan.acquisition_model(), iterations=iterations))


def figures_of(image, scan):
    """NRMSE over the head in % and contrast recovery of one image."""
    white, grey = scan.regions["white matter"], scan.regions["grey matter"]
    figures = {"nrmse": 100 * measures.nrmse(image, scan.truth, normaliser=NORMALISER, mask=scan.regions["head"])}
    if white.any() and grey.any():
        figures["grey"] = measures.crc(image, scan.truth, grey, white)
    seen = [scan.regions[lesion["region"]] for lesion in scan.lesions if lesion["where"] != "mr"]
    found = [measures.crc(image, scan.truth, mask, white) for mask in seen if mask.any() and white.any()]
    if found:
        figures["lesions"] = float(np.mean(found))
    return figures


def summary(rows, images=IMAGES, setting="gaussian_mm"):
    """Means of `test_figures` over the scans of each dose.

    Parameters
    ----------
    rows : list of dict
        As of `test_figures`.
    images : sequence of str
        Whose figures.
    setting : str
        What was chosen for a dose, and is the same in all its rows.

    Returns
    -------
    list of dict
        One a dose: ``dose``, ``scans`` (how many), the setting, and the mean figures of each image.
    """
    result = []
    for dose in sorted({row["dose"] for row in rows}):
        group = [row for row in rows if row["dose"] == dose]
        line = {"dose": dose, "scans": len(group), setting: group[0][setting]}
        for who in images:
            names = [n for n in ("nrmse", "grey", "lesions") if all(n in row[who] for row in group)]
            line[who] = {n: float(np.mean([row[who][n] for row in group])) for n in names}
        result.append(line)
    return result


def as_text(lines, start="start", iterations=BASELINE_ITERATIONS, bowsher=()):
    """The table of `summary`, as text.

    Parameters
    ----------
    lines : list of dict
        As of `summary`.
    start : str
        What the start image is called.
    iterations : int
        Of MLEM.
    bowsher : list of dict
        What Bowsher MAP reached on the same scans, one line a dose (`stored_bowsher`); default: not shown.

    Returns
    -------
    str
        A line a dose and image: NRMSE over the head in %, contrast recovery (shares) of grey matter and lesions.

    Raises
    ------
    ValueError
        The lines of Bowsher MAP are of other doses, or of another number of scans.
    """
    words = {"start": start, "mlem": f"MLEM, {iterations}", "gaussian": "best Gaussian", "network": "network"}
    if start == words["mlem"]:
        del words["start"]
    if bowsher:
        ours, theirs = ([(round(line["dose"], 6), line["scans"]) for line in one] for one in (lines, bowsher))
        if ours != theirs:
            raise ValueError(f"bowsher: expected lines for the doses and scans {ours}, got {theirs}")
        words["bowsher"] = "Bowsher MAP, sees T1"
        lines = [line | {"bowsher": other["bowsher"]} for line, other in zip(lines, bowsher, strict=True)]
    text = [f"{'dose':>7}  {'':<20}  NRMSE, head  contrast: grey  lesions"]
    for line in lines:
        for k, (who, name) in enumerate(words.items()):
            f = line[who]
            grey, lesions = (f"{f[n]:.3f}" if n in f else "" for n in ("grey", "lesions"))
            dose = f"{line['dose']:.3g} ×" if k == 0 else ""
            name += f", {line['gaussian_mm']:.1f} mm" if who == "gaussian" else ""
            text.append(f"{dose:>7}  {name:<20}  {f['nrmse']:9.2f} %  {grey:>14}  {lesions:>7}")
    return "\n".join(text)
