"""The methods of a study that are networks: trained ones from the package, and those that are fitted to the scan."""

import functools
import hashlib
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from pettutor.arrays import bounding_box, to_numpy
from pettutor.networks.training.recipes import BUILDERS, SIZES
from pettutor.study.fields import Count, Positive, Whole, listed, reported, swept, swept_or_none
from pettutor.study.method import SeesMR

NETWORKS = tuple(BUILDERS)
AFTERWARDS = ("ced", "unet", "low_count_mr")  # those that correct an image


class _Stored(SeesMR):
    """A network with stored weights, from the image that it was trained to start from (its recipe says which).

    network, trained_at, folder : name, size, and what ``pettutor train --out`` wrote (default: what is in the package),
        as of `pettutor.networks.pretrained`
    weights : the beginning of their SHA-256, found where it is not given: other weights are another cell
    """

    network: Literal[NETWORKS]
    trained_at: Literal[SIZES] = "slab"
    folder: str | None = None
    weights: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _names_its_weights(cls, data):
        name = data.get("network") if isinstance(data, dict) else None
        size = data.get("trained_at", "slab") if name in NETWORKS else None
        if size not in SIZES:
            return data
        folder = data.get("folder")
        if folder is not None:
            if not isinstance(folder, str) or not Path(folder).is_dir():
                raise ValueError(f"folder: expected one that pettutor train --out wrote, got {folder!r}")
            folder = str(Path(folder).resolve())  # the processes that run cells may be elsewhere
        found, wanted = digest(name, size, folder), data.get("weights")
        if wanted not in (None, found):
            raise ValueError(f"weights: expected {found} (those stored for {name} at {size}), got {wanted!r}")
        return {**data, "folder": folder, "weights": found}

    @model_validator(mode="after")
    def _fits(self):
        if self.network != "low_count_mr" and any(self.mr_shift):
            raise ValueError(
                f"mr_shift: expected only with a network that sees MR (low_count_mr), got it with {self.network}"
            )
        return self

    @staticmethod
    def prepare(s, scenario, y, A):
        """The network, its start image, and the MR image in its unit."""
        from pettutor.networks import T1_MAXIMUM
        from pettutor.reconstruction import mlem, osem

        network = _stored(s.network, s.trained_at, s.folder)
        scans = network.recipe.scans
        if scans.start == "mlem":
            start = mlem(y, A, iterations=scans.iterations)
        else:
            start = osem(y, A, subsets=scans.subsets, iterations=scans.iterations)
        return network, start, scenario.mr_image("t1", s.mr_shift) / T1_MAXIMUM


class TrainedNetwork(_Stored):
    algorithm: Literal["trained_network"]
    iterations: reported(Annotated[int, Field(ge=1, le=1)]) = (1,)

    @staticmethod
    def run(s, scenario, y, A, seed, *, iterations, record, callback):
        _stored(s.network, s.trained_at, s.folder)  # loading is not counted
        finish = record.timed()
        network, start, mr = _Stored.prepare(s, scenario, y, A)
        image = network(start, mr=mr, prompts=y, A=A)
        finish()
        callback(1, image)


class _Frozen(_Stored):
    """A network for post-processing whose weights stay as they are, inside a reconstruction."""

    network: Literal[AFTERWARDS]

    @staticmethod
    def channels(s, scenario, y, A):
        """The model, what an activity of 1 is to it, the start image, and the other channels that it wants."""
        network, start, mr = _Stored.prepare(s, scenario, y, A)
        return network.model, network.recipe.scale, start, (mr,) if s.network == "low_count_mr" else ()


class CNNPenalty(_Frozen):
    """The settings are those of `pettutor.networks.cnn_penalty`."""

    algorithm: Literal["cnn_penalty"]
    kappa: swept(Positive) = (0.5,)

    @staticmethod
    def run(s, scenario, y, A, seed, **loop):
        from pettutor.networks import cnn_penalty

        model, scale, start, others = _Frozen.channels(s, scenario, y, A)
        inputs = (to_numpy(start) / np.float32(scale), *others)
        return cnn_penalty(y, A, model, inputs, scale=scale, kappa=s.kappa, start=start, **loop)


class NetworkInput(_Frozen):
    """The settings are those of `pettutor.networks.network_input`."""

    algorithm: Literal["network_input"]
    kappa: swept(Positive) = (0.5,)
    image_updates: swept(Count) = (2,)
    fit_iterations: swept(Count) = (10,)

    @staticmethod
    def run(s, scenario, y, A, seed, **loop):
        from pettutor.networks import network_input

        model, scale, start, others = _Frozen.channels(s, scenario, y, A)
        settings = {name: getattr(s, name) for name in ("kappa", "image_updates", "fit_iterations")}
        return network_input(y, A, model, others, scale=scale, start=start, **settings, **loop)


