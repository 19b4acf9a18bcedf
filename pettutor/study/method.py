"""What every method of a study is: its settings, and how to run it."""

from pettutor.study.fields import Count, Finite, NotNegative, Strict, Swept, reported, swept


class Method(Strict):
    """What all have.

    iterations : passes over all data whose images are reported; the last is how many are run
    fwhm : mm; every reported image is measured after each of these Gaussian filters
    """

    algorithm: str
    iterations: reported(Count)
    fwhm: reported(NotNegative) = (0.0,)

    @classmethod
    def swept_names(cls):
        """Settings whose several values are so many cells."""
        return [name for name, field in cls.model_fields.items() if any(isinstance(m, Swept) for m in field.metadata)]

    @staticmethod
    def run(s, scenario, y, A, seed, **loop):
        """Reconstruct with the settings ``s`` (one value each); ``loop``: iterations, record, callback."""
        raise NotImplementedError


class SeesMR(Method):
    """One that is guided by an MR image.

    mr_shift : mm along x by which the MR image that it is given is displaced: a mis-registration
    """

    mr_shift: swept(Finite) = (0.0,)
