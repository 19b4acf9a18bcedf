"""What to measure: the choices, checked, and the list of cases that follows from them."""

from dataclasses import dataclass

from pettutor.arrays import resolve_device
from pettutor.geometry import Scanner
from pettutor.projector.footprints import MODELS
from pettutor.threads import thread_count

PARTS = ("projection", "mlem", "listmode", "matrix", "methods", "networks")
USUAL_PARTS = PARTS[:-1]  # networks need Keras, and take as long again
SIZES = ("slab", "mini", "mmr")
LISTMODE_MODELS = ("siddon", "joseph", "distance_driven")
EVENTS = {"slab": 100_000, "mini": 500_000, "mmr": 1_000_000}
SUBSETS = 8
# method: (name, iterations of a usual reconstruction: as far as 60 of MLEM go, more where a method is slow)
METHODS = {
    "mlem": ("MLEM", 60),
    "osem": (f"OSEM, {SUBSETS} subsets", 8),
    "map_em_quadratic": ("MAP-EM, quadratic", 60),
    "map_em_bowsher": ("MAP-EM, Bowsher", 60),
    "map_em_relative_difference": ("MAP-EM, relative difference", 60),
    "bsrem": (f"BSREM, relative difference, {SUBSETS} subsets", 15),
    "kernel_em": ("kernel EM, 48 neighbours", 100),
    "dictionary_map": ("dictionary MAP, 64 atoms", 60),
}
NETWORKS = ("diprecon", "mapem_net")
NETWORK_IMAGES = {"mmr": (127, 128, 128)}  # voxels of the usual size, 267 mm across: a head
MATRIX_SIZES = ("slab",)  # a stored matrix of the 3-D scanners takes tens of gigabytes or more


@dataclass(frozen=True)
class Plan:
    """The choices of a run.

    Parameters
    ----------
    sizes : of "slab", "mini", "mmr"
    models : of the projector's system models
    device : "auto", "cpu" or "cuda"
        What it comes to is in ``.runs_on``.
    repeats : int
        Timed calls of each kind, after one that warms up.
    threads : int or None
        Threads of the CPU path; by default what the projector uses on its own.
    scaling : bool
        Cost against image size, lines of response and threads as well.
    parts : of "projection", "mlem", "listmode", "matrix", "methods", "networks"
        By default all but the last.

    Raises
    ------
    ValueError
        Unknown names, numbers below 1, CUDA without a GPU, threads for CUDA, or choices that leave nothing to measure.
    """

    sizes: tuple = ("slab", "mini")
    models: tuple = tuple(MODELS)
    device: str = "auto"
    repeats: int = 3
    threads: int | None = None
    scaling: bool = False
    parts: tuple = USUAL_PARTS

    def __post_init__(self):
        for name, allowed in (("sizes", SIZES), ("models", tuple(MODELS)), ("parts", PARTS)):
            chosen = getattr(self, name)
            chosen = (chosen,) if isinstance(chosen, str) else tuple(dict.fromkeys(chosen))
            wrong = [item for item in chosen if item not in allowed]
            if wrong or not chosen:
                raise ValueError(f"{name}: expected some of {', '.join(allowed)}, got {', '.join(map(str, wrong))!r}")
            object.__setattr__(self, name, chosen)
        for name in ("repeats", "threads"):
            value = getattr(self, name)
            if name == "threads" and value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name}: expected a whole number >= 1, got {value!r}")
        try:
            runs_on = resolve_device(self.device)
        except RuntimeError as error:  # a choice that cannot be had here, as much as a wrong word
            raise ValueError(str(error)) from None
        if runs_on == "cuda" and self.threads is not None:
            raise ValueError(f"threads: expected none with device 'cuda' (they are the CPU's), got {self.threads}")
        if not self.cases():
            raise ValueError(
                f"nothing to measure: the stored matrix is measured on the CPU at size {', '.join(MATRIX_SIZES)}, "
                f"list mode with {' or '.join(LISTMODE_MODELS)}; got sizes {', '.join(self.sizes)}, "
                f"models {', '.join(self.models)}, parts {', '.join(self.parts)} on {self.runs_on}"
            )

    @property
    def runs_on(self):
        """ "cpu" or "cuda"."""
        return resolve_device(self.device)

    @property
    def main_model(self):
        """The model of whatever is measured with one model only: Joseph's, or else the first."""
        return "joseph" if "joseph" in self.models else self.models[0]

    def cases(self):
        """One dict of plain values a case, in the order of running; each is measured in a process of its own."""
        common = {"device": self.runs_on, "repeats": self.repeats}
        if self.runs_on == "cpu":
            common["threads"] = self.threads or thread_count()
        cases = []
        for size in self.sizes:
            here = {**common, "size": size}
            if "projection" in self.parts:
                cases += [{**here, "part": "projection", "model": model} for model in self.models]
            if "mlem" in self.parts:
                cases += [{**here, "part": "mlem", "model": self.main_model, "psf_fwhm": width} for width in (0.0, 4.5)]
            if "listmode" in self.parts:
                models = [model for model in self.models if model in LISTMODE_MODELS]
                cases += [{**here, "part": "listmode", "model": model, "events": EVENTS[size]} for model in models]
            if "matrix" in self.parts and size in MATRIX_SIZES and self.runs_on == "cpu":
                cases += [{**here, "part": "matrix", "model": model} for model in self.models]
            if "methods" in self.parts:
                reconstruction = {**here, "part": "methods", "model": self.main_model}
                cases += [{**reconstruction, "method": method} for method in METHODS]
            if "networks" in self.parts:
                there = {**here, "part": "networks", "model": self.main_model}
                if size in NETWORK_IMAGES:
                    there["image_shape"] = list(NETWORK_IMAGES[size])
                cases += [{**there, "network": network} for network in NETWORKS]
            if self.scaling:
                scaled = {**here, "part": "scaling", "model": self.main_model}
                cases += [{**scaled, **change} for change in scalings(size, common.get("threads"))]
        return cases


