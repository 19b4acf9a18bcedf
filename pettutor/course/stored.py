"""Results that the lessons show and that take too long for a class: tables made by a committed study.

To make them again: ``pettutor study FILE --out DIR`` with the path that `study_file` gives, and then
``python -m pettutor.course.keep DIR/baselines``.
"""

import json
from pathlib import Path

FOLDER = Path(__file__).parent / "studies"
STEP_COSTS = FOLDER / "step_costs.json"
MADE_WITH = FOLDER / "made_with.json"  # date, versions, backend and weights that each stored study was made with


def study_file(name="baselines"):
    """Path of the study (YAML) that made a stored table; ``pettutor study PATH`` makes it again.

    Raises
    ------
    ValueError
        No such study; the message names those that there are.
    """
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(repr(p.stem) for p in FOLDER.glob("*.yaml")))
        raise ValueError(f"name: expected a stored study ({known}), got {name!r}")
    return path


def stored_curves(name="baselines"):
    """Noise–contrast curves of a stored study, as `pettutor.Study.curves` gives them: means over the realisations.

    Returns
    -------
    pandas.DataFrame
        One row a region of every method, setting, iteration and filter.
    """
    return _read(name, "curves")


def stored_rows(name="baselines"):
    """What the curves are means of: one row a realisation more, as `pettutor.Study.region_rows` gives them.

    For `pettutor.measures.compare_at_equal_noise`.
    """
    return _read(name, "rows")


def stored_regimes():
    """What networks are worth by training subjects and kind of test scan, as `pettutor.course.regimes` measured it.

    Returns
    -------
    pandas.DataFrame
        One row a network and kind of test scan: ``network, subjects, seed, budget, updates, seconds, test`` (its name),
        ``dose`` (that trained at is 1), ``mismatch`` ("none", or what differs from the training scans) and means over
        twenty realisations: ``nrmse`` (% of the head's root mean square), ``grey``, ``hot``, ``cold`` (contrast
        recovery coefficients), ``std`` (noise of the white matter, a share), ``white_bias`` (%). The rows of "Gaussian"
        (setting: mm) and "Bowsher" (setting: kappa) need no training.
    """
    import pandas as pd

    return pd.read_parquet(FOLDER / "regimes.parquet")


def stored_step_costs():
    """What a training step of MAPEM-Net takes with images only in its graph, and with sinograms in it.

    Measured by `pettutor.course.step_costs` (see `pettutor.networks.physics.graph_memory.run_step`).

    Returns
    -------
    pandas.DataFrame
        One row a scanner and kind of graph: ``scanner, graph, kind, keep_bytes, filters, unrolls, image_mb,
        sinogram_mb``; of the traced graph ``tensors``, ``sinogram_sized`` (how many have a sinogram's size),
        ``largest_mb`` and ``largest_shape``; and of its run ``peak_mb`` (by which the process grew) and ``seconds`` (of
        the second step). MB are 10⁶ bytes. Its ``attrs`` name the ``machine`` and the ``versions``.
    """
    import pandas as pd

    record = json.loads(STEP_COSTS.read_text(encoding="utf-8"))
    table = pd.DataFrame(record.pop("rows"))
    table.attrs |= record
    return table


def _read(name, kind):
    import pandas as pd

    study_file(name)
    return pd.read_parquet(FOLDER / f"{name}-{kind}.parquet")
