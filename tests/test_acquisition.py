"""The acquisition model and the simulation: factors, adjoint blur, totals, statistics, seeds and refusals."""

import types

import numpy as np
import pytest
from registry import off_centre_grid, small_scanner

import pettutor as pt
from pettutor.acquisition import AcquisitionBatch
from pettutor.operators import adjoint_mismatch
from pettutor.simulation import attenuation_factors, detector_efficiencies


@pytest.fixture(scope="module")
def X():
    return pt.Projector(small_scanner(), off_centre_grid(), device="cpu")


@pytest.fixture(scope="module")
def truth(X):
    rng = np.random.default_rng(4)
    pet = rng.random(X.in_shape, dtype=np.float32)
    mu = 0.2 * rng.random(X.in_shape, dtype=np.float32)
    return types.SimpleNamespace(pet=pet, mu=mu, grid=X.grid)


def sinogram(X, seed, scale=1.0):
    return np.float32(scale) * np.random.default_rng(seed).random(X.out_shape, dtype=np.float32)


def test_model_is_the_product_of_its_factors(X, truth):
    attenuation, normalisation, background = sinogram(X, 1), sinogram(X, 2, 3), sinogram(X, 3, 5)
    A = pt.AcquisitionModel(
        X, attenuation=attenuation, normalisation=normalisation, psf_fwhm=4.0, background=background
    )
    blurred = pt.gaussian_filter(truth.pet, 4.0, X.grid)
    assert A(truth.pet) == pytest.approx(normalisation * attenuation * X(blurred), rel=1e-6)
    assert A.expected(truth.pet) == pytest.approx(A(truth.pet) + background, rel=1e-6)
    plain = pt.AcquisitionModel(X)
    assert np.array_equal(plain(truth.pet), X(truth.pet)) and plain.background == 0
    part = A.subset(1, 3)
    assert part.expected(truth.pet) == pytest.approx(A.expected(truth.pet)[:, 1::3], rel=1e-6)


@pytest.mark.parametrize("shared", [True, False], ids=["one projector", "a projector each"])
def test_batch_is_its_models_side_by_side(X, truth, shared):
    other = pt.Projector(small_scanner(), off_centre_grid(), model="siddon", device="cpu")
    models = [
        pt.AcquisitionModel(X, attenuation=sinogram(X, 1), psf_fwhm=4.0),
        pt.AcquisitionModel(X if shared else other, normalisation=sinogram(X, 2)),
        pt.AcquisitionModel(X),
    ]
    batch = AcquisitionBatch(models)
    assert batch.in_shape == (3, *X.in_shape) and batch.out_shape == (3, *X.out_shape)
    x = np.stack([truth.pet, 2 * truth.pet, truth.mu])
    y = np.stack([sinogram(X, seed) for seed in (5, 6, 7)])
    assert batch(x) == pytest.approx(np.stack([A(one) for A, one in zip(models, x, strict=True)]), rel=1e-5)
    assert batch.T(y) == pytest.approx(np.stack([A.T(one) for A, one in zip(models, y, strict=True)]), rel=1e-5)
    assert adjoint_mismatch(batch)[0] < 1e-5


def test_batch_refuses_models_that_differ(X):
    with pytest.raises(ValueError, match="expected operators of one shape and dtype, got none"):
        AcquisitionBatch([])
    with pytest.raises(ValueError, match=r"expected operators of one shape and dtype, got .*->.*, .*->"):
        AcquisitionBatch([pt.AcquisitionModel(X), pt.AcquisitionModel(X).subset(0, 2)])


def test_blur_has_the_width_it_says():
    grid = pt.ImageGrid((41, 51, 61), (1.5, 1.2, 1.0))
    image = np.zeros(grid.shape, np.float32)
    image[20, 25, 30] = 1
    blurred = pt.gaussian_filter(image, (9.0, 7.0, 5.0), grid).astype(float)
    assert blurred.sum() == pytest.approx(1, abs=1e-4)
    for axis, (fwhm, coordinate) in enumerate(zip((9.0, 7.0, 5.0), grid.coordinates(), strict=True)):
        profile = blurred.sum(axis=tuple(a for a in range(3) if a != axis))
        variance = (profile * coordinate**2).sum() - (profile * coordinate).sum() ** 2
        # the kernel is cut at 4 sigma and sampled: within 1 % of the FWHM's variance
        assert variance == pytest.approx((fwhm / 2.354820) ** 2, rel=0.01)


