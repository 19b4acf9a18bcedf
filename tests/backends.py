"""Whether networks can be tested here."""

import pytest

from pettutor.networks import choose_backend


def backend_is_installed():
    """Whether Keras and one of its backends are there."""
    try:
        choose_backend()
    except ImportError:
        return False
    return True


needs_keras = pytest.mark.skipif(not backend_is_installed(), reason="no Keras backend is installed")
