"""Types of settings that several rooms use: numbers with limits, lists that are reported, lists that are swept."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


class Strict(BaseModel):
    """A model that takes no unknown names, converts nothing, and cannot change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Swept:
    """Marks a setting whose several values are so many cells."""


def _as_tuple(value):
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _distinct(values):
    if not values:
        raise ValueError("expected at least one value, got none")
    for number, value in enumerate(values):
        if value in values[:number]:
            raise ValueError(f"expected every value once, got {value!r} twice")
    return values


def _ascending(values):
    return tuple(sorted(values))


def listed(kind):
    """One value or a list of different ones; a tuple in any case."""
    return Annotated[tuple[kind, ...], BeforeValidator(_as_tuple), AfterValidator(_distinct)]


def reported(kind):
    """Values of one run that are all reported, in ascending order."""
    return Annotated[listed(kind), AfterValidator(_ascending)]


def swept(kind):
    """One value, or a list of values to try."""
    return Annotated[listed(kind), Swept()]


def swept_or_none(kind):
    """The same, where the setting may be left out."""
    return Annotated[
        tuple[kind, ...] | None,
        BeforeValidator(lambda value: None if value is None else _as_tuple(value)),
        AfterValidator(lambda values: None if values is None else _distinct(values)),
        Swept(),
    ]


def _odd(value):
    if value % 2 == 0:
        raise ValueError(f"expected an odd number, got {value}")
    return value


Count = Annotated[int, Field(ge=1)]
Odd = Annotated[int, Field(ge=1), AfterValidator(_odd)]
Whole = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^\S(.*\S)?$")]
