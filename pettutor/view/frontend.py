"""The front end: plain ES modules, put together into one text, because a widget and a page from disk take only one.

The modules are written so that this is a matter of lines: each import is one line from ``"./name.mjs"`` with names that
are unique over all modules, and everything exported is exported where it is defined. Comments, indents and spaces
about operators stay at home, as each viewer of a notebook is sent this text: so no text in it runs over several lines,
or has an operator between spaces.
"""

import functools
import hashlib
import json
import re
from importlib import resources

_NAMES = "colour dom controls geometry volume measuring view panel results tools viewer explorer"
_ORDER = tuple(f"{name}.mjs" for name in _NAMES.split())
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./[a-z_]+\.mjs";\n', re.MULTILINE)
_COMMENT = re.compile(r"^ *(?://.*|/\*\*.*\*/)\n|(?<=[;,{]) // .*$", re.MULTILINE)
_INDENT = re.compile(r"^[ \n]+", re.MULTILINE)  # and empty lines
_LINE_END = re.compile(r"(?<=[{(\[,;])\n")
_OPERATOR = re.compile(r" (=>|[=!]==|&&|\|\||=) ")
_CSS_COMMENT = re.compile(r"/\*.*?\*/\n", re.DOTALL)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let) )", re.MULTILINE)

_LOADER = """export default {
  async render({ model, el }) {
    try {
      const address = () => URL.createObjectURL(new Blob([model.get("_code")], { type: "text/javascript" }));
      globalThis[NAME] ??= import(address());
      return (await globalThis[NAME]).default.render({ model, el });
    } catch (error) {
      el.textContent = `This viewer could not be loaded: ${error}`;
    }
  },
};
"""


def _read(name):
    return (resources.files(__package__) / "static" / name).read_text(encoding="utf-8")


def _join(*names):
    text = "\n".join(_IMPORT.sub("", _read(name)) for name in names)
    text = _INDENT.sub("", _COMMENT.sub("", _EXPORT.sub("", text)))
    text = _OPERATOR.sub(r"\1", _LINE_END.sub("", text))
    return text.encode("ascii", "backslashreplace").decode()  # a browser keeps anything else in twice the memory


@functools.cache
def widget_module():
    """JavaScript of the notebook widget: one ES module."""
    return _join(*_ORDER, "widget.mjs")


@functools.cache
def loader():
    """A few lines that import :func:`widget_module` once in a page, however many viewers it shows.

    A browser never lets go of a module: with the whole front end in each widget, a page would grow at every run of a
    cell.
    """
    name = f"pettutor {hashlib.sha256(widget_module().encode()).hexdigest()[:16]}"
    return _LOADER.replace("NAME", json.dumps(name))


@functools.cache
def page_script():
    """JavaScript for a page without a kernel: one classic script, its names kept to itself."""
    return f'(() => {{\n"use strict";\n{_join(*_ORDER, "page.mjs")}}})();\n'


@functools.cache
def style_sheet():
    """CSS of the viewer; every rule begins with one of its own classes."""
    text = _CSS_COMMENT.sub("", _read("viewer.css"))
    for spaced, short in ((" { ", "{"), (": ", ":"), ("; ", ";"), (";}", "}"), (", ", ",")):
        text = text.replace(spaced, short)
    return text
