"""Tries an installed wheel from an empty folder: what it carries, and a small reconstruction."""

import sys
from pathlib import Path

import pettutor as pt

package = Path(pt.__file__).parent
assert "site-packages" in package.parts, f"expected the installed package, got {package}"
for wanted in (
    "projector/kernels.cu",
    "projector/tracing.cu",
    "view/static/*.mjs",
    "view/static/*.css",
    "course/notebooks/0*.ipynb",
    "course/notebooks/source/0*.py",
):
    assert list(package.glob(wanted)), f"the wheel lacks {wanted}"
assert list(Path(sys.argv[1]).glob("00_*.ipynb")), "pettutor lab did not copy the lessons"

scanner = pt.Scanner.preset("slab")
grid = scanner.image_grid()
truth = pt.load_subject("mni:0").on(grid)
X = pt.Projector(scanner, grid, device="cpu")
data = pt.simulate(truth, X, seed=0)
A = pt.AcquisitionModel(
    X, attenuation=data.attenuation, normalisation=data.normalisation, psf_fwhm=2.5, background=data.randoms
)
x = pt.mlem(data.prompts, A, iterations=5)
assert x.shape == grid.shape and x.max() > 0, "the reconstruction is empty"
heavy = {"tensorflow", "keras", "jax", "torch"} & set(sys.modules)
assert not heavy, f"a reconstruction loaded {heavy}"
print(f"reconstructed {x.shape} from {data.prompts.sum():.3g} counts with the installed wheel")
