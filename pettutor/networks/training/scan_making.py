"""How one scan is made from its description: phantom, lesions, counts, and the image that networks start from."""

import contextlib
import hashlib
import io
import json
from dataclasses import fields, replace

import numpy as np

from pettutor.arrays import to_numpy
from pettutor.networks.training.scan_files import SimulatedScan, grid_of, projector_of
from pettutor.phantoms import STANDARD_LESIONS, Lesion, load_subject
from pettutor.phantoms.lesions import WHERE
from pettutor.reconstruction import mlem, osem
from pettutor.simulation import DEFAULT_COUNTS, simulate

T1_MAXIMUM = 200.0  # T1 of the phantoms ends a little below: what the networks see of it is 0 … 1
DRAWN_LESIONS = {"most_lesions": 4, "hot_share": 0.7}  # of random lesions, where a description names no others
DIAMETERS = (5.0, 16.0)  # mm, of random lesions


def seed_of(*parts):
    """A seed that depends on all parts and on nothing else."""
    digest = hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).digest()
    return int.from_bytes(digest[:8], "big")


def phantom_of(description):
    """The truth of a scan, on the grid of its scanner."""
    d = description
    grid = grid_of(d["size"])
    truth = load_subject(d["subject"], progress=False).on(
        grid.moved((d["height"], 0.0, 0.0)),
        tracer=d["tracer"],
        structure=d["structure"],
        seed=seed_of(d["seed"], "structure", d["subject"]),
    )
    rng = np.random.default_rng(seed_of(d["seed"], "lesions", d["subject"], d["height"]))
    for lesion in _lesions(d, rng):
        with contextlib.suppress(ValueError):  # no room for it here
            truth = truth.with_lesions(seed=rng, lesions=[lesion])
    return replace(truth, grid=grid)


def _lesions(description, rng):
    if description["lesions"] == "none":
        return []

    def where():
        return description["lesions_in"] if description["lesions_in"] != "any" else str(rng.choice(WHERE))

    if description["lesions"] == "standard":
        return [replace(lesion, where=where()) for lesion in STANDARD_LESIONS]
    d = DRAWN_LESIONS | description
    return [
        Lesion(
            diameter=float(rng.uniform(*DIAMETERS)),
            kind="hot" if rng.random() < d["hot_share"] else "cold",
            blur=float(rng.uniform(0, 2.5)),
            where=where(),
        )
        for _ in range(rng.integers(1, d["most_lesions"] + 1))
    ]


def simulate_scan(description, truth, device="auto"):
    """Simulate one scan and reconstruct the image that networks start from."""
    d = description
    data = simulate(
        truth,
        projector_of(d["size"], device, stored=False),
        counts=d["dose"] * DEFAULT_COUNTS[d["size"]],
        randoms_fraction=d["randoms_fraction"],
        scatter_fraction=d["scatter_fraction"],
        psf_fwhm=d["simulated_fwhm"],
        seed=seed_of(d["seed"], "scanner"),  # one scanner for all
    )
    noise = seed_of(d["seed"], "noise", d["subject"], d["height"], d["dose"], d["realisation"])
    # exp(-∫ c mu) = exp(-∫ mu)^c
    factors = data.attenuation ** np.float32(d["attenuation_scale"]) * data.normalisation
    scan = SimulatedScan(
        description=d,
        truth=truth.pet,
        t1=(truth.t1 / np.float32(T1_MAXIMUM)),
        start=np.zeros_like(truth.pet),
        regions=truth.regions,
        lesions=tuple(
            {**{f.name: getattr(lesion, f.name) for f in fields(lesion)}, "region": lesion.region_name(number)}
            for number, lesion in enumerate(truth.lesions, 1)
        ),
        sinograms={
            "prompts": data.realisation(noise).prompts,
            "factors": factors,
            "background": data.background,
        },
    )
    A, prompts = scan.acquisition_model(device), scan.prompts_on(device)
    with contextlib.redirect_stdout(io.StringIO()) as said:  # where Ctrl-C gives back half a reconstruction
        if d["start"] == "mlem":
            start = mlem(prompts, A, iterations=d["iterations"])
        else:
            start = osem(prompts, A, iterations=d["iterations"], subsets=d["subsets"])
    if "stopped" in said.getvalue():
        raise KeyboardInterrupt
    return replace(scan, start=to_numpy(start))
