"""Every reconstruction method on the same data: set-up, seconds an iteration, memory.

What each needs beside the data is made with the library's default settings. The data are without noise: how long a
method takes does not depend on it.
"""

import time

import numpy as np

from pettutor.arrays import find_cupy
from pettutor.bench.cases import beyond, problem, projector, record_of, shapes
from pettutor.bench.measuring import memory_of, synchroniser
from pettutor.bench.plan import METHODS, SUBSETS

KAPPA, PSF_FWHM = 0.1, 2.5


class Subject:
    """The images that the methods need, on the device: activity, T1, and the mask of the head."""

    def __init__(self, case):
        from pettutor.phantoms import load_subject

        truth = load_subject("mni:0").on(problem(case)[1])
        images = truth.pet, truth.t1, truth.regions["head"]
        move = find_cupy().asarray if case["device"] == "cuda" else np.asarray
        self.activity, self.t1, self.head = map(move, images)
        self.mean = float(self.activity[self.head].mean())


def scan(case, subject):
    """An acquisition model with normalisation, resolution and background, and the counts of it."""
    from pettutor.acquisition import AcquisitionModel

    X = projector(case, *problem(case))
    normalisation = X(subject.activity)
    normalisation[...] = 1
    A = AcquisitionModel(X, normalisation=normalisation, psf_fwhm=PSF_FWHM, background=1.0)
    return A, A.expected(subject.activity)


def prepared(method, case, A, subject):
    """What has to be made before the first iteration, and the run that takes it.

    Returns
    -------
    (callable or None, callable)
        The set-up, without arguments (None: there is none); and ``run(y, made, iterations, callback)``.
    """
    from pettutor import reconstruction as room
    from pettutor.reconstruction.priors import strength

    size = A.grid.voxel_size

    def beta(order=2):
        xp = np if case["device"] == "cpu" else find_cupy()
        return strength(KAPPA, A.T(xp.ones(A.out_shape, A.dtype)), subject.mean, order)

    def with_prior(make, algorithm=room.map_em, **settings):
        return make, lambda y, prior, **loop: algorithm(y, A, prior, **settings, **loop)

    if method == "mlem":
        return None, lambda y, made, **loop: room.mlem(y, A, **loop)
    if method == "osem":
        return None, lambda y, made, **loop: room.osem(y, A, subsets=SUBSETS, **loop)
    if method == "kernel_em":
        make = lambda: room.mr_kernel(subject.t1, mask=subject.head)  # noqa: E731
        return make, lambda y, kernel, **loop: room.kernel_em(y, A, kernel, **loop)
    if method == "dictionary_map":
        rho = beta()
        stride = dictionary_stride(A.in_shape)

        def run(y, dictionary, **loop):
            each = rho / dictionary.atoms.shape[1] * stride ** sum(n > 1 for n in A.in_shape)
            return room.dictionary_map(y, A, dictionary, beta=each, stride=stride, **loop)

        return lambda: room.learn_dictionary(subject.t1, mask=subject.head), run
    order = 1 if method in ("bsrem", "map_em_relative_difference") else 2
    b = beta(order)
    if method == "map_em_quadratic":
        return with_prior(lambda: room.Smoothness(b, size))
    if method == "map_em_bowsher":
        return with_prior(lambda: room.Bowsher(b, subject.t1, voxel_size=size))
    if method == "map_em_relative_difference":
        return with_prior(lambda: room.RelativeDifference(b, voxel_size=size))
    assert method == "bsrem", method
    return with_prior(lambda: room.RelativeDifference(b, voxel_size=size), room.bsrem, subsets=SUBSETS)


def dictionary_stride(shape):
    """Step between the patches: every one in a slice, every second along each axis of a volume."""
    return 2 if shape[0] > 1 else 1


def methods(case):
    """One method: seconds of the set-up, of an iteration and of a usual reconstruction, and memory.

    The first iteration (with the sensitivity images and the checks of the input before it) counts in the total, not in
    the seconds an iteration.
    """
    device, repeats, method = case["device"], case["repeats"], case["method"]
    wait = synchroniser(device)
    name, usual = METHODS[method]
    warm_up({**case, "size": "slab"}, wait)
    subject = Subject(case)
    memory = memory_of(device)
    A, y = scan(case, subject)
    make, run = prepared(method, case, A, subject)

    def timed(function):
        begin = time.perf_counter()
        result = function()
        wait()
        return result, time.perf_counter() - begin

    made, more = None, {}
    if make is not None:
        (made, seconds), peak = memory.peak_of(lambda: timed(make))
        more = {"set_up_seconds": round(seconds, 4), "set_up_memory_bytes": beyond(peak, subject.activity, y)}
        if hasattr(made, "nbytes"):
            more["stored_bytes"] = int(made.nbytes)
    ends = []

    def finished(iteration, image):
        wait()
        ends.append(time.perf_counter())

    def iterate():
        ends.append(time.perf_counter())
        run(y, made, iterations=repeats + 1, callback=finished)

    if method == "dictionary_map" and dictionary_stride(A.in_shape) > 1:
        name += f", stride {dictionary_stride(A.in_shape)}"
    _, peak = memory.peak_of(iterate)
    opening, *times = np.diff(ends).tolist()
    total = more.get("set_up_seconds", 0.0) + opening + (usual - 1) * float(np.median(times))
    return [
        record_of(
            case, name, times, **shapes(A), **more, memory_bytes=beyond(peak, subject.activity, y),
            memory_method=memory.method, first_iteration_seconds=round(opening, 4), usual_iterations=usual,
            total_seconds=round(total, 3),
        )
    ]  # fmt: skip


def warm_up(case, wait):
    """Load the libraries and the projector's kernels; on a GPU run the method, which compiles kernels of its own."""
    import scipy.sparse  # noqa: F401
    import sklearn.decomposition  # noqa: F401

    subject = Subject(case)
    A, y = scan(case, subject)
    A.T(y)
    if case["device"] == "cuda":
        make, run = prepared(case["method"], case, A, subject)
        run(y, make() if make else None, iterations=1)
    wait()
