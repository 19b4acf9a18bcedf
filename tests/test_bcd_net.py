"""BCD-Net: its denoiser against slow sums, its layer against the closed form, its training, its files."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from processes import run_python
from registry import MatrixOperator
from test_networks import needs_keras

from pettutor import networks
from pettutor.networks.bcd_net import BCDNet
from pettutor.networks.training import bcd_training
from pettutor.reconstruction import Record

pytestmark = needs_keras

BASIS = {2: 9, 3: 27}


def coding(dimensions, filters, size=3, seed=None, **settings):
    """The denoiser; with a seed its weights are drawn anew, thresholds between 0.1 and 0.8."""
    from pettutor.networks.parts.convolutional_coding import ConvolutionalCoding

    layer = ConvolutionalCoding(dimensions, filters, size, **settings)
    layer.build((None,) * (dimensions + 1) + (1,))
    if seed is not None:
        rng = np.random.default_rng(seed)
        encoder, decoder, alpha = layer.get_weights()
        layer.set_weights(
            [rng.normal(size=encoder.shape), rng.normal(size=decoder.shape), np.log(rng.uniform(0.1, 0.8, alpha.shape))]
        )
    return layer


def to_numpy(tensor):
    return networks.load_keras().ops.convert_to_numpy(tensor)


# ---- the denoiser ------------------------------------------------------------------------------------------------


def slow_denoiser(image, encoder, decoder, alpha):
    """``sum_k d_k * T(c_k * x, exp(alpha_k))`` for one image, by sums over the taps at every place, also outside."""
    size, d = len(encoder), image.ndim
    half, taps = size // 2, list(np.ndindex(*(size,) * d))

    def value(array, place):
        inside = all(0 <= p < n for p, n in zip(place, array.shape, strict=True))
        return array[place] if inside else 0.0

    result = np.zeros(image.shape)
    for k in range(encoder.shape[-1]):
        codes = np.zeros([n + 2 * half for n in image.shape])
        for place in np.ndindex(codes.shape):
            total = sum(
                encoder[tap][0, k] * value(image, tuple(p - 2 * half + t for p, t in zip(place, tap, strict=True)))
                for tap in taps
            )
            codes[place] = math.copysign(max(abs(total) - math.exp(alpha[k]), 0), total)
        for place in np.ndindex(image.shape):
            result[place] += sum(
                decoder[tap][k, 0] * codes[tuple(p + t for p, t in zip(place, tap, strict=True))] for tap in taps
            )
    return result


@pytest.mark.parametrize(("shape", "filters"), [((5, 4), 10), ((2, 3, 4), 27)])
def test_the_denoiser_is_its_slow_sum(shape, filters):
    layer = coding(len(shape), filters, seed=0, dtype="float64")
    images = np.random.default_rng(1).normal(size=(2, *shape))
    result = to_numpy(layer(images[..., None]))[..., 0]
    for image, u in zip(images, result, strict=True):
        expected = slow_denoiser(image, *layer.get_weights())
        assert (expected != 0).all()
        np.testing.assert_allclose(u, expected, rtol=1e-10, atol=1e-12)


def test_the_soft_threshold():
    """One filter of one voxel: the denoiser is the threshold itself."""
    layer = coding(2, 1, size=1, dtype="float64")
    layer.set_weights([np.ones((1, 1, 1, 1)), np.ones((1, 1, 1, 1)), np.log([0.5])])
    x = np.array([[-2.0, -0.5, -0.3, 0.0], [0.2, 0.5, 0.75, 3.0]])
    u = to_numpy(layer(x[None, ..., None]))[0, ..., 0]
    np.testing.assert_allclose(u, [[-1.5, 0, 0, 0], [0, 0, 0.25, 2.5]], atol=1e-15)


@pytest.mark.parametrize(("dimensions", "filters"), [(2, 9), (2, 14), (3, 27), (3, 78)])
def test_without_a_threshold_it_starts_as_an_identity(dimensions, filters):
    layer = coding(dimensions, filters)
    image = np.random.default_rng(2).normal(size=(1, *(2, 5, 4)[-dimensions:], 1)).astype(np.float32)
    np.testing.assert_allclose(to_numpy(layer(image)), image, atol=1e-5)
    encoder, decoder, alpha = layer.get_weights()
    count = BASIS[dimensions]
    c = encoder.reshape(count, filters).T
    np.testing.assert_allclose(c[:count] @ c[:count].T, np.eye(count), atol=1e-6)  # orthonormal
    np.testing.assert_allclose(np.linalg.norm(c, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(decoder.reshape(count, filters).T[:count], c[:count, ::-1] / count, atol=1e-7)
    assert (np.exp(alpha) < 1e-8).all()


def test_a_layer_has_4290_parameters():
    assert coding(3, 78).count_params() == 4290 == 27 * 78 * 2 + 78
    assert coding(2, 27).count_params() == 27 * (2 * 9 + 1)


@pytest.mark.parametrize(("dimensions", "filters"), [(2, 9), (3, 27)])
def test_gradients_of_the_denoiser_against_finite_differences(dimensions, filters):
    """A step of gradient descent with the rate 1 takes the gradient off the weights."""
    keras = networks.load_keras()
    layer = coding(dimensions, filters, seed=3, dtype="float64")
    rng = np.random.default_rng(4)
    shape = (1, *(3, 4, 3)[-dimensions:], 1)
    x, y = rng.normal(size=shape), rng.normal(size=shape)
    image = keras.Input(shape[1:], dtype="float64")
    model = keras.Model(image, layer(image))
    weights = layer.get_weights()

    def loss(changed):
        layer.set_weights(changed)
        return float(np.mean((to_numpy(layer(x)) - y) ** 2))

    slopes = []
    for number, step in ((0, 1e-5), (1, 1e-5), (2, 1e-5)):
        for place in rng.choice(weights[number].size, 6, replace=False):
            ends = []
            for sign in (1, -1):
                changed = [w.copy() for w in weights]
                changed[number].flat[place] += sign * step
                ends.append(loss(changed))
            slopes.append((number, place, (ends[0] - ends[1]) / (2 * step)))
    layer.set_weights(weights)
    model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=False)
    model.train_on_batch(x, y)
    gradient = [before - after for before, after in zip(weights, layer.get_weights(), strict=True)]
    sizes = [np.abs(g).max() for g in gradient]
    for number, place, slope in slopes:
        # Keras takes the loss in float32
        assert gradient[number].flat[place] == pytest.approx(slope, rel=1e-4, abs=1e-5 * sizes[number])


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((4, 9), ValueError, "dimensions: expected 2 or 3, got 4"),
        ((2, 8), ValueError, "filters: expected at least 9"),
        ((3, 26), ValueError, "filters: expected at least 27"),
        ((2, 9, 2), ValueError, "size: expected an odd number of voxels, got 2"),
        ((2, 9.5), TypeError, "filters: expected a whole number, got 9.5"),
    ],
)
def test_bad_denoisers(arguments, kind, message):
    with pytest.raises(kind, match=message):
        coding(*arguments)


def test_the_denoiser_in_a_keras_file(tmp_path):
    keras = networks.load_keras()
    image = keras.Input((None, None, 1))
    model = keras.Model(image, coding(2, 10, seed=5)(image))
    model.save(tmp_path / "denoiser.keras")
    x = np.random.default_rng(6).random((2, 5, 4, 1), dtype=np.float32)
    read = keras.saving.load_model(tmp_path / "denoiser.keras")
    np.testing.assert_array_equal(to_numpy(read(x)), to_numpy(model(x)))


# ---- a layer and a reconstruction --------------------------------------------------------------------------------


class Counting(MatrixOperator):
    """Counts projections and back projections."""

    forward = back = 0

    def _forward(self, x):
        self.forward += 1
        return super()._forward(x)

    def _adjoint(self, y):
        self.back += 1
        return super()._adjoint(y)


def scan(seed, shape=(2, 6, 5), counts=30.0):
    """(prompts, A), start image and truth: bright blocks seen through a random matrix, with background."""
    rng = np.random.default_rng(seed)
    truth = np.full(shape, 2.0, np.float32)
    z, y, x = (rng.integers(0, n - n // 2) for n in shape)
    truth[z:, y : y + shape[1] // 2, x : x + shape[2] // 2] = 10
    rows = 3 * truth.size
    matrix = rng.random((rows, truth.size)) * (rng.random((rows, truth.size)) < 0.15) * counts / 30
    A = Counting(matrix.astype(np.float32), shape, (3, 1, truth.size))
    A.background = (1 + rng.random(A.out_shape)).astype(np.float32)
    prompts = rng.poisson(A(truth) + A.background).astype(np.float32)
    start = (truth * rng.lognormal(0, 0.3, shape)).astype(np.float32)
    A.forward = A.back = 0
    return (prompts, A), start, truth


def group(*seeds, **settings):
    return tuple(map(list, zip(*(scan(seed, **settings) for seed in seeds), strict=True)))


def trained(layers=2, dimensions=2, filters=None, seed=0, **settings):
    """A network with random weights, not far from an identity."""
    network = BCDNet(dimensions, filters or BASIS[dimensions], 3, layers, scale=4.0, **settings)
    rng = np.random.default_rng(seed)
    for _ in range(layers):
        encoder, decoder, alpha = coding(dimensions, network.filters).get_weights()
        jitter = [rng.normal(1, 0.1, w.shape).astype(np.float32) for w in (encoder, decoder)]
        network.weights.append((encoder * jitter[0], decoder * jitter[1], np.full_like(alpha, np.log(0.2))))
    return network


def test_a_layer_is_one_map_em_step_towards_the_denoised_image():
    (prompts, A), start, _ = scan(0)
    network = trained(layers=1, kappa=0.7)
    image = network.reconstruct(prompts, A, start)
    matrix, y, r = (np.asarray(v, float) for v in (A.matrix, prompts.ravel(), A.background.ravel()))
    x = start.astype(float)
    u = np.stack([slow_denoiser(slice_ / 4.0, *network.weights[0]) for slice_ in x]) * 4.0
    s = matrix.sum(axis=0).reshape(x.shape)
    em = x / s * (matrix.T @ (y / (matrix @ x.ravel() + r))).reshape(x.shape)
    rho = 0.7 * s.mean() / 4.0  # 2 beta
    b = s - rho * u
    np.testing.assert_allclose(image, (-b + np.sqrt(b**2 + 4 * rho * s * em)) / (2 * rho), rtol=1e-4)
    assert image.dtype == np.float32 and np.abs(image / start - 1).max() > 0.05


def test_the_layers_follow_each_other_and_are_told_about():
    (prompts, A), start, _ = scan(1)
    network, record, seen = trained(layers=3), Record(), []
    image = network.reconstruct(prompts, A, start, record=record, callback=lambda n, x: seen.append((n, x)))
    assert [n for n, _ in seen] == [1, 2, 3] and seen[-1][1] is image
    # one projection and one back projection a layer, and the sensitivity once
    assert (A.forward, A.back) == (3, 4)
    np.testing.assert_array_equal(seen[1][1], network.reconstruct(prompts, A, start, layers=2))
    for x, likelihood in zip([start, seen[0][1], seen[1][1]], record.log_likelihood, strict=True):
        mean = (A(x) + A.background).astype(float)
        assert likelihood == pytest.approx(float((prompts * np.log(mean) - mean).sum()), rel=1e-6)
    assert len(record.seconds) == 3
    # the second layer has its own weights
    network.weights[1] = network.weights[0]
    assert np.abs(network.reconstruct(prompts, A, start, layers=2) - seen[1][1]).max() > 1e-3


def test_stopping_by_the_keyboard(capsys):
    """In a callback or in the middle of a projection: the last finished image, and one line about it."""
    (prompts, A), start, _ = scan(3)
    network, seen = trained(layers=4), []

    def stop(layer, image):
        seen.append(image)
        if layer == 2:
            raise KeyboardInterrupt

    assert network.reconstruct(prompts, A, start, callback=stop) is seen[1]

    class Interrupted(Counting):
        def _forward(self, x):
            if self.forward == 2:
                raise KeyboardInterrupt
            return super()._forward(x)

    B = Interrupted(A.matrix, A.in_shape, A.out_shape)
    B.background, record = A.background, Record()
    np.testing.assert_array_equal(network.reconstruct(prompts, B, start, record=record), seen[1])
    assert len(record.log_likelihood) == record.iterations == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["BCD-Net stopped after 2 layers; this is the last finished image"] * 2


def test_kappa_goes_with_the_counts():
    """A hundred times the counts, without noise: the same image, since rho grows with the sensitivity."""
    images = []
    for factor in (1.0, 100.0):
        (_, A), start, truth = scan(2)
        A.matrix, A.background = A.matrix * np.float32(factor), A.background * np.float32(factor)
        images.append(trained(kappa=2.0).reconstruct(A(truth) + A.background, A, start))
    np.testing.assert_allclose(images[1], images[0], rtol=1e-4)


def test_a_volume_is_denoised_in_blocks_of_planes_as_in_one():
    network = trained(layers=1, dimensions=3)
    image = np.random.default_rng(7).random((19, 5, 4), dtype=np.float32)
    layer = coding(3, 27)
    layer.set_weights(network.weights[0])
    whole = to_numpy(layer(image[None, ..., None] / 4))[0, ..., 0] * 4
    np.testing.assert_allclose(network.denoise(image, 1), whole, rtol=1e-4, atol=1e-5)


def test_slices_are_denoised_one_by_one():
    network = trained(layers=1, dimensions=2)
    image = np.random.default_rng(8).random((11, 5, 4), dtype=np.float32)
    single = np.concatenate([network.denoise(image[k : k + 1].copy(), 1) for k in range(11)])
    np.testing.assert_allclose(network.denoise(image, 1), single, rtol=1e-5, atol=1e-6)


# ---- training ----------------------------------------------------------------------------------------------------


def fitted(layers=3, checkpoint=None, callback=None, **changes):
    network = BCDNet(2, 10, 3, layers, scale=4.0, kappa=1.0)
    settings = {"validation": group(13), "epochs": 12, "batch_size": 3, "seed": 5} | changes
    return network.fit(*group(10, 11, 12), checkpoint=checkpoint, callback=callback, **settings)


@pytest.fixture(scope="module")
def whole():
    """A training that nothing interrupts, and what its callback saw."""
    seen = []
    network = fitted(callback=lambda layer, record: seen.append((layer, len(record.training))))
    return network, seen


def test_training_brings_images_nearer_to_the_truth(whole):
    network, seen = whole
    record = network.record
    assert seen == [(1, 2), (2, 3), (3, 4)] and len(network.weights) == 3
    assert len(record.training) == len(record.validation) == 4 and len(record.loss) == len(record.seconds) == 3
    assert record.training[1] < 0.95 * record.training[0] and record.training[3] < record.training[1]
    # the record is of what `reconstruct` gives
    (pair,), (start,), (truth,) = group(13)
    assert record.validation[0] == pytest.approx(float(np.sqrt(np.mean((start - truth) ** 2))), rel=1e-6)
    image = network.reconstruct(*pair, start)
    assert record.validation[3] == pytest.approx(float(np.sqrt(np.mean((image - truth) ** 2))), rel=1e-5)


def test_the_validation_scans_change_nothing(whole):
    alone = fitted(layers=1, validation=None)
    assert alone.record.validation == []
    for a, b in zip(alone.weights[0], whole[0].weights[0], strict=True):
        np.testing.assert_array_equal(a, b)


class Stop(Exception):
    pass


def scripted(monkeypatch, *errors):
    """Trainings see these validation errors, the first of them at the start images."""

    def note(self, groups, images):
        self.record.training.append(1.0)
        self.record.validation.append(errors[len(self.record.validation)])

    monkeypatch.setattr(BCDNet, "_note", note)


@pytest.mark.parametrize("stopped", [False, True])
def test_patience_ends_the_training_and_keeps_the_layers_up_to_the_best(whole, monkeypatch, tmp_path, stopped):
    def stop(layer, record):
        if layer == 3:
            raise Stop

    scripted(monkeypatch, 5.0, 4.0, 3.0, 3.5, 3.2, 1.0, 0.5)
    settings = {"layers": 6, "patience": 2, "checkpoint": tmp_path / "checkpoint.npz"}
    if stopped:
        with pytest.raises(Stop):
            fitted(callback=stop, **settings)
    network = fitted(**settings)
    assert network.record.validation == [5.0, 4.0, 3.0, 3.5, 3.2] and len(network.record.seconds) == 4
    assert len(network.weights) == 2
    for mine, theirs in zip(network.weights, whole[0].weights[:2], strict=True):
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert len(fitted(**settings).weights) == 2  # what a finished checkpoint gives


def test_patience_with_nothing_gained_keeps_one_layer(monkeypatch):
    scripted(monkeypatch, 1.0, 2.0, 3.0)
    network = fitted(epochs=1, patience=2)
    assert network.record.validation == [1.0, 2.0, 3.0] and len(network.weights) == 1
    scripted(monkeypatch, 3.0, 2.0, np.nan, np.nan)
    assert len(fitted(epochs=1, patience=2).weights) == 1  # what is no number is not the best
    scripted(monkeypatch, 3.0, 2.0, 1.5, 1.0)
    assert len(fitted(epochs=1, patience=1).weights) == 3  # it went on getting better: all of them


def test_patience_that_cannot_be():
    with pytest.raises(ValueError, match="patience: expected validation scans with it, got patience=2 without"):
        fitted(patience=2, validation=None)
    with pytest.raises(ValueError, match="patience: expected a whole number >= 1, got 0"):
        fitted(patience=0)


def blocks_of(shape, dimensions, planes):
    rng = np.random.default_rng(9)
    images, truths = ([rng.random(shape, dtype=np.float32) for _ in range(2)] for _ in range(2))
    return images, truths, bcd_training._Blocks(images, truths, dimensions, planes, margin=2)


def test_the_first_step_moves_the_weights_by_their_learning_rates():
    """Adam's first step is the learning rate, up or down, wherever there is a gradient."""
    images, truths, _ = blocks_of((2, 6, 5), 2, 1)
    images, truths = ([1000 * x for x in volumes] for volumes in (images, truths))  # gradients far above Adam's epsilon
    training = bcd_training.LayerTraining(2, 9, 3, batch_size=4, planes=1)
    encoder, decoder, alpha = coding(2, 9).get_weights()
    first = (encoder, decoder, alpha * 0 - 2)
    after, _ = training.train(images, truths, weights=first, epochs=1, seed=0)
    for before, moved, rate in zip(first, after, (1e-2, 1e-3, 1e-1), strict=True):
        np.testing.assert_allclose(np.abs(moved - before), rate, rtol=0.02)
    again, _ = training.train(images, truths, weights=first, epochs=1, seed=0)  # nothing is left of the step before
    for a, b in zip(after, again, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_first_thresholds_are_a_percentile_of_the_codes():
    images, _, blocks = blocks_of((3, 6, 5), 2, 1)
    training = bcd_training.LayerTraining(2, 12, 3, batch_size=4, planes=1)
    encoder, _, alpha = training._first(blocks)
    codes = []
    for image in np.concatenate(images):
        padded = np.pad(image.astype(float), 2)
        for y, x in np.ndindex(8, 7):  # all filters but the constant one, and the further ones
            codes += [abs((padded[y : y + 3, x : x + 3] * encoder[:, :, 0, k]).sum()) for k in range(1, 9)]
    np.testing.assert_allclose(np.exp(alpha), np.percentile(codes, 90), rtol=1e-5)
    np.testing.assert_allclose(np.ptp(encoder[:, :, 0, 0]), 0, atol=1e-6)  # the constant one


def test_blocks_of_planes_cover_the_volumes_and_see_their_neighbours():
    images, truths, blocks = blocks_of((7, 5, 4), 3, 3)
    assert [begin for number, begin in blocks.places if number == 0] == [0, 3, 4]
    x, y = blocks[[1, 5]]
    np.testing.assert_array_equal(y[..., 0], [truths[0][3:6], truths[1][4:7]])
    training = bcd_training.LayerTraining(3, 27, 3, batch_size=1, planes=3)
    training.coding.set_weights(trained(layers=1, dimensions=3).weights[0])
    whole = to_numpy(training.coding(np.stack(images)[..., None]))
    result = to_numpy(training.model(x))
    np.testing.assert_allclose(result[0], whole[0, 3:6], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(result[1], whole[1, 4:7], rtol=1e-4, atol=1e-5)


def test_volumes_are_trained_on_in_3d():
    scans, starts, truths = group(20, 21, shape=(5, 6, 4))
    network = BCDNet(3, 27, 3, 1, scale=4.0).fit(scans, starts, truths, epochs=8, planes=3)
    assert network.record.training[1] < network.record.training[0]


@pytest.mark.parametrize("after", [1, 2])
def test_an_interrupted_training_goes_on_to_the_same_numbers(whole, tmp_path, after):
    def stop(layer, record):
        if layer == after:
            raise Stop

    path = tmp_path / "checkpoint.npz"
    with pytest.raises(Stop):
        fitted(checkpoint=path, callback=stop)
    seen = []
    network = fitted(checkpoint=path, callback=lambda layer, record: seen.append(layer))
    assert seen == [1, 2, 3][after:]
    np.testing.assert_allclose(network.record.training, whole[0].record.training, rtol=1e-6)
    np.testing.assert_allclose(network.record.validation, whole[0].record.validation, rtol=1e-6)
    np.testing.assert_allclose(network.record.loss, whole[0].record.loss, rtol=1e-5)
    for mine, theirs in zip(network.weights, whole[0].weights, strict=True):
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    path = tmp_path / "checkpoint.npz"
    fitted(layers=1, checkpoint=path)
    for changes in ({"seed": 6}, {"epochs": 13}, {"validation": group(14)}):
        with pytest.raises(ValueError, match="checkpoint: expected one of this training"):
            fitted(layers=1, checkpoint=path, **changes)
    assert len(fitted(layers=2, checkpoint=path).weights) == 2  # more layers are the same training
    with pytest.raises(ValueError, match="expected at most 1 layers, got 2"):
        fitted(layers=1, checkpoint=path)


# ---- files -------------------------------------------------------------------------------------------------------


def test_saved_and_read(whole, tmp_path):
    network = whole[0]
    path = network.save(tmp_path / "bcd.npz")
    assert [p.name for p in tmp_path.iterdir()] == ["bcd.npz"]
    read = BCDNet.load(path)
    assert read._config() == network._config() and read.record == network.record
    (pair,), (start,), _ = group(13)
    np.testing.assert_array_equal(read.reconstruct(*pair, start), network.reconstruct(*pair, start))
    assert repr(read) == "<BCDNet 2-D, 10 filters of size 3, 3 of 3 layers trained>"


def test_thirty_layers_of_random_weights_take_less_than_a_megabyte(tmp_path):
    network = BCDNet()
    rng = np.random.default_rng(0)
    shapes = [(3, 3, 3, 1, 78), (3, 3, 3, 78, 1), (78,)]
    network.weights = [tuple(rng.normal(size=s).astype(np.float32) for s in shapes) for _ in range(30)]
    assert network.save(tmp_path / "large.npz").stat().st_size < 1_000_000


def test_wrong_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected the file of a BCD-Net, got no such file"):
        BCDNet.load(tmp_path / "none.npz")
    text = tmp_path / "text.npz"
    text.write_text("no network")
    other = tmp_path / "other.npz"
    np.savez(other, a=np.ones(3))
    version = tmp_path / "version.npz"
    np.savez(version, words=np.array(json.dumps({"format": "another"})))
    cut = trained().save(tmp_path / "cut.npz")
    cut.write_bytes(cut.read_bytes()[:-200])
    for path in (text, other, version, cut):
        with pytest.raises(ValueError, match=rf"{path.name}: expected the file of a BCD-Net, got another or a damaged"):
            BCDNet.load(path)
    with pytest.raises(FileNotFoundError, match=r"expected a folder to write bcd\.npz into"):
        trained().save(tmp_path / "nowhere" / "bcd.npz")


# ---- wrong input, other backends ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dimensions": 1}, "dimensions: expected 2 or 3, got 1"),
        ({"filters": 26}, "expected an odd size and at least size\\^3 filters"),
        ({"size": 2}, "expected an odd size"),
        ({"layers": 0}, "layers: expected a whole number >= 1, got 0"),
        ({"kappa": -1}, "kappa: expected a number >= 0, got -1"),
        ({"scale": 0}, "scale: expected an activity > 0, got 0"),
    ],
)
def test_bad_networks(settings, message):
    with pytest.raises(ValueError, match=message):
        BCDNet(**settings)