def digest(network, size="slab", folder=None):
    """The beginning of the SHA-256 of a network's stored weights, in the package or in a folder.

    Raises
    ------
    ValueError
        No weights are stored for it.
    """
    from pettutor.networks.training.stored_weights import FOLDER, stored_networks, weights_path

    where = FOLDER if folder is None else folder
    if (network, size) not in stored_networks(where):
        there = "" if folder is None else f" in {folder}"
        raise ValueError(f"network: expected one with stored weights{there}, got {network!r} at {size!r}")
    return hashlib.sha256(weights_path(network, size, where).read_bytes()).hexdigest()[:12]


@functools.lru_cache(maxsize=1)
def _stored(name, size, folder):
    from pettutor.networks import pretrained

    return pretrained(name, size, folder=folder)


class _Fitted(SeesMR):
    """A network that is fitted to the scan; the settings are those of `pettutor.networks.diprecon`.

    mr : "none" is the network that sees noise
    last_activation : of `pettutor.networks.dip_unet`
    network_seed : of the network's first weights
    margin : voxels around the head up to which the network reaches and the image is reconstructed (none: all)
    """

    mr: Literal["t1", "t2", "none"] = "t1"
    filters: listed(Count) | None = None
    last_activation: Literal["relu", "softplus"] = "relu"
    network_seed: swept(Whole) = (0,)
    margin: swept_or_none(Whole) = None

    @model_validator(mode="after")
    def _fits(self):
        if self.mr == "none" and any(self.mr_shift):
            raise ValueError("mr_shift: expected only with an MR image, got it with mr none")
        return self

    @staticmethod
    def network_settings(s, scenario, A):
        """MR, network and mask, as `diprecon` takes them."""
        from pettutor.networks import dip_unet, in_box
        from pettutor.networks.backend import load_keras

        load_keras().utils.set_random_seed(s.network_seed)
        filters = tuple(s.filters) if s.filters else {True: (8, 16, 32), False: (16, 32, 64, 128)}[A.in_shape[0] == 1]
        box, mask = tuple(slice(0, n) for n in A.in_shape), None
        if s.margin is not None:
            box, mask = bounding_box(scenario.truth.mu > 0, s.margin), np.zeros(A.in_shape, bool)
            mask[box] = True
            mask = scenario.here(mask)
        used = slice(1 if A.in_shape[0] == 1 else 0, None)
        mr = None if s.mr == "none" else scenario.mr_image(s.mr, s.mr_shift)
        network = in_box(
            lambda size: dip_unet((*size, 1), filters, last_activation=s.last_activation), A.in_shape[used], box[used]
        )
        return {"mr": mr, "network": network, "mask": mask, "seed": s.network_seed}


class DIPRecon(_Fitted):
    """``average_from``: from this iteration on, the mean of the images since then is what is reported."""

    algorithm: Literal["diprecon"]
    kappa: swept(Positive) = (0.5,)
    image_updates: swept(Count) = (2,)
    fit_iterations: swept(Count) = (10,)
    optimiser: swept(Literal["lbfgs", "adam"]) = ("lbfgs",)
    learning_rate: swept(Positive) = (1e-2,)
    reset_optimiser: swept(bool) = (False,)
    start_iterations: swept(Count) = (60,)
    start_fit: swept(Whole) = (300,)
    average_from: swept_or_none(Count) = None

    @staticmethod
    def run(s, scenario, y, A, seed, *, callback, **loop):
        from pettutor.networks import diprecon

        last = []

        def report(iteration, f):
            if s.average_from is not None and iteration >= s.average_from:
                last.append(f)
                f = (sum(image.astype("float64") for image in last) / len(last)).astype(f.dtype)
            callback(iteration, f)

        names = ("kappa", "image_updates", "fit_iterations", "optimiser", "learning_rate", "reset_optimiser",
                 "start_iterations", "start_fit")  # fmt: skip
        settings = {name: getattr(s, name) for name in names}
        return diprecon(y, A, **_Fitted.network_settings(s, scenario, A), **settings, callback=report, **loop)


class EndToEndDIP(_Fitted):
    algorithm: Literal["end_to_end_dip"]
    learning_rate: swept(Positive) = (1e-3,)
    subsets: swept(Count) = (1,)
    start_fit: swept(Whole) = (100,)

    @staticmethod
    def run(s, scenario, y, A, seed, **loop):
        from pettutor.networks import end_to_end_dip

        settings = {name: getattr(s, name) for name in ("learning_rate", "subsets", "start_fit")}
        return end_to_end_dip(y, A, **_Fitted.network_settings(s, scenario, A), **settings, **loop)


NETWORK_CLASSES = (TrainedNetwork, CNNPenalty, NetworkInput, DIPRecon, EndToEndDIP)
