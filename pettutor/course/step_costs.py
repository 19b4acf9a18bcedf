"""What a training step of MAPEM-Net takes, with images only in its graph and with sinograms (for authors).

``python -m pettutor.course.step_costs`` runs every case in a process of its own, on a machine with nothing else to do
and 14 GB of free memory, and keeps the table in the package; `pettutor.course.stored_step_costs` reads it.
"""

import json
import os
import platform
from dataclasses import replace

import numpy as np

from pettutor.course.stored import STEP_COSTS
from pettutor.files import whole_file
from pettutor.geometry import Scanner
from pettutor.networks.backend import describe_backend
from pettutor.networks.physics import graph_memory
from pettutor.networks.physics.scans import KEEP_BYTES

# kind of graph, bytes of expected counts that may be kept outside it, and what that is called
GRAPHS = (
    ("images", 0, "images only"),
    ("images", KEEP_BYTES, "images, counts kept outside"),
    ("sinograms", 0, "sinograms in the graph"),
)


def ten_rings():
    """A scanner between ``slab`` and ``mini``, whose training step runs in seconds: voxels of 4 mm, span 1."""
    return replace(
        Scanner.preset("mini"), name="ten rings", rings=10, span=1, max_ring_difference=9, image_shape=(11, 64, 64),
        image_voxel_size=(4.0, 4.0, 4.0),
    )  # fmt: skip


def cases():
    """Scanner and settings of `pettutor.networks.physics.graph_memory.run_step`, two scanners of very unequal size."""
    return (
        (ten_rings(), {"filters": (4, 8), "unrolls": 4}),
        (Scanner.preset("mini"), {"filters": (8, 16, 32), "unrolls": 8}),
    )


def measure(scanner, settings, say=print):
    """A row for each of `GRAPHS`: dict with the sizes of data and tensors, MB the process grew by, and seconds."""
    rows = []
    traced = graph_memory.compare(scanner, counts=1e6, run=False, **settings)
    for kind, keep_bytes, name in GRAPHS:
        cost = graph_memory.run_step(kind, scanner, counts=1e6, keep_bytes=keep_bytes, **settings)
        graph = traced.loc[kind]
        rows.append({
            "scanner": scanner.name, "graph": name, "kind": kind, "keep_bytes": keep_bytes,
            "filters": " ".join(map(str, settings["filters"])), "unrolls": settings["unrolls"],
            "image_mb": 4e-6 * float(np.prod(scanner.image_grid().shape)),
            "sinogram_mb": 4e-6 * float(np.prod(scanner.sinogram_shape)),
            "tensors": int(graph["tensors"]), "sinogram_sized": int(graph["sinogram_sized"]),
            "largest_mb": float(graph["largest_mb"]), "largest_shape": list(graph["largest_shape"]),
            "peak_mb": cost.peak_bytes / 1e6, "seconds": cost.seconds,
        })  # fmt: skip
        say(f"{scanner.name}, {name}: {cost.peak_bytes / 1e6:,.0f} MB, {cost.seconds:.1f} s")
    return rows


def keep(rows):
    """Write the table into the package, with what it was measured on."""
    record = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}", "versions": describe_backend(), "rows": rows,
    }  # fmt: skip
    with whole_file(STEP_COSTS) as file:
        file.write((json.dumps(record, indent=1) + "\n").encode())


def main():
    """Measure all and keep it."""
    keep([row for scanner, settings in cases() for row in measure(scanner, settings)])


if __name__ == "__main__":
    main()
