"""DIPRecon: maximum likelihood over the images that a network can make from the patient's own MR."""

import copy
import dataclasses
from pathlib import Path

from pettutor.networks.fitting.admm import ConstrainedReconstruction, ConstrainedRecord
from pettutor.networks.fitting.admm_state import fingerprint
from pettutor.networks.fitting.deep_image_prior import DeepImagePrior, check_optimiser
from pettutor.networks.fitting.early_stopping import WindowedVariance
from pettutor.networks.fitting.optimisers import check_count
from pettutor.reconstruction.inputs import check_number
from pettutor.reconstruction.priors import strength


class DIPRecon(ConstrainedReconstruction):
    """A run of `diprecon` that can be looked into, interrupted, saved and continued.

    Parameters
    ----------
    y, A, mr, and all settings
        As for `diprecon`.

    Attributes
    ----------
    image : the reconstruction so far.
    state : x, mu, f, weights and more (`State`).
    record : as given, or a `ConstrainedRecord`.
    network : the Keras model with the present weights; its output times ``state.scale`` is f.

    Examples
    --------
    ``solver = DIPRecon(prompts, A, mr); x = solver.run(60); solver.save("run.npz")``, and another day
    ``x = DIPRecon.load("run.npz", prompts, A, mr).run(40)``: the same numbers as ``run(100)``.

    To choose the strength: ``solver.prepare(); runs = [solver.again(kappa=k) for k in (0.1, 0.3, 1.0)]``.
    """

    name = "DIPRecon"

    def __init__(
        self, y, A, mr=None, *, network=None, filters=None, optimiser="lbfgs", learning_rate=1e-2,
        reset_optimiser=False, seed=0, **settings,
    ):  # fmt: skip
        fit_settings = {"optimiser": check_optimiser(optimiser)}
        if optimiser == "adam":
            fit_settings["learning_rate"] = float(learning_rate)
        self.reset_optimiser = bool(reset_optimiser)
        self.seed = check_count(seed, "seed", 0)
        self._begun = None
        prior = DeepImagePrior(A.in_shape, mr, network=network, filters=filters, seed=seed, mask=settings.get("mask"))
        super().__init__(y, A, prior, fit_settings=fit_settings, **settings)

    @property
    def network(self):
        if self.state is not None:
            self.prior.keep(self.state.variables)
        return self.prior.function.model

    def prepare(self, progress=False):
        due = self.state is None
        super().prepare(progress)
        if due:
            self._begun = self.state

    prepare.__doc__ = ConstrainedReconstruction.prepare.__doc__

    def again(self, *, kappa):
        """A run from the same start with another strength; the fit to the start image is not done anew.

        Everything else is as here, with an empty `ConstrainedRecord` and stopping rule. The two runs share the network;
        ``network`` has the weights of the run that was asked last.

        Raises
        ------
        ValueError
            A strength that is not > 0; a run that has not begun, or not here but in a checkpoint or a record.
        """
        kappa = check_number(kappa, "kappa: expected a strength > 0", zero=False)
        if self._begun is None:
            raise ValueError("again: expected a run that has begun here (prepare() or run() comes first)")
        other = copy.copy(self)
        other.kappa, other.record, other.stopped = kappa, ConstrainedRecord(), False
        if self.stopping is not None:
            other.stopping = WindowedVariance(self.stopping.window, self.stopping.patience)
        rho = strength(kappa, self.sensitivity, self._begun.scale)
        other.state = other._begun = dataclasses.replace(self._begun, rho=rho)
        return other

    def settings(self):
        own = {"network input": fingerprint(self.prior.inputs), "reset_optimiser": self.reset_optimiser}
        return {**super().settings(), **own}

    def _carried(self, state):
        return {"moments": None if self.reset_optimiser else state.moments}

    @classmethod
    def load(cls, path, y, A, mr=None, **settings):
        """A run from the file that `save` wrote; data, network and settings are to be given again.

        Raises
        ------
        FileNotFoundError
        ValueError
            Not a checkpoint, or one of other data or settings.
        """
        return cls(y, A, mr, **settings).restore(path)


