"""The kernel matrix: every voxel as a weighted mean of the voxels near it that look most like it in another image."""

import itertools
import math

import numpy as np

from pettutor.arrays import check_array, is_cupy, to_numpy
from pettutor.memory import check_memory
from pettutor.operators import LinearOperator
from pettutor.threads import parts, share_out, thread_count

WINDOW, WINDOW_OF_A_SLICE = 7, 11  # voxels a side, in a volume and in a single slice: 343 and 121 candidates
BLOCK = 4096  # voxels whose neighbours are searched at once: their distances (some 20 MB) stay near the processor
SHARED_OUT = 1 << 22  # weights from which on threads gain anything
NOBODY = np.iinfo(np.uint16).max  # candidate that is none: outside the image or the mask


class KernelMatrix(LinearOperator):
    """A square sparse matrix over the voxels: coefficients (z, y, x) to image, ``x = K alpha``; made by `mr_kernel`.

    ``K(alpha)`` and ``K.T(image)`` are the matrix and its true transpose (a row-normalised K is not symmetric), in the
    matrix's own dtype. On the CPU K runs on all threads; the transpose is taken from the same rows, without a second
    copy. For CuPy arrays the matrix is copied to the GPU once.

    Parameters
    ----------
    matrix : scipy.sparse array or matrix, (voxels, voxels)
        float32 or float64, finite, >= 0; taken as compressed sparse rows (shared where it is in that form already).
    shape : (int, int, int)
        Of the image (z, y, x); the voxels are counted in this order.

    Attributes
    ----------
    matrix : scipy.sparse.csr_array
    nbytes : int
        Memory of the weights, their columns and where the rows begin.

    Raises
    ------
    TypeError, ValueError
        Not a sparse matrix, not of that size or dtype, weights that are negative or not finite.
    """

    input_name, output_name = "coefficients", "image"

    def __init__(self, matrix, shape):
        from scipy import sparse

        super().__init__(shape, shape)
        voxels = math.prod(self.in_shape)
        if not sparse.issparse(matrix):
            raise TypeError(f"matrix: expected a scipy.sparse matrix, got {type(matrix).__name__}")
        if matrix.shape != (voxels, voxels):
            raise ValueError(f"matrix: expected {voxels} x {voxels} for images {self.in_shape}, got {matrix.shape}")
        self.matrix = sparse.csr_array(matrix)
        self.dtype = self.matrix.dtype
        check_array(self.matrix.data, "matrix", dtype=(np.float32, np.float64), nonnegative=True)
        self._on_gpu = None

    @property
    def nbytes(self):
        return sum(a.nbytes for a in (self.matrix.data, self.matrix.indices, self.matrix.indptr))

    def _forward(self, x):
        if is_cupy(x):
            return (self._gpu_matrix() @ x.ravel()).reshape(self.out_shape)
        K, flat, out = self.matrix, x.ravel(), np.empty(x.size, self.dtype)

        def multiply(begin, end):
            out[begin:end] = _rows(K, begin, end) @ flat

        # a row's sum does not depend on how the rows are shared out, so neither do the bits
        share_out(multiply, parts(x.size, thread_count() if K.nnz > SHARED_OUT else 1))
        return out.reshape(self.out_shape)

    def _adjoint(self, y):
        matrix = self._gpu_matrix() if is_cupy(y) else self.matrix
        return (matrix.T @ y.ravel()).reshape(self.in_shape)

    def _gpu_matrix(self):
        if self._on_gpu is None:
            from cupyx.scipy import sparse  # there is one, or no CuPy array could have come

            self._on_gpu = sparse.csr_matrix(self.matrix)
        return self._on_gpu

    def __getstate__(self):
        return {**self.__dict__, "_on_gpu": None}  # device memory does not travel

    def __repr__(self):
        a_voxel = self.matrix.nnz / max(1, self.matrix.shape[0])
        return f"<KernelMatrix {self.in_shape}, {a_voxel:.1f} weights a voxel, {self.nbytes / 1e6:.4g} MB>"


def _rows(matrix, begin, end):
    """Some rows of a matrix, sharing its memory."""
    from scipy import sparse

    first, last = matrix.indptr[begin], matrix.indptr[end]
    arrays = matrix.data[first:last], matrix.indices[first:last], matrix.indptr[begin : end + 1] - first
    return sparse.csr_array(arrays, shape=(end - begin, matrix.shape[1]), copy=False)


