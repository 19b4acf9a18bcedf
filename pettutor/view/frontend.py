"""The front end: plain ES modules, put together into one text, because a widget and a page from disk take only one.

The modules are written so that this is a matter of lines: each import is one line from ``"./name.mjs"`` with names that
are unique over all modules, and everything exported is exported where it is defined.
"""

import functools
import re
from importlib import resources

_ORDER = ("colour.mjs", "dom.mjs", "geometry.mjs", "volume.mjs", "panel.mjs", "viewer.mjs")
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./[a-z_]+\.mjs";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let) )", re.MULTILINE)


def _read(name):
    return (resources.files(__package__) / "static" / name).read_text(encoding="utf-8")


def _join(*names):
    text = "\n".join(_IMPORT.sub("", _read(name)) for name in names)
    return _EXPORT.sub("", text)


@functools.cache
def widget_module():
    """JavaScript of the notebook widget: one ES module."""
    return _join(*_ORDER, "widget.mjs")


@functools.cache
def page_script():
    """JavaScript for a page without a kernel: one classic script, its names kept to itself."""
    return f'(() => {{\n"use strict";\n{_join(*_ORDER, "page.mjs")}}})();\n'


@functools.cache
def style_sheet():
    """CSS of the viewer; every rule begins with one of its own classes."""
    return _read("viewer.css")
