"""Keras layers with the physics of a scan inside: projections, the EM step and the MAP-EM step.

Images enter as Keras has them, (batch, y, x, 1) for a scanner of one slice or (batch, z, y, x, 1), in units of one
fixed ``scale`` (activity that the network sees as 1). Sinograms never become tensors, but for the two layers whose very
output or input they are. The layers compute in float32 (their variables' dtype) also under mixed precision.

A saved model holds no scans: `attach` gives them to a loaded one.
"""

import numpy as np

from pettutor.arrays import array_module, find_cupy, is_cupy, to_numpy
from pettutor.networks.backend import load_keras
from pettutor.networks.physics.bridge import differentiable
from pettutor.networks.physics.scans import Scans

keras = load_keras()
ops = keras.ops


def attach(model, scans=None, operator=None):
    """Give scans, or an operator, to all layers of a model (or to one layer) that need them; returns the model.

    Parameters
    ----------
    model : keras.Model or keras.layers.Layer
    scans : Scans, optional
        For EM and MAP-EM steps.
    operator : operator, optional
        For forward and back projection.

    Raises
    ------
    TypeError
        Neither of the two, or things of another kind.
    ValueError
        No layer in there needs what was given.
    """
    if scans is None and operator is None:
        raise TypeError("attach: expected scans or an operator, got neither")
    if scans is not None and not isinstance(scans, Scans):
        raise TypeError(f"scans: expected pettutor.networks.Scans, got {scans!r:.80}")
    found = 0
    for layer in model._flatten_layers():
        if scans is not None and isinstance(layer, ScanLayer):
            layer.scans, found = scans, found + 1
        if operator is not None and isinstance(layer, OperatorLayer):
            layer.operator, found = operator, found + 1
    if not found:
        raise ValueError(f"attach: expected a model with layers for them, found none in {model.name!r}")
    return model


class PhysicsLayer(keras.layers.Layer):
    """What the layers share: float32 inside, no XLA on TensorFlow, shapes known without computing."""

    def __init__(self, **settings):
        super().__init__(autocast=False, **settings)
        if keras.backend.backend() == "tensorflow":
            self.supports_jit = False  # XLA has no way out of its graph there

    def _float(self, x):
        return ops.cast(x, self.variable_dtype)

    def _learnt(self, name, start):
        """A number to be learnt, which mixed precision does not round either."""
        return self.add_weight(shape=(), initializer=start, name=name, autocast=False)


# ---- projections -------------------------------------------------------------------------------------------------


class OperatorLayer(PhysicsLayer):
    """A layer on one operator, the same for every entry of a batch."""

    def __init__(self, operator=None, **settings):
        super().__init__(**settings)
        self.operator = operator

    def get_config(self):
        return {**super().get_config()}  # without the operator

    def _needed(self):
        if self.operator is None:
            raise ValueError(
                f"layer {self.name!r}: expected an operator, found none: a saved model holds none; give it one with "
                f"pettutor.networks.attach(model, operator=A)"
            )
        return self.operator

    def _apply(self, operator, x, shape):
        """Apply ``operator().many`` to a batch, with its adjoint as vector–Jacobian product."""

        def run(array, transposed):
            A = operator().T if transposed else operator()
            array = find_cupy().asarray(array) if getattr(A, "device", "cpu") == "cuda" else to_numpy(array)
            return A.many(array_module(array).ascontiguousarray(array, dtype=A.dtype))

        return differentiable(
            lambda a: run(a, False), lambda a, g: (run(g, True),), lambda s: (s[0], *shape)
        )(x)  # fmt: skip


@keras.saving.register_keras_serializable(package="pettutor")
class ForwardProjection(OperatorLayer):
    """``y = A x``: images (batch, [z,] y, x, 1) to sinograms (batch, plane, view, bin).

    The gradient is ``Aᵀ g``. This puts a sinogram into the graph; the EM layers do not.

    Parameters
    ----------
    operator : operator, optional
        A; not saved with the model, see `attach`.
    """

    def compute_output_spec(self, image):
        shape = self.operator.out_shape if self.operator is not None else (None, None, None)
        return keras.KerasTensor((image.shape[0], *shape), self.variable_dtype)

    def call(self, image):
        A = self._needed()
        stacked = ops.reshape(self._float(image), (-1, *A.in_shape))
        return self._apply(self._needed, stacked, A.out_shape)


