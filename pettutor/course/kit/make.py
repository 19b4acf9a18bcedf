"""Making a kit and checking one."""

import json
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pettutor
from pettutor.course.folder import lessons, lessons_folder
from pettutor.course.kit import wheels
from pettutor.course.kit.instructions import as_html, as_text
from pettutor.course.kit.targets import EXTRAS, parse_target, targets
from pettutor.files import whole_file

RECORD, SUMS, STAGING = "kit.json", "SHA256SUMS", ".downloading"


@dataclass
class Kit:
    """What a kit holds, as its file kit.json says.

    extra : of pettutor's extras, or "none".
    version : of pettutor.
    requires : the requirements of pettutor's wheel, for which the wheels were looked up.
    targets : name of a target -> its wheels, as `wheels.resolve` gives them.
    """

    folder: Path
    extra: str
    version: str = pettutor.__version__
    requires: list = field(default_factory=list)
    targets: dict = field(default_factory=dict)

    def write(self):
        words = {name: getattr(self, name) for name in ("extra", "version", "requires", "targets")}
        _put(self.folder / RECORD, json.dumps(words, indent=1).encode())

    @property
    def wheels(self):
        """sha256 of every wheel by its path in the kit, pettutor's own left out."""
        return {f"wheels/{file}": it["sha256"] for found in self.targets.values() for file, it in found.items()}


def read_kit(folder):
    """The `Kit` in a folder, or None where there is none.

    Raises
    ------
    ValueError
        Its record cannot be read.
    """
    path = Path(folder) / RECORD
    try:
        words = json.loads(path.read_text(encoding="utf-8"))
        return Kit(Path(folder), **words)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: expected the record of a kit, got {error}; remove it and begin again") from None


