"""Dictionary MAP: coding against scikit-learn and all supports, the alternation against a slow one, its manners."""

import itertools
import warnings

import numpy as np
import pytest
from registry import MatrixOperator
from sklearn.linear_model import orthogonal_mp
from test_osem import MatrixWithViews

import pettutor as pt
from pettutor.reconstruction.dictionary import Dictionary

SHAPE, PATCH = (3, 4, 5), (2, 2, 3)


def dictionary(seed=7, atoms=20, patch=PATCH, dtype=np.float64):
    drawn = np.random.default_rng(seed).standard_normal((atoms, int(np.prod(patch))))
    return Dictionary(drawn.astype(dtype), patch)


def patches_of(image, shape, stride=1):
    """Corner -> patch, by loops."""
    corners = [sorted({*range(0, n - p + 1, stride), n - p}) for n, p in zip(image.shape, shape, strict=True)]
    return {
        corner: image[tuple(slice(c, c + p) for c, p in zip(corner, shape, strict=True))].ravel()
        for corner in itertools.product(*corners)
    }


def slow_code(image, atoms, shape, sparsity, threshold=0.0, stride=1, previous=None):
    """Patch by patch with scikit-learn, their mean voxel by voxel: (image, counts, patch -> (approximation, atoms)).

    ``previous``: patch -> (…, atoms) of before, kept where they cost less.
    """
    total, counts, codes = np.zeros(image.shape), np.zeros(image.shape), {}
    for corner, patch in patches_of(image, shape, stride).items():
        mean = patch.mean()

        def fit(chosen, patch=patch, mean=mean):  # (cost, approximation, atoms)
            basis = atoms[list(chosen)].T
            value = mean + basis @ np.linalg.lstsq(basis, patch - mean)[0]
            return ((patch - value) ** 2).sum() + threshold**2 * len(chosen), value, tuple(chosen)

        best = fit(())
        for number in range(1, sparsity + 1):  # one atom more, as long as it pays
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # a flat patch needs no atoms
                weights = orthogonal_mp(atoms.T, patch - mean, n_nonzero_coefs=number)
            more = fit(np.flatnonzero(weights))
            if len(more[2]) < number or more[0] >= best[0]:
                break
            best = more
        if previous is not None:
            best = min(best, fit(previous[corner][1]), key=lambda code: code[0])
        codes[corner] = best[1:]
        for step, value in zip(np.ndindex(shape), best[1], strict=True):
            total[tuple(np.add(corner, step))] += value
            counts[tuple(np.add(corner, step))] += 1
    return total / counts, counts, codes


@pytest.mark.parametrize(
    ("shape", "patch", "stride", "sparsity", "threshold"),
    [
        ((3, 4, 5), (2, 2, 3), 1, 3, 0.0),
        ((4, 7, 9), (2, 3, 3), 2, 4, 0.0),
        ((1, 9, 7), (1, 4, 3), 3, 1, 0.0),
        ((3, 4, 5), (2, 2, 3), 1, 5, 1.2),
    ],
)
def test_code_equals_scikit_learn_patch_by_patch(shape, patch, stride, sparsity, threshold, monkeypatch):
    monkeypatch.setattr("pettutor.reconstruction.dictionary.BLOCK", 7)  # so that there are several
    D, image = dictionary(patch=patch), 5 + np.random.default_rng(1).standard_normal(shape)
    options = dict(sparsity=sparsity, threshold=threshold, stride=stride)
    code = D.code(image, **options)
    expected, counts, codes = slow_code(image, D.atoms, patch, **options)
    assert code.image == pytest.approx(expected, rel=1e-9)
    assert np.array_equal(code.counts, counts)
    other = image + np.random.default_rng(2).standard_normal(shape)
    misfit = sum(((p - codes[c][0]) ** 2).sum() for c, p in patches_of(other, patch, stride).items())
    assert code.misfit(other) == pytest.approx(misfit, rel=1e-9)
    atoms = [tuple(sorted(row[row >= 0].tolist())) for row in code.supports]
    assert atoms == [codes[corner][1] for corner in sorted(codes)]
    assert threshold == 0 or 0 < np.mean([len(a) for a in atoms]) < sparsity
    single = D.code(image.astype(np.float32), **options)
    assert single.image.dtype == np.float32 and single.image == pytest.approx(expected, rel=1e-4)


