"""A lesson that has run, as a page of the site."""

import copy
import html
import re

WIDGET = "application/vnd.jupyter.widget-view+json"
VIEWER = '<div class="pettutor-viewer">'


def lesson_page(lesson, solved, student):
    """The notebook that Sphinx is given.

    Parameters
    ----------
    lesson : str
        Name of the lesson, such as ``05_mlem``.
    solved, student : NotebookNode
        The solved lesson with its outputs; the student's, without.

    Returns
    -------
    NotebookNode
        Viewers live, solutions folded, no widgets that would need a kernel.
    """
    page = copy.deepcopy(solved)
    page.metadata.pop("widgets", None)
    page.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    page.cells = [cell for cell in page.cells if "colab" not in cell.metadata.get("tags", [])]
    given = {cell.source for cell in student.cells}
    titles = 0
    for cell in page.cells:
        if cell.cell_type == "code":
            cell.outputs = [made for output in cell.outputs if (made := _output(output)) is not None]
            if cell.source not in given:
                cell.metadata["tags"] = [*cell.metadata.get("tags", []), "hide-input"]
        else:
            cell.source, titles = _words(cell.source, titles)
    page.cells[0].source += (
        f"\n\n*This page is the lesson as it ran, with the exercises solved:"
        f" {{download}}`the notebook to work in <../notebooks/{lesson}.ipynb>`.*"
    )
    return page


def _output(output):
    """An output for a page without a kernel; None where nothing of it is left."""
    if "data" not in output:
        return output
    data = output.data
    if VIEWER in "".join(data.get("text/html", "")):
        output.data = {"text/html": _with_picture("".join(data["text/html"]), data)}
        output.metadata = {}
    elif WIDGET in data:  # sliders and progress bars; a viewer that was not alive has a picture
        return None if "image/png" not in data else _keep(output, "image/png")
    return output


def _keep(output, kind):
    output.data = {kind: output.data[kind]}
    return output


def _with_picture(text, data):
    """The viewer, with its picture for the time until it stands and for readers without scripts."""
    words = html.escape("".join(data.get("text/plain", "viewer")))
    picture = f'<img alt="{words}" src="data:image/png;base64,{"".join(data["image/png"]).strip()}">'
    return text.replace(VIEWER, f"{VIEWER}\n{picture}", 1)


def _words(text, titles):
    """Markdown of a lesson as Sphinx wants it: one title a page, formulas also within HTML."""
    lines = []
    for line in text.split("\n"):
        if line.startswith("# "):
            titles += 1
            line = line if titles == 1 else f"#{line}"
        lines.append(line)
    text = "\n".join(lines).replace("](../glossary.ipynb", "](../glossary.md")
    return re.sub(r"<summary>.*?</summary>", _summary, text, flags=re.S), titles


def _summary(found):
    """Markdown leaves formulas within HTML alone."""
    formula = r'<span class="math notranslate nohighlight">\\(\1\\)</span>'
    return re.sub(r"\$([^$]+)\$", formula, " ".join(found[0].split("\n")))
