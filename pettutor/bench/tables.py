"""A report as tables: plain text for the terminal, Markdown for a document."""

TITLES = {
    "projection": "Projections: seconds (spread), million lines of response a second, memory beyond image and sinogram",
    "mlem": "MLEM: seconds an iteration (spread), memory beyond one image and one sinogram",
    "listmode": "List mode: seconds (spread), million events a second, memory beyond image and events' values",
    "matrix": "Stored system matrix beside projecting on the fly: seconds (spread)",
    "methods": "Methods: seconds to set up, an iteration (spread) and in all; memory beyond one image and one sinogram",
    "networks": "Networks: seconds of their parts (spread), memory beyond the data",
    "scaling": "Scaling: one thing changed at a time; seconds (spread), and multiples of the usual",
}
NONE = "–"


def tables(report):
    """(title, number of columns of words, header, rows of texts) of each part that was measured."""
    made = []
    for part, build in (
        ("projection", _projections),
        ("mlem", _mlem),
        ("listmode", _listmode),
        ("matrix", _matrix),
        ("methods", _methods),
        ("networks", _networks),
        ("scaling", _scaling),
    ):
        records = [r for r in report["records"] if r["part"] == part]
        if records:
            made.append((TITLES[part], *build(records, report)))
    return made


def conditions(report):
    """One sentence: the machine, the versions, the date."""
    machine = report["machine"]
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    gpu, threads = machine["gpu"], {r["threads"] for r in report["records"] if r.get("threads")}
    words = [machine["processor"], f"{machine['cores_usable']} cores"]
    if gpu:
        words = [f"{gpu['name']}, driver {gpu['driver'] or 'unknown'}", f"on {machine['processor']}"]
    elif threads:
        words.append(f"{max(threads)} threads")
    if machine.get("copy_bytes_per_second"):
        words.append(f"copy bandwidth {_digits(machine['copy_bytes_per_second'] / 1e9)} GB/s")
    words += [machine["system"], f"Python {machine['python']}", libraries, f"pettutor {report['pettutor']}"]
    if not gpu and machine["load_average"] is not None:
        words.append(f"load before {machine['load_average']:.2f}")
    repeats = report["plan"]["repeats"]
    times = f"median of {repeats} calls (spread = slowest - fastest)" if repeats > 1 else "one call each"
    return f"{', '.join(words)}; {report['date'][:10]}; {times}."


def as_text(report):
    """Tables with aligned columns, words to the left, numbers to the right."""
    parts = [conditions(report)]
    for title, words, header, rows in tables(report):
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(w) if n < words else cell.rjust(w) for n, (cell, w) in enumerate(pairs)).rstrip()
            for pairs in (zip(row, widths, strict=True) for row in (header, *rows))
        ]
        parts.append("\n".join([title, lines[0], "-" * max(map(len, lines)), *lines[1:]]))
    return "\n\n".join(parts + _remarks(report))


def as_markdown(report):
    """The same tables in Markdown."""
    parts = [conditions(report)]
    for title, words, header, rows in tables(report):
        rule = ["---" if n < words else "---:" for n in range(len(header))]
        parts.append("\n".join([f"**{title}**", "", *(f"| {' | '.join(row)} |" for row in (header, rule, *rows))]))
    return "\n\n".join(parts + _remarks(report))


def _remarks(report):
    remarks = []
    records = report["records"]
    compiled = [r["first_call_seconds"] for r in records if r.get("compiled")]
    loaded = [r["first_call_seconds"] for r in records if r.get("compiled") is False]
    unknown = [r["first_call_seconds"] for r in records if "compiled" in r and r["compiled"] is None]
    if unknown:
        remarks.append(f"First call in a process: {_digits(max(unknown))} s.")
    if compiled:
        remarks.append(f"First call, compiling (numba; kept on disk): {_digits(max(compiled))} s.")
    if loaded:
        remarks.append(f"First call in a process, kernels from numba's cache: {_digits(max(loaded))} s.")
    for word in ("skipped", "failed"):
        for case in report[word]:
            remarks.append(f"{word.capitalize()}: {case['size']} {case['model']} {case['part']}: {case['reason']}.")
    if not report["finished"]:
        remarks.append("Not finished: stopped before the last case.")
    return ["\n".join(remarks)] if remarks else []


def _digits(value):
    """Three significant digits, never in powers of ten."""
    if value is None:
        return NONE
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) >= 1e-4 else f"{value:.1e}"


def _seconds(record):
    """Median and spread."""
    if record is None:
        return NONE
    seconds = record["seconds"]
    if len(seconds["all"]) == 1:
        return _digits(seconds["median"])
    return f"{_digits(seconds['median'])} ({_digits(seconds['max'] - seconds['min'])})"


def _of(record, name, scale=1.0):
    return NONE if record is None or record.get(name) is None else _digits(scale * record[name])


def _percent(record, name, scale=1.0):
    found = _of(record, name, 100 * scale)
    return found if found == NONE else f"{found} %"


