"""The last steps of the demo: reconstructions with a network inside, the stored MAPEM-Net and DIPRecon."""

import contextlib
import io

import numpy as np

from pettutor.arrays import array_module, to_numpy
from pettutor.demo.settings import embedded_number
from pettutor.demo.stages import whole_run
from pettutor.networks.backend import load_keras
from pettutor.reconstruction import osem
from pettutor.report.figure import head_box


def with_physics(test, subject, settings, seed, watch):
    """Reconstruct the scan by both.

    Parameters
    ----------
    test : pettutor.demo.stages.Scan
        With prompts and acquisition model.
    subject : str
    settings : DemoSettings
    seed : int
    watch : Stopwatch

    Returns
    -------
    images, facts : dict
        By name, "mapem_net" and "diprecon": float32 (z, y, x), and what the report tells of the networks.
    """
    images, facts = {}, {}
    with watch.stage("MAPEM-Net (trained before)", 1, "scan"):
        images["mapem_net"], facts["mapem_net"] = reconstruct_mapem_net(test, subject)
    dip = settings.diprecon
    with watch.stage("DIPRecon", dip.passes + dip.start_fit + dip.iterations * dip.fit_iterations) as bar:
        images["diprecon"], facts["diprecon"] = reconstruct_diprecon(test, dip, seed, bar)
    return images, facts


def reconstruct_mapem_net(test, subject):
    """Reconstruct by a MAPEM-Net that is stored in the package: (image, facts).

    For volumes it is the one that was trained on volumes of `mini`, whose CNN works slice by slice.
    """
    from pettutor.networks import pretrained, recipe, reconstruct
    from pettutor.networks.parts.slice_by_slice import as_volumes

    planes = test.image.shape[0]
    network = pretrained("mapem_net", "slab" if planes == 1 else "mini")
    settings, model = network.recipe, network.model
    if planes not in (1, model.inputs[0].shape[1]):  # another scanner: the same CNN
        slices = recipe("mapem_net").build()
        slices.set_weights(model.get_weights())
        model = as_volumes(slices, planes)
    passes, subsets = settings.scans.iterations, settings.scans.subsets
    start, _ = whole_run(osem, test.prompts, test.A, iterations=passes, subsets=subsets)
    with _interruptible():
        image = reconstruct(model, test.prompts, test.A, to_numpy(start))
    known = {embedded_number(name) for name in (*settings.subjects.training, *settings.subjects.validation)} - {None}
    return to_numpy(image), {
        "parameters": model.count_params(),
        "scale": settings.scale,
        "trained_at": settings.size,
        "start": {"passes": passes, "subsets": subsets},
        "training_subjects": list(settings.subjects.training),
        "training_doses": list(settings.scans.doses),
        "knows_the_subject": embedded_number(subject) in known,
        "slice_by_slice": planes > 1,
    }


def reconstruct_diprecon(test, settings, seed, bar):
    """Reconstruct by DIPRecon with the subject's own T1: (image, facts).

    The network makes the smallest box of rows and columns that holds the head, slice by slice with the same weights;
    beyond the box the image is 0.
    """
    from pettutor.networks import DIPRecon, dip_unet, in_box

    s, rest = settings, test.image.shape[1:]
    box = [slice(*part.indices(n)[:2]) for part, n in zip(head_box(test.truth.mu), rest, strict=True)]
    mask = np.zeros(test.image.shape, bool)
    mask[(slice(None), *box)] = True
    mask = array_module(test.prompts).asarray(mask)
    start, _ = whole_run(osem, test.prompts, test.A, iterations=s.passes, subsets=s.subsets, mask=mask, bar=bar)
    load_keras().utils.set_random_seed(seed)
    network = in_box(lambda size: dip_unet((*size, 1), s.filters, last_activation="softplus"), rest, box)
    solver = DIPRecon(
        test.prompts, test.A, test.truth.t1, network=network, kappa=s.kappa, image_updates=s.image_updates,
        fit_iterations=s.fit_iterations, optimiser="adam", learning_rate=s.learning_rate, start=start,
        start_fit=s.start_fit, average_from=s.average_from, mask=mask, seed=seed,
    )  # fmt: skip
    bar.set_postfix_str("fit to the start image", refresh=True)
    solver.prepare()
    bar.set_postfix_str("", refresh=False)
    bar.update(s.start_fit)
    with contextlib.redirect_stdout(io.StringIO()):  # Ctrl-C gives back the last image and says so
        image = solver.run(s.iterations, callback=lambda iteration, image: bar.update(s.fit_iterations))
    if solver.record.iterations < s.iterations:
        raise KeyboardInterrupt
    return to_numpy(image), {
        "parameters": network.count_params(),
        "rows_and_columns": [part.stop - part.start for part in box],
        "slice_by_slice": test.image.shape[0] > 1,
        "log_likelihood": [float(value) for value in solver.record.log_likelihood],
        "gap": [float(value) for value in solver.record.gap],
    }


@contextlib.contextmanager
def _interruptible():
    """Ctrl-C inside an operation of TensorFlow or JAX comes out as an error of theirs: turn it back."""
    try:
        yield
    except Exception as error:
        if "KeyboardInterrupt" in str(error):
            raise KeyboardInterrupt from error
        raise
