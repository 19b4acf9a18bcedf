"""What a study is: its settings, checked, with an error that names the line."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from pettutor.networks.training.recipes import UNROLLED_NETWORKS
from pettutor.phantoms import STANDARD_LESIONS, Lesion
from pettutor.study import yaml_lines
from pettutor.study.fields import Count, Name, NotNegative, Positive, Share, Strict, Whole, listed
from pettutor.study.messages import explain, near_miss
from pettutor.study.methods import ALGORITHMS, AnyMethod

WORDS = {"none": None, "standard": "both", "pet_only": "pet", "mr_only": "mr"}


class Psf(Strict):
    """Gaussian blur, FWHM in mm: of the simulated scanner, and of the model in the reconstruction."""

    simulated: NotNegative = 4.5
    modelled: NotNegative = 4.5


class LesionSettings(Strict):
    """One lesion; the fields of `pettutor.Lesion`."""

    diameter: Positive
    kind: Literal["hot", "cold"] = "hot"
    blur: NotNegative = 0.0
    where: Literal["both", "pet", "mr"] | None = None
    centre: (
        Annotated[tuple[float, float, float], BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)] | None
    ) = None
    value: NotNegative | None = None

    @model_validator(mode="after")
    def _possible(self):
        Lesion(**self.model_dump())
        return self


class LesionSet(Strict):
    """Lesions by name: a word, or their list."""

    name: Name
    where: Literal["both", "pet", "mr"] = "both"
    lesions: tuple[LesionSettings, ...]

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value):
        if isinstance(value, str):
            if value not in WORDS:
                raise ValueError(
                    f"expected one of {', '.join(WORDS)}, or settings name, where, lesions, got {value!r}"
                    + near_miss(value, list(WORDS))
                )
            lesions = [vars(lesion) for lesion in STANDARD_LESIONS] if WORDS[value] else []
            return {"name": value, "where": WORDS[value] or "both", "lesions": tuple(lesions)}
        if isinstance(value, dict) and isinstance(value.get("lesions"), list):
            return {**value, "lesions": tuple(value["lesions"])}
        return value


class Configuration(Strict):
    """A study: subjects × lesions × counts × realisations × methods × settings.

    Attributes
    ----------
    name : str
        Also the name of the folder of results.
    size : "slab", "mini" or "mmr"
    subjects : of `pettutor.load_subject`
    structure : variation inside the tissues, see ``Subject.on``; one value, or a list of values to try
    tracer : "fdg" or "amyloid"
    lesions : words (none, standard, pet_only, mr_only) or mappings with name, where and lesions
    counts : expected trues
    realisations : how many scans with other noise
    seed : of everything that is drawn
    randoms_fraction, scatter_fraction : of `pettutor.simulate`
    psf : mm
    model : of the projector
    stored_matrix : reconstruct with the stored matrix, much faster where it fits; "auto": at size slab on the CPU
    device : "auto", "cpu" or "cuda"
    images : what is kept beside the table: "none", those of the "last" iteration, or "all" that are reported
    methods : name -> algorithm and settings
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
    size: Literal["slab", "mini", "mmr"] = "slab"
    subjects: listed(str) = ("mni:0",)
    structure: listed(Annotated[float, Field(ge=0, le=1)]) = (0.5,)
    tracer: Literal["fdg", "amyloid"] = "fdg"
    lesions: listed(LesionSet) = (LesionSet.model_validate("standard"),)
    counts: listed(Positive)
    realisations: Count = 20
    seed: Whole = 0
    randoms_fraction: Share = 0.3
    scatter_fraction: Share = 0.0
    psf: Psf = Psf()
    model: Literal["siddon", "multi_ray", "joseph", "distance_driven"] = "joseph"
    stored_matrix: Literal["auto", True, False] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    images: Literal["none", "last", "all"] = "none"
    methods: Annotated[dict[Name, AnyMethod], Field(min_length=1)]

    @field_validator("subjects")
    @classmethod
    def _known_subjects(cls, subjects):
        for subject in subjects:
            family, _, number = subject.partition(":")
            if family not in ("mni", "brainweb") or not (number.isascii() and number.isdigit()):
                raise ValueError(
                    f"expected 'mni:N' (N = 0, 1, 2 ...) or 'brainweb:NN' (NN = 04, 05 ...), got {subject!r}"
                )
        return subjects

    @field_validator("lesions")
    @classmethod
    def _named_once(cls, lesions):
        names = [lesion.name for lesion in lesions]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"expected every name once, got {name!r} twice")
        return lesions

    @field_validator("methods")
    @classmethod
    def _weights_for_the_size(cls, methods, others):
        size = others.data.get("size", "slab")
        for name, method in methods.items():
            if getattr(method, "network", None) in UNROLLED_NETWORKS and method.trained_at != size:
                raise ValueError(
                    f"{name}.trained_at: expected the size of the study, {size} ({method.network} has its scanner "
                    f"inside), got {method.trained_at}"
                )
        return methods

    @classmethod
    def names_at(cls, path, data):
        """Settings that there are at a path of the configuration (for messages)."""
        if path == ():
            return list(cls.model_fields)
        if path == ("psf",):
            return list(Psf.model_fields)
        if path[0] == "lesions":
            return list((LesionSettings if "lesions" in path[1:] else LesionSet).model_fields)
        if path[0] == "methods" and len(path) == 2:
            algorithm = data["methods"][path[1]].get("algorithm")
            return list(ALGORITHMS[algorithm].model_fields) if algorithm in ALGORITHMS else list(ALGORITHMS)
        return []


def read(source: Any, name="study"):
    """A checked configuration from a YAML file, its path, or a mapping; also the text to keep beside the results.

    Raises
    ------
    FileNotFoundError
    TypeError
    ValueError
        Every fault on a line of its own: ``study.yaml, line 12: methods.OSEM.subsets: expected ..., got ...``.
    """
    if isinstance(source, Configuration):
        return source, as_yaml(source)
    text, lines = None, {}
    if isinstance(source, str | Path):
        path = Path(source)
        text, name = path.read_text(encoding="utf-8"), path.name
        data, lines = yaml_lines.load(text, name)
    elif isinstance(source, dict):
        data = source
    else:
        raise TypeError(f"study: expected the path of a YAML file or a dict, got {type(source).__name__}")
    if not isinstance(data, dict):
        raise ValueError(f"{name}, line 1: expected settings (name: value), got {data!r:.80}")
    try:
        configuration = Configuration.model_validate(data)
    except ValidationError as error:
        raise ValueError(explain(error, name=name, lines=lines, data=data, model=Configuration)) from None
    return configuration, as_yaml(configuration) if text is None else text


def as_yaml(configuration):
    """The configuration as YAML text, every setting written out."""
    import yaml

    plain = configuration.model_dump(mode="json", exclude_none=True)
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120)
