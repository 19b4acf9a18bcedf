"""Looking at volumes: :func:`volshow` slices them in the browser, linked, with no traffic to the kernel.

``pettutor.view.html`` puts the same viewer into a page that needs no kernel.
"""

from pettutor.view.explorer import LineExplorer, explore_lines
from pettutor.view.regions import Profile, Roi
from pettutor.view.show import volshow
from pettutor.view.viewer import VolumeViewer

__all__ = ["LineExplorer", "Profile", "Roi", "VolumeViewer", "explore_lines", "volshow"]