@keras.saving.register_keras_serializable(package="pettutor")
class BackProjection(OperatorLayer):
    """``x = Aᵀ y``: sinograms (batch, plane, view, bin) to images (batch, z, y, x, 1), or (batch, y, x, 1).

    The gradient is ``A g``.

    Parameters
    ----------
    operator : operator, optional
        A; not saved with the model, see `attach`.
    slices : bool
        Images of one slice leave without the axis z.
    """

    def __init__(self, operator=None, slices=False, **settings):
        super().__init__(operator, **settings)
        self.slices = bool(slices)

    def get_config(self):
        return {**super().get_config(), "slices": self.slices}

    def compute_output_spec(self, sinogram):
        shape = self.operator.in_shape if self.operator is not None else (None, None, None)
        shape = shape[1:] if self.slices else shape
        return keras.KerasTensor((sinogram.shape[0], *shape, 1), self.variable_dtype)

    def call(self, sinogram):
        A = self._needed()
        if self.slices and A.in_shape[0] != 1:
            raise ValueError(f"layer {self.name!r}: slices=True: expected images of one slice, got {A.in_shape}")
        image = self._apply(lambda: self._needed().T, self._float(sinogram), A.in_shape)
        return ops.reshape(image, (-1, *(A.in_shape[1:] if self.slices else A.in_shape), 1))


# ---- steps of reconstruction -------------------------------------------------------------------------------------


class ScanLayer(PhysicsLayer):
    """A layer on `Scans`: every entry of a batch belongs to the scan whose number comes with it.

    Parameters
    ----------
    scans : Scans, optional
        Not saved with the model, see `attach`.
    scale : float
        Activity that the network sees as 1.

    Raises
    ------
    ValueError
        When called: no scans, or images of another shape than theirs.
    """

    def __init__(self, scans=None, scale=1.0, **settings):
        super().__init__(**settings)
        self.scans, self.scale = scans, float(scale)
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"scale: expected an activity > 0, got {scale!r}")
        self._ratio = {keep: differentiable(*self._crossing(keep)) for keep in (False, True)}
        self._sensitivity = differentiable(
            lambda numbers, image: self._needed().sensitivity(_flat(numbers)),
            lambda numbers, image, g: (None, array_module(g).zeros_like(g)),
            lambda numbers, image: image,
        )

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}

    def compute_output_spec(self, image, *others, **settings):
        return keras.KerasTensor(image.shape, self.variable_dtype)

    def _needed(self):
        if self.scans is None:
            raise ValueError(
                f"layer {self.name!r}: expected the data of scans, found none: a saved model holds none; give it some "
                f"with pettutor.networks.attach(model, scans)"
            )
        return self.scans

    def _crossing(self, keep):
        """E(x) and its vector–Jacobian product, looked up when they run: scans may be attached later."""

        def forward(numbers, images):
            return self._needed().em_ratio(_flat(numbers), images, keep=keep)

        def vjp(numbers, images, gradient):
            return None, self._needed().em_ratio_gradient(_flat(numbers), images, gradient)

        return forward, vjp, lambda numbers, images: images

    def em_image(self, image, scan, training):
        """``x_EM = x ⊙ E(x)`` and the sensitivity over its mean, both like the image."""
        in_shape = self._needed().in_shape  # said here: what a callback says comes wrapped in the framework's own error
        known = tuple(image.shape[1:-1]) if len(image.shape) == 5 else (1, *image.shape[1:-1])
        if in_shape is not None and None not in known and known != tuple(in_shape):
            raise ValueError(f"layer {self.name!r}: expected images of {in_shape} (the scans'), got {known}")
        shape = ops.shape(image)
        # rank 4 is (batch, y, x, 1), a slice each; rank 5 is (batch, z, y, x, 1)
        volume = (shape[0], 1, *shape[1:-1]) if len(shape) == 4 else shape[:-1]
        x = ops.reshape(image, volume)
        ratio = self._ratio[bool(training)](scan, x * self.scale)
        sensitivity = self._sensitivity(scan, ops.stop_gradient(x))
        return ops.reshape(x * ratio, shape), ops.reshape(ops.stop_gradient(sensitivity), shape)


def _flat(numbers):
    return to_numpy(numbers).reshape(-1) if not is_cupy(numbers) else numbers.get().reshape(-1)


@keras.saving.register_keras_serializable(package="pettutor")
class EMStep(ScanLayer):
    """One EM update, ``x_EM = (x/s) ⊙ Aᵀ(y/ȳ)`` with ``ȳ = A x + r``.

    ``EMStep(scans)(image, scan)``: image (batch, [z,] y, x, 1) over ``scale``, scan (batch,) or (batch, 1) whole
    numbers. The gradient with respect to the image is (derived)

        Jᵀg = g ⊙ e/s - Aᵀ[(y/ȳ²) ⊙ A(g ⊙ x/s)],   e = Aᵀ(y/ȳ).
    """

    def call(self, image, scan, training=None):
        return self.em_image(self._float(image), scan, training)[0]