def make_kit(
    folder, *, extra="cpu", platforms=None, pythons=None, brainweb=False, wheel=None, dry_run=False, say=print
):
    """Gather a kit; what is there and whole is not fetched again, so a stopped one goes on.

    Parameters
    ----------
    folder : path
        Where to; made if it is missing. A kit that is there gets the further platforms and Pythons as well.
    extra : str
        One of `EXTRAS`.
    platforms, pythons : lists of str, optional
        One of `PLATFORMS` and `PYTHONS` each; by default those of this machine.
    brainweb : bool
        Copy the BrainWeb subjects that are in this machine's cache.
    wheel : path, optional
        pettutor's own wheel; by default it is built, which takes a checkout.
    dry_run : bool
        Only say what would be done.
    say : callable(str)
        Is told every step.

    Raises
    ------
    ValueError
        Wrong settings, another kit in the folder, no wheel of pettutor.
    OSError
        No network, no wheel for a machine, or no room or permission in the folder. Nothing half-written stays.
    """
    if extra not in EXTRAS:
        raise ValueError(f"extra: expected one of {', '.join(EXTRAS)}, got {extra!r}")
    folder, wanted = Path(folder).expanduser(), targets(platforms, pythons)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"folder of the kit: expected a folder, got the file {folder}")
    kit = read_kit(folder) or Kit(folder, extra)
    if kit.extra != extra:
        raise ValueError(
            f"folder of the kit: expected a new folder or a kit with the extra {extra!r}, got one with {kit.extra!r}"
        )
    subjects = _brainweb_files() if brainweb else []
    _tell_size(kit, wanted, subjects, say)
    if dry_run:
        return
    staging = folder / STAGING
    for needed in (folder / "wheels", staging):
        needed.mkdir(parents=True, exist_ok=True)
    own = _own_wheel(kit, wheel)
    for name in dict.fromkeys([*kit.targets, *map(str, wanted)]):
        target = parse_target(name)
        if name not in kit.targets:
            say(f"{name}: asking the package index what is needed")
            kit.targets[name] = wheels.resolve(own, extra, target)
            kit.write()
        wheels.fetch(kit.targets[name], folder / "wheels", staging, target, say)
    shutil.rmtree(staging)
    rest = {f"wheels/{own.name}", *_put_lessons(folder), *_put_brainweb(folder, subjects), RECORD}
    for name, text in (("README.txt", as_text(kit, bool(subjects))), ("README.html", as_html(kit, bool(subjects)))):
        _put(folder / name, text.encode())
        rest.add(name)
    kit.write()
    _prune(folder, {*kit.wheels, *rest})
    sums = kit.wheels | {name: wheels.checksum(folder / name) for name in rest}
    _put(folder / SUMS, "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode())
    size = sum((folder / name).stat().st_size for name in sums)
    say(f"{folder}: whole, {len(sums)} files, {size / 1e6:,.0f} MB. README.html says what to do with it;")
    say("check the copies as well: pettutor kit FOLDER --check")


def check_kit(folder):
    """What of a kit is missing or damaged, in words; empty if all is well.

    Raises
    ------
    ValueError
        There is no kit in the folder.
    """
    folder = Path(folder).expanduser()
    kit = read_kit(folder)
    if kit is None:
        raise ValueError(f"folder of the kit: expected one with {RECORD} in it, got {folder}")
    try:
        expected, finished = kit.wheels | _read_sums(folder / SUMS), True
    except FileNotFoundError:
        expected, finished = kit.wheels, False
    found = {name: wheels.checksum(folder / name) for name in expected}
    bad = [name for name in sorted(expected) if found[name] != expected[name]]
    if not finished:  # a list of all that is still to come would help nobody
        there = len(expected) - len(bad)
        return [f"not finished: {there} of {len(expected)} wheels are there; the same command that began it goes on"]
    return [f"{name}: {'missing' if found[name] is None else 'damaged'}" for name in bad]


def _read_sums(path):
    pairs = (line.split("  ", 1) for line in path.read_text(encoding="utf-8").splitlines() if line)
    return {name: wanted for wanted, name in pairs}


def _tell_size(kit, wanted, subjects, say):
    """Say what will be fetched and how much room it takes; raise where there is not enough."""
    new = [str(target) for target in wanted if str(target) not in kit.targets]
    folder, there = kit.folder, sum(path.stat().st_size for path in kit.folder.glob("wheels/*.whl"))
    # wheels without compiled parts are shared, so two targets take less than twice the room of one
    need = len({*kit.targets, *map(str, wanted)}) * EXTRAS[kit.extra] * 1_000_000
    need = max(need - there, 0) + sum(path.stat().st_size for path in subjects)
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    say(f"kit       {folder}: pettutor {pettutor.__version__}, extra {kit.extra}")
    say(f"there     {', '.join(kit.targets) or 'nothing'}")
    say(f"to fetch  {', '.join(new) or 'only what is missing or damaged'}")
    if subjects:
        say(f"BrainWeb  {len(subjects)} subjects from this machine's cache")
    say(f"size      at most about {need / 1e6:,.0f} MB more ({free / 1e9:.1f} GB free)")
    if new and need > free:
        raise OSError(f"{folder}: expected about {need / 1e6:,.0f} MB of free disk, got {free / 1e6:,.0f} MB")


def _own_wheel(kit, wheel):
    """Put pettutor's wheel into the kit; where it requires other things than before, all wheels are looked up anew."""
    with tempfile.TemporaryDirectory(prefix="pettutor-wheel-") as aside:
        made = wheels.own_wheel(Path(aside), wheel)
        path = kit.folder / "wheels" / made.name
        _put(path, made.read_bytes())
    requires = wheels.requirements_of(path)
    if requires != kit.requires:
        kit.requires, again = requires, list(kit.targets)
        kit.targets = {}
        for name in again:
            kit.targets[name] = wheels.resolve(path, kit.extra, parse_target(name))
    kit.version = pettutor.__version__
    return path


def _put_lessons(folder):
    """Copy lessons and solutions; gives their paths in the kit."""
    source = lessons_folder()
    names = [path.relative_to(source) for path in [*lessons(), *lessons(source / "solutions")]]
    for name in names:
        (folder / "lessons" / name).parent.mkdir(parents=True, exist_ok=True)
        _put(folder / "lessons" / name, (source / name).read_bytes())
    return [f"lessons/{name.as_posix()}" for name in names]


def _brainweb_files():
    """The subjects in this machine's cache, each read to its end."""
    from pettutor.phantoms.brainweb import SUBJECTS, DamagedFile, cache_folder, file_name, read_labels

    mend = "data_scripts/fetch_brainweb.py fetches them"
    paths = {subject: cache_folder() / file_name(subject) for subject in SUBJECTS}
    paths = {subject: path for subject, path in paths.items() if path.exists()}
    if not paths:
        raise ValueError(f"BrainWeb: expected subjects in {cache_folder()}, got none; {mend}")
    for subject, path in paths.items():
        try:
            read_labels(path, subject)
        except DamagedFile as error:
            raise ValueError(f"BrainWeb: {path}: {error}; {mend}") from None
    return list(paths.values())


def _put_brainweb(folder, files):
    for path in files:
        (folder / "brainweb").mkdir(exist_ok=True)
        _put(folder / "brainweb" / path.name, path.read_bytes())
    return [f"brainweb/{path.name}" for path in sorted((folder / "brainweb").glob("*.bin.gz"))]


def _put(path, content):
    if not path.exists() or path.read_bytes() != content:
        with whole_file(path) as file:
            file.write(content)


def _prune(folder, wanted):
    """Remove wheels and lessons of an older kit; nothing else in the folder is touched."""
    for path in [*folder.glob("wheels/*.whl"), *folder.glob("lessons/**/*.ipynb")]:
        if path.relative_to(folder).as_posix() not in wanted:
            os.remove(path)
