"""The reference: a page for every room of the library, from the names that ``pettutor`` makes public."""

import importlib
import inspect

import pettutor

# rooms whose names are reached through the room: pt.measures.nrmse
ROOMS = ("phantoms", "measures", "networks", "io", "course", "course.check", "reconstruction.priors")


def write_reference(folder, rooms=ROOMS):
    """Write ``index.rst`` and a page for every room into a new folder."""
    folder.mkdir(parents=True)
    pages = {"pettutor": _page("pettutor", _top_names(), pettutor)}
    for room in rooms:
        module = importlib.import_module(f"pettutor.{room}")
        pages[f"pettutor.{room}"] = _page(f"pettutor.{room}", _names_of(module), module)
    for name, text in pages.items():
        (folder / f"{name}.rst").write_text(text, encoding="utf-8")
    lines = ["Reference", "=========", "", "All public names, from their docstrings; ``import pettutor as pt``.", ""]
    lines += [".. toctree::", "   :maxdepth: 2", "", *(f"   {name}" for name in pages), ""]
    (folder / "index.rst").write_text("\n".join(lines), encoding="utf-8")


def _top_names():
    rooms = {room.partition(".")[2] or room for room in ROOMS}  # not loaded for this: some are heavy
    return [name for name in pettutor.__all__ if name not in {"__version__", *rooms}]


def _names_of(module):
    """Public names of a room, without those that stand on the first page."""
    first = {id(getattr(pettutor, name)) for name in _top_names()}
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    names = getattr(module, "__all__", [name for name in own if not name.startswith("_")])
    found = {name: getattr(module, name) for name in names}
    return [name for name, value in found.items() if id(value) not in first and callable(value)]


def _page(name, names, module):
    words = inspect.getdoc(module).partition("\n")[0]
    lines = [name, "=" * len(name), "", words, "", f".. currentmodule:: {name}", "", ".. autosummary::", ""]
    lines += [*(f"   {one}" for one in names), ""]
    for one in names:
        value = getattr(module, one)
        kind = "class" if inspect.isclass(value) else "function"
        lines += [f".. auto{kind}:: {name}.{one}", *(["   :members:"] if kind == "class" else []), ""]
    return "\n".join(lines)
