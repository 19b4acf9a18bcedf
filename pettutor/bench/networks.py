"""Networks with the physics outside and inside: what DIPRecon and a training step of MAPEM-Net are made of.

An iteration of DIPRecon is two updates of the image and ten or more gradients of its network; MAPEM-Net has 16 MAP-EM
steps. On the large scanner the image has the planes of the usual one, and transaxially what a head needs.
"""

import numpy as np

from pettutor.arrays import find_cupy, to_numpy
from pettutor.bench.cases import SkippedError, record_of, shapes
from pettutor.bench.measuring import HostMemory, WholeDeviceMemory, seconds_of, synchroniser
from pettutor.bench.methods import KAPPA, Subject, scan


def networks(case):
    """One network: seconds and memory of its parts, each after a first call, which compiles.

    Raises
    ------
    SkippedError
        No Keras, or no backend, here.
    """
    from pettutor.networks.backend import load_keras

    try:
        keras = load_keras()
    except ImportError as error:
        raise SkippedError(str(error)) from None
    wait = synchroniser(case["device"])
    subject = Subject(case)
    A, y = scan(case, subject)
    A.T(y)
    wait()
    model, parts = {"diprecon": _diprecon, "mapem_net": _mapem_net}[case["network"]](A, y, subject)
    memory = WholeDeviceMemory() if case["device"] == "cuda" else HostMemory()
    more = {
        **shapes(A), "backend": keras.backend.backend(), "weights": int(model.count_params()),
        "memory_method": memory.method,
    }  # fmt: skip
    records = []
    for what, call in parts.items():

        def finished(call=call):
            call()
            wait()

        _, peak = memory.peak_of(finished)
        times = seconds_of(call, case["repeats"], wait)
        records.append(record_of(case, what, times, **more, memory_bytes=peak))
    return records


def _diprecon(A, y, subject):
    from pettutor.networks.fitting.deep_image_prior import DeepImagePrior
    from pettutor.reconstruction import Reference, map_em
    from pettutor.reconstruction.priors import strength

    prior = DeepImagePrior(A.in_shape, to_numpy(subject.t1), seed=0)
    prior.scale = subject.mean
    target = prior.batch(to_numpy(subject.activity) / np.float32(prior.scale))
    error, start = prior.function.error_by_weights(prior.inputs, target), prior.start
    xp = np if isinstance(subject.activity, np.ndarray) else find_cupy()
    s = A.T(xp.ones(A.out_shape, A.dtype))
    pull = Reference(subject.activity, strength(KAPPA, s, subject.mean))

    def update():
        return map_em(y, A, pull, iterations=1, start=subject.activity, sensitivity=s)

    return prior.function.model, {
        "DIPRecon, update of the image": update,
        "DIPRecon, gradient of the network": lambda: error(start),
    }


def _mapem_net(A, y, subject):
    from pettutor.networks import MAPEMNet, Scans, load_keras

    load_keras().utils.set_random_seed(0)
    shape = (*(A.in_shape[1:] if A.in_shape[0] == 1 else A.in_shape), 1)
    model = MAPEMNet(shape, scans=Scans([(y, A)]), scale=subject.mean)
    model.compile(optimizer="adam", loss="mse", jit_compile=False)
    truth = (to_numpy(subject.activity) / np.float32(subject.mean)).reshape(1, *shape)
    inputs = {"image": truth, "scan": np.zeros(1, np.int32)}
    return model, {
        "MAPEM-Net, forward": lambda: model.predict_on_batch(inputs),
        "MAPEM-Net, forward and gradient": lambda: model.train_on_batch(inputs, truth),
    }
