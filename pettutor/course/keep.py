"""Keep the tables of a finished study in the package: ``python -m pettutor.course.keep FOLDER`` (for authors)."""

import sys

from pettutor.course.stored import FOLDER, study_file
from pettutor.study import Study


def store(folder):
    """Keep the tables of a finished study in the package: its curves, and its rows in single precision."""
    study = Study.open(folder)
    if study.done < len(study.cells):
        raise ValueError(f"{folder}: expected a finished study, got {study.done} of {len(study.cells)} cells")
    path = study_file(study.name)
    if path.read_text(encoding="utf-8") != (study.folder / "study.yaml").read_text(encoding="utf-8"):
        raise ValueError(f"{folder}: expected the results of {path.name} as it is now, got those of another version")
    for kind, table in (("curves", study.curves()), ("rows", study.region_rows())):
        numbers = table.select_dtypes("float64").columns
        table = table.astype(dict.fromkeys(numbers, "float32"))
        table.to_parquet(FOLDER / f"{study.name}-{kind}.parquet", index=False, compression="zstd")


if __name__ == "__main__":
    store(sys.argv[1])
