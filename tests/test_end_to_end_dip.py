"""End-to-end deep image prior: the steps against plain NumPy, resuming, stopping, errors."""

import numpy as np
import pytest
from registry import MatrixOperator
from test_diprecon import BACKGROUND, COLUMNS, SHAPE, linear_network, problem, small_network
from test_networks import needs_keras

from pettutor.networks.end_to_end_dip import START_ITERATIONS, end_to_end_dip
from pettutor.networks.fitting.deep_image_prior import DeepImagePrior
from pettutor.networks.fitting.early_stopping import WindowedVariance
from pettutor.networks.fitting.optimisers import fit_lbfgs
from pettutor.reconstruction import Record, mlem

pytestmark = needs_keras


class Interleaved(MatrixOperator):
    """A dense matrix with subsets of every n-th view."""

    def subset(self, k, n):
        rows = np.arange(len(self.matrix)).reshape(self.out_shape)[:, k::n]
        return MatrixOperator(self.matrix[rows.ravel()], self.in_shape, rows.shape)


def adam_on_a_linear_network(y, A, columns, passes, subsets, rate, scale):
    """Weights after so many passes, the likelihoods on the way, and the images: all in NumPy."""
    theta, m, v, step = np.ones(columns.shape[1]), 0.0, 0.0, 0
    likelihoods, images = [], []
    rows = np.arange(y.size).reshape(A.out_shape)
    for _ in range(passes):
        total = 0.0
        for k in range(subsets):
            of = rows[:, k::subsets].ravel()
            system, counts = A.matrix[of] @ columns * scale, y.ravel()[of]
            expected = system @ theta + BACKGROUND
            total += (counts * np.log(expected) - expected).sum()
            g = subsets * system.T @ (1 - counts / expected) / y.sum()
            step += 1
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            theta = theta - rate * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-7)
        likelihoods.append(total)
        images.append(scale * (columns @ theta).reshape(SHAPE))
    return theta, likelihoods, images


@pytest.mark.parametrize("subsets", [1, 2])
def test_steps_are_adam_on_the_poisson_likelihood(subsets):
    y, A, _ = problem()
    A = Interleaved(A.matrix, A.in_shape, A.out_shape)
    columns = DeepImagePrior(SHAPE, network=linear_network(), seed=3).inputs.reshape(-1, COLUMNS).astype(float)
    record, network, got = Record(), linear_network(), []
    settings = {"subsets": subsets, "network": network, "learning_rate": 0.05, "scale": 3.0, "start_fit": 0}
    settings |= {"background": BACKGROUND, "seed": 3, "record": record, "callback": lambda k, f: got.append(f)}
    end_to_end_dip(y, A, iterations=2, **settings)
    image = end_to_end_dip(y, A, iterations=4, **settings)  # goes on where the record says
    theta, likelihoods, images = adam_on_a_linear_network(y, A, columns, 6, subsets, 0.05, 3.0)
    np.testing.assert_allclose(np.asarray(network.get_weights()[0]).ravel(), theta, rtol=1e-4)
    np.testing.assert_allclose(record.log_likelihood, likelihoods, rtol=1e-6)
    np.testing.assert_allclose(got, images, rtol=1e-4)
    assert np.array_equal(image, got[-1]) and record.log_likelihood[-1] > record.log_likelihood[0]


def settings_of_a_small_run(**settings):
    y, A, _ = problem(np.float32)
    mr = np.random.default_rng(9).random(SHAPE, dtype=np.float32)
    return (y, A, mr), {"network": small_network(), "background": BACKGROUND, "start_fit": 5, **settings}


def test_average_mask_and_keyboard(capsys):
    mask = np.ones(SHAPE, bool)
    mask[0, 1, 2:] = False
    data, settings = settings_of_a_small_run(mask=mask, average_from=2)
    images = []

    def stop(iteration, f):
        images.append(f)
        if iteration == 4:
            raise KeyboardInterrupt

    got = end_to_end_dip(*data, iterations=8, callback=stop, **settings)
    assert "End-to-end DIP stopped after 4 iterations" in capsys.readouterr().out
    np.testing.assert_allclose(got, np.mean(images[1:], axis=0), rtol=1e-6)
    assert (got[~mask] == 0).all() and (got[mask] > 0).all()


def test_it_starts_from_the_network_fitted_to_mlem():
    """One step of no length leaves what the run began with."""
    (y, A, mr), settings = settings_of_a_small_run(learning_rate=1e-12, scale=4.0)
    got = end_to_end_dip(y, A, mr, iterations=1, **settings)
    x = mlem(y, A, iterations=START_ITERATIONS, background=BACKGROUND)
    prior = DeepImagePrior(SHAPE, mr, network=small_network())
    unfitted = 4 * prior.image(prior.start)
    fit = fit_lbfgs(prior.function, prior.inputs, (x / 4)[..., None], iterations=5)
    np.testing.assert_allclose(got, 4 * prior.image(fit.weights), rtol=1e-4)
    assert ((got - x) ** 2).mean() < 0.7 * ((unfitted - x) ** 2).mean()


def test_early_stopping_gives_the_image_it_keeps():
    rule, images = WindowedVariance(2, 2), []

    class After3(WindowedVariance):
        def __call__(self, image):
            super().__call__(image)
            return len(self.variance) == 3

    rule = After3(2, 50)
    data, settings = settings_of_a_small_run(stopping=rule, record=Record())
    got = end_to_end_dip(*data, iterations=8, callback=lambda k, f: images.append(f), **settings)
    assert len(images) == 3 and np.array_equal(got, images[rule.best_iteration - 1])


def test_wrong_input_is_an_error_that_says_so():
    data, settings = settings_of_a_small_run()
    for change, words in (
        ({"iterations": 0}, "iterations"),
        ({"subsets": 0}, "subsets"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"scale": 0.0}, "scale"),
        ({"start": np.zeros(SHAPE, np.float32)}, "start: expected an image with some activity"),
    ):
        with pytest.raises(ValueError, match=words):
            end_to_end_dip(*data, **{"iterations": 1, **settings, **change})
    with pytest.raises(NotImplementedError, match="no subsets"):
        end_to_end_dip(*data, subsets=2, **settings)
    with pytest.raises(TypeError, match="record: expected one of end_to_end_dip"):
        end_to_end_dip(*data, record=Record(coefficients=3), **settings)
