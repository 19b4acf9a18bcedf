"""What all widgets of this room have in common: files, a picture for readers that run no widgets, and their end."""

import base64
import os

import anywidget
import traitlets

from pettutor.view import figure, html, lifetime
from pettutor.view.frontend import loader, style_sheet, widget_module


class BrowserWidget(anywidget.AnyWidget):
    """A widget drawn in the browser; a class defines its ``payload``, ``describe`` and ``to_figure``."""

    _esm = loader()
    _code = traitlets.Unicode(widget_module()).tag(sync=True)
    _css = style_sheet()
    _settings = traitlets.Dict().tag(sync=True)
    _volumes = traitlets.List(traitlets.Bytes()).tag(sync=True)

    def __init__(self, **traits):
        self.closed = False
        super().__init__(**traits)
        lifetime.register(self)

    def to_png(self, dpi=80):
        """:meth:`to_figure` as the bytes of a PNG."""
        return figure.png_bytes(self.to_figure(), dpi)

    def save_png(self, path, dpi=150):
        """Write :meth:`to_figure` to a PNG file."""
        html.write_whole(path, self.to_png(dpi))

    def save_html(self, path, title="pettutor"):
        """Write a page that slices without a kernel and without a network."""
        html.save_page(path, self, title)

    def close(self):
        """Let go of the volumes, here and in the browser; what showed them disappears."""
        layout = self.layout
        # the browser keeps the model of a closed widget for a while: so let it be an empty one
        with self.hold_sync():
            self._volumes, self._settings, self._code = [], {}, ""
        super().close()
        if layout is not None:
            layout.close()
        self.closed = True

    def __repr__(self):
        return f"{type(self).__name__} (closed)" if self.closed else self.describe()

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None or self.closed:
            return bundle
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        # for readers that run no widgets: code hosts, exported notebooks
        data["image/png"] = base64.b64encode(self.to_png()).decode("ascii")
        if os.environ.get("PETTUTOR_LIVE_PAGES"):  # for pages that bring html.runtime(), such as the course's site
            data["text/html"] = html.embed(self, fallback=False)
        return data, metadata

    def _check_open(self):
        if self.closed:
            raise RuntimeError("this viewer is closed (its cell was run again); show the volumes with volshow anew")