def test_blur_leaves_a_single_slice_its_activity():
    grid = pt.ImageGrid((1, 33, 33), (4.0, 2.0, 2.0))
    image = np.zeros(grid.shape, np.float32)
    image[0, 16, 16] = 1
    assert pt.gaussian_filter(image, 6.0, grid).sum() == pytest.approx(1, abs=1e-4)
    assert np.array_equal(pt.gaussian_filter(image, 0.0, grid), image)


def test_attenuation_of_a_water_cylinder():
    scanner = pt.Scanner.preset("slab")
    grid = scanner.image_grid()
    z, y, x = (c[s] for c, s in zip(grid.coordinates(), np.ix_(*map(np.arange, grid.shape)), strict=True))
    mu = np.where(x**2 + y**2 + 0 * z <= 80.0**2, 0.096, 0).astype(np.float32)
    factors = attenuation_factors(mu, pt.Projector(scanner, grid, device="cpu"))
    # through the middle: 160 mm of water at 0.096/cm
    centre = factors[0, :, 70:75][scanner.live_bins[:, 70:75]]
    assert centre.mean() == pytest.approx(np.exp(-0.096 * 16), rel=0.01)
    dead = ~scanner.live_bins
    assert (factors[0][dead] == 1).all() and factors.max() == 1


def test_totals(X, truth):
    data = pt.simulate(truth, X, counts=2e5, randoms_fraction=0.3, scatter_fraction=0.2, seed=3)
    trues, randoms, scatter = (float(a.sum(dtype=float)) for a in (data.trues, data.randoms, data.scatter))
    assert trues == pytest.approx(2e5, rel=1e-4)
    assert scatter / (scatter + trues) == pytest.approx(0.2, rel=1e-4)
    assert randoms / (trues + randoms + scatter) == pytest.approx(0.3, rel=1e-4)
    expected = trues + randoms + scatter
    assert abs(data.prompts.sum(dtype=float) - expected) < 5 * np.sqrt(expected)
    assert np.array_equal(data.prompts, np.rint(data.prompts)) and data.prompts.min() == 0
    dead = np.broadcast_to(~X.scanner.live_bins, X.out_shape)
    for name in ("prompts", "trues", "randoms", "scatter", "normalisation"):
        assert not getattr(data, name)[dead].any()


def test_the_model_explains_the_simulation(X, truth):
    """With the simulated factors the expected counts are the simulated ones, and the prompts are Poisson about them."""
    data = pt.simulate(truth, X, counts=3e6, psf_fwhm=3.0, scatter_fraction=0.1, seed=1)
    A = pt.AcquisitionModel(
        X, attenuation=data.attenuation, normalisation=data.normalisation, psf_fwhm=3.0, background=data.background
    )
    expected = A.expected(truth.pet)
    assert expected == pytest.approx(data.trues + data.background, rel=1e-4)
    live = expected > 1
    z = (data.prompts[live] - expected[live]) / np.sqrt(expected[live])
    assert abs(z.mean()) < 5 / np.sqrt(z.size) and z.var() == pytest.approx(1, abs=0.1)


def test_seeds(X, truth):
    one, same, other = (pt.simulate(truth, X, counts=1e5, seed=s) for s in (1, 1, 2))
    generator = pt.simulate(truth, X, counts=1e5, seed=np.random.default_rng(1))
    assert np.array_equal(one.prompts, same.prompts) and np.array_equal(one.prompts, generator.prompts)
    assert not np.array_equal(one.prompts, other.prompts)


def test_realisations_differ_in_their_noise_only(X, truth):
    data = pt.simulate(truth, X, counts=2e6, scatter_fraction=0.1, seed=1)
    again, same, other = (data.realisation(seed) for seed in (7, 7, 8))
    assert np.array_equal(again.prompts, same.prompts) and not np.array_equal(again.prompts, other.prompts)
    assert not np.array_equal(again.prompts, data.prompts) and (again.seed, data.seed) == (7, 1)
    for name in ("trues", "randoms", "scatter", "attenuation", "normalisation"):
        assert getattr(again, name) is getattr(data, name)
    expected = data.trues + data.background
    draws = np.stack([data.realisation(n).prompts for n in range(40)]).astype(float)
    live = expected > 1
    # Poisson: mean and variance are the expected counts
    assert ((draws.mean(axis=0) - expected)[live] / np.sqrt(expected[live] / 40)).std() == pytest.approx(1, abs=0.02)
    assert (draws.var(axis=0, ddof=1)[live] / expected[live]).mean() == pytest.approx(1, abs=0.02)