def diprecon(
    y,
    A,
    mr=None,
    *,
    iterations=100,
    network=None,
    filters=None,
    kappa=0.5,
    image_updates=2,
    fit_iterations=10,
    optimiser="lbfgs",
    learning_rate=1e-2,
    reset_optimiser=False,
    start=None,
    start_iterations=60,
    start_fit=300,
    scale=None,
    average_from=None,
    stopping=None,
    checkpoint=None,
    every=10,
    background=None,
    mask=None,
    sensitivity=None,
    record=None,
    callback=None,
    progress=False,
    seed=0,
):
    """Maximise ``L(y | x)`` subject to ``x = f(θ | z)``, z the patient's MR, by scaled ADMM; the result is f, not x.

    1. ``x ← argmax L(y | x) - ρ/2 |x - f(θ | z) + μ|²``: ``image_updates`` of `map_em`, ``f(θ | z) - μ`` held fixed;
    2. ``θ ← argmin |f(θ | z) - (x + μ)|²``: ``fit_iterations`` of L-BFGS from the present θ, with an empty memory
       since the target has changed;
    3. ``μ ← μ + x - f(θ | z)``.

    No training data, and no file between the halves of an iteration: everything stays in memory.

    Parameters
    ----------
    y : array of ``A.out_shape``
        Measured counts (prompts).
    A : operator
        As for `mlem`.
    mr : float array of ``A.in_shape``, or a tuple of several, optional
        The network's input, in any units (scaled to [0, 1]). None for random noise: the unconditional deep image
        prior.
    iterations : int
        At most so many; a run that the ``checkpoint`` or the ``record`` has begun goes on with so many more.
    network : keras.Model, optional
        See `DeepImagePrior`; default `dip_unet` with ``filters``. Afterwards it has the last weights.
    kappa : float
        > 0 and without unit: ``ρ = kappa · mean(s) / scale``. It mostly sets the speed; with much less than 0.3 the
        likelihood of f may fall on the way, as θ is fitted inexactly and μ collects the misfit.
    image_updates, fit_iterations : int
        2 and 10 in the paper.
    optimiser : "lbfgs" or "adam"
        For step 2. Adam takes ``learning_rate`` and keeps its averages of the gradient from one iteration to the next,
        unless ``reset_optimiser``.
    start : array of ``A.in_shape``, optional
        x⁰, in activity; by default the result of ``start_iterations`` of MLEM. θ⁰ is the fit to it by ``start_fit``
        iterations (0: none, the network's weights are θ⁰), and μ⁰ = 0.
    scale : float, optional
        Activity that the network sees as 1 and that sets ρ; by default the mean of x⁰ over its voxels above half of
        the mean of all (choice), about the mean over the head.
    average_from : int, optional
        The result is the mean of f from this iteration on, counted from 1: 67 for the last third of 100.
    stopping : WindowedVariance, optional
        Ends the run early; the result is then the image that it keeps.
    checkpoint : path, optional
        Written after each ``every`` iterations and at the end, in one piece or not at all. Where the file is there
        already the run goes on from it, to the same numbers as one long run.
    background, mask, sensitivity, progress
        As for `mlem`. Voxels that are not reconstructed do not enter the fit, and f is 0 there. The default network
        covers the smallest box around the mask: with the head's (``mu > 0``, a little wider) it takes less time and
        memory, and small things are a larger share of what it is fitted to. `in_box` does it for a network of your own.
    record : Record or ConstrainedRecord, optional
        Grows with the log-likelihood of **f** that enters each iteration, not of x, and with seconds; a
        `ConstrainedRecord` with more. Its ``coefficients`` hold the state: given again, the run goes on from there.
    callback : callable, optional
        ``callback(iteration, f)`` after every iteration, counted from 1.
    seed : int
        Draws the default network's weights, and the noise where there is no MR.

    Returns
    -------
    array of ``A.in_shape``
        Stopping by the keyboard gives back the last finished image and says so (before there is any, it raises
        KeyboardInterrupt).

    Raises
    ------
    TypeError, ValueError
        As `mlem`; an MR, a network or a checkpoint that does not belong here; settings out of range.
    FloatingPointError
        The network's loss is not finite.

    References
    ----------
    K. Gong, C. Catana, J. Qi, Q. Li, IEEE Trans. Med. Imaging 38(7):1655, 2019. A strength without unit, the default
    network sizes and the averaging are this library's choices.
    """
    solver = DIPRecon(
        y, A, mr, network=network, filters=filters, kappa=kappa, image_updates=image_updates,
        fit_iterations=fit_iterations, optimiser=optimiser, learning_rate=learning_rate,
        reset_optimiser=reset_optimiser, start=start, start_iterations=start_iterations, start_fit=start_fit,
        scale=scale, average_from=average_from, stopping=stopping, background=background, mask=mask,
        sensitivity=sensitivity, record=record, seed=seed,
    )  # fmt: skip
    if checkpoint is not None and Path(checkpoint).exists():
        solver.restore(checkpoint)
    return solver.run(iterations, callback=callback, progress=progress, checkpoint=checkpoint, every=every)