@keras.saving.register_keras_serializable(package="pettutor")
class MAPEMStep(ScanLayer):
    """One MAP-EM update towards a reference image: De Pierro's step for the penalty ``ρ/2 ‖x - z‖²``.

    ``MAPEMStep(scans)(image, reference, scan)`` gives the positive root of ``ρ x² + (s - ρ z) x - s x_EM = 0`` in the
    form that loses nothing in float32. With ``D = 2ρx + s - ρz`` its derivatives are (derived)

        ∂x/∂x_EM = s/D,   ∂x/∂z = ρ x/D,   ∂x/∂ρ = x (z - x)/D.

    The strength is a number without unit, ``ρ = κ · mean(s)/scale``: near convergence the weights are 1/(1 + κ) on the
    data and κ/(1 + κ) on the reference, at any count level.

    Parameters
    ----------
    kappa : float
        κ, or where it starts.
    learn_kappa : bool
        Make κ a weight; it stays positive, as the softplus of what is learnt.

    In place of the layer's own κ a tensor may be given: ``layer(image, reference, scan, strength=κ)``, a scalar, one
    number an entry (batch, 1, …, 1), or an image.

    References
    ----------
    A. R. De Pierro, IEEE Trans. Med. Imaging 14(1):132, 1995.
    """

    def __init__(self, scans=None, scale=1.0, kappa=0.3, learn_kappa=False, **settings):
        super().__init__(scans, scale, **settings)
        if not (np.isfinite(kappa) and kappa > 0):
            raise ValueError(f"kappa: expected a number > 0, got {kappa!r}")
        self.kappa, self.learn_kappa = float(kappa), bool(learn_kappa)
        if self.learn_kappa:
            start = keras.initializers.Constant(float(np.log(np.expm1(self.kappa))))
            self.raw_kappa = self._learnt("raw_kappa", start)

    def get_config(self):
        return {**super().get_config(), "kappa": self.kappa, "learn_kappa": self.learn_kappa}

    def call(self, image, reference, scan, strength=None, training=None):
        em_image, s = self.em_image(self._float(image), scan, training)
        if strength is None:
            given = ops.convert_to_tensor(np.asarray(self.kappa, self.variable_dtype))
            strength = ops.softplus(self.raw_kappa) if self.learn_kappa else given
        return map_root(em_image, s, self._float(reference), self._float(strength))


def map_root(em_image, s, z, rho):
    """Positive root of ``ρ x² + (s - ρ z) x - s x_EM = 0``, with the derivatives of the root and not of its formula.

    The value is the stable form, kept out of the graph; what is added to it is zero, but has the right gradient. The
    formula's own gradient would be NaN where one of its branches divides 0 by 0. Where s = 0 the result is 0.
    """
    x_em, reference, strength = (ops.stop_gradient(t) for t in (em_image, z, rho))
    b = s - strength * reference
    D = ops.sqrt(b * b + 4 * strength * s * x_em)
    positive = b > 0
    inside = s > 0
    # where b <= 0 with s > 0, rho cannot be 0
    upper = 2 * s * x_em / ops.where(positive, D + b, 1)
    lower = (D - b) / ops.where(ops.logical_and(inside, ops.logical_not(positive)), 2 * strength, 1)
    x = ops.where(inside, ops.where(positive, upper, lower), 0)
    # ∂x/∂x_EM, ∂x/∂z and ∂x/∂ρ, each times what moves
    moved = s * (em_image - x_em) + strength * x * (z - reference) + x * (reference - x) * (rho - strength)
    return x + ops.where(inside, moved / ops.where(D > 0, D, 1), 0)


LEAST_SENSITIVITY = 0.3  # of the mean one


@keras.saving.register_keras_serializable(package="pettutor")
class GradientStep(ScanLayer):
    """The step of EM-Net, ``x⁺ = {x - α (x/s) [Aᵀ(1 - y/ȳ) + f]}₊``, which is ``{(1-α)x + α x_EM - α (x/s) f}₊``.

    ``GradientStep(scans)(image, f, scan)``; f is an image without unit, in shares of the mean sensitivity. α starts
    at 1 and is learnt, as the softplus of a weight: with f = 0 and α = 1 the step is that of MLEM.

    In the step of f, s is at least `LEAST_SENSITIVITY` of its mean (choice). A slice of the head has no less, but the
    end planes of a 3-D scanner have a twentieth: with x/s there, f multiplies the image in every unroll, without bound.
    """

    def __init__(self, scans=None, scale=1.0, **settings):
        super().__init__(scans, scale, **settings)
        start = keras.initializers.Constant(float(np.log(np.expm1(1.0))))
        self.raw_alpha = self._learnt("raw_alpha", start)

    def call(self, image, correction, scan, training=None):
        x = self._float(image)
        x_em, s = self.em_image(x, scan, training)
        alpha = ops.softplus(self.raw_alpha)
        inside = s > 0
        size = x / ops.maximum(s, LEAST_SENSITIVITY)  # the spatially adaptive step x/s
        moved = (1 - alpha) * x + alpha * x_em - alpha * size * self._float(correction)
        return ops.where(inside, ops.relu(moved), 0)
