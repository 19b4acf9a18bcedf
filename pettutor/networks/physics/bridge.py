"""The bridge: functions on arrays with a hand-written vector–Jacobian product, made differentiable in Keras.

A framework differentiates only what it computed itself. A projector is not of that kind, and need not be: what a
network needs of ``y = f(x)`` is ``f`` and, on the way back, ``Jᵀg`` for the gradient ``g`` of the loss with respect to
``y``. Both are handed to the framework here, on TensorFlow, JAX and PyTorch alike. Only the arguments and the result
cross; whatever ``f`` needs inside (sinograms) stays outside the graph.

On the CPU arrays cross without a copy where the framework allows it. Where framework and projector share a GPU they
cross by DLPack (TensorFlow, PyTorch); JAX hands its callbacks copies on the host.
"""

import sys

import numpy as np

from pettutor.arrays import array_module, find_cupy, is_cupy, to_numpy
from pettutor.networks.backend import load_keras


def differentiable(forward, vjp, output_shape):
    """Make a function on arrays differentiable in the Keras backend that runs.

    Parameters
    ----------
    forward : callable
        ``forward(*arrays)`` gives an array. NumPy arrays come in, or CuPy arrays where the tensors lie on a GPU and
        the framework can share them; NumPy or CuPy may go out.
    vjp : callable
        ``vjp(*arrays, gradient)`` gives ``Jᵀ gradient`` for every argument: a tuple, with None where there is none (an
        argument of whole numbers).
    output_shape : callable
        ``output_shape(*shapes)`` gives the shape of the result from those of the arguments; sizes may be None.

    Returns
    -------
    callable
        From tensors to a tensor of the dtype of the last argument. It may be called eagerly, in a traced graph
        (``tf.function``) or under ``jax.jit``; ``forward`` has to be a function of its arguments alone, since a
        framework may call it once more or leave it out. Second derivatives are not there.

    Raises
    ------
    ImportError
        No Keras or no backend here.
    """
    backend = load_keras().backend.backend()
    return {"tensorflow": _in_tensorflow, "jax": _in_jax, "torch": _in_torch}[backend](forward, vjp, output_shape)


def _gradients(vjp, arrays, gradient):
    """``vjp``, or NaN where the gradient that comes in is not finite.

    In 16 bits that is no error: the loss is scaled up until its gradient overflows, and the optimiser leaves such a
    step out. A projector would refuse the numbers.
    """
    xp = array_module(gradient)
    if not bool(xp.isfinite(gradient).all()):
        return tuple(xp.full_like(a, np.nan) if np.issubdtype(a.dtype, np.floating) else None for a in arrays)
    found = vjp(*arrays, gradient)
    if len(found) != len(arrays):
        raise ValueError(f"vjp: expected {len(arrays)} gradients, one for each argument, got {len(found)}")
    return found


# ---- TensorFlow --------------------------------------------------------------------------------------------------


def _in_tensorflow(forward, vjp, output_shape):
    import tensorflow as tf

    def run(function, tensors, dtypes):
        """Call ``function`` outside the graph, eagerly or when the graph runs."""
        if find_cupy() is not None and tf.config.list_logical_devices("GPU"):
            # py_function keeps tensors on their device, where DLPack can hand them over
            def share(*eager):
                results = function(*map(_cupy_from_tensorflow, eager))
                return [_tensorflow_from(result, dtype) for result, dtype in zip(results, dtypes, strict=True)]

            return tf.py_function(share, tensors, dtypes)

        def on_host(*arrays):
            found = zip(function(*arrays), dtypes, strict=True)
            return [to_numpy(array).astype(dtype.as_numpy_dtype, copy=False) for array, dtype in found]

        return tf.numpy_function(on_host, tensors, dtypes)

    def run_as_list(*arguments):
        results = run(*arguments)
        return list(results) if isinstance(results, list | tuple) else [results]

    def call(*tensors):
        tensors = [tf.convert_to_tensor(t) for t in tensors]
        floating = [t.dtype.is_floating for t in tensors]

        def forward_only(*arrays):
            return [forward(*arrays)]

        def back(*arrays):
            *arguments, gradient = arrays
            found = _gradients(vjp, arguments, gradient)
            return [g for g, wanted in zip(found, floating, strict=True) if wanted]

        @tf.custom_gradient
        def crossing(*inputs):
            (result,) = run_as_list(forward_only, inputs, [tensors[-1].dtype])
            result.set_shape(output_shape(*(tuple(t.shape) for t in tensors)))

            def gradient(g):
                found = iter(run_as_list(back, [*inputs, g], [t.dtype for t in tensors if t.dtype.is_floating]))
                result = []
                for tensor, wanted in zip(tensors, floating, strict=True):
                    result.append(next(found) if wanted else None)
                    if wanted:
                        result[-1].set_shape(tensor.shape)
                return result

            return result, gradient

        return crossing(*tensors)

    return call


