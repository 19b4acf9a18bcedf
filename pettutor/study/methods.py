"""The methods of a study: for each algorithm, its settings and how to run it."""

import math
from typing import Annotated, Literal, Union

from pydantic import Field, model_validator

from pettutor.study.fields import (
    Count,
    NotNegative,
    Odd,
    Positive,
    Whole,
    listed,
    swept,
    swept_or_none,
)
from pettutor.study.method import Method, SeesMR
from pettutor.study.network_methods import NETWORK_CLASSES


class MLEM(Method):
    algorithm: Literal["mlem"]

    @staticmethod
    def run(s, scenario, y, A, seed, **loop):
        from pettutor.reconstruction import mlem

        return mlem(y, A, **loop)


class OSEM(Method):
    algorithm: Literal["osem"]
    subsets: swept(Count)
    order: swept(Literal["interleaved", "random"]) = ("interleaved",)

    @staticmethod
    def run(s, scenario, y, A, seed, **loop):
        from pettutor.reconstruction import osem

        return osem(y, A, subsets=s.subsets, order=s.order, seed=seed, **loop)


class _WithStart(Method):
    """``mlem_first``: iterations of MLEM that make the start image (0: all 1), not counted in the table."""

    mlem_first: Whole = 0

    @staticmethod
    def start(s, y, A):
        """The start image, or None."""
        from pettutor.reconstruction import mlem

        return mlem(y, A, iterations=s.mlem_first) if s.mlem_first else None


class _Penalised(_WithStart, SeesMR):
    """A prior and its strength: ``kappa`` without unit, or ``beta`` itself.

    See `pettutor.priors.strength`; its activity is the truth's mean over the head.
    """

    prior: Literal["quadratic", "bowsher", "relative_difference"]
    kappa: swept_or_none(NotNegative) = None
    beta: swept_or_none(NotNegative) = None
    similar: swept_or_none(Annotated[int, Field(ge=1, le=26)]) = None
    gamma: swept_or_none(NotNegative) = None
    epsilon: swept_or_none(Positive) = None
    mr: Literal["t1", "t2"] = "t1"

    @model_validator(mode="after")
    def _fits(self):
        check_strength(self)
        for name, prior in (
            ("similar", "bowsher"),
            ("gamma", "relative_difference"),
            ("epsilon", "relative_difference"),
        ):
            if getattr(self, name) is not None and self.prior != prior:
                raise ValueError(f"{name}: expected only with prior {prior}, got it with {self.prior}")
        if self.prior != "bowsher" and any(self.mr_shift):
            raise ValueError(f"mr_shift: expected only with prior bowsher, got it with {self.prior}")
        return self


def check_strength(method):
    """Either kappa or beta."""
    if (method.kappa is None) == (method.beta is None):
        got = "none" if method.kappa is None else "both"
        raise ValueError(f"expected either kappa (without unit) or beta, got {got}")


def strength(s, scenario, order):
    """beta, or what kappa comes to."""
    from pettutor.reconstruction import priors

    return priors.strength(s.kappa, scenario.sensitivity, scenario.activity, order) if s.beta is None else s.beta


def make_prior(s, scenario):
    """The prior that the settings name."""
    from pettutor.reconstruction import priors

    voxel_size = scenario.grid.voxel_size
    beta = strength(s, scenario, order=1 if s.prior == "relative_difference" else 2)
    given = {n: getattr(s, n) for n in ("similar", "gamma", "epsilon") if getattr(s, n) is not None}
    if s.prior == "quadratic":
        return priors.Smoothness(beta, voxel_size)
    if s.prior == "bowsher":
        mr = scenario.here(scenario.mr_image(s.mr, s.mr_shift))
        return priors.Bowsher(beta, mr, voxel_size=voxel_size, **given)
    return priors.RelativeDifference(beta, voxel_size=voxel_size, **given)


class MAPEM(_Penalised):
    algorithm: Literal["map_em"]
    subsets: swept(Count) = (1,)
    order: swept(Literal["interleaved", "random"]) = ("interleaved",)

    @staticmethod
    def run(s, scenario, y, A, seed, **loop):
        from pettutor.reconstruction import map_em

        prior, start = make_prior(s, scenario), _WithStart.start(s, y, A)
        return map_em(y, A, prior, subsets=s.subsets, order=s.order, seed=seed, start=start, **loop)


