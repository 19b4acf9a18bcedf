"""Maximum likelihood over the images that a network can make, by ADMM: the loop that such methods share."""

import contextlib
import io
from dataclasses import dataclass, field

import numpy as np
from tqdm.auto import tqdm

from pettutor.arrays import array_module, check_array, to_numpy
from pettutor.networks.fitting.admm_state import (
    State,
    fingerprint,
    read_checkpoint,
    state_arrays,
    state_from,
    write_checkpoint,
)
from pettutor.networks.fitting.optimisers import check_count
from pettutor.reconstruction.inputs import check_background, check_data, check_number
from pettutor.reconstruction.map_em import map_em
from pettutor.reconstruction.mlem import mlem
from pettutor.reconstruction.poisson import log_likelihood
from pettutor.reconstruction.priors import Reference, strength
from pettutor.reconstruction.record import Record


@dataclass
class ConstrainedRecord(Record):
    """A `Record` with what a constrained reconstruction has to tell beside.

    log_likelihood : of the *network's* image f that enters each iteration (entry 0: of the fit to the start image).
    x_log_likelihood : of the image x of the first half step that enters each iteration.
    gap : ``|x - f| / |f|`` after each iteration; it goes to 0.
    fit_loss : mean squared error of the fit after each iteration, in units of ``scale²``.
    evaluations : of the network's gradient in each iteration.
    coefficients : the `State` after the last iteration, to go on from.
    """

    x_log_likelihood: list = field(default_factory=list)
    gap: list = field(default_factory=list)
    fit_loss: list = field(default_factory=list)
    evaluations: list = field(default_factory=list)


CURVES = ("log_likelihood", "seconds", "x_log_likelihood", "gap", "fit_loss", "evaluations")