def scalings(size, threads):
    """What differs from the usual problem, one thing at a time, beginning with nothing.

    Returns
    -------
    list of dict
        ``changed`` (what) and ``factor`` (by how much), with ``zoom`` (as many times more voxels, that much smaller:
        axial, transaxial), ``scanner`` (parameters), ``view_step`` or ``threads``.
    """
    scanner = Scanner.preset(size)
    cases = [{"changed": "nothing", "factor": 1.0}]
    for factor in (0.5, 2.0):
        cases.append({"changed": "voxels along y and x", "factor": factor, "zoom": [1.0, factor]})
    if scanner.rings > 1:
        # planes half a voxel apart, at no simple ratio (which must be slow: how slow?), two voxels apart
        for factor in (0.5, 0.77, 2.0):
            cases.append({"changed": "voxels along z", "factor": factor, "zoom": [factor, 1.0]})
    for factor in (0.25, 0.5):
        bins = max(2, 2 * round(0.5 * factor * scanner.bins))
        cases.append({"changed": "bins", "factor": bins / scanner.bins, "scanner": {"bins": bins}})
    for step in (4, 2):
        cases.append({"changed": "views", "factor": 1 / step, "view_step": step})
    for segments in sorted({len(scanner.segments) // 4, len(scanner.segments) // 2} - {0}):
        reach = (scanner.span - 1) // 2 + segments // 2 * scanner.span
        fewer = Scanner.preset(size, max_ring_difference=reach)
        cases.append(
            {
                "changed": "planes",
                "factor": fewer.sinogram_shape[0] / scanner.sinogram_shape[0],
                "scanner": {"max_ring_difference": reach},
            }
        )
    number = 1
    while threads is not None and number < threads:
        cases.append({"changed": "threads", "factor": number / threads, "threads": number})
        number *= 2
    return cases