def test_plain_image_has_no_attenuation(X, truth):
    data = pt.simulate(truth.pet, X, counts=1e5)
    assert (data.attenuation == 1).all()


def test_efficiencies():
    scanner = small_scanner()
    perfect = detector_efficiencies(scanner, 0.0, 0)
    assert np.array_equal(perfect[:, 0, :], scanner.ring_pairs_per_plane[:, None] * scanner.live_bins[None, 0])
    mini = pt.Scanner.preset("mini")
    spread = detector_efficiencies(mini, 0.1, 0)
    live = spread[0][mini.live_bins]
    # a product of two crystals (and of two rings, the same for all bins of this plane)
    assert np.std(np.log(live)) == pytest.approx(np.sqrt(2 * np.log1p(0.01)), rel=0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(counts=0), "counts: expected a number of trues > 0, got 0"),
        (dict(counts=float("nan")), "counts: expected a number of trues > 0, got nan"),
        (dict(counts="1e6"), "counts: expected a number of trues > 0, got '1e6'"),
        (dict(counts=True), "counts: expected a number of trues > 0, got True"),
        (dict(), r"counts: expected a number of trues \(scanner 'small' has no default\), got None"),
        (dict(counts=1e4, randoms_fraction=1.0), "randoms_fraction: expected a share in 0 … 1 .*, got 1.0"),
        (dict(counts=1e4, scatter_fraction=-0.1), "scatter_fraction: expected a share in 0 … 1 .*, got -0.1"),
        (dict(counts=1e4, psf_fwhm=-1), "psf_fwhm: expected widths >= 0 mm, got -1"),
        (dict(counts=1e4, randoms_fraction=None), "randoms_fraction: expected a share in 0 … 1 .*, got None"),
        (dict(counts=1e4, scatter_fraction=None), "scatter_fraction: expected a share in 0 … 1 .*, got None"),
        (dict(counts=1e4, psf_fwhm=(1, 2)), "psf_fwhm: expected one width or three"),
        (dict(counts=1e4, efficiency_spread=2), "efficiency_spread: expected a share"),
        (dict(counts=1e4, efficiency_spread=None), "efficiency_spread: expected a share in 0 … 1 .*, got None"),
        (dict(counts=1e4, seed=-1), "seed: expected an int >= 0 or a numpy.random.Generator, got -1"),
    ],
)
def test_simulate_refuses(X, truth, settings, message):
    with pytest.raises(ValueError, match=message):
        pt.simulate(truth, X, **settings)


def test_simulate_takes_numpys_numbers(X, truth):
    plain = pt.simulate(truth, X, counts=20_000, randoms_fraction=0.25, scatter_fraction=0.125, psf_fwhm=4)
    settings = dict(counts=np.int64(20_000), randoms_fraction=np.array(0.25), scatter_fraction=np.float32(0.125))
    numpys = pt.simulate(truth, X, psf_fwhm=np.float32(4), **settings)
    assert np.array_equal(plain.prompts, numpys.prompts) and plain.psf_fwhm == numpys.psf_fwhm == (4.0, 4.0, 4.0)


def test_simulate_refuses_other_truths(X, truth):
    moved = types.SimpleNamespace(pet=truth.pet, mu=truth.mu, grid=X.grid.moved((0, 0, 0)))
    with pytest.raises(ValueError, match="truth: expected a phantom on the projector's grid ImageGrid"):
        pt.simulate(moved, X, counts=1e4)
    with pytest.raises(ValueError, match=r"truth.pet: expected some activity, got an image of zeros"):
        pt.simulate(0 * truth.pet, X, counts=1e4)
    with pytest.raises(ValueError, match=r"truth.pet: expected values >= 0, got a minimum of -"):
        pt.simulate(-truth.pet, X, counts=1e4)
    with pytest.raises(
        ValueError, match=r"truth.pet: expected shape \(7, 12, 15\), got a NumPy array of shape \(7, 15"
    ):
        pt.simulate(np.ascontiguousarray(truth.pet.swapaxes(1, 2)), X, counts=1e4)
    with pytest.raises(TypeError, match=r"projector: expected a pettutor.Projector, got"):
        pt.simulate(truth, X.T, counts=1e4)
    with pytest.raises(ValueError, match=r"projector: expected all views, got a subset"):
        pt.simulate(truth, X.subset(0, 2), counts=1e4)
    with pytest.raises(TypeError, match=r"seed: expected an int >= 0 or a numpy.random.Generator, got None"):
        pt.simulate(truth, X, counts=1e4, seed=None)


