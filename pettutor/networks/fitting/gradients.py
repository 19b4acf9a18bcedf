"""A Keras model as a function of NumPy vectors: its loss and gradient by the weights or by the input image.

What scipy's optimisers and the projector need of a network, on TensorFlow, JAX and PyTorch alike. Everything is
compiled once for a shape (tf.function, jax.jit), weights go in and gradients come out as one flat vector, and the model
itself is not touched: neither its weights, before they are set, nor its non-trainable state.
"""

import numpy as np

from pettutor.networks.backend import load_keras


class NetworkFunction:
    """``f(θ | z)`` of a Keras model with one input and one output, as a function of θ or of z.

    Parameters
    ----------
    model : keras.Model
        Built; its variables all of one dtype.
    training : bool
        How the model is called. True takes a batch normalisation's statistics from the batch itself, always: with
        one sample that is the only way for the fitted and the predicted image to agree. False for a trained network
        that is to be used as it is. Random layers (dropout) draw the same at every call.

    Raises
    ------
    TypeError, ValueError
        Not a Keras model, not built, several inputs or outputs, no trainable weights.
    """

    def __init__(self, model, training=True):
        keras = load_keras()
        if not isinstance(model, keras.Model):
            raise TypeError(f"model: expected a keras.Model, got {model!r:.80}")
        if not model.built:
            raise ValueError("model: expected one that is built (it knows its input shape), got one that is not")
        for name in ("input_shape", "output_shape"):
            if not _is_one_shape(getattr(model, name)):
                raise ValueError(f"model: expected one input and one output, got {name} {getattr(model, name)}")
        if not model.trainable_variables:
            raise ValueError("model: expected trainable weights, got none")
        self.model, self.training = model, bool(training)
        self.shapes = [tuple(v.shape) for v in model.trainable_variables]
        self.sizes = [int(np.prod(shape)) for shape in self.shapes]
        dtypes = {str(v.dtype) for v in model.trainable_variables}
        if len(dtypes) > 1:
            raise ValueError(f"model: expected weights of one dtype, got {' and '.join(sorted(dtypes))}")
        self.dtype = dtypes.pop()
        self._compiled = {}

    @property
    def weights(self):
        """The trainable weights as one vector, float64; setting it changes the model."""
        return np.concatenate([_numpy(v).ravel() for v in self.model.trainable_variables]).astype(np.float64)

    @weights.setter
    def weights(self, flat):
        flat = self._check_weights(flat)
        pieces = np.split(flat, np.cumsum(self.sizes)[:-1])
        for variable, piece, shape in zip(self.model.trainable_variables, pieces, self.shapes, strict=True):
            variable.assign(piece.reshape(shape).astype(self.dtype))

    def __call__(self, inputs, weights=None):
        """The output for an input (batch, …, channel), at the model's weights or at others: NumPy array."""
        weights = self.weights if weights is None else self._check_weights(weights)
        run = self._compile("output", lambda: _compiled(self._output))
        return _numpy(run(self._tensor(weights), self._state(), self._tensor(inputs)))

    def once(self, inputs):
        """The output for an input at the model's weights, computed without compiling anything: for a single call."""
        return _numpy(self._output(self._tensor(self.weights), self._state(), self._tensor(inputs)))

    def error_by_weights(self, inputs, target, voxel_weights=None):
        """``E(θ) = Σ_j w_j (f_j(θ | z) - t_j)² / Σ_j w_j`` as a function of the flat weights.

        Parameters
        ----------
        inputs : array (batch, …, channel)
        target : array of the output's shape
        voxel_weights : array of the output's shape, optional
            w >= 0 (default: all 1).

        Returns
        -------
        callable
            ``error(weights) -> (value, gradient)``: a float and a flat float64 vector.
        """
        run = self._compile("by weights", lambda: _value_and_gradient(self._error))
        rest = (self._state(), self._tensor(inputs), *self._target(inputs, target, voxel_weights))
        return lambda weights: _flat(run(self._tensor(self._check_weights(weights)), *rest))

    def error_by_input(self, target, voxel_weights=None, weights=None):
        """The same error as a function of the input: ``error(inputs) -> (value, gradient of the input's shape)``."""
        run = self._compile("by input", lambda: _value_and_gradient(self._error_of_input))
        theta = self._tensor(self.weights if weights is None else self._check_weights(weights))
        state = self._state()

        def error(inputs):
            inputs = np.asarray(inputs)
            aim = self._target(inputs, target, voxel_weights)
            value, gradient = _flat(run(self._tensor(inputs), theta, state, *aim))
            return value, gradient.reshape(inputs.shape)

        return error

    def pull_back(self, inputs, upstream, weights=None):
        """``J_θᵀ g``: the gradient by the weights of anything whose gradient by the output is g.

        Parameters
        ----------
        inputs : array (batch, …, channel)
        upstream : array of the output's shape
            g.
        weights : flat vector, optional
            Where J is taken (default: the model's).

        Returns
        -------
        float64 vector, as long as the weights.
        """
        run = self._compile("pull back", lambda: _value_and_gradient(self._product))
        theta = self._tensor(self.weights if weights is None else self._check_weights(weights))
        upstream = self._of_output_shape(inputs, upstream, "upstream")
        return _flat(run(theta, self._state(), self._tensor(inputs), upstream))[1]

    # ---- what is compiled: functions of tensors ----------------------------------------------------------------

    def _output(self, flat, state, inputs):
        ops = load_keras().ops
        pieces = ops.split(flat, np.cumsum(self.sizes)[:-1].tolist()) if len(self.sizes) > 1 else [flat]
        weights = [ops.reshape(piece, shape) for piece, shape in zip(pieces, self.shapes, strict=True)]
        # stateless: moving averages and random states that the call would change are dropped
        return self.model.stateless_call(weights, state, inputs, training=self.training)[0]

    def _error(self, flat, state, inputs, target, weights, total):
        ops = load_keras().ops
        difference = ops.cast(self._output(flat, state, inputs), self.dtype) - target
        return ops.sum(weights * difference * difference) / total

    def _error_of_input(self, inputs, flat, state, target, weights, total):
        return self._error(flat, state, inputs, target, weights, total)

    def _product(self, flat, state, inputs, upstream):
        ops = load_keras().ops
        return ops.sum(ops.cast(self._output(flat, state, inputs), self.dtype) * upstream)

    # ---- arrays in and out --------------------------------------------------------------------------------------

    def _compile(self, name, make):
        if name not in self._compiled:
            self._compiled[name] = make()
        return self._compiled[name]

    def _tensor(self, array):
        return load_keras().ops.convert_to_tensor(np.asarray(array, self.dtype))

    def _state(self):
        ops = load_keras().ops
        return [ops.convert_to_tensor(_numpy(v)) for v in self.model.non_trainable_variables]

    def _check_weights(self, flat):
        flat = np.asarray(flat)
        if flat.shape != (sum(self.sizes),):
            raise ValueError(f"weights: expected a vector of {sum(self.sizes)} numbers, got shape {flat.shape}")
        return flat

    def _of_output_shape(self, inputs, array, name):
        shape = (len(inputs), *self.model.compute_output_shape(np.shape(inputs))[1:])
        if np.shape(array) != shape:
            raise ValueError(f"{name}: expected shape {shape} (that of the output), got {np.shape(array)}")
        return self._tensor(array)

    def _target(self, inputs, target, voxel_weights):
        target = self._of_output_shape(inputs, target, "target")
        weights = np.ones(target.shape) if voxel_weights is None else np.asarray(voxel_weights, np.float64)
        weights_of_voxels = self._of_output_shape(inputs, weights, "voxel_weights")
        if not (weights.min() >= 0 and weights.sum() > 0):
            raise ValueError("voxel_weights: expected numbers >= 0, not all 0")
        return target, weights_of_voxels, self._tensor(weights.sum())


