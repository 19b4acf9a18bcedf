"""The stored system matrix: against independent weights, against the projector, in memory and on disk."""

import json
import os
import pickle
import re
import sys
import zipfile

import numpy as np
import pytest
import registry
from references import distance_driven_weights, joseph_weights, multi_ray_weights, siddon_weights

import pettutor as pt
from pettutor import memory
from pettutor.operators import adjoint_mismatch
from pettutor.projector import matrix_storage
from pettutor.projector.matrix import StoredMatrix

SLAB = pt.Scanner.preset("slab")
GEOMETRIES = {
    **registry.GEOMETRIES,
    "steep, span 1": (
        registry.small_scanner(ring_pitch=19.0, span=1),
        pt.ImageGrid((9, 12, 15), (9.5, 2.2, 1.9), (1.3, -4.2, 5.7)),
    ),
    "slab": (SLAB, SLAB.image_grid((1, 20, 30), (4.0, 9.0, 7.0))),
}
MODELS = {
    "joseph": {"model": "joseph"},
    "siddon": {"model": "siddon"},
    "multi_ray (3, 1)": {"model": "multi_ray", "rays": (3, 1)},
    "multi_ray (2, 3)": {"model": "multi_ray", "rays": (2, 3)},
    "distance_driven": {"model": "distance_driven"},
}


def projector(geometry="off centre", model="joseph", **settings):
    return pt.Projector(*GEOMETRIES[geometry], device="cpu", **MODELS[model], **settings)


def random_pair(A, seed=3):
    rng = np.random.default_rng(seed)
    return rng.random(A.in_shape, dtype=np.float32), rng.random(A.out_shape, dtype=np.float32)


def close(got, expected, tolerance):
    return np.abs(got - expected).max() <= tolerance * np.abs(expected).max()


@pytest.fixture(scope="module")
def stored():
    return projector().to_matrix()


# --- the weights ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_equals_the_projector(geometry, model):
    X = projector(geometry, model)
    M = X.to_matrix()
    x, y = random_pair(X)
    assert (M.in_shape, M.out_shape, M.dtype) == (X.in_shape, X.out_shape, X.dtype)
    assert close(M(x), X(x), 2e-6) and close(M.T(y), X.T(y), 5e-6)
    assert M(x).strides == X(x).strides
    assert adjoint_mismatch(M)[0] < 1e-6


def independent_weights(scanner, grid, model, start, end, view, bin_):
    tangents = scanner.crystal_tangents[scanner.bin_crystals[view, bin_]]
    faces = (start, end, tangents, scanner.crystal_pitch, scanner.ring_pitch)
    if model == "joseph":
        return joseph_weights(start, end, grid)
    if model == "siddon":
        return siddon_weights(start, end, grid)
    if model == "distance_driven":
        return distance_driven_weights(*faces, grid)
    return multi_ray_weights(*faces, MODELS[model]["rays"], grid)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("geometry", ["off centre", "span 1", "steep", "planes three voxels apart"])
def test_rows_are_the_weights_of_their_lines(geometry, model):
    """Row (view, bin, plane) and column (z, y, x): every weight against an independent float64 computation."""
    scanner, grid = GEOMETRIES[geometry]
    matrix = projector(geometry, model).to_matrix().matrix
    starts, ends = scanner.lor_endpoints()
    planes, _, bins = scanner.sinogram_shape
    live = np.argwhere(np.broadcast_to(scanner.live_bins, scanner.sinogram_shape))
    seen = 0
    for plane, view, bin_ in live[np.random.default_rng(1).choice(len(live), 60, replace=False)]:
        expected = np.zeros(grid.shape)
        line = starts[plane, view, bin_], ends[plane, view, bin_]
        for voxel, weight in independent_weights(scanner, grid, model, *line, view, bin_).items():
            expected[voxel] = weight
        row = matrix[[(view * bins + bin_) * planes + plane]].toarray().reshape(grid.shape)
        assert (abs(row - expected) <= np.maximum(1e-4 * expected, 1e-4)).all()  # approx goes from voxel to voxel
        seen += expected.any()
    assert seen > 15