def test_model_refuses(X):
    good = sinogram(X, 0)
    with pytest.raises(ValueError, match=r"attenuation: expected shape \(.*\), got a NumPy array of shape"):
        pt.AcquisitionModel(X, attenuation=good[1:])
    with pytest.raises(TypeError, match=r"normalisation: expected dtype float32, got .*float64"):
        pt.AcquisitionModel(X, normalisation=good.astype(float))
    with pytest.raises(ValueError, match="background: expected values >= 0, got a minimum of -1"):
        pt.AcquisitionModel(X, background=good - 1 - good)
    with pytest.raises(ValueError, match="background: expected counts >= 0, got -2"):
        pt.AcquisitionModel(X, background=-2)
    with pytest.raises(ValueError, match="psf_fwhm: expected widths >= 0 mm, got nan"):
        pt.AcquisitionModel(X, psf_fwhm=float("nan"))


@pytest.mark.parametrize(
    ("width", "message"),
    [
        (True, "psf_fwhm: expected widths >= 0 mm, got True"),
        ("4.5", "psf_fwhm: expected widths >= 0 mm, got '4.5'"),
        (None, "psf_fwhm: expected widths >= 0 mm, got None"),
        ([2], r"psf_fwhm: expected one width or three \(z, y, x\) in mm, got \[2\]"),
        ([[2], [2, 3]], r"psf_fwhm: expected one width or three \(z, y, x\) in mm, got \[\[2\], \[2, 3\]\]"),
        ([[2], [2, 3], 4], r"psf_fwhm: expected widths >= 0 mm, got \[2\]"),
        ((2, "3", 4), "psf_fwhm: expected widths >= 0 mm, got '3'"),
        (np.array([True, False, True]), "psf_fwhm: expected widths >= 0 mm, got .*True"),
        (np.ones((3, 3)), r"psf_fwhm: expected widths >= 0 mm, got array\(\[1., 1., 1.\]\)"),
    ],
)
def test_what_is_no_width(X, width, message):
    with pytest.raises(ValueError, match=message):
        pt.AcquisitionModel(X, psf_fwhm=width)


@pytest.mark.parametrize("width", [2, 2.0, np.float32(2), np.array(2), [2, 2, 2], (2, 2.0, np.int8(2)), np.full(3, 2)])
def test_what_is_a_width(X, width):
    widths = pt.AcquisitionModel(X, psf_fwhm=width).psf_fwhm
    assert widths == (2.0, 2.0, 2.0) and all(type(w) is float for w in widths)


@pytest.mark.parametrize("background", ["x", "2", True, np.True_])
def test_a_background_is_counts(X, background):
    message = f"background: expected counts >= 0, got {background!r}"
    with pytest.raises(ValueError, match=message):
        pt.AcquisitionModel(X, background=background)
    with pytest.raises(ValueError, match=message):
        pt.mlem(sinogram(X, 0), X, iterations=1, background=background)
    with pytest.raises(TypeError, match="background: expected a NumPy or CuPy array, got list"):
        pt.AcquisitionModel(X, background=[[1], [1, 2]])
    assert pt.AcquisitionModel(X, background=np.array(2)).background == np.float32(2)


@pytest.mark.parametrize(
    ("other", "got"),
    [
        (np.ones((7, 12, 15), np.float32), r"a NumPy array of shape \(7, 12, 15\), dtype float32"),
        (None, "NoneType None"),
        (pt.Projector, "type <class 'pettutor.projector.projector.Projector'>"),
        (small_scanner(), r"Scanner Scanner\( name='small', rings=5"),
        (types.SimpleNamespace(T=0, in_shape=(1,), out_shape=(1,), dtype=0), r"SimpleNamespace namespace\(T=0"),
    ],
    ids=["image", "None", "class", "scanner", "not callable"],
)
def test_a_model_needs_an_operator(other, got):
    message = rf"projector: expected an operator \(A\(x\), A.T, in_shape, out_shape, dtype\), got {got}"
    with pytest.raises(TypeError, match=message):
        pt.AcquisitionModel(other)
