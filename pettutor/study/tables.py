"""Tables of a study, made from the files of its cells, in the order of the plan."""

import itertools
import json

import numpy as np
import pandas as pd

from pettutor.study.storage import BACKGROUND

WHERE = ["subject", "lesions", "counts", "method", "algorithm", "setting"]
STRUCTURE = "structure"  # a column only where the study has several


def swept_names(cells):
    """Names of all swept settings, in the order of their first use."""
    known = {*WHERE, STRUCTURE, "realisation"}
    return list(dict.fromkeys(name for cell in cells for name in cell.labels if name not in known))


def image_table(study, cells, store):
    """One row an image of every finished cell: labels, iteration, fwhm and measures.

    Two runs of one study give the same values in the same order, however many workers they had.
    """
    frames = []
    for cell, table, _ in finished(cells, store):
        frame = table.drop_columns([BACKGROUND]).to_pandas()
        for place, (name, value) in enumerate({"study": study, **cell.labels}.items()):
            frame.insert(place, name, value)
        frames.append(frame)
    return _ordered(pd.concat(frames, ignore_index=True), cells) if frames else pd.DataFrame(columns=["study", *WHERE])


def finished(cells, store):
    """(cell, table, account) of every cell that is done; a cell with two names is read once."""
    read = {}
    for cell in cells:
        if cell.key not in read:
            read[cell.key] = store.read(cell.key)
        if read[cell.key] is not None:
            yield cell, *read[cell.key]


def _ordered(frame, cells):
    """Columns in one order: labels, swept settings, iteration and fwhm, measures."""
    labels = ["study", *WHERE[:3], STRUCTURE, "realisation", *WHERE[3:], *swept_names(cells), "iteration", "fwhm"]
    labels = [name for name in labels if name in frame]
    return frame[[*labels, *(name for name in frame if name not in labels)]]


def cell_table(cells, store):
    """One row a cell: labels, key, state ("done", "failed", "waiting"), seconds, memory, worker, versions, error."""
    rows = []
    for cell in cells:
        found = store.read(cell.key)
        account = found[1] if found else store.read_failure(cell.key)
        state = "done" if found else "failed" if account else "waiting"
        account = account or {}
        rows.append(
            {
                "key": cell.key,
                **{name: cell.labels[name] for name in (*WHERE, "realisation")},
                "state": state,
                "seconds": account.get("seconds", np.nan),
                "setup_seconds": account.get("setup_seconds", np.nan),
                "reconstruction_seconds": account.get("reconstruction_seconds", np.nan),
                "process_peak_memory_mb": account.get("process_peak_memory_mb", np.nan),
                "device": account.get("device"),
                "worker": account.get("worker"),
                "finished_at": account.get("finished_at"),
                "versions": json.dumps(account["versions"]) if "versions" in account else None,
                "task": json.dumps(cell.task),
                "error": account.get("error"),
                "traceback": account.get("traceback"),
            }
        )
    return pd.DataFrame(rows)


def region_rows(cells, store):
    """One row a region of every image, as `measures.curve_table` and `measures.compare_at_equal_noise` want it.

    Columns
    -------
    subject, lesions, counts, method, algorithm, setting, swept settings, iteration, fwhm, realisation
    region : "grey matter", "lesion 1" ...; each against white matter
    crc : contrast recovery (NaN of a lesion in MR alone, which has no contrast in PET: see its bias)
    std : `noise` of the white matter over the realisations, a fraction: one value for all of them (NaN where there is
        one only)
    bias : of the region's mean, a fraction
    nrmse, ssim, log_likelihood : of the image, over the head
    """
    rows = []
    for where, group in itertools.groupby(finished(cells, store), key=lambda found: _without_realisation(found[0])):
        rows += _rows_of_group(where, list(group))
    if not rows:
        return pd.DataFrame(columns=[*WHERE, "iteration", "fwhm", "realisation", "region", "crc", "std"])
    return _ordered(pd.DataFrame(rows), cells)


def _without_realisation(cell):
    return {name: value for name, value in cell.labels.items() if name != "realisation"}


def _rows_of_group(where, group):
    frames = [table.drop_columns([BACKGROUND]).to_pandas() for _, table, _ in group]
    measured = [name.removeprefix("bias_") for name in frames[0] if name.startswith("bias_")]
    regions = [name for name in measured if name != "white_matter"]
    for i in range(len(frames[0])):
        std = noise(np.stack([table[BACKGROUND][i].values.to_numpy() for _, table, _ in group]))
        for region in regions:
            for (cell, _, _), frame in zip(group, frames, strict=True):
                image = frame.iloc[i]
                yield {
                    **where,
                    "realisation": cell.labels["realisation"],
                    "iteration": int(image["iteration"]),
                    "fwhm": float(image["fwhm"]),
                    "region": region.replace("_", " "),
                    "crc": image.get(f"crc_{region}", np.nan),
                    "std": std,
                    "bias": image[f"bias_{region}"],
                    "nrmse": image["nrmse_head"],
                    "ssim": image["ssim_head"],
                    "log_likelihood": image["log_likelihood"],
                }


def curve_table(cells, store):
    """Means over the realisations by `measures.curve_table`, one row a region of every image.

    Columns
    -------
    subject, lesions, counts, method, setting, swept settings, iteration, fwhm, region
    crc, crc_error : mean contrast recovery, and the standard error of that mean (NaN for one realisation)
    std, nrmse, bias, ssim, log_likelihood : as of `region_rows`, means over the realisations
    realisations : how many are in it
    """
    from pettutor import measures

    rows = region_rows(cells, store)
    if rows.empty:
        return rows
    table = measures.curve_table(rows)
    # the same groups in the same order give what that table leaves out
    names = [name for name in table if name in rows and name not in ("crc", "std", "nrmse", "bias")]
    groups = rows.groupby(names, sort=False, dropna=False)
    means = groups[["ssim", "log_likelihood"]].mean().reset_index()
    swept = [name for name in swept_names(cells) if name in rows]
    firsts = groups[swept].first().reset_index() if swept else means[names]
    return _ordered(table.merge(means, on=names).merge(firsts, on=names), cells)


def noise(voxels):
    """`measures.background_std` of (realisation, voxel), NaN for one realisation.

    Voxels that are 0 in every realisation have no relative noise and are left out.
    """
    from pettutor.measures import background_std

    alive = voxels.mean(axis=0, dtype=np.float64) > 0
    if len(voxels) < 2 or not alive.any():
        return float("nan")
    images = np.ascontiguousarray(voxels[:, alive])[:, None, None, :]
    return background_std(images, np.ones(images.shape[1:], bool))
