"""Looking at volumes: :func:`volshow` slices them in the browser, linked, with no traffic to the kernel.

``pettutor.view.html`` puts the same viewer into a page that needs no kernel.
"""

from pettutor.view.viewer import VolumeViewer, volshow

__all__ = ["VolumeViewer", "volshow"]
