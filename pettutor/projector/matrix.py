"""The stored system matrix: the projector's weights written down once, as sparse rows, and multiplied with."""

import math
import time

import numpy as np

from pettutor.arrays import announce_once, is_cupy
from pettutor.memory import check_memory, size_in_words
from pettutor.operators import LinearOperator, check_subset
from pettutor.projector import matrix_storage as storage
from pettutor.threads import parts, reorder, share_out, thread_count

# Back projection adds into this many images (bytes in all, and at least and at most so many): the number does not
# depend on the threads, so neither does the result.
IMAGES_BYTES, FEWEST_IMAGES, MOST_IMAGES = 64 << 20, 4, 32
WHAT = "the stored system matrix"
IMAGES = 8  # multiplied at once by the kernels (as in `vectors`, which would bring numba in)
FEWEST_AT_ONCE = 3  # below that one after the other is as fast
SAMPLE = 6  # views whose weights are counted first, to tell soon what cannot fit


def _only_numpy(array):
    if is_cupy(array):
        raise TypeError("expected a NumPy array (a stored matrix runs on the CPU), got a CuPy array")
    return array


def _batches(arrays):
    """(n, size) arrays as (batch, size · IMAGES), the IMAGES of a batch side by side, the last filled up with 0; and n.

    So one weight that is read serves IMAGES images at neighbouring places.
    """
    count, size = arrays.shape
    batches = -(-count // IMAGES)
    filled = np.zeros((batches, size, IMAGES), np.float32)
    for n, array in enumerate(arrays):
        filled[n // IMAGES, :, n % IMAGES] = array
    return filled.reshape(batches, -1), count


def _kernels():
    from pettutor.projector import matrix_kernels  # numba, once it is needed

    return matrix_kernels


class StoredMatrix(LinearOperator):
    """A projector as a stored sparse matrix (compressed sparse rows); made by `Projector.to_matrix` or `load`.

    ``M(image)`` and ``M.T(sinogram)`` are those of the projector to float32 rounding: float32 image (z, y, x) to
    sinogram (plane, view, bin[, tof]), a transposed view of memory laid out (view, bin[, tof], plane). It runs on the
    CPU, on all threads, and gives the same bits with any number of them.

    Attributes
    ----------
    matrix : scipy.sparse.csr_array
        float32, without stored zeros. Rows in the order (view, bin[, tof], plane) of the sinogram's memory, columns in
        the order (z, y, x), sorted. Rows of bins that see nothing are empty. So for a sinogram y that is
        ``M.matrix @ image.ravel()``, reshaped to (view, bin[, tof], plane). It shares the memory of this operator,
        except in a subset, where its rows are copied together whenever it is asked for.
    nonzeros : int
        Stored weights.
    nbytes : int
        Memory of the weights (4 bytes each), their columns and where the rows begin (4 bytes each, 8 where the
        numbers are too large); in a subset, what its rows would take by themselves.
    scanner, grid, model, rays, tof, view_selection
        As of the projector.

    Subsets of views cost nothing: they share the whole matrix and use some of its rows. A pickled or saved subset
    takes its own rows only. Back projection needs some more images (64 MB of them, at least 4 and at most 32), which
    the threads add into and which are then summed in a fixed order; no second, transposed matrix is kept.
    """

    device = "cpu"

    def __init__(self, weights, columns, pointers, *, scanner, grid, model, rays, tof, view_selection):
        super().__init__(grid.shape, storage.matrix_shape(scanner, tof, view_selection))
        self.scanner, self.grid, self.model, self.rays, self.tof = scanner, grid, model, rays, tof
        self.view_selection = view_selection
        self._weights, self._columns, self._pointers = weights, columns, pointers
        self._views = np.arange(self.out_shape[1])  # which of the stored views are ours
        self._rows = math.prod(self.out_shape) // self.out_shape[1]  # of a view

    @property
    def nonzeros(self):
        at = self._views * self._rows
        return int((self._pointers[at + self._rows].astype(np.int64) - self._pointers[at]).sum())

    @property
    def nbytes(self):
        per_weight = self._weights.itemsize + self._columns.itemsize
        return self.nonzeros * per_weight + (len(self._views) * self._rows + 1) * self._pointers.itemsize

    @property
    def matrix(self):
        from scipy.sparse import csr_array

        shape = (len(self._views) * self._rows, math.prod(self.in_shape))
        return csr_array(self._own_rows(), shape=shape, copy=False)

    def subset(self, k, n):
        """The matrix of the views k, k + n, k + 2n … of this one; shares its memory and costs nothing.

        Raises
        ------
        ValueError
            Unless 0 <= k < n <= number of views.
        """
        check_subset(k, n, self.out_shape[1])
        part = object.__new__(type(self))
        part.__dict__.update(self.__dict__)
        part._views = self._views[k::n]
        selected = range(*self.view_selection.indices(self.scanner.views))[k::n]
        part.view_selection = slice(selected.start, selected.stop, selected.step)
        part.out_shape = (self.out_shape[0], len(selected), *self.out_shape[2:])
        return part

    @property
    def without_tof(self):
        """The same operator without time of flight: this one, or a projector where this one has time of flight."""
        if self.tof is None:
            return self
        from pettutor.projector.projector import Projector

        whole = Projector(self.scanner, self.grid, self.model, self.device, rays=self.rays)
        return whole.subset(self.view_selection.start, self.view_selection.step)

    def save(self, path, compressed=False):
        """Write to a NumPy archive (.npz) that `load` reads: weights, geometry and model; nothing is pickled.

        ``compressed``: a smaller file that takes much longer to write and to read. The file appears when it is
        complete; one of that name is replaced.

        Raises
        ------
        ValueError
            The name does not end in .npz.
        FileNotFoundError
            There is no such folder.
        """
        return storage.write_archive(path, self, self._own_rows(), compressed)

    @classmethod
    def load(cls, path, memory_limit=None):
        """Read a matrix that `save` wrote, with its geometry.

        ``memory_limit`` (bytes): refuse to read what needs more; by default nine tenths of the memory that is free.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        ValueError
            Not a stored system matrix, a damaged one, or one whose parts do not fit together.
        MemoryError
            It would not fit.
        """
        arrays, geometry = storage.read_archive(path, memory_limit)
        return cls(*arrays, **geometry)

    def _forward(self, x):
        image = _only_numpy(x).ravel()
        out = np.empty((len(self._views), self._rows), np.float32)
        arrays, multiply = self._arrays(), _kernels().multiply_views
        share_out(
            lambda a, b: multiply(*arrays, self._rows, self._views[a:b], image, out[a:b]),
            parts(len(out), 8 * thread_count()),
        )
        shape = self.out_shape
        return np.moveaxis(out.reshape(*shape[1:], shape[0]), -1, 0)

    def _adjoint(self, y):
        by_view = np.moveaxis(_only_numpy(y), 0, -1)
        if not by_view.flags.c_contiguous:
            source, by_view = by_view, np.empty(by_view.shape, np.float32)
            reorder(source, by_view)
        rows = by_view.reshape(len(self._views), self._rows)
        voxels = math.prod(self.in_shape)
        count = int(np.clip(IMAGES_BYTES // (4 * voxels), FEWEST_IMAGES, MOST_IMAGES))
        pieces = parts(len(rows), count)
        images = np.zeros((len(pieces), voxels), np.float32)
        arrays, spread = self._arrays(), _kernels().spread_views
        share_out(
            lambda n, a, b: spread(*arrays, self._rows, self._views[a:b], rows[a:b], images[n]),
            [(n, *piece) for n, piece in enumerate(pieces)],
        )
        total = np.empty(voxels, np.float32)
        share_out(lambda a, b: np.sum(images[:, a:b], axis=0, out=total[a:b]), parts(voxels, 4 * thread_count()))
        return total.reshape(self.in_shape)

    def _forward_many(self, x):
        if len(x) < FEWEST_AT_ONCE:
            return super()._forward_many(x)
        images, count = _batches(_only_numpy(x).reshape(len(x), -1))
        out = np.empty((len(images), len(self._views), self._rows * IMAGES), np.float32)
        arrays, multiply = self._arrays(), _kernels().multiply_views_many
        share_out(
            lambda n, a, b: multiply(*arrays, self._rows, self._views[a:b], images[n], out[n, a:b].ravel()),
            [(n, *piece) for n in range(len(images)) for piece in parts(out.shape[1], 8 * thread_count())],
        )
        shape = self.out_shape
        # (batch, view, bin[, tof], plane, image of the batch) to (image, plane, view, bin[, tof])
        by_image = np.moveaxis(out.reshape(len(images), *shape[1:], shape[0], IMAGES), -1, 1)
        return np.moveaxis(by_image.reshape(-1, *shape[1:], shape[0])[:count], -1, 1)

    def _adjoint_many(self, y):
        if len(y) < FEWEST_AT_ONCE:
            return super()._adjoint_many(y)
        rows, count = _batches(np.moveaxis(_only_numpy(y), 1, -1).reshape(len(y), -1))
        rows = rows.reshape(len(rows), len(self._views), self._rows * IMAGES)
        voxels = math.prod(self.in_shape)
        pieces = parts(rows.shape[1], int(np.clip(IMAGES_BYTES // (4 * voxels * IMAGES), FEWEST_IMAGES, MOST_IMAGES)))
        total = np.empty((len(rows), voxels * IMAGES), np.float32)
        arrays, spread = self._arrays(), _kernels().spread_views_many
        for n in range(len(rows)):
            images = np.zeros((len(pieces), voxels * IMAGES), np.float32)
            share_out(
                lambda k, a, b, n=n, images=images: spread(
                    *arrays, self._rows, self._views[a:b], rows[n, a:b].ravel(), images[k]
                ),
                [(k, *piece) for k, piece in enumerate(pieces)],
            )
            np.sum(images, axis=0, out=total[n])
        by_image = np.moveaxis(total.reshape(len(rows), voxels, IMAGES), -1, 1)
        return np.ascontiguousarray(by_image).reshape(-1, *self.in_shape)[:count]

    def _arrays(self):
        """As the products take them; unsigned columns spare numba a test for negative ones."""
        unsigned = np.uint32 if self._columns.dtype == np.int32 else np.uint64
        return self._pointers, self._columns.view(unsigned), self._weights

    def _own_rows(self):
        """(weights, columns, pointers) of our views alone: shared where that is all of them, else a copy."""
        if len(self._views) * self._rows + 1 == len(self._pointers):
            return self._weights, self._columns, self._pointers
        begins, ends = (self._pointers[(self._views + n) * self._rows] for n in (0, 1))
        pieces = [slice(a, b) for a, b in zip(begins.tolist(), ends.tolist(), strict=True)]
        counts = np.diff(self._pointers)[(self._views[:, None] * self._rows + np.arange(self._rows)).ravel()]
        pointers = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        weights, columns = (np.concatenate([a[p] for p in pieces]) for a in (self._weights, self._columns))
        return weights, columns, pointers.astype(storage.index_dtype(weights.size))

    def __getstate__(self):
        state = self.__dict__.copy()
        state["_weights"], state["_columns"], state["_pointers"] = self._own_rows()
        state["_views"] = np.arange(len(self._views))
        return state

    def __repr__(self):
        selection = self.view_selection
        part = "" if selection.step == 1 else f", views {selection.start}::{selection.step}"
        return (
            f"<StoredMatrix {self.model}{', time of flight' if self.tof else ''} of {self.scanner.name!r}{part}: "
            f"image {self.in_shape} -> sinogram {self.out_shape}, {self.nonzeros:.3g} weights, "
            f"{size_in_words(self.nbytes)}>"
        )


def build(projector, memory_limit=None):
    """The `StoredMatrix` of a projector: its weights are counted, then stored, by all threads.

    Parameters
    ----------
    projector : Projector
        Of any model; one with ``device="cuda"`` too, but the stored matrix runs on the CPU.
    memory_limit : int, optional
        Bytes that the matrix may take; by default nine tenths of the memory that is free.

    Raises
    ------
    MemoryError
        It would not fit, with the number; nothing has been stored then. A few views are counted first, so that this
        comes soon.
    ValueError
        A ``memory_limit`` that is no number of bytes.
    """
    from pettutor.projector.matrix_kernels import write_views
    from pettutor.projector.steep import any_steep
    from pettutor.projector.timing import time_table

    grid, lines, segments, footprint, tof = projector._geometry()
    views = lines.shape[1]
    rows, voxels = math.prod(projector.out_shape), math.prod(grid.shape)
    columns_dtype = storage.index_dtype(voxels)
    steep = any_steep(lines, segments, footprint)
    nothing = np.empty(0, columns_dtype), np.empty(0, np.float32)

    def compiled():
        return sum(write_views.stats.cache_misses.values())

    def write(lines, pointers, columns, weights):
        common = (grid.voxel_size[0], grid.shape, footprint, time_table(tof), lines, segments, steep)
        share_out(
            lambda a, b: write_views(*common, (a, b), pointers, columns, weights),
            parts(lines.shape[1], 8 * thread_count()),
        )

    def count(selected):
        """Where the rows of some views begin."""
        pointers = np.zeros(rows // views * len(selected) + 1, np.int64)
        write(np.ascontiguousarray(lines[:, selected]), pointers, *nothing)
        return np.cumsum(pointers, out=pointers)

    def check(weights, uncertain=False):
        needed = weights * (4 + columns_dtype.itemsize) + 8 * (rows + 1)  # rows are counted in 8 bytes at first
        details = f" ({weights:.3g} weights)"
        check_memory(needed, memory_limit, WHAT, details=details, remedy=subsets, uncertain=uncertain)

    def subsets(times_too_large):
        n = 1.05 * times_too_large
        return f"one of {math.ceil(n)} subsets of the views would fit: subset(0, {math.ceil(n)})" if n <= views else ""

    before, begin = compiled(), time.perf_counter()
    sample = np.unique(np.linspace(0, views - 1, SAMPLE).round().astype(int))
    check(int(count(sample)[-1]) * views // len(sample), uncertain=True)
    pointers = count(np.arange(views))
    weights = int(pointers[-1])
    check(weights)
    stored = np.empty(weights, columns_dtype), np.empty(weights, np.float32)
    write(np.ascontiguousarray(lines), pointers, *stored)
    if compiled() > before:
        seconds = time.perf_counter() - begin  # and built the matrix, which is little beside it
        announce_once(f"compiled the stored matrix's CPU kernels in {seconds:.0f} s; kept on disk for the next time")
    pointers = pointers.astype(storage.index_dtype(weights), copy=False)
    names = ("scanner", "grid", "model", "rays", "tof", "view_selection")
    return StoredMatrix(stored[1], stored[0], pointers, **{name: getattr(projector, name) for name in names})