@pytest.mark.parametrize("model", ["joseph", "multi_ray (3, 1)"])
def test_time_of_flight(model):
    X = projector(model=model, tof=pt.TimeOfFlight(5, 9.0, 12.0))
    M = X.to_matrix()
    x, y = random_pair(X)
    assert M.out_shape == X.out_shape and len(M.out_shape) == 4
    assert close(M(x), X(x), 2e-6) and close(M.T(y), X.T(y), 5e-6)
    assert M(x).strides == X(x).strides
    plain = M.subset(1, 3).without_tof
    assert np.array_equal(plain(x), X.subset(1, 3).without_tof(x))


def test_steep_lines_with_time_of_flight():
    X = projector("steep", tof=pt.TimeOfFlight(5, 9.0, 12.0))
    x, y = random_pair(X)
    M = X.to_matrix()
    assert close(M(x), X(x), 2e-6) and close(M.T(y), X.T(y), 5e-6)


@pytest.mark.parametrize("model", MODELS)
def test_sparse_rows_are_canonical(model):
    matrix = projector("span 1", model).to_matrix().matrix
    assert matrix.dtype == np.float32 and (matrix.indices.dtype, matrix.indptr.dtype) == (np.int32, np.int32)
    assert matrix.has_canonical_format and not (matrix.data == 0).any()  # columns sorted, none twice
    assert (matrix.data > 0).all()


def test_gaps_are_empty_rows(stored):
    scanner = stored.scanner
    counts = np.diff(stored.matrix.indptr).reshape(*scanner.live_bins.shape, -1)
    assert not scanner.live_bins.all()
    assert not counts[~scanner.live_bins].any() and counts[scanner.live_bins].any()


def test_product_with_the_scipy_matrix(stored):
    x, _ = random_pair(stored)
    planes, views, bins = stored.out_shape
    sinogram = (stored.matrix @ x.ravel()).reshape(views, bins, planes).transpose(2, 0, 1)
    assert close(stored(x), sinogram, 1e-6)


def test_says_how_large_it_is(stored):
    matrix = stored.matrix
    assert stored.nonzeros == matrix.nnz
    assert stored.nbytes == matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
    assert f"weights, {memory.size_in_words(stored.nbytes)}>" in repr(stored)
    assert np.shares_memory(matrix.data, stored.matrix.data)


# --- the operator contract --------------------------------------------------------------------------------------------


def test_bad_input_is_named(stored):
    x, y = random_pair(stored)
    for A, a in ((stored, x), (stored.T, y)):
        with pytest.raises(ValueError, match=r"expected shape .*, got a NumPy array of shape"):
            A(a[0])
        with pytest.raises(TypeError, match=r"expected dtype float32, got .*float64"):
            A(a.astype(np.float64))
        broken = a.copy()
        broken.flat[7] = np.nan
        with pytest.raises(ValueError, match="expected finite values, got 1 NaN"):
            A(broken)


def test_memory_layout_does_not_matter(stored):
    x, y = random_pair(stored)
    assert np.array_equal(stored(np.asfortranarray(x)), stored(x))
    assert np.array_equal(stored.T(np.asfortranarray(y)), stored.T(y))


def test_threads_do_not_change_a_bit(monkeypatch):
    results = []
    for threads in ("1", "3"):
        monkeypatch.setenv("PETTUTOR_THREADS", threads)
        M = projector("span 1", "multi_ray (3, 1)").to_matrix()
        x, y = random_pair(M)
        many = M.many(np.stack([x, 2 * x, x, x])), M.T.many(np.stack([y, y, 3 * y, y]))
        results.append([M.matrix.data, M.matrix.indices, M.matrix.indptr, M(x), M.T(y), *many])
    for one, other in zip(*results, strict=True):
        assert np.array_equal(one, other)


def test_an_image_does_not_depend_on_its_batch(stored):
    """Eight go together; which others are among them changes no bit."""
    rng = np.random.default_rng(2)
    x, y = (rng.random((19, *shape), dtype=np.float32) for shape in (stored.in_shape, stored.out_shape))
    forward, back = stored.many(x), stored.T.many(y)
    for some in (slice(4, 7), slice(3, 19, 2)):
        assert np.array_equal(stored.many(x[some]), forward[some])
        assert np.array_equal(stored.T.many(y[some]), back[some])