def _cupy_from_tensorflow(tensor):
    import tensorflow as tf

    if "GPU" not in tensor.device or tensor.dtype.is_integer:
        return tensor.numpy()
    return find_cupy().from_dlpack(tf.experimental.dlpack.to_dlpack(tensor))


def _tensorflow_from(array, dtype):
    import tensorflow as tf

    array = array_module(array).ascontiguousarray(array, dtype=dtype.as_numpy_dtype)
    if not is_cupy(array):
        return tf.convert_to_tensor(array)
    sys.modules["cupy"].cuda.get_current_stream().synchronize()  # with the copy above, if there was one
    return tf.experimental.dlpack.from_dlpack(array.toDlpack())


# ---- JAX ---------------------------------------------------------------------------------------------------------


def _in_jax(forward, vjp, output_shape):
    import jax

    def arrays_of(tensors):
        return [np.asarray(t) for t in tensors]

    def result_of(tensors):
        return jax.ShapeDtypeStruct(output_shape(*(t.shape for t in tensors)), tensors[-1].dtype)

    def forward_on_host(*tensors):
        return to_numpy(forward(*arrays_of(tensors))).astype(tensors[-1].dtype, copy=False)

    @jax.custom_vjp
    def call(*tensors):
        return jax.pure_callback(forward_on_host, result_of(tensors), *tensors, vmap_method="sequential")

    def keep(*tensors):
        return call(*tensors), tensors

    def gradient(tensors, g):
        floating = [jax.numpy.issubdtype(t.dtype, jax.numpy.floating) for t in tensors]

        def back(*arrays):
            *arguments, upstream = arrays_of(arrays)
            found = _gradients(vjp, arguments, upstream)
            return tuple(
                to_numpy(f).astype(a.dtype, copy=False)
                for f, a, wanted in zip(found, arguments, floating, strict=True)
                if wanted
            )

        shapes = tuple(
            jax.ShapeDtypeStruct(t.shape, t.dtype) for t, wanted in zip(tensors, floating, strict=True) if wanted
        )
        found = iter(jax.pure_callback(back, shapes, *tensors, g, vmap_method="sequential"))
        # JAX's gradient of whole numbers is an array of the type float0
        return tuple(
            next(found) if wanted else np.zeros(t.shape, jax.dtypes.float0)
            for t, wanted in zip(tensors, floating, strict=True)
        )

    call.defvjp(keep, gradient)
    return lambda *tensors: call(*(jax.numpy.asarray(t) for t in tensors))


# ---- PyTorch -----------------------------------------------------------------------------------------------------


def _in_torch(forward, vjp, output_shape):
    import torch

    def shared(tensor):
        tensor = tensor.detach()
        if tensor.is_cuda and find_cupy() is not None and tensor.is_floating_point():
            torch.cuda.current_stream().synchronize()
            return find_cupy().from_dlpack(tensor.contiguous())
        return tensor.cpu().numpy()

    def tensor_from(array, like):
        if is_cupy(array) and like.is_cuda:  # a PyTorch for the CPU alone cannot take what lies on a GPU
            sys.modules["cupy"].cuda.get_current_stream().synchronize()
            return torch.from_dlpack(array).to(device=like.device, dtype=like.dtype)
        array = np.require(to_numpy(array), requirements="CW")
        return torch.from_numpy(array).to(device=like.device, dtype=like.dtype)

    class Crossing(torch.autograd.Function):
        @staticmethod
        def forward(context, *tensors):
            context.save_for_backward(*tensors)
            return tensor_from(forward(*map(shared, tensors)), tensors[-1])

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(context, g):
            tensors = context.saved_tensors
            found = _gradients(vjp, [shared(t) for t in tensors], shared(g))
            return tuple(
                tensor_from(f, t) if t.is_floating_point() else None for f, t in zip(found, tensors, strict=True)
            )

    core = load_keras().src.backend.torch.core
    symbolic = load_keras().src.backend.common.symbolic_scope.in_symbolic_scope

    def device(value):
        return torch.as_tensor(value, device=core.get_device())

    def call(*tensors):
        tensors = [t if isinstance(t, torch.Tensor) else device(t) for t in tensors]
        if symbolic():  # Keras asks for shapes, with tensors that have no numbers, or ones for every number
            return tensors[-1].new_zeros(output_shape(*(tuple(t.shape) for t in tensors)))
        return Crossing.apply(*tensors)

    return call