def test_bad_data():
    network = BCDNet(2, 9, 3, 1)
    (pair, _), starts, truths = group(0, 1)
    with pytest.raises(RuntimeError, match="call fit or load"):
        network.reconstruct(*pair, starts[0])
    with pytest.raises(ValueError, match=r"training: expected as many scans as start images and truths.*got 1, 2"):
        network.fit([pair], starts, truths)
    with pytest.raises(ValueError, match="got 0, 0 and 0"):
        network.fit([], [], [])
    other, start, truth = scan(2, shape=(3, 4, 5))
    with pytest.raises(ValueError, match=r"images of one shape, got \(2, 6, 5\) and \(3, 4, 5\)"):
        network.fit([pair, other], [starts[0], start], [truths[0], truth])
    with pytest.raises(ValueError, match="validation, start 1: expected values >= 0"):
        network.fit([pair], starts[:1], truths[:1], validation=([pair], [-starts[0]], truths[:1]))
    with pytest.raises(ValueError, match="prompts: expected shape"):
        trained().reconstruct(pair[0][:1], pair[1], starts[0])
    with pytest.raises(ValueError, match="layers: expected at most 2"):
        trained().reconstruct(*pair, starts[0], layers=3)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_another_backend_reads_it_and_trains_alike(whole, tmp_path, backend):
    pytest.importorskip(backend)
    path = whole[0].save(tmp_path / "bcd.npz")
    (pair,), (start,), _ = group(13)
    np.save(tmp_path / "image.npy", whole[0].reconstruct(*pair, start))
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import numpy as np
import test_bcd_net as t
t.networks.load_keras()
assert t.networks.choose_backend() == {backend!r}
(pair,), (start,), _ = t.group(13)
image = t.BCDNet.load({str(path)!r}).reconstruct(*pair, start)
np.testing.assert_allclose(image, np.load({str(tmp_path / "image.npy")!r}), rtol=1e-4)
record = t.fitted(layers=2, validation=None).record
np.testing.assert_allclose(record.training, {whole[0].record.training[:3]!r}, rtol=1e-2)
print("agreed")
"""
    assert run_python(code, KERAS_BACKEND=backend).splitlines()[-1] == "agreed"