def test_code_finds_the_best_support_of_a_basis():
    """With orthonormal atoms the pursuit is exact: no other choice of atoms is nearer."""
    rng = np.random.default_rng(3)
    columns = np.concatenate([np.ones((9, 1)), rng.standard_normal((9, 6))], axis=1)
    D = Dictionary(np.linalg.qr(columns)[0][:, 1:].T.copy(), (1, 3, 3))
    image = rng.standard_normal((1, 3, 3))
    code = D.code(image, sparsity=2)
    errors = {}
    for support in itertools.combinations(range(6), 2):
        basis = np.concatenate([np.ones((9, 1)), D.atoms[list(support)].T], axis=1)
        errors[support] = ((image.ravel() - basis @ np.linalg.lstsq(basis, image.ravel())[0]) ** 2).sum()
    assert set(code.supports[0].tolist()) == set(min(errors, key=errors.get))
    assert code.misfit(image) == pytest.approx(min(errors.values()))


def test_code_is_exact_where_a_few_atoms_suffice_and_keeps_scale():
    D = dictionary(atoms=4, patch=(1, 4, 4))
    image = (20 + 3 * D.atoms[1] - 2 * D.atoms[3]).reshape(1, 4, 4)
    assert D.code(image, sparsity=2).image == pytest.approx(image, rel=1e-12)
    more = D.code(image, sparsity=4)  # nothing is left for the other two
    assert more.image == pytest.approx(image, rel=1e-12) and sorted(more.supports[0].tolist()) == [-1, -1, 1, 3]
    flat = D.code(np.full((1, 6, 5), 7.0), sparsity=3)
    assert flat.image == pytest.approx(np.full((1, 6, 5), 7.0)) and (flat.supports == -1).all()
    noisy = np.random.default_rng(4).random((1, 6, 5))
    assert D.code(50 * noisy, sparsity=2).image == pytest.approx(50 * D.code(noisy, sparsity=2).image)
    assert D.code(noisy, sparsity=0).supports.shape == (6, 0)


def test_atoms_of_before_stay_where_they_are_better():
    """Two atoms that together are the patch, and a third that is more like it than either: the pursuit is misled."""
    one, two = np.array([1.0, -1, 0, 0]), np.array([0.0, 0, 1, -1])
    D = Dictionary(np.stack([one, two, one + two + [0.2, 0.2, -0.2, -0.2]]), (1, 2, 2))
    image = (one + two).reshape(1, 2, 2)
    alone = D.code(image, sparsity=2)
    assert 2 in alone.supports and alone.misfit(image) > 1e-3
    before = D.code((1.5 * one + 0.5 * two).reshape(1, 2, 2), sparsity=2)
    assert sorted(before.supports[0].tolist()) == [0, 1]
    kept = D.code(image, sparsity=2, previous=before)
    assert sorted(kept.supports[0].tolist()) == [0, 1] and kept.misfit(image) < 1e-12


def test_learnt_dictionary_is_sparse_for_its_own_kind():
    """Patches made of two of six patterns: the learnt atoms code new ones of this kind, random ones do not."""
    rng = np.random.default_rng(5)
    patterns = dictionary(8, 6, (1, 4, 4)).atoms

    def mosaic(seed):
        drawn = np.random.default_rng(seed)
        image = np.zeros((1, 48, 48), np.float32)
        for y, x in itertools.product(range(0, 48, 4), repeat=2):
            pair = drawn.choice(6, 2, replace=False)
            image[0, y : y + 4, x : x + 4] = 9 + (drawn.standard_normal(2) @ patterns[pair]).reshape(4, 4)
        return image

    middles = np.zeros((1, 48, 48), bool)
    middles[0, 2::4, 2::4] = True
    options = dict(patch_shape=4, atoms=6, mask=middles, passes=20)
    D = pt.learn_dictionary(mosaic(1), seed=0, **options)
    assert D.patch_shape == (1, 4, 4) and D.atoms.dtype == np.float32 and "6 atoms" in repr(D)
    assert D.atoms.mean(axis=1) == pytest.approx(np.zeros(6), abs=1e-6)
    assert (D.atoms**2).sum(axis=1) == pytest.approx(np.ones(6), rel=1e-5)
    new, other = mosaic(2), Dictionary(rng.standard_normal((6, 16)), (1, 4, 4))
    learnt, drawn = (d.code(new, sparsity=2, stride=4).misfit(new) for d in (D, other))
    assert learnt < 0.1 * drawn
    assert np.array_equal(pt.learn_dictionary(mosaic(1), seed=0, **options).atoms, D.atoms)
    assert not np.array_equal(pt.learn_dictionary(mosaic(1), seed=1, **options).atoms, D.atoms)


