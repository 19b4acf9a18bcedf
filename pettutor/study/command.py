"""What ``pettutor study`` prints."""

from collections import Counter

from pettutor.study.face import Study

LONGEST = 40  # rows of the table that is printed

EXAMPLE = """\
# A study: every method with every setting, on every scan. Run it with
#   pettutor study study.yaml
# Only name, counts and methods have to be there; the other values below are the defaults unless said otherwise.

name: example                   # also the folder of results
size: slab                      # slab, mini or mmr
subjects: [mni:0, mni:1]        # mni:N or brainweb:NN (default: mni:0)
structure: 0.5                  # variation inside the tissues, 0 to 1
tracer: fdg                     # fdg or amyloid
lesions: [standard, pet_only]   # none, standard, pet_only, mr_only (default: standard), or their list:
#   - {name: one hot, where: pet, lesions: [{diameter: 12, kind: hot, centre: [0, -30, 25]}]}    # mm (z, y, x)
counts: [500000]                # expected trues
realisations: 20                # scans with other noise, the same for all methods
seed: 0
randoms_fraction: 0.3           # of the prompts
scatter_fraction: 0.0           # of trues and scatter
psf: {simulated: 4.5, modelled: 4.5}    # mm
model: joseph                   # siddon, multi_ray, joseph or distance_driven
stored_matrix: auto             # reconstruct with the stored matrix; auto: at size slab on the CPU
device: auto                    # auto, cpu or cuda
images: last                    # what is kept beside the table: none (default), those of the last iteration, or all

# iterations: the images that are measured, all of one run. fwhm: each of them after these Gaussian filters, in mm.
# Any other setting with several values is a sweep: a run for each.
methods:
  MLEM:
    algorithm: mlem
    iterations: [1, 2, 4, 8, 16, 32]
  MLEM + Gaussian:
    algorithm: mlem
    iterations: 32
    fwhm: [0, 2, 4, 6, 8]
  OSEM:
    algorithm: osem
    subsets: 6
    iterations: [1, 2, 3, 4, 6]
  Bowsher MAP:
    algorithm: map_em
    prior: bowsher              # or quadratic, relative_difference
    kappa: [0.03, 0.1, 0.3]     # strength without unit
    similar: 4
    iterations: 60
  kernel EM:
    algorithm: kernel_em
    neighbours: 48
    iterations: [4, 8, 16, 32, 64]
"""


def run(file, *, out, workers, scheduler, dashboard, dry_run, show):
    """Do what the command line asks for; returns the exit code."""
    study = Study(file, out=out)
    if dry_run:
        print(plan(study))
        return 0
    if show:
        print(results(study))
        return 0
    print(study)
    summary = study.run(workers=workers, scheduler=scheduler, dashboard=dashboard)
    if summary.computed + summary.earlier:
        print(results(study))
    print(f"{summary}\nin {study.folder}: table.parquet, curves.parquet, cells.parquet, provenance.json")
    if summary.failed:
        print(failures(summary.failed))
    return 130 if summary.stopped else 1 if summary.failed else 0


def plan(study):
    """What there is to compute and what is done: text."""
    cells = study.cell_table
    lines = [repr(study)]
    for (method, setting), group in cells.groupby(["method", "setting"], sort=False):
        states = Counter(group["state"])
        name = f"{method} ({setting})" if setting else method
        lines.append(f"  {name:<40} {', '.join(f'{number} {state}' for state, number in states.items())}")
    waiting = cells.drop_duplicates("key")["state"].ne("done").sum()
    known = cells["seconds"].dropna()
    guess = f", about {waiting * known.median():.0f} s of one worker" if len(known) and waiting else ""
    lines.append(f"{waiting} of {cells['key'].nunique()} cells to compute{guess}")
    return "\n".join(lines)


def results(study):
    """The curves' ends: for every method and setting its last iteration, as text."""
    curves = study.curves()
    if curves.empty:
        return "no cell is done"
    where = [name for name in ("subject", "lesions", "counts", "structure") if name in curves]
    where = [name for name in where if curves[name].nunique() > 1]
    groups = [*where, "method", "setting"]
    last = curves[curves["iteration"] == curves.groupby(groups, sort=False)["iteration"].transform("max")]
    last = last[last["region"] == "grey matter"]
    columns = [*groups, "iteration", "fwhm", "crc", "std", "bias", "nrmse", "realisations"]
    text = last[columns].head(LONGEST).to_string(index=False, float_format=lambda value: f"{value:.4g}")
    more = f"\n... and {len(last) - LONGEST} more rows" if len(last) > LONGEST else ""
    return f"Grey matter against white matter, at each method's last iteration:\n{text}{more}"


def failures(failed):
    """Cells that failed, by their error: text."""
    lines = ["failed (cells.parquet has the tracebacks; run it again to try them again):"]
    for error, number in Counter(error for _, error in failed).most_common(10):
        cell = next(cell for cell, text in failed if text == error)
        where = ", ".join(str(v) for n, v in cell.labels.items() if n in ("method", "setting", "subject") and v != "")
        lines.append(f"  {number} × {where}{' ...' if number > 1 else ''}: {error}")
    return "\n".join(lines)
