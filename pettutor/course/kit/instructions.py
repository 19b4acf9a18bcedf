"""The instructions of a kit, in plain words and the exact commands, as text and as a page."""

import html
import re
import textwrap

from pettutor.course.kit.targets import WORDS, parse_target

_DISK = {"none": 2, "jax": 2, "cpu": 3}  # GB that an environment takes, about; with CUDA far more


def sections(kit, brainweb):
    """Pairs (heading, blocks); a block is a paragraph, or a list of commands."""
    machines = {}
    for target in map(parse_target, kit.targets):
        machines.setdefault(target.platform, []).append(target.python)
    pythons = sorted({python for found in machines.values() for python in found}, key=lambda text: text.split("."))
    wanted = "pettutor" if kit.extra == "none" else f"pettutor[{kit.extra}]"
    unix, windows = [name for name in machines if name != "windows"], "windows" in machines
    made = [("What this is", [
        f"pettutor {kit.version}, a course on PET image reconstruction with deep learning, with everything that it "
        "needs: the machine needs no network.",
        "It was made for: " + "; ".join(f"{WORDS[name]}, with Python {_or(found)}" for name, found in machines.items())
        + ".",
    ])]  # fmt: skip
    made.append(("What the machine needs", [
        f"Python {_or(pythons)}, which is not in this kit: python3 --version (on Windows: py --list) says what is "
        "there. Where it is missing, install it from python.org, on Linux from the system's own packages (with "
        f"python3-venv); a teacher brings the installers along. And about {_DISK.get(kit.extra, 12)} GB of free disk.",
    ]))  # fmt: skip
    if unix:
        systems = "Linux" if unix == ["linux"] else "Linux and macOS" if "linux" in unix else "macOS"
        made.append((f"Install: {systems}", [
            "Open a terminal, go to the folder of this file with cd, and give these commands one after the other. The "
            "environment is made in your home folder, so the stick is free again afterwards.",
            ["python3 -m venv ~/pettutor-env",
             f'~/pettutor-env/bin/pip install --no-index --find-links wheels "{wanted}"'],
            "Then, today and every other day:",
            ["cd ~", "~/pettutor-env/bin/pettutor doctor", "~/pettutor-env/bin/pettutor lab"],
        ]))  # fmt: skip
    if windows:
        newest = machines["windows"][-1]
        made.append(("Install: Windows", [
            "Open PowerShell, go to the folder of this file with cd (for example cd D:\\), and give these commands one "
            "after the other. The environment is made in your home folder, so the stick is free again afterwards.",
            [f"py -{newest} -m venv $HOME\\pettutor-env",
             f'& $HOME\\pettutor-env\\Scripts\\pip install --no-index --find-links wheels "{wanted}"'],
            "Then, today and every other day:",
            ["cd $HOME", *(f"& $HOME\\pettutor-env\\Scripts\\pettutor {word}" for word in ("doctor", "lab"))],
        ]))  # fmt: skip
    made.append(("What the commands do", [
        "pettutor doctor says what works on this machine, and what does not. pettutor lab copies the lessons into the "
        "folder pettutor-lessons and opens the first in the browser; it never writes over a lesson that you changed. "
        "The first picture takes some seconds longer: the projector is compiled once.",
        *(["Without an extra there are no networks: lessons 9 to 15 need them, and pettutor doctor says so."]
          if kit.extra == "none" else []),
        "The folder lessons holds the same lessons to read; you do not need to copy it.",
    ]))  # fmt: skip
    if brainweb:
        made.append(("BrainWeb subjects", [
            "The folder brainweb holds heads of the BrainWeb database (free to use with citation: Collins et al. 1998, "
            "Aubert-Broche et al. 2006). Copy them into the folder .brainweb of your home folder:",
            *_both(unix and ["mkdir -p ~/.brainweb", "cp brainweb/* ~/.brainweb"],
                   windows and ["mkdir -Force $HOME\\.brainweb", "cp brainweb\\* $HOME\\.brainweb"]),
        ]))  # fmt: skip
    made.append(("Is the copy whole?", [
        "Once pettutor is installed, in the folder of this file:",
        *_both(unix and ["~/pettutor-env/bin/pettutor kit . --check"],
               windows and ["& $HOME\\pettutor-env\\Scripts\\pettutor kit . --check"]),
        *(["Before that, on Linux or macOS:", ["shasum -a 256 -c SHA256SUMS"]] if unix else []),
    ]))  # fmt: skip
    return made


def _both(unix, windows):
    """The commands of the systems that there are, with the name of each where there are two."""
    if unix and windows:
        return ["Linux and macOS:", unix, "Windows:", windows]
    return [unix or windows]


def _or(words):
    return " or ".join(", ".join(words).rsplit(", ", 1))


def as_text(kit, brainweb):
    """The instructions as plain text."""
    lines = [f"pettutor {kit.version}: the course without a network", ""]
    for heading, blocks in sections(kit, brainweb):
        lines += [heading, "-" * len(heading)]
        for block in blocks:
            if isinstance(block, str):
                lines += [*textwrap.wrap(block, 88, break_long_words=False, break_on_hyphens=False), ""]
            else:
                lines += [*(f"    {command}" for command in block), ""]
    return "\n".join(lines)


_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>pettutor without a network</title>
<style>
body {{ font: 1.05rem/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }}
body {{ color: #1a1a1a; background: #fff; }}
h1 {{ font-size: 1.6rem; }} h2 {{ font-size: 1.15rem; margin: 1.8rem 0 0.4rem; }}
pre {{ background: #f2f4f7; padding: 0.7rem 0.9rem; border-radius: 6px; font-size: 0.92rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #16181c; color: #e8e8e8; }} pre {{ background: #24272d; }} }}
</style></head><body>
<h1>pettutor {version}: the course without a network</h1>
{body}
</body></html>
"""


def as_html(kit, brainweb):
    """The instructions as a page that stands alone."""
    parts = []
    for heading, blocks in sections(kit, brainweb):
        parts.append(f"<h2>{html.escape(heading)}</h2>")
        for block in blocks:
            if isinstance(block, str):
                parts.append(f"<p>{_with_code(html.escape(block))}</p>")
            else:
                parts.append(f"<pre>{html.escape(chr(10).join(block), quote=False)}</pre>")
    return _PAGE.format(version=html.escape(kit.version), body="\n".join(parts))


def _with_code(text):
    """Commands and folders in a sentence, set as code."""
    return re.sub(
        r"\b(pettutor (?:doctor|lab)|pettutor-lessons|python3-venv|python3 --version|py --list)\b",
        r"<code>\1</code>",
        text,
    )
