"""What a training step of an unrolled network holds in memory, with and without sinograms in the graph.

Automatic differentiation keeps what the way back will need. If the EM step is written in the framework's own
operations, that is every sinogram of every unroll. If only images cross (see `bridge`), it is images. Here the two are
traced and run, and what they hold is counted.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, fields
from math import prod

import numpy as np

from pettutor.memory import peak_memory
from pettutor.networks.backend import load_keras
from pettutor.networks.physics.scans import KEEP_BYTES, Scans

KINDS = ("images", "sinograms")


@dataclass(frozen=True)
class GraphMemory:
    """A traced training step: forward, loss, gradient.

    kind : "images", where only images cross, or "sinograms", where the EM step is made of tensors.
    tensors : how many the graph has.
    largest, largest_shape : bytes of the largest of them, and its shape.
    sinogram_sized : how many have as many numbers as the batch's sinograms, or more than that.
    sinogram_bytes : what those take together, were they all held.
    """

    kind: str
    tensors: int
    largest: int
    largest_shape: tuple
    sinogram_sized: int
    sinogram_bytes: int


def build(kind, prompts, A, *, unrolls=8, steps=2, cnn=None, scale=1.0, keep_bytes=KEEP_BYTES):
    """A MAPEM-Net for one scan, of either kind; the two compute the same images.

    ``keep_bytes`` is what "images" may keep of expected counts outside the graph, see `Scans`; 0 computes them anew.

    Raises
    ------
    ValueError
        Another kind.
    """
    from pettutor.networks.mapem_net import unroll
    from pettutor.networks.physics.layers import MAPEMStep
    from pettutor.networks.physics.sinograms_in_graph import MAPEMStepInGraph
    from pettutor.networks.physics.unrolled import make_networks, small_unet

    _check_kind(kind)
    shape = (*(A.in_shape[1:] if A.in_shape[0] == 1 else A.in_shape), 1)
    networks = make_networks(cnn, shape, 1, small_unet(residual=True))
    layer = MAPEMStep if kind == "images" else MAPEMStepInGraph
    step = layer(Scans([(prompts, A)], keep_bytes), scale, name="map_em_step")
    return unroll(shape, networks, step, unrolls, steps, f"mapem_net_{kind}")


def trace(model, kind, sinogram_shape, batch=1):
    """Trace a training step of the model and count its tensors (TensorFlow or JAX).

    Parameters
    ----------
    model : keras.Model
        With inputs "image" and "scan".
    kind : str
        Only to name the result.
    sinogram_shape : tuple of int
    batch : int

    Returns
    -------
    GraphMemory

    Raises
    ------
    NotImplementedError
        On PyTorch, which has no graph before it runs.
    """
    backend = load_keras().backend.backend()
    if backend not in ("tensorflow", "jax"):
        raise NotImplementedError(f"trace: expected the backend tensorflow or jax, got {backend}")
    shape = (batch, *model.inputs[0].shape[1:])
    found = _tensorflow_shapes(model, shape) if backend == "tensorflow" else _jax_shapes(model, shape)
    sizes = [(prod(s) * width, s) for s, width in found]
    largest, largest_shape = max(sizes, key=lambda pair: pair[0])
    # images may be larger than a sinogram by their channels: what counts is the sinogram's own shape, or flat
    held = [size for size, s in sizes if _is_sinogram(s, tuple(sinogram_shape))]
    return GraphMemory(kind, len(sizes), largest, tuple(largest_shape), len(held), sum(held))


def _is_sinogram(shape, sinogram_shape):
    trailing = tuple(n for n in shape if n != 1)
    wanted = tuple(n for n in sinogram_shape if n != 1)
    return trailing[-len(wanted) :] == wanted or prod(shape) == prod(sinogram_shape)


def _tensorflow_shapes(model, shape):
    import tensorflow as tf

    @tf.function
    def step(image, truth, scan):
        with tf.GradientTape() as tape:
            out = model({"image": image, "scan": scan}, training=True)
            loss = tf.reduce_mean((out - truth) ** 2)
        return tape.gradient(loss, model.trainable_variables)

    image, scan = tf.TensorSpec(shape, tf.float32), tf.TensorSpec(shape[:1], tf.int32)
    graph = step.get_concrete_function(image, image, scan).graph
    return [
        (tuple(t.shape), t.dtype.size)
        for operation in graph.get_operations()
        for t in operation.outputs
        if t.shape.is_fully_defined() and t.dtype.is_numpy_compatible
    ]


def _jax_shapes(model, shape):
    import jax

    def loss(weights, image, truth, scan):
        with load_keras().StatelessScope(
            state_mapping=[(v, w) for v, w in zip(model.trainable_variables, weights, strict=True)]
        ):
            out = model({"image": image, "scan": scan}, training=True)
        return ((out - truth) ** 2).mean()

    image = jax.ShapeDtypeStruct(shape, "float32")
    weights = [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in model.trainable_variables]
    closed = jax.make_jaxpr(jax.grad(loss))(weights, image, image, jax.ShapeDtypeStruct(shape[:1], "int32"))
    found, waiting = [], [closed.jaxpr]
    while waiting:
        jaxpr = waiting.pop()
        for equation in jaxpr.eqns:
            found += [
                (tuple(v.aval.shape), v.aval.dtype.itemsize) for v in equation.outvars if hasattr(v.aval, "dtype")
            ]
            waiting += [p.jaxpr for p in equation.params.values() if hasattr(p, "jaxpr")]
    return found


@dataclass(frozen=True)
class StepCost:
    """A training step that ran.

    seconds : of the second step (the first one compiles).
    peak_bytes : by how much the process grew over what it held before the first step.
    """

    kind: str
    seconds: float
    peak_bytes: int


def run_step(
    kind, scanner="mini", planes=None, counts=None, filters=(8, 16, 32), unrolls=8, seed=0, keep_bytes=KEEP_BYTES
):
    """Run two training steps in a process of its own; measure the time of the second and the peak memory of both.

    Parameters
    ----------
    kind : "images" or "sinograms"
    scanner : str or Scanner
        Name of a preset, or any scanner.
    planes : int, optional
        Planes of the image, the middle ones; by default all.
    counts : float, optional
        Expected trues; by default those of the scanner's reference scan. They change neither time nor memory.
    filters : tuple of int
        Of the U-Net in each unroll.
    unrolls : int
        With two MAP-EM steps each.
    keep_bytes : int
        See `build`.

    Returns
    -------
    StepCost

    Raises
    ------
    ValueError
        Another kind.
    RuntimeError
        The process failed; its last lines.
    """
    _check_kind(kind)
    settings = {
        "kind": kind, "scanner": scanner if isinstance(scanner, str) else _settings_of(scanner), "planes": planes,
        "counts": counts, "filters": list(filters), "unrolls": unrolls, "seed": seed, "keep_bytes": keep_bytes,
    }  # fmt: skip
    command = [sys.executable, "-m", "pettutor.networks.physics.graph_memory", json.dumps(settings)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    if done.returncode:
        raise RuntimeError(f"training step ({kind}) failed: {done.stderr.strip()[-1000:]}")
    return StepCost(**json.loads(done.stdout.strip().splitlines()[-1]))


def compare(
    scanner="mini", *, planes=None, counts=None, filters=(8, 16, 32), unrolls=8, run=True, seed=0, keep_bytes=KEEP_BYTES
):
    """Trace a training step of MAPEM-Net of either kind, and run it: what the two hold, side by side.

    Parameters
    ----------
    scanner, planes, counts, filters, unrolls, seed, keep_bytes
        As for `run_step`.
    run : bool
        Run the steps as well, each kind in a process of its own; else only trace.

    Returns
    -------
    pandas.DataFrame
        A row a kind ("images", "sinograms") with the columns ``tensors``, ``sinogram_sized``, ``sinogram_mb``,
        ``largest_mb``, ``largest_shape`` (see `GraphMemory`) and, where they ran, ``peak_mb`` and ``seconds`` (see
        `StepCost`). MB are 10⁶ bytes.
    """
    import pandas as pd

    truth, prompts, A = _scan(scanner, planes, counts, seed)
    rows = {}
    for kind in KINDS:
        model = build(kind, prompts, A, unrolls=unrolls, cnn=_cnn(filters), scale=_scale(truth), keep_bytes=keep_bytes)
        found = trace(model, kind, A.out_shape)
        rows[kind] = {
            "tensors": found.tensors, "sinogram_sized": found.sinogram_sized, "sinogram_mb": found.sinogram_bytes / 1e6,
            "largest_mb": found.largest / 1e6, "largest_shape": found.largest_shape,
        }  # fmt: skip
        if run:
            cost = run_step(kind, scanner, planes, counts, filters, unrolls, seed, keep_bytes)
            rows[kind] |= {"peak_mb": cost.peak_bytes / 1e6, "seconds": cost.seconds}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("kind")


def _check_kind(kind):
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")


def _settings_of(scanner):
    from pettutor.geometry import Scanner

    if not isinstance(scanner, Scanner):
        raise TypeError(f"scanner: expected the name of a preset or a pettutor.Scanner, got {scanner!r:.80}")
    return {f.name: getattr(scanner, f.name) for f in fields(scanner)}


def _scan(scanner, planes, counts, seed):
    """Truth, prompts and model of one simulated scan."""
    import pettutor as pt

    if isinstance(scanner, str):
        scanner = pt.Scanner.preset(scanner)
    _settings_of(scanner)
    X = pt.Projector(scanner, scanner.image_grid(shape=(planes or scanner.image_shape[0], *scanner.image_shape[1:])))
    truth = pt.load_subject("mni:0").on(X.grid)
    data = pt.simulate(truth, X, counts=counts, seed=seed)
    A = pt.AcquisitionModel(X, attenuation=data.attenuation, normalisation=data.normalisation, background=data.randoms)
    return truth, data.prompts, A


def _scale(truth):
    return float(truth.pet[truth.regions["head"]].mean())


def _cnn(filters):
    from pettutor.networks.unet import unet

    return lambda shape: unet(shape, tuple(filters))


def _run_here(kind, scanner, planes, counts, filters, unrolls, seed, keep_bytes):
    import psutil

    from pettutor.geometry import Scanner
    from pettutor.reconstruction import mlem

    keras = load_keras()
    scanner = scanner if isinstance(scanner, str) else Scanner(**scanner)
    truth, prompts, A = _scan(scanner, planes, counts, seed)
    start, scale = mlem(prompts, A, iterations=3), _scale(truth)
    keras.utils.set_random_seed(seed)
    model = build(kind, prompts, A, unrolls=unrolls, scale=scale, cnn=_cnn(filters), keep_bytes=keep_bytes)
    model.compile(optimizer="adam", loss="mse", jit_compile=False)
    shape = (1, *model.inputs[0].shape[1:])
    inputs = {"image": (start / scale).reshape(shape), "scan": np.zeros(1, np.int32)}
    target = (truth.pet / np.float32(scale)).reshape(shape)
    before = psutil.Process().memory_info().rss
    for _ in range(2):
        begin = time.perf_counter()
        model.train_on_batch(inputs, target)
        seconds = time.perf_counter() - begin
    return StepCost(kind, seconds, max(peak_memory() - before, 0))


if __name__ == "__main__":
    print(json.dumps(asdict(_run_here(**json.loads(sys.argv[1])))))
