"""Keep the tables of a finished study in the package: ``python -m pettutor.course.keep FOLDER`` (for authors)."""

import json
import sys

from pettutor.course.stored import FOLDER, MADE_WITH, study_file
from pettutor.files import whole_file
from pettutor.study import Study


def store(folder):
    """Keep the tables of a finished study in the package: its curves, and its rows in single precision."""
    study = Study.open(folder)
    if study.done < len(study.cells):
        raise ValueError(f"{folder}: expected a finished study, got {study.done} of {len(study.cells)} cells")
    path = study_file(study.name)
    if path.read_text(encoding="utf-8") != (study.folder / "study.yaml").read_text(encoding="utf-8"):
        raise ValueError(f"{folder}: expected the results of {path.name} as it is now, got those of another version")
    record = made_with(study)
    for kind, table in (("curves", study.curves()), ("rows", study.region_rows())):
        numbers = table.select_dtypes("float64").columns
        table = table.astype(dict.fromkeys(numbers, "float32"))
        table.to_parquet(FOLDER / f"{study.name}-{kind}.parquet", index=False, compression="zstd")
    everything = json.loads(MADE_WITH.read_text(encoding="utf-8")) | {study.name: record}
    with whole_file(MADE_WITH) as file:
        file.write((json.dumps(everything, indent=1, sort_keys=True) + "\n").encode())


def made_with(study):
    """What a study's numbers depend on beside its settings: versions, Keras's backend, weights of trained networks."""
    provenance = json.loads((study.folder / "provenance.json").read_text(encoding="utf-8"))
    runs = provenance["runs"]
    run = next((run for run in reversed(runs) if run["cells"]["computed"]), runs[-1])  # killed before it was written
    return {
        "ended": run["ended"],
        "versions": run["versions"],
        "backend": run.get("backend"),
        "weights": weights_of(study.configuration),
    }


def weights_of(configuration):
    """``{method: [network, size, digest]}`` of the methods with weights that the package has."""
    methods = configuration.methods.items()
    return {
        name: [method.network, method.trained_at, method.weights]
        for name, method in methods
        if getattr(method, "weights", None) and method.folder is None
    }


if __name__ == "__main__":
    store(sys.argv[1])
