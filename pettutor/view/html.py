"""The viewer in a page of its own or inside another one: no kernel, no network, one file.

To put live viewers into a page made elsewhere, write :func:`runtime` once (in the head, say) and the result of
:func:`embed` wherever a viewer is to stand. Both are HTML text that must not be escaped
(in jinja2: ``{{ text | safe }}``).
"""

import base64
import html
import json
import os
import tempfile
from pathlib import Path

from pettutor.view.frontend import page_script, style_sheet

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="pettutor">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 0 auto; padding: 24px 28px; max-width: 1240px; font: 15px/1.5 system-ui, sans-serif;
  background: #fff; color: #1c2127; }}
h1 {{ font-size: 20px; font-weight: 600; margin: 0 0 16px; }}
div.pettutor-viewer {{ margin-bottom: 28px; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #14171b; color: #e4e7eb; }} }}
</style>
{runtime}</head>
<body>
{heading}{viewers}</body>
</html>
"""


def runtime():
    """Style sheet and script of the viewer, as HTML text, to be written once in a page."""
    return f"<style>\n{style_sheet()}</style>\n<script>\n{page_script()}</script>\n"


def embed(viewer, fallback=True):
    """One viewer as HTML text: a ``<div>`` that holds its data (zlib, base64).

    The script of :func:`runtime` brings it to life, whether that stands before or after it. With ``fallback`` it also
    holds a picture, shown where scripts do not run and until the viewer stands.
    """
    settings, volumes = viewer.payload()
    data = json.dumps({"settings": settings, "volumes": [base64.b64encode(v).decode("ascii") for v in volumes]})
    data = data.replace("<", "\\u003c")  # nothing in it can end the script
    picture = ""
    if fallback:
        png = base64.b64encode(viewer.to_png()).decode("ascii")
        picture = f'<img alt="{html.escape(viewer.describe())}" src="data:image/png;base64,{png}">\n'
    return f'<div class="pettutor-viewer">\n{picture}<script type="application/json">{data}</script>\n</div>\n'


def page(viewers, title="pettutor"):
    """A whole page, as text, with one viewer or several under each other."""
    viewers = viewers if isinstance(viewers, (list, tuple)) else [viewers]
    title = html.escape(title)
    return _PAGE.format(
        title=title, runtime=runtime(), heading=f"<h1>{title}</h1>\n", viewers="".join(map(embed, viewers))
    )


def save_page(path, viewers, title="pettutor"):
    """Write :func:`page` to a file: whole, or not at all."""
    write_whole(path, page(viewers, title).encode("utf-8"))


def write_whole(path, content):
    """Write bytes to a file beside the target and move it there, so that no half file is ever seen."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"path: expected a file in an existing folder, got {str(path)!r}")
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        umask = os.umask(0)
        os.umask(umask)
        Path(draft).chmod(0o666 & ~umask)  # mkstemp makes files that only the owner reads
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
