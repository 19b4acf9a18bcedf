"""Settings of the site; ``docs/build.py`` puts its pages together and calls Sphinx."""

import re

import pettutor

project = "pettutor"
author = "The pettutor authors"
copyright = author
release = version = pettutor.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["notebooks/**"]  # what readers download

# pages come with what the tests computed; nothing is run here
nb_execution_mode = "off"
nb_merge_streams = True
nb_output_stderr = "remove"  # progress bars
nb_ipywidgets_js = {}
nb_code_prompt_show = "Show the solution"
nb_code_prompt_hide = "Hide the solution"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
myst_update_mathjax = False

# MathJax 2, which build.py puts beside the pages: nothing is fetched from elsewhere
mathjax_path = "mathjax/MathJax.js?config=TeX-AMS-MML_HTMLorMML-full"
mathjax2_config = {
    "messageStyle": "none",
    "showMathMenu": False,
    "HTML-CSS": {"availableFonts": ["STIX-Web"], "webFont": "STIX-Web", "imageFont": None},
}

autodoc_member_order = "bysource"
autosummary_generate = False
napoleon_google_docstring = False
napoleon_use_rtype = False


def _fields_as_list(app, what, name, thing, options, lines):
    """The short form of attributes, ``name : what it is`` without a heading, as a list."""
    if what != "class" or any(re.fullmatch(r"-{4,}", line) for line in lines):
        return
    made = [re.sub(r"^(\w[\w, ]*) : ", r"- **\1**: ", line) for line in lines]
    if made != lines:
        lines[:] = [line if line.startswith("- ") or not line.startswith(" ") else f"  {line.strip()}" for line in made]


def setup(app):
    app.connect("autodoc-process-docstring", _fields_as_list, priority=100)  # before napoleon


html_theme = "pydata_sphinx_theme"
html_title = "pettutor"
html_static_path = ["_static"]
html_css_files = ["viewer.css", "site.css"]
html_js_files = [("viewer.js", {"defer": "defer"})]
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {
    page: [] for page in ("index", "glossary", "exercises", "teaching", "anywhere")
}  # they have no pages below
html_favicon = "_static/favicon.svg"
html_context = {"default_mode": "auto"}  # light or dark as the system has it
html_theme_options = {
    "show_prev_next": True,
    "navbar_align": "left",
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