class BSREM(_Penalised):
    algorithm: Literal["bsrem"]
    subsets: swept(Count)
    relaxation: swept(NotNegative) = (0.1,)
    order: swept(Literal["interleaved", "random"]) = ("interleaved",)

    @staticmethod
    def run(s, scenario, y, A, seed, **loop):
        from pettutor.reconstruction import bsrem

        settings = {"subsets": s.subsets, "relaxation": s.relaxation, "order": s.order, "seed": seed}
        return bsrem(y, A, make_prior(s, scenario), start=_WithStart.start(s, y, A), **settings, **loop)


class KernelEM(SeesMR):
    """``neighbours``, ``sigma``, ``patch`` and ``window`` are those of `pettutor.mr_kernel`."""

    algorithm: Literal["kernel_em"]
    mr: listed(Literal["t1", "t2"]) = ("t1",)
    neighbours: swept(Count) = (48,)
    sigma: swept(Positive) = (1.0,)
    patch: swept(Odd) = (3,)
    window: swept_or_none(Odd) = None

    @staticmethod
    def run(s, scenario, y, A, seed, **loop):
        from pettutor.reconstruction import kernel_em, mr_kernel

        settings = {"neighbours": s.neighbours, "sigma": s.sigma, "patch": s.patch, "window": s.window}

        def make():
            images = [scenario.mr_image(name, s.mr_shift) for name in s.mr]
            return mr_kernel(images, mask=scenario.truth.regions["head"], **settings)

        return kernel_em(y, A, scenario.kept(["kernel", s.mr, s.mr_shift, settings], make), **loop)


class DictionaryMAP(_WithStart, SeesMR):
    """A dictionary learnt from the MR image inside the head: see `pettutor.learn_dictionary` and `dictionary_map`.

    ``kappa`` is the strength of all patches round a voxel together, without unit; ``beta`` that of one patch.
    ``threshold`` is in activity.
    """

    algorithm: Literal["dictionary_map"]
    kappa: swept_or_none(NotNegative) = None
    beta: swept_or_none(NotNegative) = None
    patch: swept(Annotated[int, Field(ge=2)]) = (5,)
    atoms: swept(Count) = (64,)
    sparsity: swept(Count) = (3,)
    threshold: swept(NotNegative) = (0.0,)
    stride: swept(Count) = (1,)
    updates_per_coding: swept(Count) = (1,)
    subsets: swept(Count) = (1,)
    mr: Literal["t1", "t2"] = "t1"

    @model_validator(mode="after")
    def _fits(self):
        check_strength(self)
        return self

    @staticmethod
    def run(s, scenario, y, A, seed, **loop):
        from pettutor.reconstruction import dictionary_map, learn_dictionary

        learning = {"patch_shape": s.patch, "atoms": s.atoms}
        truth = scenario.truth
        dictionary = scenario.kept(
            ["dictionary", s.mr, s.mr_shift, learning],
            lambda: learn_dictionary(
                scenario.mr_image(s.mr, s.mr_shift), mask=truth.regions["head"], seed=scenario.seed, **learning
            ),
        )
        beta = strength(s, scenario, order=2)
        if s.beta is None:  # a voxel lies in about so many patches
            beta /= math.prod(max(1.0, n / s.stride) for n in dictionary.patch_shape)
        coding = {n: getattr(s, n) for n in ("sparsity", "threshold", "stride", "updates_per_coding", "subsets")}
        start = _WithStart.start(s, y, A)
        return dictionary_map(y, A, dictionary, beta=beta, seed=seed, start=start, **coding, **loop)


CLASSES = (MLEM, OSEM, MAPEM, BSREM, KernelEM, DictionaryMAP, *NETWORK_CLASSES)
ALGORITHMS = {c.model_fields["algorithm"].annotation.__args__[0]: c for c in CLASSES}
AnyMethod = Annotated[Union[CLASSES], Field(discriminator="algorithm")]  # noqa: UP007
