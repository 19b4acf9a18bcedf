"""The page of the demo: one HTML file with live viewers, the table, settings, versions and times."""

import base64
from pathlib import Path

from pettutor.report.figure import make_figure, png_bytes, window
from pettutor.report.verdict import LEFT_OUT, number

COLUMNS = {
    "mlem": "MLEM",
    "gaussian": "best Gaussian",
    "bowsher": "Bowsher MAP",
    "ced": "CED",
    "mapem_net": "MAPEM-Net",
    "diprecon": "DIPRecon",
}


def write_report(folder, results, images, grid):
    """Write figure.png and report.html.

    Parameters
    ----------
    folder : path
    results : dict
        As in results.json.
    images : dict
        Name -> float32 (z, y, x).
    grid : ImageGrid
    """
    folder = Path(folder)
    light = make_figure(results, images, grid)
    (folder / "figure.png").write_bytes(png_bytes(light, 200))
    figures = {"light": light, "dark": make_figure(results, images, grid, dark=True)}
    pictures = {name: base64.b64encode(png_bytes(figure, 110)).decode("ascii") for name, figure in figures.items()}
    (folder / "report.html").write_text(make_page(results, images, grid, pictures), encoding="utf-8")


def make_page(results, images, grid, pictures):
    """The page as text; ``pictures`` holds the figure as base64 PNG, "light" and "dark"."""
    import jinja2

    from pettutor.view import html as view_html
    from pettutor.view import volshow

    top = window(images["truth"])
    titles = {"truth": "truth", **COLUMNS}
    reconstructions = {title: images[name] for name, title in titles.items() if name in images}
    columns = len(reconstructions) if len(reconstructions) < 5 else 3 if len(reconstructions) < 7 else 4
    pet = volshow(reconstructions, vmins=0.0, vmaxs=top, grid=grid, ncols=columns, units="a.u.")
    anatomy = volshow(
        {"T1 MR": images["t1"], "μ": images["mu"]},
        cmaps=["gray", "gray"],
        grid=grid,
        ncols=2,
        units=["a.u.", "1/cm"],
    )
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pettutor.report", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    try:
        return environment.get_template("report.html.j2").render(
            results=results,
            table=table(results),
            pictures=pictures,
            curve=learning_curve(results["ced"]) if results["ced"] else None,
            runtime=view_html.runtime(),
            pet=view_html.embed(pet),
            anatomy=view_html.embed(anatomy),
            single_slice=grid.shape[0] == 1,
            left_out=LEFT_OUT,
        )
    finally:
        pet.close()
        anatomy.close()


def table(results):
    """Header and rows of the table as text; each cell with whether it is the best of its row."""
    columns = [name for name in COLUMNS if name in results["measures"][0]["values"]]
    rows = []
    for row in results["measures"]:
        values, unit = row["values"], row["unit"]
        if row["best"] is None:
            best = max(values.values())  # PSNR: the more the better
        else:
            best = min(values.values(), key=lambda value: abs(value - row["best"]))
        cells = [(number(values[name], unit), values[name] == best) for name in columns]
        rows.append({"name": row["name"], "unit": unit, "cells": cells})
    return {"columns": [COLUMNS[name] for name in columns], "rows": rows}


def learning_curve(ced, width=640, height=200):
    """Points of the learning curves for an SVG: root-mean-square errors of training and validation by epoch."""
    curves = {"training": ced["loss"], "validation": ced["validation_loss"]}
    errors = {name: [loss**0.5 for loss in losses] for name, losses in curves.items()}
    every = [error for curve in errors.values() for error in curve]
    low, high = 0.95 * min(every), max(every)
    left, bottom = 44, 24

    def at(epoch, error):
        x = left + (width - left - 8) * (epoch - 0.5) / len(ced["loss"])
        y = 8 + (height - bottom - 8) * (1 - (error - low) / (high - low or 1))
        return f"{x:.1f},{y:.1f}"

    return {
        "width": width,
        "height": height,
        "bottom": height - bottom,
        "left": left,
        "lines": {name: " ".join(at(k, e) for k, e in enumerate(curve, 1)) for name, curve in errors.items()},
        "best": at(ced["best_epoch"], errors["validation"][ced["best_epoch"] - 1]).split(","),
        "low": f"{low:.2f}",
        "high": f"{high:.2f}",
    }
