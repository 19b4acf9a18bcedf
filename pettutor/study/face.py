"""`pettutor.Study`: what notebooks and the command line use."""

import json
import platform
import socket
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from pettutor.networks.backend import choose_backend
from pettutor.study import tables
from pettutor.study.cell import versions
from pettutor.study.columns import define
from pettutor.study.config import read
from pettutor.study.lock import locked
from pettutor.study.network_methods import NETWORK_CLASSES
from pettutor.study.plan import cells_of
from pettutor.study.runner import run_cells
from pettutor.study.storage import Store

PACKAGES = (
    "dask",
    "distributed",
    "pandas",
    "pyarrow",
    "zarr",
    "scikit-learn",
    "scikit-image",
    "cupy-cuda12x",
    "cupy-cuda13x",
    "keras",
    "tensorflow",
    "tensorflow-cpu",
    "jax",
    "torch",
)


class Study:
    """Subjects × lesions × counts × noise realisations × methods × settings, and the table of their results.

    Parameters
    ----------
    source : path or dict, optional
        A YAML file, or its content; ``pettutor study --example`` prints one.
    out : path
        Results go to a folder in it with the study's name.
    settings
        Instead of a source:
        ``Study(name="first", counts=5e5, methods={"MLEM": {"algorithm": "mlem", "iterations": 8}})``.

    Attributes
    ----------
    configuration : Configuration
    cells : list of Cell
        One scan, one method, one setting each, in the order of the table.
    folder : Path
        study.yaml, provenance.json, table.parquet, cells.parquet, curves.parquet, cells/, images.zarr.

    Raises
    ------
    ValueError
        A wrong setting; for a file the message names the line.

    Example
    -------
    >>> study = pt.Study("study.yaml")
    >>> study.run(workers=2)
    >>> study.curves().query("region == 'grey matter'")
    """

    def __init__(self, source=None, *, out="pettutor-studies", **settings):
        if source is not None and settings:
            raise TypeError(f"study: expected a file or settings, got both ({', '.join(settings)})")
        self.configuration, self._text = read(settings if source is None else source)
        self.folder = Path(out) / self.configuration.name
        self.cells = cells_of(self.configuration)

    @classmethod
    def open(cls, folder):
        """The study whose results are in a folder."""
        folder = Path(folder)
        study = cls(folder / "study.yaml")
        study.folder = folder
        return study

    @property
    def _store(self):
        return Store(self.folder)

    @property
    def name(self):
        """Name of the study."""
        return self.configuration.name

    def run(self, *, workers=None, scheduler=None, dashboard=False, progress=True):
        """Compute what is not done yet, and write the tables.

        It may be killed at any time; run again, it goes on: finished cells are not computed twice, failed ones are
        tried again. Cells of methods that the study no longer has stay on the disk, but out of the tables.

        Parameters
        ----------
        workers : int, optional
            Processes on this machine; 0: in this one. Default: one a core (``PETTUTOR_THREADS`` where it is set), or
            one a GPU.
        scheduler : str, optional
            ``"tcp://host:port"`` of a Dask cluster whose workers have this version of pettutor.
        dashboard : bool
            Serve Dask's page at http://localhost:8787.
        progress : bool

        Returns
        -------
        Summary
            Ctrl-C stops the run; the summary says so.

        Raises
        ------
        RuntimeError
            Another run is writing to the folder; ``device: cuda`` without a GPU.
        OSError
            A folder that cannot be written to; no scheduler at the address.
        """
        if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 0):
            raise ValueError(f"workers: expected a whole number >= 0, got {workers!r}")
        store = self._store
        store.prepare()
        with locked(self.folder):
            store.sweep()
            store.write_text("study.yaml", self._text)
            began = datetime.now(UTC)
            summary = run_cells(
                self.cells, store, workers=workers, scheduler=scheduler, device=self.configuration.device,
                dashboard=dashboard, progress=progress,
            )  # fmt: skip
            self._write_tables(store)
            self._write_provenance(store, began, summary, workers, scheduler)
        return summary

    def _write_tables(self, store):
        store.write_table("table.parquet", self.table, define)
        store.write_table("curves.parquet", self.curves(), define)
        store.write_table("cells.parquet", self.cell_table)

    def _write_provenance(self, store, began, summary, workers, scheduler):
        path = store.folder / "provenance.json"
        try:
            runs = json.loads(path.read_text())["runs"]
        except (OSError, ValueError, KeyError):
            runs = []
        here = {"host": socket.gethostname(), "machine": platform.machine(), "system": platform.platform()}
        run = {
            "began": began.isoformat(timespec="seconds"),
            "ended": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": sys.argv,
            "workers": workers,
            "scheduler": scheduler,
            "cells": {"computed": summary.computed, "earlier": summary.earlier, "failed": len(summary.failed),
                      "waiting": summary.waiting},
            "versions": versions() | _installed(),
            "backend": self._backend(),
            **here,
        }  # fmt: skip
        settings = self.configuration.model_dump(mode="json")
        text = json.dumps(
            {"name": self.name, "seed": self.configuration.seed, "settings": settings, "runs": [*runs, run]}, indent=1
        )
        store.write_text("provenance.json", text + "\n")

    def _backend(self):
        """This process's backend of Keras, where networks are in the study: others draw other first weights.

        Workers that somebody else started, behind ``scheduler``, choose their own.
        """
        networks = any(isinstance(method, NETWORK_CLASSES) for method in self.configuration.methods.values())
        try:
            return choose_backend() if networks else None
        except ImportError:  # workers elsewhere have it
            return None

    @property
    def table(self):
        """pandas table, one row an image of every finished cell; `columns` says what they mean."""
        return tables.image_table(self.name, self.cells, self._store)

    @property
    def cell_table(self):
        """pandas table, one row a cell: state, seconds, memory, worker, versions, error. Not the same for two runs."""
        return tables.cell_table(self.cells, self._store)

    def curves(self):
        """pandas table of means over the realisations, for noise–contrast curves; one row a region of every image."""
        return tables.curve_table(self.cells, self._store)

    def region_rows(self):
        """pandas table, one row a region of every image, for `measures.compare_at_equal_noise`."""
        return tables.region_rows(self.cells, self._store)

    @property
    def columns(self):
        """pandas table: unit and definition of every column of `table`."""
        import pandas as pd

        return pd.DataFrame([[n, *define(n)] for n in self.table], columns=["column", "unit", "definition"])

    @property
    def done(self):
        """How many cells are done."""
        store = self._store
        return sum(store.read(key) is not None for key in {cell.key for cell in self.cells})

    def truth(self, *, subject=None, lesions=None):
        """The phantom that was scanned: a `pettutor.phantoms.Phantom`. By default of the first subject and lesions."""
        from pettutor.study.scenario import phantom

        cell = self._one(subject=subject, lesions=lesions)
        return phantom(cell.scenario)

    def image(self, method, *, iteration=None, fwhm=None, realisation=0, **labels):
        """A kept image: float32 (z, y, x).

        Parameters
        ----------
        method : str
        iteration, fwhm : optional
            By default the last of the method, and its narrowest filter.
        realisation : int
        labels
            subject, lesions, counts, structure, setting (text), or swept settings, where there are several.

        Raises
        ------
        KeyError
            No such cell, or none of its images is kept (``images: last`` or ``all`` in the study).
        """
        cell = self._one(method=method, realisation=realisation, **labels)
        try:
            images, which = self._store.read_images(cell.key)
        except (KeyError, FileNotFoundError):
            raise KeyError(
                f"no image is kept of {cell.labels}; images: {self.configuration.images!r} in this study"
            ) from None
        iteration = which[-1]["iteration"] if iteration is None else iteration
        for image, w in zip(images, which, strict=True):
            if w["iteration"] == iteration and (fwhm is None or w["fwhm"] == fwhm):
                return image
        kept = ", ".join(f"iteration {w['iteration']} at {w['fwhm']:g} mm" for w in which)
        raise KeyError(f"expected one of the kept images ({kept}), got iteration {iteration}, fwhm {fwhm}")

    def _one(self, **labels):
        wanted = {name: value for name, value in labels.items() if value is not None}
        for cell in self.cells:
            if all(cell.labels.get(name) == value for name, value in wanted.items()):
                return cell
        known = {n: list(dict.fromkeys(c.labels.get(n) for c in self.cells)) for n in wanted}
        raise KeyError(f"no cell with {wanted}; there are {known}")

    def __repr__(self):
        c, store = self.configuration, self._store
        sizes = [(len(c.subjects), "subjects"), (len(c.lesions), "lesions"), (len(c.counts), "counts")]
        sizes += [(len(c.structure), "structures")] if len(c.structure) > 1 else []
        sizes += [(c.realisations, "realisations"), (len(c.methods), "methods")]
        words = " × ".join(f"{number} {name}" for number, name in sizes)
        files = sum(store.part(key).exists() for key in {cell.key for cell in self.cells})
        return f"<Study {c.name!r} at {c.size}: {words}; {files} of {len(self.cells)} cells in {str(self.folder)!r}>"


def _installed():
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
