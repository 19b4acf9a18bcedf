"""From a configuration to its cells: one scan, one method, one setting each."""

import hashlib
import itertools
import json
from dataclasses import dataclass, field

# Raised when the meaning of a cell's numbers changes: results of an earlier meaning are then computed anew.
MEANING = 1
# Settings that came when there were results already: keys name them only where they differ from this.
LATER = {"mr_shift": 0.0, "average_from": None, "margin": None, "trained_at": "slab", "folder": None}
# Settings that say where a thing lies; what it is, another one says (folder: weights).
PLACES = ("folder",)


def canonical(data):
    """JSON text that is the same for equal data."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def seed_from(*parts):
    """A seed that depends on all parts and on nothing else: the same on every machine, in every order of running."""
    digest = hashlib.sha256(canonical(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big")


@dataclass(frozen=True, eq=False)
class Cell:
    """One scan reconstructed by one method with one setting.

    key : made from everything that the result depends on, and nothing else; names of methods and lesions do not count.
    task : plain data that says how to compute it.
    labels : what the table says of it.
    """

    key: str
    task: dict = field(repr=False)
    labels: dict

    @property
    def scenario(self):
        """What all realisations of a scan share."""
        return self.task["scenario"]


def make_cell(task, labels):
    """A cell with its key."""
    settings = {name: value for name, value in task["settings"].items() if name not in PLACES}
    meant = canonical([MEANING, {**task, "settings": settings}])
    return Cell(hashlib.sha256(meant.encode()).hexdigest()[:24], task, labels)


def cells_of(configuration):
    """All cells of a study, in the order of its table: subject, lesions, counts, method, setting, realisation."""
    return [
        make_cell(
            {
                "scenario": scenario,
                "realisation": realisation,
                "algorithm": algorithm,
                "settings": settings,
                "iterations": list(method.iterations),
                "fwhm": list(method.fwhm),
                "images": configuration.images,
            },
            {**where, "realisation": realisation, "method": name, "algorithm": algorithm, "setting": text, **swept},
        )
        for scenario, where in scenarios_of(configuration)
        for name, method in configuration.methods.items()
        for algorithm in (method.algorithm,)
        for settings, text, swept in settings_of(method)
        for realisation in range(configuration.realisations)
    ]


def scenarios_of(configuration):
    """What is scanned and how: (plain data, labels) for every subject, lesions, counts and structure."""
    c = configuration
    common = {
        "size": c.size, "tracer": c.tracer, "seed": c.seed,
        "randoms_fraction": c.randoms_fraction, "scatter_fraction": c.scatter_fraction, "psf": c.psf.model_dump(),
        "model": c.model, "stored_matrix": c.stored_matrix, "device": c.device,
    }  # fmt: skip
    for subject, lesions, counts, structure in itertools.product(c.subjects, c.lesions, c.counts, c.structure):
        which = {"where": lesions.where, "lesions": [_plain(lesion) for lesion in lesions.lesions]}
        scenario = {**common, "subject": subject, "lesions": which, "counts": counts, "structure": structure}
        swept = {"structure": structure} if len(c.structure) > 1 else {}
        yield scenario, {"subject": subject, "lesions": lesions.name, "counts": counts, **swept}


def _plain(lesion):
    return lesion.model_dump(mode="json")


def settings_of(method):
    """Every combination of a method's swept settings: (all settings, text, the swept ones)."""
    fixed = method.model_dump(mode="json", exclude={"algorithm", "iterations", "fwhm"})
    names = [name for name in method.swept_names() if fixed[name] is not None]
    varied = [name for name in names if len(fixed[name]) > 1]
    for values in itertools.product(*(fixed[name] for name in names)):
        chosen = dict(zip(names, values, strict=True))
        text = ", ".join(f"{name}={_short(chosen[name])}" for name in varied)
        settings = {**fixed, **chosen}
        settings = {name: value for name, value in settings.items() if name not in LATER or value != LATER[name]}
        yield settings, text, {name: chosen[name] for name in varied}


def _short(value):
    return f"{value:g}" if isinstance(value, float) else str(value)