def _grouped(records, *keys):
    """{values of the keys: {what: record}}, in the order of measuring."""
    groups = {}
    for record in records:
        groups.setdefault(tuple(record[key] for key in keys), {})[record["what"]] = record
    return groups


def _projections(records, report):
    bandwidth = report["machine"].get("copy_bytes_per_second")
    on_gpu = any(r["device"] == "cuda" for r in records)
    header = ["size", "model", "forward s", "back s", "forward M/s", "back M/s", "forward MB", "back MB"]
    header += ["forward outside kernels", "back outside kernels", "(plane, view, bin) back outside"]
    if on_gpu:
        header += ["forward of bandwidth", "back of bandwidth", "NumPy forward s", "NumPy back s"]
    rows = []
    for (size, model), found in _grouped(records, "size", "model").items():
        both = [found.get("forward"), found.get("back")]
        row = [size, model, *map(_seconds, both)]
        row += [_of(r, "lors_per_second", 1e-6) for r in both] + [_of(r, "memory_bytes", 1e-6) for r in both]
        row += [_percent(r, "outside_kernels") for r in (*both, found.get("back, sinogram stored plane by plane"))]
        if on_gpu:
            row += [_percent(r, "least_bytes_per_second", 1 / bandwidth if bandwidth else 0.0) for r in both]
            row += [_seconds(found.get(f"{what}, NumPy arrays")) for what in ("forward", "back")]
        rows.append(row)
    return 2, header, rows


def _mlem(records, report):
    rows = [
        [
            r["size"],
            r["model"],
            f"{r['psf_fwhm']:g} mm" if r["psf_fwhm"] else "none",
            _seconds(r),
            _of(r, "memory_bytes", 1e-6),
        ]
        for r in records
    ]
    return 3, ["size", "model", "PSF", "s an iteration", "memory MB"], rows


def _listmode(records, report):
    header = ["size", "model", "events", "set up s", "forward s", "back s", "forward M/s", "back M/s"]
    header += ["forward MB", "back MB"]
    rows = []
    for (size, model), found in _grouped(records, "size", "model").items():
        both = [found.get("list mode forward"), found.get("list mode back")]
        either = next(r for r in both if r)
        row = [
            size,
            model,
            f"{either['events']:,}",
            _of(either, "geometry_seconds"),
            *map(_seconds, both),
            *(_of(r, "events_per_second", 1e-6) for r in both),
        ]
        rows.append(row + [_of(r, "memory_bytes", 1e-6) for r in both])
    return 2, header, rows


def _matrix(records, report):
    header = ["size", "model", "build s", "stored MB", "forward s", "back s", "on the fly forward s"]
    header += ["on the fly back s"]
    free = _grouped([r for r in report["records"] if r["part"] == "projection"], "size", "model")
    rows = []
    for (size, model), found in _grouped(records, "size", "model").items():
        build, *both = (found.get(f"matrix {what}") for what in ("build", "forward", "back"))
        row = [size, model, _seconds(build), _of(build, "stored_bytes", 1e-6), *map(_seconds, both)]
        rows.append(row + [_seconds(free.get((size, model), {}).get(what)) for what in ("forward", "back")])
    return 2, header, rows


def _methods(records, report):
    header = [
        "size",
        "model",
        "method",
        "set up s",
        "s an iteration",
        "iterations",
        "total s",
        "set up MB",
        "memory MB",
    ]
    rows = [
        [
            r["size"],
            r["model"],
            r["what"],
            _of(r, "set_up_seconds"),
            _seconds(r),
            str(r["usual_iterations"]),
            _of(r, "total_seconds"),
            _of(r, "set_up_memory_bytes", 1e-6),
            _of(r, "memory_bytes", 1e-6),
        ]
        for r in records
    ]
    return 3, header, rows


def _networks(records, report):
    header = ["size", "model", "what", "backend", "image", "weights", "s", "memory MB"]
    rows = [
        [
            r["size"],
            r["model"],
            r["what"],
            r["backend"],
            "×".join(map(str, r["image_shape"])),
            f"{r['weights']:,}",
            _seconds(r),
            _of(r, "memory_bytes", 1e-6),
        ]
        for r in records
    ]
    return 5, header, rows


def _scaling(records, report):
    header = ["size", "model", "changed", "image", "sinogram", "threads", "forward s", "back s"]
    header += ["factor", "forward time", "back time"]
    usual, rows = {}, []
    for key, found in _grouped(records, "size", "model", "changed", "factor").items():
        size, model, changed, factor = key
        forward, back = found["forward"], found["back"]
        if changed == "nothing":
            usual[size, model] = forward, back
        row = [size, model, changed, *("×".join(map(str, forward[f"{n}_shape"])) for n in ("image", "sinogram"))]
        row += [str(forward.get("threads", NONE)), _seconds(forward), _seconds(back), f"×{_digits(factor)}"]
        for record, first in zip((forward, back), usual.get((size, model), (None, None)), strict=True):
            row.append(
                NONE if first is None else f"×{_digits(record['seconds']['median'] / first['seconds']['median'])}"
            )
        rows.append(row)
    return 5, header, rows