def problem(seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    matrix = rng.random((90, 60)) * (rng.random((90, 60)) < 0.4)
    matrix[:, 13] = 0  # a voxel that nothing sees
    A = MatrixWithViews(matrix.astype(dtype), SHAPE, (5, 6, 3))
    y = rng.poisson(6 * A(rng.random(SHAPE).astype(dtype))).astype(dtype)
    return A, y, 0.5 + rng.random(A.out_shape).astype(dtype), dictionary(dtype=dtype)


@pytest.mark.parametrize(("updates", "threshold"), [(1, 0.0), (2, 0.0), (1, 0.5)])
def test_equals_slow_alternation(updates, threshold):
    A, y, r, D = problem()
    beta, sparsity, matrix = 0.8, 3, A.matrix
    record = pt.Record()
    image = pt.dictionary_map(
        y, A, D, beta=beta, sparsity=sparsity, threshold=threshold, updates_per_coding=updates, iterations=6,
        background=r, record=record,
    )  # fmt: skip
    x, seen, objectives, codes = np.ones(SHAPE), matrix.sum(axis=0), [], None
    for iteration in range(6):
        if iteration % updates == 0:
            z, counts, codes = slow_code(x, D.atoms, PATCH, sparsity, threshold, previous=codes)
        mean = matrix @ x.ravel() + r.ravel()
        penalty = sum(
            ((p - codes[c][0]) ** 2).sum() + threshold**2 * len(codes[c][1]) for c, p in patches_of(x, PATCH).items()
        )
        objectives.append((y.ravel() * np.log(mean) - mean).sum() - beta / 2 * penalty)
        back = matrix.T @ (y.ravel() / mean)
        for j, at in enumerate(np.ndindex(SHAPE)):  # textbook root
            if seen[j] == 0:
                x[at] = 0
                continue
            half, rho = z[at] - seen[j] / (beta * counts[at]), beta * counts[at]
            x[at] = 0.5 * (half + np.sqrt(half**2 + 4 * x[at] * back[j] / rho))
    assert image == pytest.approx(x, rel=1e-9)
    assert record.objective == pytest.approx(objectives, rel=1e-10)
    assert record.coefficients.image == pytest.approx(z, rel=1e-9)


@pytest.mark.parametrize(("updates", "threshold"), [(1, 0.0), (3, 0.0), (1, 0.6)])
def test_objective_never_falls(updates, threshold):
    for seed in range(12):
        A, y, r, D = problem(seed)
        record = pt.Record()
        pt.dictionary_map(
            y, A, D, beta=0.5, sparsity=2, threshold=threshold, updates_per_coding=updates, iterations=15, background=r,
            record=record,
        )  # fmt: skip
        assert (np.diff(record.objective) >= -1e-10 * abs(record.objective[0])).all()


def test_without_strength_it_is_mlem_and_with_much_it_is_sparse():
    A, y, r, D = problem()
    mask = np.random.default_rng(3).random(SHAPE) < 0.8
    one = pt.dictionary_map(y, A, D, beta=0.0, iterations=6, background=r, mask=mask)
    assert one == pytest.approx(pt.mlem(y, A, iterations=6, background=r, mask=mask), rel=1e-12)
    subsets = dict(iterations=3, subsets=3, order="random", seed=2, background=r)
    assert pt.dictionary_map(y, A, D, beta=0.0, **subsets) == pytest.approx(pt.osem(y, A, **subsets), rel=1e-12)

    def share(x):  # of the image's variation that two atoms a patch do not explain
        return D.code(x, sparsity=2).misfit(x) / D.code(x, sparsity=0).misfit(x)

    plain, strong = (pt.dictionary_map(y, A, D, beta=b, sparsity=2, iterations=80, background=r) for b in (0, 50))
    assert share(strong) < 0.8 * share(plain) and strong.std() < 0.5 * plain.std()


@pytest.mark.parametrize("subsets", [1, 3])
def test_with_codes_that_stay_it_is_map_em_with_a_reference_image(subsets):
    A, y, r, D = problem()
    start = np.random.default_rng(8).random(SHAPE) + 0.5
    start.flat[13] = 0  # nothing sees it
    code, options = D.code(start, sparsity=2), dict(iterations=4, subsets=subsets, start=start, background=r)
    image = pt.dictionary_map(y, A, D, beta=0.5, sparsity=2, updates_per_coding=9, **options)
    assert image == pytest.approx(
        pt.map_em(y, A, pt.priors.Reference(code.image, 0.5 * code.counts), **options), rel=1e-12
    )


@pytest.mark.parametrize("updates", [1, 3])
def test_resume_is_one_long_run_bit_for_bit(updates):
    A, y, r, D = problem(dtype=np.float32)
    options = dict(beta=0.5, sparsity=3, updates_per_coding=updates, background=r, subsets=2, order="random")
    long_record, record, image = pt.Record(), pt.Record(), None
    long = pt.dictionary_map(y, A, D, iterations=8, record=long_record, **options)
    for _ in range(4):
        image = pt.dictionary_map(y, A, D, iterations=2, start=image, record=record, **options)
    assert np.array_equal(image, long) and record.objective == long_record.objective
    assert np.array_equal(record.coefficients.supports, long_record.coefficients.supports)


def test_list_mode_is_the_same_as_binned():
    A, y, r, D = problem()
    lines = np.repeat(np.arange(y.size), y.ravel().astype(int))
    events = MatrixOperator(A.matrix[lines], SHAPE, (len(lines),))
    sensitivity, options = A.T(np.ones(A.out_shape)), dict(beta=0.5, iterations=5)
    listed = pt.dictionary_map(
        np.ones(len(lines)), events, D, background=r.ravel()[lines], sensitivity=sensitivity, **options
    )
    assert listed == pytest.approx(pt.dictionary_map(y, A, D, background=r, **options), rel=1e-8)


def test_interrupt_gives_the_last_finished_image(capsys):
    A, y, r, D = problem()
    record, seen = pt.Record(), []

    def callback(iteration, image):
        seen.append(image)
        if iteration == 3:
            raise KeyboardInterrupt

    options = dict(beta=0.5, background=r)
    image = pt.dictionary_map(y, A, D, iterations=50, callback=callback, record=record, **options)
    assert "Dictionary MAP stopped after 3 iterations" in capsys.readouterr().out
    assert image is seen[-1] and np.array_equal(image, pt.dictionary_map(y, A, D, iterations=3, **options))
    more = pt.dictionary_map(y, A, D, iterations=2, start=image, record=record, **options)
    assert np.array_equal(more, pt.dictionary_map(y, A, D, iterations=5, **options))


def test_threads_do_not_change_the_bits(monkeypatch):
    monkeypatch.setattr("pettutor.reconstruction.dictionary.BLOCK", 20)
    image, codes = np.random.default_rng(6).random((5, 9, 8), dtype=np.float32), []
    for threads in ("1", "2"):
        monkeypatch.setenv("PETTUTOR_THREADS", threads)
        codes.append(dictionary(dtype=np.float32).code(image, sparsity=3))
    assert np.array_equal(codes[0].image, codes[1].image) and codes[0].disagreement == codes[1].disagreement


IMAGE = np.random.default_rng(0).random((2, 6, 7))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Dictionary(np.ones((3, 12)), PATCH), ValueError, "atoms: expected patterns that are not constant"),
        (lambda: Dictionary(IMAGE[0], PATCH), ValueError, r"atoms: expected rows of \(2, 2, 3\) numbers"),
        (lambda: dictionary().code(IMAGE[:1], sparsity=2), ValueError, "image: expected at least the patch's"),
        (lambda: dictionary().code(IMAGE, sparsity=12), ValueError, "sparsity: expected a whole number 0 … 11, got 12"),
        (lambda: dictionary().code(IMAGE, sparsity=2, stride=3), ValueError, "stride: expected a whole number 1 … 2"),
        (lambda: pt.learn_dictionary(IMAGE, atoms=64), ValueError, "image: expected at least 64 patches"),
        (lambda: pt.learn_dictionary(IMAGE, patch_shape=1), ValueError, "patch_shape: expected a whole number 2 … 7"),
        (lambda: pt.learn_dictionary(IMAGE, seed=None), TypeError, "seed: expected an int"),
        (lambda: run(dictionary=np.ones((3, 12))), TypeError, "dictionary: expected one that learn_dictionary makes"),
        (lambda: run(beta=-1), ValueError, "beta: expected a strength >= 0, got -1"),
        (lambda: run(updates_per_coding=0), ValueError, "updates_per_coding: expected a whole number >= 1, got 0"),
        (lambda: run(threshold=-1.0), ValueError, "threshold: expected a number >= 0, got -1.0"),
        (lambda: run(sparsity=2.0), ValueError, "sparsity: expected a whole number"),
        (lambda: run(record=pt.Record(coefficients=IMAGE)), TypeError, "record: expected one of dictionary_map"),
        (lambda: run(subsets=0), ValueError, "subsets: expected a whole number >= 1"),
    ],
)
def test_refuses(call, error, message):
    with pytest.raises(error, match=message):
        call()


def run(**changes):
    A, y, _, D = problem()
    return pt.dictionary_map(**{"y": y, "A": A, "dictionary": D, "beta": 0.5, "iterations": 1, **changes})