class ConstrainedReconstruction:
    """Maximise ``L(y | x)`` subject to ``x = f(v)`` by scaled ADMM, v being whatever the image f is a function of.

    1. ``x ← argmax L(y | x) - ρ/2 |x - f(v) + μ|²`` by ``image_updates`` MAP-EM updates with ``z = f(v) - μ``;
    2. ``v ← argmin |f(v) - (x + μ)|²`` by ``fit_iterations`` iterations from the present v;
    3. ``μ ← μ + x - f(v)``.

    `DIPRecon` and `NetworkInput` say what v and f are: their ``prior`` has ``scale``, ``start``, ``image(v)``,
    ``fit(v, target, voxels, iterations, …)`` and ``keep(v)``. Between the halves of an iteration nothing but arrays in
    memory moves.
    """

    name = "Constrained reconstruction"

    def __init__(
        self, y, A, prior, *, kappa=0.5, image_updates=2, fit_iterations=10, start=None, start_iterations=60,
        start_fit=300, scale=None, background=None, mask=None, sensitivity=None, average_from=None, stopping=None,
        record=None, fit_settings=None,
    ):  # fmt: skip
        self.y, self.A, self.prior = check_data(y, A), A, prior
        self.background = check_background(background, A, self.y)
        self.xp = array_module(self.y)
        self.mask = None if mask is None else check_array(mask, "mask", shape=A.in_shape, dtype=bool)
        self.kappa = check_number(kappa, "kappa: expected a strength > 0", zero=False)
        self.image_updates = check_count(image_updates, "image_updates")
        self.fit_iterations = check_count(fit_iterations, "fit_iterations")
        self.start_iterations = check_count(start_iterations, "start_iterations")
        self.start_fit = check_count(start_fit, "start_fit", 0)
        self.average_from = None if average_from is None else check_count(average_from, "average_from")
        self.start = start
        if start is not None:
            check_array(start, "start", shape=A.in_shape, dtype=A.dtype, nonnegative=True)
        self.scale = None if scale is None else check_number(scale, "scale: expected an activity > 0", zero=False)
        self._detected_only = sensitivity is not None  # list mode: y holds the lines that were, not all that could be
        if sensitivity is not None:
            check_array(sensitivity, "sensitivity", shape=A.in_shape, dtype=A.dtype, nonnegative=True)
        self._sensitivity, self.stopping = sensitivity, stopping
        self.fit_settings = dict(fit_settings or {})
        self.record = ConstrainedRecord() if record is None else record
        self.state = self.record.coefficients
        if self.state is not None and not isinstance(self.state, State):
            raise TypeError(f"record: expected one of {self.name}, got coefficients {self.state!r:.60}")
        self._s, self.stopped = None, False
        if self.state is not None:
            prior.scale = self.state.scale

    # ---- the steps ------------------------------------------------------------------------------------------------

    @property
    def sensitivity(self):
        """``s = Aᵀ1``, computed once; 0 outside the mask."""
        if self._s is None:
            s = self._sensitivity
            if s is None:
                s = self.A.T(self.xp.ones(self.A.out_shape, self.A.dtype))
            self._s = s if self.mask is None else s * self.mask
            if not bool((self._s > 0).any()):
                raise ValueError("A, mask: expected a voxel that the scanner sees, got none")
        return self._s

    def log_likelihood(self, image):
        """``Σ y log ȳ - ȳ`` of an image."""
        expected = self.A(image)
        expected += self.background
        return log_likelihood(self.y, expected, self._total(image) if self._detected_only else None)

    def prepare(self, progress=False):
        """The start: x = MLEM (where no ``start`` was given), v = fit to x, μ = 0. `run` does it where it is due."""
        if self.state is not None:
            return
        s, x = self.sensitivity, self.start
        if x is None:
            x = self._uninterrupted(mlem, iterations=self.start_iterations, progress=progress)
        x = x * (s > 0)
        scale = typical_activity(x, s) if self.scale is None else self.scale
        # ρ = κ · mean(s) / mean(x): near convergence data and network weigh as 1 to κ
        rho = strength(self.kappa, s, scale)
        self.prior.scale = scale
        v, moments = self._start_variables(x), None
        if self.start_fit:
            fit = self.prior.fit(v, to_numpy(x), to_numpy(s > 0), self.start_fit, **self.fit_settings)
            v, moments = fit.weights, fit.moments
        self.state = State(x, self.xp.zeros_like(x), self._image(v), v, scale, rho, moments)

    def _start_variables(self, x):
        return self.prior.start

    def _image(self, v, output=None):
        """f(v) on the device and in the dtype of the data, 0 where the scanner sees nothing.

        ``output`` is the network's, where a fit has it already.
        """
        image = self.prior.image(v) if output is None else self.prior.image(v, output)
        image = self.xp.asarray(image, dtype=self.A.dtype)
        return self.xp.where(self.sensitivity > 0, image, 0).astype(self.A.dtype)

    def _uninterrupted(self, method, *prior, iterations, progress=False, **settings):
        """Run `mlem` or `map_em`; where they end early because of the keyboard, so does the whole iteration."""
        record = settings.setdefault("record", Record())
        with contextlib.redirect_stdout(io.StringIO()):
            image = method(
                self.y, self.A, *prior, iterations=iterations, background=self.background, mask=self.mask,
                sensitivity=self.sensitivity, progress=progress, **settings,
            )  # fmt: skip
        if record.iterations < iterations:
            raise KeyboardInterrupt
        return image

    def _total(self, image):
        return float((self.sensitivity * image).sum(dtype="float64"))

    def _background_total(self):
        """Counts that `map_em`'s likelihood leaves out when it is given the sensitivity: those of the background."""
        if self._detected_only:
            return 0.0
        r = self.background
        return float(r.sum(dtype="float64")) if np.ndim(r) else float(r) * int(np.prod(self.A.out_shape))

    def _iterate(self, number):
        """One iteration from the present state: the new state and what the record gets."""
        state, inner = self.state, Record()
        likelihood = self.log_likelihood(state.f)
        # x ← argmax L(y | x) - ρ/2 |x - z|², z = f(v) - μ
        x = self._uninterrupted(
            map_em, Reference(state.f - state.mu, state.rho), iterations=self.image_updates, start=state.x, record=inner
        )
        # v ← argmin |f(v) - (x + μ)|²
        target, inside = to_numpy(x + state.mu), to_numpy(self.sensitivity > 0)
        fit = self.prior.fit(
            state.variables, target, inside, self.fit_iterations, **self.fit_settings, **self._carried(state)
        )
        f = self._image(fit.weights, fit.output)
        # μ ← μ + x - f(v)
        mu = state.mu + (x - f)
        total, averaged = state.total, state.averaged
        if self.average_from is not None and number >= self.average_from:
            total, averaged = (0 if total is None else total) + f.astype("float64"), averaged + 1
        gap = float(self.xp.linalg.norm((x - f).ravel()) / max(float(self.xp.linalg.norm(f.ravel())), 1e-30))
        new = State(x, mu, f, fit.weights, state.scale, state.rho, fit.moments, total, averaged)
        notes = {
            "log_likelihood": likelihood, "x_log_likelihood": inner.log_likelihood[0] - self._background_total(),
            "gap": gap, "fit_loss": fit.loss[-1], "evaluations": fit.evaluations,
        }  # fmt: skip
        return new, notes

    def _carried(self, state):
        return {}

    # ---- running --------------------------------------------------------------------------------------------------

    @property
    def image(self):
        """The reconstruction: f, or the mean of the averaged ones, or the one at which the stopping rule aims."""
        if self.stopped and self.stopping.best is not None:
            return self.xp.asarray(self.stopping.best, dtype=self.A.dtype)
        return None if self.state is None else self.state.image

    def run(self, iterations=100, *, callback=None, progress=False, checkpoint=None, every=10):
        """Do ``iterations`` more and return the reconstruction; see `diprecon` for what the arguments mean."""
        check_count(iterations, "iterations")
        check_count(every, "every")
        try:
            self.prepare(progress)
            for iteration in tqdm(range(1, iterations + 1), desc=self.name, disable=not progress, unit="iteration"):
                if self.stopped:
                    break
                finish = self.record.timed()
                state, notes = self._iterate(self.record.iterations + 1)
                self._commit(state, notes, finish)
                if checkpoint is not None and (self.record.iterations % every == 0 or iteration == iterations):
                    self.save(checkpoint)
                if callback is not None:
                    callback(iteration, state.f)
        except KeyboardInterrupt:
            if self.state is None:
                raise  # there is no image yet
            print(f"{self.name} stopped after {self.record.iterations} iterations; this is the last finished image")
        self.prior.keep(self.state.variables)
        return self.image

    def _commit(self, state, notes, finish):
        """Take over a finished iteration."""
        self.state = self.record.coefficients = state
        for name, value in notes.items():
            if hasattr(self.record, name):  # a plain Record has less
                getattr(self.record, name).append(value)
        finish()
        if self.stopping is not None:
            self.stopped = self.stopping(to_numpy(state.f))

    # ---- checkpoints ----------------------------------------------------------------------------------------------

    def settings(self):
        """What two runs must have in common to be continued as one: plain values."""
        return {
            "method": self.name, "kappa": self.kappa, "image_updates": self.image_updates,
            "fit_iterations": self.fit_iterations, "average_from": self.average_from, "counts": fingerprint(self.y),
            "background": fingerprint(self.background), "mask": fingerprint(self.mask),
            "stopping": None if self.stopping is None else [self.stopping.window, self.stopping.patience],
            "variables": len(self.prior.start), **self.fit_settings,
        }  # fmt: skip

    def save(self, path):
        """Write everything to go on from to one ``.npz`` file; a file of that name stays whole until the new one is."""
        if self.state is None:
            raise ValueError("save: expected a run that has begun (prepare() or run() comes first)")
        arrays = state_arrays(self.state)
        arrays |= {f"record_{name}": np.array(getattr(self.record, name, []), np.float64) for name in CURVES}
        if self.stopping is not None:
            arrays |= {f"stopping_{name}": value for name, value in self.stopping.state().items()}
        write_checkpoint(path, {**arrays, "stopped": np.array(self.stopped)}, self.settings())

    def restore(self, path):
        """Go on from a checkpoint.

        Raises
        ------
        FileNotFoundError
        ValueError
            Not such a file, or one of other data or settings; the message names them.
        """
        arrays = read_checkpoint(path, self.settings())
        self.state = self.record.coefficients = state_from(arrays, self.xp)
        self.prior.scale = self.state.scale
        self.prior.keep(self.state.variables)
        for name in CURVES:
            if hasattr(self.record, name):
                getattr(self.record, name)[:] = arrays[f"record_{name}"].tolist()
        if self.stopping is not None:
            self.stopping.restore(
                {name.removeprefix("stopping_"): v for name, v in arrays.items() if name.startswith("stopping_")}
            )
        self.stopped = bool(arrays["stopped"])
        return self


def typical_activity(x, sensitivity):
    """Mean of an image over the object: the voxels above half of the mean of all that the scanner sees (choice)."""
    inside = sensitivity > 0
    mean = float(x[inside].mean(dtype="float64"))
    if not mean > 0:
        raise ValueError("start: expected an image with some activity where the scanner sees, got none")
    return float(x[inside & (x > 0.5 * mean)].mean(dtype="float64"))