def test_subset(stored):
    x, y = random_pair(stored)
    part, expected = stored.subset(1, 4), projector().subset(1, 4)
    assert part.out_shape == expected.out_shape and part.view_selection == expected.view_selection
    assert np.array_equal(part(x), stored(x)[:, 1::4])
    assert close(part(x), expected(x), 2e-6) and close(part.T(y[:, 1::4]), expected.T(y[:, 1::4]), 5e-6)
    assert "views 1::4" in repr(part)
    assert part._weights is stored._weights  # it costs nothing
    again, expected = part.subset(1, 2), projector().subset(1, 4).subset(1, 2)
    assert again.view_selection == expected.view_selection and close(again(x), expected(x), 2e-6)
    with pytest.raises(ValueError, match=r"subset: expected 0 <= k < n <= \d+ views, got k=4, n=4"):
        stored.subset(4, 4)


def test_matrix_of_a_subset_has_its_rows(stored):
    part = stored.subset(2, 4)
    planes, views, bins = stored.out_shape
    rows = np.arange(views * bins * planes).reshape(views, -1)[2::4].ravel()
    matrix = part.matrix
    assert (matrix != stored.matrix[rows]).nnz == 0 and matrix.shape[0] == len(rows)
    assert part.nonzeros == matrix.nnz < stored.nonzeros / 3
    assert part.nbytes == matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
    # built from a subset of the projector, it is the same
    assert (projector().subset(2, 4).to_matrix().matrix != matrix).nnz == 0


def test_pickles(stored):
    x, y = random_pair(stored)
    part = stored.subset(1, 5)
    for M, a, b in ((stored, x, y), (part, x, y[:, 1::5])):
        copy = pickle.loads(pickle.dumps(M))
        assert np.array_equal(copy(a), M(a)) and np.array_equal(copy.T(b), M.T(b))
    assert len(pickle.dumps(part)) < 0.3 * len(pickle.dumps(stored))  # its own rows only


def test_mlem_is_that_of_the_projector():
    X = pt.Projector(SLAB, SLAB.image_grid((1, 64, 64), (4.0, 4.0, 4.0)), device="cpu")
    _, y, x = np.indices(X.in_shape)
    image = ((y - 30) ** 2 + (x - 35) ** 2 < 400) + 2.0 * ((y - 24) ** 2 + (x - 40) ** 2 < 16)
    counts = np.random.default_rng(4).poisson(X(image.astype(np.float32))).astype(np.float32)
    expected = pt.mlem(counts, X, iterations=8, background=0.5)
    got = pt.mlem(counts, X.to_matrix(), iterations=8, background=0.5)
    assert close(got, expected, 1e-4) and expected.max() > 1.5


# --- memory -----------------------------------------------------------------------------------------------------------


def test_refuses_with_the_number():
    scanner = pt.Scanner.preset("mmr")
    X = pt.Projector(scanner, scanner.image_grid(), device="cpu")
    with pytest.raises(MemoryError) as raised:
        X.to_matrix(memory_limit=2e9)
    found = re.search(
        r"needs about (\d+) GB \((\S+) weights\), memory_limit is 2 GB; one of (\d+) subsets", str(raised.value)
    )
    size, weights, n = (float(number) for number in found.groups())
    # 837 planes and 68,516 live bins; a line of Joseph's meets up to four voxels on each of up to 344 walk planes
    assert 4e10 < weights < 7e10 and size * 1e9 == pytest.approx(8 * weights, rel=0.05)
    assert size / 2 < n < 252


def test_limit_is_exact_in_the_end(stored):
    X = projector()
    rows = stored.matrix.shape[0]
    needed = 8 * stored.nonzeros + 8 * (rows + 1)
    assert X.to_matrix(memory_limit=needed).nonzeros == stored.nonzeros
    with pytest.raises(MemoryError) as error:
        X.to_matrix(memory_limit=needed - 1)
    size, weights = memory.size_in_words(needed), f"{stored.nonzeros:.3g} weights"
    assert f"needs {size} ({weights}), memory_limit is {size}; one of 2 subsets" in str(error.value)
    X.subset(0, 2).to_matrix(memory_limit=needed - 1)


def test_nothing_is_stored_where_it_would_not_fit(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 500_000)
    monkeypatch.setattr("pettutor.projector.matrix.StoredMatrix", None)  # nobody gets to make one
    with pytest.raises(MemoryError, match=r"needs (about )?\S+ kB .*500 kB are free \(nine tenths may be taken\)"):
        projector().to_matrix()


