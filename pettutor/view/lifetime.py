"""Which cell made which viewers: running a cell again closes those of the run before.

ipywidgets keeps every widget alive until it is closed, so that a cell that is run fifty times would keep fifty copies
of its volumes in the kernel and in the browser.
"""

_made_by_cell = {}  # cell id -> (message id of the run, its viewers)


def _current_run():
    """(cell id, message id) of the cell that is running, or None where the front end does not tell."""
    try:
        from IPython import get_ipython

        parent = get_ipython().kernel.get_parent()
        return parent["metadata"]["cellId"], parent["header"]["msg_id"]
    except (ImportError, AttributeError, KeyError, TypeError):
        return None


def register(viewer):
    """Remember a new viewer with its cell; close what an earlier run of that cell had made."""
    run = _current_run()
    if run is None:
        return
    cell, message = run
    last_message, viewers = _made_by_cell.get(cell, (None, []))
    if last_message != message:
        for old in viewers:
            old.close()
        viewers = []
    _made_by_cell[cell] = (message, [*viewers, viewer])