def as_function(model, training=True):
    """A `NetworkFunction` as it is, or one made of a Keras model."""
    return model if isinstance(model, NetworkFunction) else NetworkFunction(model, training)


def _is_one_shape(shape):
    return isinstance(shape, tuple) and all(n is None or isinstance(n, int) for n in shape)


def _numpy(tensor):
    return np.asarray(load_keras().ops.convert_to_numpy(tensor))


def _flat(value_and_gradient):
    value, gradient = value_and_gradient
    return float(_numpy(value)), _numpy(gradient).ravel().astype(np.float64)


def _compiled(function):
    """The function, compiled where the backend compiles, and without a graph for gradients."""
    backend = load_keras().backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(function, autograph=False)
    if backend == "jax":
        import jax

        return jax.jit(function)
    import torch

    return torch.no_grad()(function)


def _value_and_gradient(function):
    """A compiled function that gives ``function``'s value and its gradient by the first argument."""
    backend = load_keras().backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        def run(first, *rest):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(first)
                value = function(first, *rest)
            return value, tape.gradient(value, first, unconnected_gradients=tf.UnconnectedGradients.ZERO)

        return tf.function(run, autograph=False)
    if backend == "jax":
        import jax

        return jax.jit(jax.value_and_grad(function))
    import torch

    def run(first, *rest):
        first = first.detach().requires_grad_(True)
        value = function(first, *rest)
        (gradient,) = torch.autograd.grad(value, first, allow_unused=True, materialize_grads=True)
        return value.detach(), gradient

    return run
