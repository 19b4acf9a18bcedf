"""The folder of a study: a file a cell, images, and the tables made from them.

A cell is done when ``cells/<key>.parquet`` is there and whole. That file is written last and in one step, so a run can
be killed at any time and loses only the cells that it was computing.
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np

BACKGROUND = "background"  # column of a cell's file: the voxels of the noise background, for every image
ACCOUNT = b"pettutor"  # key of the metadata of a cell's file


def write_atomically(path, content):
    """Write a file whole or not at all: aside, flushed to the disk, then moved to its place."""
    path = Path(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(aside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder):
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def parquet_bytes(table):
    """A pyarrow table as the bytes of a Parquet file with checksums."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue().to_pybytes()


class Store:
    """Reads and writes the folder of a study."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.cells = self.folder / "cells"

    def prepare(self):
        """Make the folder; remove what a killed run left half written."""
        if self.folder.exists() and not self.folder.is_dir():
            raise NotADirectoryError(f"{self.folder}: expected a folder to write to, got a file")
        self.cells.mkdir(parents=True, exist_ok=True)

    def sweep(self):
        """Remove files that a killed run left half written (only while holding the lock)."""
        for path in [*self.folder.glob(".*.tmp"), *self.cells.glob(".*.tmp")]:
            path.unlink(missing_ok=True)

    # ---- a cell ----

    def part(self, key):
        """Path of a cell's file."""
        return self.cells / f"{key}.parquet"

    def failure(self, key):
        """Path of what is kept of a cell that failed."""
        return self.cells / f"{key}.failed.json"

    def write(self, cell, result):
        """Keep a cell's result: images first, its own file last."""
        import pyarrow as pa

        account = result.account | {"key": cell.key, "task": cell.task}
        if result.error:
            write_atomically(self.failure(cell.key), json.dumps(account, indent=1).encode())
            return
        if result.images is not None:
            self._write_images(cell, result)
        names = list(result.rows[0])
        columns = {name: pa.array([row[name] for row in result.rows]) for name in names}
        voxels = result.background.shape[1]
        columns[BACKGROUND] = pa.FixedSizeListArray.from_arrays(pa.array(result.background.ravel()), voxels)
        table = pa.table(columns).replace_schema_metadata({ACCOUNT: json.dumps(account).encode()})
        write_atomically(self.part(cell.key), parquet_bytes(table))
        self.failure(cell.key).unlink(missing_ok=True)

    def read(self, key):
        """A finished cell: (its table, its account), or None where it is missing or damaged."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(self.part(key), page_checksum_verification=True)
            account = json.loads(table.schema.metadata[ACCOUNT])
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
            return None
        return (table, account) if account.get("key") == key and BACKGROUND in table.column_names else None

    def read_failure(self, key):
        """The account of a cell that failed last time, or None."""
        try:
            return json.loads(self.failure(key).read_text())
        except (OSError, ValueError):
            return None

    # ---- images ----

    @property
    def images(self):
        """Path of the Zarr group of images, one array a cell."""
        return self.folder / "images.zarr"

    def _write_images(self, cell, result):
        group = self._image_group("a")
        if cell.key in group:  # left by a run that was killed before the cell's file was there
            shutil.rmtree(self.images / cell.key)
        images = result.images
        array = group.create_array(cell.key, shape=images.shape, dtype=images.dtype, chunks=(1, *images.shape[1:]))
        array[...] = images
        which = [{name: result.rows[i][name] for name in ("iteration", "fwhm")} for i in result.kept]
        account = {name: result.account[name] for name in ("versions", "finished_at")}
        array.attrs.update({"axes": ["image", "z", "y", "x"], "of": which, "task": cell.task, **account})

    def _image_group(self, mode):
        import zarr

        return zarr.open_group(self.images, mode=mode)

    def read_images(self, key):
        """Images of a cell: (float32 (image, z, y, x), a dict with iteration and fwhm for each).

        Raises
        ------
        KeyError
            None are kept for it.
        """
        if not self.images.exists():
            raise KeyError(key)
        array = self._image_group("r")[key]
        return np.asarray(array[...]), array.attrs["of"]

    # ---- the rest ----

    def write_text(self, name, text):
        """Write a file of text, whole or not at all."""
        write_atomically(self.folder / name, text.encode("utf-8"))

    def write_table(self, name, frame, define=None):
        """Write a pandas table as Parquet; ``define(column)`` gives unit and definition for its metadata."""
        import pyarrow as pa

        table = pa.Table.from_pandas(frame, preserve_index=False)
        if define is not None:
            fields = []
            for one in table.schema:
                unit, definition = define(one.name)
                fields.append(one.with_metadata({"unit": unit, "definition": definition}))
            table = table.cast(pa.schema(fields, metadata=table.schema.metadata))
        write_atomically(self.folder / name, parquet_bytes(table))