@pytest.mark.parametrize("limit", [0, -1, float("nan"), "2 GB", True])
def test_memory_limit_that_is_none(limit):
    with pytest.raises(ValueError, match=r"memory_limit: expected a number of bytes > 0, got "):
        projector().to_matrix(memory_limit=limit)


def test_free_memory_is_the_container_s_too(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "CONTAINER", ())
    machine = memory.free_memory()
    assert 1e6 < machine < 1e14
    names = [str(tmp_path / name) for name in ("max", "current", "stat")]
    for name, text in zip(names, ("2000000", "1500000", "anon 7\ninactive_file 300000\n"), strict=True):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "CONTAINER", [(*names, "inactive_file")])
    assert memory.free_memory() == 800_000
    (tmp_path / "max").write_text("max\n")
    assert memory.free_memory() > 1e6


def test_free_memory_without_psutil(monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    free = memory.free_memory()
    assert free is None or 1e6 < free < 1e14


@pytest.mark.parametrize(
    ("size", "words"),
    [(12, "12 bytes"), (2500, "2.5 kB"), (11_600_000_000, "11.6 GB"), (27_800_000, "27.8 MB"), (2.166e12, "2,166 GB")],
)
def test_size_in_words(size, words):
    assert memory.size_in_words(size) == words


def test_long_indices_where_they_are_needed(monkeypatch, stored):
    monkeypatch.setattr(matrix_storage, "LARGEST", 30_000)  # more voxels than weights can be, fewer rows' ends
    M = projector().to_matrix()
    assert M._pointers.dtype == np.int64 and M._columns.dtype == np.int32
    x, y = random_pair(M)
    assert np.array_equal(M(x), stored(x)) and np.array_equal(M.T(y), stored.T(y))
    assert M.nbytes == stored.nbytes + 4 * (len(M._pointers))
    assert (M.matrix != stored.matrix).nnz == 0
    assert matrix_storage.index_dtype(30_001) == np.int64


# --- on disk ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compressed", [False, True])
def test_save_and_load(tmp_path, stored, compressed):
    path = tmp_path / "matrix.npz"
    assert stored.save(path, compressed=compressed) == path
    loaded = StoredMatrix.load(path)
    assert (loaded.scanner, loaded.grid, loaded.model, loaded.rays, loaded.tof) == (
        stored.scanner, stored.grid, "joseph", (1, 1), None,
    )  # fmt: skip
    assert loaded.out_shape == stored.out_shape and loaded.view_selection == stored.view_selection
    for name in ("data", "indices", "indptr"):
        one, other = getattr(loaded.matrix, name), getattr(stored.matrix, name)
        assert one.dtype == other.dtype and np.array_equal(one, other)
    x, y = random_pair(stored)
    assert np.array_equal(loaded(x), stored(x)) and np.array_equal(loaded.T(y), stored.T(y))
    assert [p.name for p in tmp_path.iterdir()] == ["matrix.npz"]
    assert os.name != "posix" or path.stat().st_mode & 0o777 == 0o644  # not for its owner alone
    assert (path.stat().st_size < 0.9 * stored.nbytes) == compressed


def test_save_and_load_a_subset_with_time_of_flight(tmp_path):
    M = projector(model="multi_ray (3, 1)", tof=pt.TimeOfFlight(3, 9.0, 12.0)).to_matrix().subset(1, 4).subset(0, 2)
    loaded = StoredMatrix.load(M.save(tmp_path / "part.npz"))
    x, _ = random_pair(M)
    assert np.array_equal(loaded(x), M(x))
    assert (loaded.tof, loaded.rays, loaded.nonzeros) == (M.tof, (3, 1), M.nonzeros)
    assert list(range(15)[loaded.view_selection]) == list(range(15)[M.view_selection]) == [1, 9]
    assert "views 1::8" in repr(loaded)


def test_no_half_written_file(tmp_path, stored, monkeypatch):
    path = tmp_path / "matrix.npz"
    stored.subset(0, 3).save(path)
    before = path.read_bytes()

    def interrupted(file, **arrays):
        file.write(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stored.save(path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def rewritten(path, change):
    """The same archive after ``change(its arrays, what it says about itself)``."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    about = json.loads(str(arrays.pop("about")))
    change(arrays, about)
    np.savez(path, **arrays, about=np.array(json.dumps(about)))


def _set(array, index, value):
    array[index] = value


DAMAGE = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("hello"),
    "one array": lambda path: np.save(path.open("wb"), np.ones(3)),
    "another archive": lambda path: np.savez(path, x=np.ones(3)),
    "another zip": lambda path: zipfile.ZipFile(path, "w").writestr("x.txt", "hello"),
    "pickle": lambda path: np.savez(path, about=np.array([{}], dtype=object)),
    "cut in half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "without its end": lambda path: os.truncate(path, path.stat().st_size - 30),
    "a bit": lambda path: path.write_bytes(_flipped(path.read_bytes())),
    "column too high": lambda path: rewritten(path, lambda a, _: _set(a["columns"], 5, 1260)),
    "column below 0": lambda path: rewritten(path, lambda a, _: _set(a["columns"], 5, -1)),
    "rows fall": lambda path: rewritten(path, lambda a, _: _set(a["pointers"], 7, 10**6)),
    "last row": lambda path: rewritten(path, lambda a, _: _set(a["pointers"], -1, 10**6)),
    "not finite": lambda path: rewritten(path, lambda a, _: _set(a["weights"], 3, np.nan)),
    "double": lambda path: rewritten(path, lambda a, _: a.update(weights=a["weights"].astype(float))),
    "too few columns": lambda path: rewritten(path, lambda a, _: a.update(columns=a["columns"][1:])),
    "no weights": lambda path: rewritten(path, lambda a, _: a.pop("weights")),
    "version": lambda path: rewritten(path, lambda _, b: b.update(version=2)),
    "model": lambda path: rewritten(path, lambda _, b: b.update(model="bowling")),
    "other scanner": lambda path: rewritten(path, lambda _, b: b["scanner"].update(bins=20)),
    "no scanner": lambda path: rewritten(path, lambda _, b: b["scanner"].update(rings=-2)),
    "unknown parameter": lambda path: rewritten(path, lambda _, b: b["scanner"].update(colour="blue")),
    "smaller grid": lambda path: rewritten(path, lambda _, b: b["grid"].update(shape=[1, 2, 3])),
    "time of flight": lambda path: rewritten(path, lambda _, b: b.update(tof={"bins": 3, "width": 1, "resolution": 1})),
    "views": lambda path: rewritten(path, lambda _, b: b.update(views=[1, 2])),
    "no views": lambda path: rewritten(path, lambda _, b: b.update(views=[0, 0])),
}


def _flipped(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize("name", DAMAGE)
def test_wrong_file(tmp_path, stored, name):
    path = stored.save(tmp_path / "matrix.npz")
    assert StoredMatrix.load(path).nonzeros == stored.nonzeros
    DAMAGE[name](path)
    with pytest.raises(
        ValueError, match=r"matrix.npz: expected a stored system matrix \(version 1\), got another file"
    ):
        StoredMatrix.load(path)


class MakesFolder:
    """Unpickling it makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_nothing_is_unpickled(tmp_path, stored):
    path, folder = stored.save(tmp_path / "matrix.npz"), tmp_path / "made"
    rewritten(path, lambda a, _: a.update(weights=np.array([MakesFolder(folder)], dtype=object)))
    with pytest.raises(ValueError, match="expected a stored system matrix"):
        StoredMatrix.load(path)
    assert not folder.exists()


def test_paths(tmp_path, stored):
    with pytest.raises(FileNotFoundError, match="expected a stored system matrix, got no such file"):
        StoredMatrix.load(tmp_path / "none.npz")
    with pytest.raises(ValueError, match=r"path: expected a name that ends in .npz, got 'matrix.bin'"):
        stored.save(tmp_path / "matrix.bin")
    with pytest.raises(FileNotFoundError, match=r"expected a folder to write matrix\.npz into"):
        stored.save(tmp_path / "none" / "matrix.npz")


def test_load_refuses_what_does_not_fit(tmp_path, stored):
    path = stored.save(tmp_path / "matrix.npz")
    with pytest.raises(MemoryError, match=r"matrix.npz: the stored system matrix needs \S+ kB, memory_limit is 1 kB"):
        StoredMatrix.load(path, memory_limit=1000)
