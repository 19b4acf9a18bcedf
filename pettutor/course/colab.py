"""What a notebook has for Google Colab: a cell that installs pettutor there, and a link that opens it there."""

import re
import tomllib
from pathlib import Path

TAG = "colab"
# Colab brings TensorFlow with Keras, so that no extra is needed: another TensorFlow would only be in its way.
_INSTALL = """\
# In Google Colab this cell installs pettutor. Anywhere else it does nothing.
import sys

if "google.colab" in sys.modules:
    from glob import glob
    from subprocess import run

    from google.colab import output

    source = [*glob("pettutor-*.whl"){repository}]
    if not source:
        raise FileNotFoundError("upload pettutor's wheel to Colab's files (on the left), then run this cell again")
    run([sys.executable, "-m", "pip", "install", "-q", source[0]], check=True)
    output.enable_custom_widget_manager()  # for the viewers
"""


def repository_of(checkout):
    """The GitHub repository, as "owner/name", that ``[project.urls] Repository`` in pyproject.toml names; or None.

    Raises
    ------
    ValueError
        The address is not one on GitHub, from where alone Colab opens notebooks.
    """
    path = Path(checkout) / "pyproject.toml"
    if not path.is_file():
        return None
    urls = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {}).get("urls", {})
    address = urls.get("Repository")
    if address is None:
        return None
    found = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)(\.git)?/?", address)
    if not found:
        raise ValueError(f"{path}: expected [project.urls] Repository = https://github.com/OWNER/NAME, got {address}")
    return found[1]


def colab_cells(name, repository, place=""):
    """Cells that a notebook gets after its title, as triples (kind, text, metadata).

    Parameters
    ----------
    name : str
        Of the notebook, such as ``05_mlem``.
    repository : str or None
        As `repository_of` gives it. Without one there is no link, and the cell wants an uploaded wheel.
    place : str
        Folder of the notebook below ``notebooks/``, such as ``solutions``.
    """
    # source_hidden: JupyterLab folds the cell up
    metadata = {"tags": [TAG], "jupyter": {"source_hidden": True}}
    source = f', "pettutor @ git+https://github.com/{repository}"' if repository else ""
    cells = [("code", _INSTALL.format(repository=source).rstrip(), metadata)]
    if repository:
        path = f"{repository}/blob/main/notebooks/{f'{place}/' if place else ''}{name}.ipynb"
        link = f"[Open in Google Colab](https://colab.research.google.com/github/{path})"
        cells.insert(0, ("markdown", link, {"tags": [TAG]}))
    return cells