def mr_kernel(images, *, neighbours=48, sigma=1.0, patch=3, window=None, mask=None, memory_limit=None):
    """The kernel matrix of one or several MR images: ``K_ij = exp(-‖f_i - f_j‖² / (2 σ²))``, rows normalised.

    f_i holds the values of the images in the patch round voxel i (edge values go on outside the image), each image
    divided by its standard deviation over the mask; ``‖f_i - f_j‖²`` is the *sum* of the squared differences over all
    voxels of the patch and all images. j runs over the voxels most similar to i, in the window round it and inside the
    image and the mask; i is always one of them, and of equally similar ones the nearest are taken.

    Parameters
    ----------
    images : float array (z, y, x), or several of one shape and dtype
        Such as T1, or T1 and T2; the units do not matter.
    neighbours : int
        Weights a voxel, itself included (fewer where the window holds fewer voxels).
    sigma : float
        Width σ of the kernel.
    patch : int
        Odd; voxels a side of the patch, whose features count (in a single slice patch x patch).
    window : int, optional
        Odd; voxels a side of the box in which neighbours are sought, by default 7, or 11 in a single slice.
    mask : bool array, optional
        Such as the head. Outside it every voxel is its own only neighbour; K takes that much less memory.
    memory_limit : float, optional
        Bytes that K may take; by default nine tenths of the free memory.

    Returns
    -------
    KernelMatrix
        In the dtype of the images. It takes 8 bytes a weight in float32: 390 bytes a voxel inside the mask.

    Raises
    ------
    TypeError, ValueError
        Images of different shape or dtype, or without any contrast; settings out of range.
    MemoryError
        K would not fit; before anything is computed.

    References
    ----------
    G. Wang, J. Qi, IEEE Trans. Med. Imaging 34(1):61, 2015 (the method); W. Hutchcroft et al., Phys. Med. Biol.
    61(18):6668, 2016 (with MR patches).
    """
    images = [to_numpy(image) for image in _several(images)]
    shape, dtype = images[0].shape, images[0].dtype
    inside = np.ones(shape, bool) if mask is None else to_numpy(check_array(mask, "mask", shape=shape, dtype=bool))
    if not inside.any():
        raise ValueError("mask: expected at least one voxel, got an empty mask")
    _check_count(neighbours, "neighbours")
    _check_count(patch, "patch", odd=True)
    window = (WINDOW if shape[0] > 1 else WINDOW_OF_A_SLICE) if window is None else window
    _check_count(window, "window", odd=True)
    if not (np.isfinite(sigma) and sigma > 0):
        raise ValueError(f"sigma: expected a width > 0, got {sigma!r}")
    search = _Search(images, inside, neighbours, sigma, patch, window)
    weights = int(search.pointers[-1])
    wide = np.int32 if max(weights, inside.size) < 2**31 else np.int64
    needed = weights * (dtype.itemsize + np.dtype(wide).itemsize) + (inside.size + 1) * np.dtype(wide).itemsize
    details, remedy = f" for its {weights} weights", "give a mask (the head), or fewer neighbours"
    check_memory(needed, memory_limit, "the kernel matrix", details=details, remedy=lambda times_too_large: remedy)
    # a voxel outside the mask keeps its own value: one weight of 1
    data, columns = np.ones(weights, dtype), np.empty(weights, wide)
    columns[search.pointers[:-1][~inside.ravel()]] = np.flatnonzero(~inside)
    rows = max(1, BLOCK // shape[2])
    blocks = itertools.product(range(shape[0]), range(0, shape[1], rows))
    share_out(lambda z, y: search.fill(z, y, min(y + rows, shape[1]), data, columns), blocks)

    from scipy import sparse

    pointers = search.pointers.astype(wide)
    return KernelMatrix(sparse.csr_array((data, columns, pointers), shape=(inside.size, inside.size)), shape)


class _Search:
    """The neighbours of a block of voxels, and their weights."""

    def __init__(self, images, inside, neighbours, sigma, patch, window):
        shape = inside.shape
        self.inside, self.neighbours, self.sigma = inside, neighbours, sigma
        # an axis of one voxel has neither patch nor window
        self.patch = np.array([patch // 2 if n > 1 else 0 for n in shape])
        self.reach = np.array([min(window // 2, n - 1) for n in shape])
        self.border = self.patch + self.reach
        around = [(b, b) for b in self.border]
        self.features = []
        for number, image in enumerate(images):
            spread = float(image[inside].std(dtype="float64"))
            if not spread > 0:
                raise ValueError(f"images: expected some contrast inside the mask, got none in image {number}")
            self.features.append(np.pad(image / image.dtype.type(spread), around, mode="edge"))
        self.candidates = np.pad(inside, [(r, r) for r in self.reach])
        self.steps = np.array(list(itertools.product(*(range(-r, r + 1) for r in self.reach))))
        if len(self.steps) >= NOBODY:
            raise ValueError(f"window: expected fewer than {NOBODY} candidates, got {len(self.steps)}")
        # 0 for the voxel itself, then by distance: this breaks ties
        self.nearness = np.empty(len(self.steps), np.uint64)
        self.nearness[np.argsort((self.steps**2).sum(axis=1), kind="stable")] = np.arange(len(self.steps))
        self.by_nearness = np.argsort(self.nearness).astype(np.uint16)
        self.columns = self.steps @ np.array([shape[1] * shape[2], shape[2], 1])
        self.pointers = np.concatenate([[0], np.cumsum(self._counts())])

    def _counts(self):
        """Weights of every row: how many candidates there are, at most ``neighbours``; 1 outside the mask."""
        from scipy.ndimage import convolve1d

        count = self.inside.astype(np.int32)
        for axis, reach in enumerate(self.reach):
            count = convolve1d(count, np.ones(2 * reach + 1, np.int32), axis=axis, mode="constant")
        return np.where(self.inside, np.minimum(count, self.neighbours), 1).ravel()

    def _distances(self, z, y, x, height, width):
        """Squared distances of the voxels of a block to all candidates: (candidate, y, x); infinite where none is."""
        size = np.array([1, height, width]) + 2 * self.patch
        result = np.zeros((len(self.steps), height, width), self.features[0].dtype)
        corner = np.array([z, y, x]) + self.reach  # of the block with its patches' rim, in the padded image
        here = tuple(slice(c, c + n) for c, n in zip(corner, size, strict=True))
        for out, step in zip(result, self.steps, strict=True):
            there = tuple(slice(c, c + n) for c, n in zip(corner + step, size, strict=True))
            for feature in self.features:
                squares = feature[here] - feature[there]
                squares *= squares
                # the sum over the patch, one axis after the other
                column = squares.sum(axis=0)
                row = sum(column[k : k + height] for k in range(2 * self.patch[1] + 1))
                for k in range(2 * self.patch[2] + 1):
                    out += row[:, k : k + width]
            dz, dy, dx = corner + step
            out[~self.candidates[dz, dy : dy + height, dx : dx + width]] = np.inf
        return result

    def fill(self, z, begin, end, data, columns):
        """Write the rows of the block's voxels."""
        inside = self.inside[z, begin:end]
        used = np.flatnonzero(inside.any(axis=0))
        if not used.size:
            return
        x, inside = used[0], inside[:, used[0] : used[-1] + 1]
        distances = self._distances(z, begin, x, *inside.shape)[:, inside].T.copy()
        # Keys that sort by distance and then by nearness, and tell the candidate: the bits of a positive float32 count
        # up as it does, and the low 16 bits are free.
        keys = distances.astype(np.float32).view(np.uint32).astype(np.uint64)
        keys <<= np.uint64(16)
        keys |= self.nearness
        k = min(self.neighbours, len(self.steps))
        if k < len(self.steps):
            keys.partition(k - 1, axis=1)
        chosen = self.by_nearness[(keys[:, :k] & np.uint64(0xFFFF)).astype(np.intp)]
        chosen[keys[:, :k] >> np.uint64(16) == _INFINITE] = NOBODY
        chosen.sort(axis=1)  # the order of the columns; nobody comes last
        real = chosen != NOBODY
        chosen[~real] = 0
        weights = np.take_along_axis(distances, chosen.astype(np.intp), axis=1)
        weights = np.where(real, np.exp(-weights / (2 * self.sigma**2)), 0)
        weights /= weights.sum(axis=1, keepdims=True)
        row, column = np.nonzero(inside)
        voxels = ((z * self.inside.shape[1] + begin) + row) * self.inside.shape[2] + x + column
        where = (self.pointers[voxels][:, None] + np.arange(k))[real]
        data[where] = weights[real]
        columns[where] = (voxels[:, None] + self.columns[chosen])[real]


_INFINITE = np.uint64(np.float32(np.inf).view(np.uint32))


def _several(images):
    """A list of images of one shape and dtype."""
    images = list(images) if isinstance(images, (list, tuple)) else [images]
    if not images:
        raise ValueError("images: expected at least one image, got none")
    first = check_array(images[0], "images", ndim=3, dtype=(np.float32, np.float64))
    for image in images[1:]:
        check_array(image, "images", shape=first.shape, dtype=first.dtype)
    return images


def _check_count(value, name, odd=False):
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < 1 or (odd and value % 2 == 0):
        raise ValueError(f"{name}: expected a{'n odd' if odd else ' whole'} number >= 1, got {value!r}")
