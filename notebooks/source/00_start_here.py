# %% [markdown]
# # 0 · Start here
#
# **Purpose:** see that everything works on your machine, go once through the whole path from a brain to a
# reconstructed image, and know what the course will build.
#
# **Time:** about 15 minutes of reading; about 1 minute of computing at the default size on two cores.
#
# **You need:** Python with NumPy, and to have used a notebook before. No knowledge of PET.
#
# **After this lesson you can**
#
# 1. say in five sentences what PET image reconstruction is;
# 2. look through a volume with `pt.volshow`;
# 3. find out what works on your machine and what does not, and how to mend it;
# 4. write the whole path, from phantom to sinogram to image, in ten lines;
# 5. change the size of the problem, and find your way through the course.
#
# Click into the first code cell and press **Shift + Enter**. Then do the same with each cell that follows, from top
# to bottom.
#
# Words and symbols: [glossary](glossary.ipynb).

# %% [markdown] tags=["teacher"]
# **In class 30 minutes.** This hour of the day decides whether the rest works: the aim is that the first picture stands
# on every screen. Open the notebook yourself, run each cell in front of the class, and let nobody fall behind by more
# than one cell. If time is short, leave out both exercises; never leave out the doctor.
#
# **5 minutes, the first picture.** While the first cell runs (about 4 seconds on two quiet cores, longer on the very
# first start), say what a phantom is: a head whose truth we know. Let everybody press the **?** of the viewer once.

# %%
from time import perf_counter

start = perf_counter()
import numpy as np

import pettutor as pt

size = pt.course.size()  # "mini", unless the environment variable PETTUTOR_SIZE says otherwise
scanner = pt.Scanner.preset(size)
grid = scanner.image_grid()
truth = pt.load_subject("mni:0").on(grid)
viewer = pt.volshow({"activity (PET)": truth.pet, "T1-weighted MR": truth.t1}, grid=grid, cmaps=["magma", "gray"])
print(f"size {size!r}: {' × '.join(map(str, grid.shape))} voxels; {perf_counter() - start:.1f} s to the first picture")
viewer

# %% [markdown]
# That is your first picture: a human brain as a PET scanner and as an MR scanner would show it if they were perfect.
# On two quiet cores it takes about 4 seconds in a fresh kernel (the line above says what it took here).
#
# The head is called a **phantom**: a digital object whose truth we know. This one is built on the MNI152 atlas, the
# average of 152 real brains (Fonov et al., 2009 and 2011; see *Further reading*). Skull and scalp are grown around
# it. It comes with the installation, so no network is needed. Lesson 1 takes it apart.
#
# **The viewer.** The two panels are linked. Click or drag in a panel: the value under the crosshair is written above
# each. Turn the wheel, or use the keys ↑ ↓, to change the slice (at size `slab` there is only one); the buttons
# choose the plane. Press the **?** of the viewer for all keys. Axes are always (z, y, x): z from the neck to the top
# of the head, y from the nose to the back, x from left to right of the picture. All lengths are mm.

# %% [markdown] tags=["teacher"]
# **5 minutes, the five sentences.** Draw a ring, a point in it and one line through the point on the board; leave the
# drawing there for the day. Say the fourth sentence twice: *an image predicts counts, and we look for the image whose
# prediction fits*. Everything that follows is a variation of it.
#
# Common mistake: to think that a count tells *where on the line* the decay was. (Question 1.)

# %% [markdown]
# ## PET reconstruction in five sentences
#
# 1. A patient is given a **tracer**, a molecule with a radioactive label, and in **positron emission tomography
#    (PET)** we want the image $x$ of how much of it sits in each voxel: the **activity**.
# 2. Each decay sends two photons in opposite directions, and a ring of detectors sees them at the same moment, so
#    that we know the line on which the decay happened (a **line of response**, LOR), but not where on the line.
# 3. The scanner counts such pairs (the **prompts**) for every line; the table of these counts $y$ is the
#    **sinogram**.
# 4. **Reconstruction** is the way back: we know how many counts an image would give on average,
#    $$\bar y = A\,x + r ,$$
#    where $A$ is the scanner and $r$ the background, and look for the image whose $\bar y$ explains the counted $y$
#    best.
# 5. Counts are few and random (they follow Poisson's law), so that the image which explains them best is full of
#    noise: the second half of the course is about networks that bring in knowledge of what brains look like, and
#    about how far to trust them.

# %% [markdown]
# ## How to work with these notebooks
#
# - **From top to bottom.** Later cells use what earlier cells made. If something looks strange: menu *Kernel*, then
#   *Restart Kernel and Run All Cells*.
# - **Predict, then run.** Some cells ask you something *before* they run. Answer first, in your head or on paper:
#   that is where you learn.
# - **Exercises** have a line marked with `# your turn`. They run as they are, with a placeholder; you replace it. The
#   solved notebooks have the same names and are in the folder `solutions`.
# - **Try it** means: change a setting and look. There is no right answer, and no check.
# - **Every draw has a seed**, so your numbers agree with those of your neighbour at the same size.
#
# ### Your progress
#
# The cell after an exercise checks your answer: it says whether it is right, and names the mistake that it
# recognises. Your progress is kept on this computer alone, in one small file, and shown here. (For teachers:
# `pt.course.class_overview(...)` makes one table of the files of a class.)

# %%
pt.course.progress()

# %% [markdown] tags=["teacher"]
# **5 minutes, the doctor.** It takes 5 to 20 seconds, more on a slow disk. Ask who sees a "no", and let the neighbour
# read out the command that mends it. "warn" stops nobody. A missing Keras is no reason to wait: lessons 0 to 8 run
# without it. Note who needs help in the break.

# %% [markdown]
# ## What works here?
#
# The doctor looks at everything that the course needs or could use. It tries the heavy things (TensorFlow, a GPU) in
# processes of their own, and takes 5 to 20 seconds, or up to a minute the first time on a slow disk. A "no" is followed
# by the command that mends it. `pettutor doctor` in a terminal does the same.

# %%
from pettutor import doctor

checks = doctor.examine()
print(doctor.report(checks))

# %% [markdown]
# The lessons 0 to 8 need no network framework and no GPU. Keras is first needed in lesson 9. A "warn" does not stop
# you.

# %% [markdown] tags=["teacher"]
# **10 minutes, the path.** Answer to the prediction: of the folds nothing is to be seen, since a bin is a sum along a
# whole line; the outline of the head is, and the diagonals of the gaps are. Then hide the cell with the naive way and
# ask how *they* would come back from the lines. Most propose back projection. Show that it fails before you show MLEM.
#
# Typical question: "why 11 iterations?" Because lesson 5 has not been yet; it is a choice, not a law.
#
# Expected at `slab`: the back projection's NRMSE is 82 %, that of MLEM 51 %.

# %% [markdown]
# ## The whole path in ten lines
#
# The **scanner** and the **phantom** are there already. Four steps are left:
#
# | step | symbol | code |
# |---|---|---|
# | project: sum the activity along every line | $X$ | `pt.Projector` |
# | simulate a scan: attenuation, detectors, blur, randoms, Poisson noise | $y$ | `pt.simulate` |
# | write down what the reconstruction knows of the scanner | $A = N\,A_\mu\,X\,H$ and $r$ | `pt.AcquisitionModel` |
# | reconstruct, here by maximum likelihood (**MLEM**, lesson 5) | $x$ | `pt.mlem` |
#
# ($N$: detectors, $A_\mu$: attenuation, $H$: blur. From here on the product is just called $A$.)

# %%
X = pt.Projector(scanner, grid)
data = pt.simulate(truth, X, seed=0)
print(X, data, sep="\n")

# %% [markdown]
# This is what the scanner hands us: the prompts. Each row is one **view** (a direction of lines), each column one
# **bin** (a parallel line of that direction).
#
# *Before you run the next cell:* the brain is dark outside and bright inside, with fine folds. Which of that do you
# expect to see in the sinogram?

# %%
import matplotlib.pyplot as plt

plane = scanner.segments[0].size // 2  # the plane through the middle of the scanner
fig, ax = plt.subplots(figsize=(6, 4.6), layout="constrained")
picture = ax.imshow(data.prompts[plane], cmap="gray_r", aspect="auto", interpolation="nearest")
ax.set(title="Prompts of one sinogram plane", xlabel="bin", ylabel="view")
fig.colorbar(picture, label="counts")
plt.show()

# %% [markdown]
# No folds to be seen: each bin is a sum along a whole line, and the white diagonals are gaps between the detector
# blocks.
#
# ### The naive way fails
#
# The obvious idea: smear the counts of every line back along that line, and add up. This is **back projection**, $X^T
# y$.

# %%
naive = X.T(data.prompts)
head = truth.regions["head"]
# its unit means nothing: give it the factor that brings it as close to the truth as a factor can
naive *= np.vdot(naive[head], truth.pet[head]) / np.vdot(naive[head], naive[head])
error = pt.measures.nrmse(naive, truth.pet, normaliser="mean", mask=head)
print(f"back projection: error (NRMSE) {error:.0%} of the mean activity in the head")

# %% [markdown]
# The **NRMSE** is the root-mean-square difference from the truth, here divided by the truth's mean inside the head.
# So the naive image is badly wrong. Why: smearing puts each decay *everywhere* along its line, and nothing takes away
# what was put in the wrong places. It also ignores that the skull has absorbed many photons, and that some counts are
# mere chance.
#
# ### The right way: ask which image explains the counts
#
# MLEM starts from a flat image and improves it again and again, by comparing the counts expected of it with the
# counts measured.

# %%
A = pt.AcquisitionModel(
    X, attenuation=data.attenuation, normalisation=data.normalisation, psf_fwhm=2.5, background=data.randoms
)
x = pt.mlem(data.prompts, A, iterations=11, progress=True)
print(f"MLEM: NRMSE {pt.measures.nrmse(x, truth.pet, normaliser='mean', mask=head):.0%}")

# %%
same_window = float(truth.pet.max())
pt.volshow(
    {"truth": truth.pet, "back projection": naive, "MLEM, 11 iterations": x}, grid=grid, vmins=0, vmaxs=same_window
)

# %% [markdown]
# The large structures come back: grey and white matter, and the dark ventricles. The image is still blurred (11
# iterations are few, and the scanner blurs), and noise begins to show. More iterations sharpen the image *and* the
# noise: lesson 5 shows this, lessons 6 to 8 tame it, and lesson 9 lets a small network work on it.

# %% [markdown] tags=["teacher"]
# **5 minutes, how to go on.** Say which size the class uses: `mini` on laptops of the last years, `slab` where the fan
# is loud. Show the last line of an error message once (*When something goes wrong*), and where the solutions lie.
#
# Exercise 1: brains and folds differ in shape, the values of the tissues do not. Exercise 2: with a tenth of the counts
# the noise is about three times as large, and the NRMSE grows.
#
# Expected at `slab`: NRMSE 56 % with a tenth of the counts (51 % with all).

# %% [markdown]
# ## Sizes
#
# The same code runs at three sizes. `slab` is one ring of detectors and a single slice: everything is there but the
# third dimension. `mini` is a small 3-D scanner, for laptops. `mmr` is a real clinical scanner, the Siemens Biograph
# mMR.

# %%
print(f"{'size':6} {'rings':>5} {'image (z, y, x)':>18} {'sinogram (plane, view, bin)':>28} {'million bins':>13}")
for name in pt.course.SIZES:
    s = pt.Scanner.preset(name)
    bins = np.prod(s.sinogram_shape) / 1e6
    print(f"{name:6} {s.rings:5} {s.image_grid().shape!s:>18} {s.sinogram_shape!s:>28} {bins:13.2f}")

# %% [markdown]
# The lessons ask `pt.course.size()`, and that answers `"mini"` unless the environment variable `PETTUTOR_SIZE` names
# another. Set it before you start: `PETTUTOR_SIZE=slab pettutor lab` (in PowerShell: `$env:PETTUTOR_SIZE = "slab";
# pettutor lab`). For a single notebook, put `%env PETTUTOR_SIZE=slab` in a cell above the first one and restart the
# kernel. Take `slab` if you are in a hurry, and `mmr` if you have a GPU, or patience.

# %% [markdown]
# ## The map of the course
#
# | | lesson | the question it answers |
# |---|---|---|
# | 0 | Start here | Does everything work, and what will we build? |
# | 1 | [The phantom](01_phantom.ipynb) | What does the scanner look at? Activity, attenuation, MR, lesions |
# | 2 | [The scanner and its sinogram](02_scanner_and_sinogram.ipynb) | What does it see? Lines of response, sinograms |
# | 3 | [The projector](03_projector.ipynb) | How does a line become numbers? Four system models, speed, memory |
# | 4 | [Simulation](04_simulation.ipynb) | What does it count? Attenuation, gaps, resolution, randoms, noise |
# | 5 | [MLEM](05_mlem.ipynb) | How does the image come back, and why does it get noisy? |
# | 6 | [From MLEM to OSEM](06_osem.ipynb) | How to get there faster, and what are noise and bias over 20 scans? |
# | 7 | [MAP, priors and MR](07_map.ipynb) | What else do we know about the image, and what does it cost to say so? |
# | 8 | [Kernel EM and dictionaries](08_kernel_dictionary.ipynb) | Can MR tell the shapes of which the image is built? |
# | 9 | [CED and MR-guided post-processing](09_ced.ipynb) | What can a network do afterwards, and what does it invent? |
# | 10 | [Deep image prior and DIPRecon](10_dip_recon.ipynb) | What does a network know that was never trained? |
# | 11 | [Unrolling: EM-Net](11_em_net.ipynb) | How does an iterative algorithm become a network? |
# | 12 | [MAPEM-Net](12_mapem_net.ipynb) | What does physics inside a network gain, against a U-Net of equal size? |
# | 13 | [BCD-Net](13_bcd_net.ipynb) | Trained layer by layer: what happens at counts that it never saw? |
# | 14 | [Everything side by side](14_side_by_side.ipynb) | Which method gains what, and what does MR invent? |
# | 15 | [What came after](15_after.ipynb) | Methods since then; how does one judge a new one? |
# | 16 | [Real data](16_real_data.ipynb) | List mode, randoms, normalisation: what does a scanner give you? |

# %% [markdown]
# ## When something goes wrong
#
# Read the **last line** of the error first. The library says what it expected and what it got. Here is a typical
# slip, one sinogram plane handed over instead of the sinogram:

# %%
try:
    pt.mlem(data.prompts[0], A)
except ValueError as message:
    print("ValueError:", message)

# %% [markdown]
# - Documentation of anything: put a question mark behind it, `pt.mlem?`, or press Shift + Tab inside the brackets.
# - A cell stopped in the middle (*Kernel*, *Interrupt Kernel*): `pt.mlem` then gives back the last finished image.
# - Strange behaviour after many experiments: restart the kernel and run all cells.
# - Something missing on the machine: the doctor above. A mistake in the course: open an issue in the project's
#   repository, with the output of the doctor.

# %% [markdown]
# ## Exercises
#
# The cell after an exercise checks your answer. If you are stuck, `pt.course.hint("another_patient")` gives a hint, and
# a further one each time; `pt.course.solution("another_patient")` gives the solution.
#
# **Exercise 1. Another patient.** `"mni:1"`, `"mni:2"`, … are other heads: smooth random deformations of the first.
# Show subject 1 beside subject 0. What differs, what does not?


# %%
def another_patient(grid):
    """The images of subject mni:1 on a grid."""
    # solution:
    return pt.load_subject("mni:1").on(grid)
    # stub: return pt.load_subject("mni:0").on(grid)  # your turn: subject "mni:1"
    # end of solution


other = another_patient(grid)
pt.volshow({"subject 0": truth.pet, other.subject.name: other.pet}, grid=grid, vmins=0, vmaxs=same_window)

# %%
pt.course.check.another_patient(another_patient)

# %% [markdown]
# **Exercise 2. Fewer counts.** `pt.simulate` takes `counts=`, the expected number of true pairs. Simulate a scan with
# a tenth of the counts, reconstruct it, and look. What changes in the image, and what in the NRMSE?


# %%
def short_scan(truth, X, trues):
    """A scan with a tenth of the given number of trues."""
    # solution:
    return pt.simulate(truth, X, counts=trues / 10, seed=1)
    # stub: return pt.simulate(truth, X, counts=trues, seed=1)  # your turn: a tenth of the counts
    # end of solution


trues = float(data.trues.sum(dtype=np.float64))
short = short_scan(truth, X, trues)
A_short = pt.AcquisitionModel(
    X, attenuation=short.attenuation, normalisation=short.normalisation, psf_fwhm=2.5, background=short.randoms
)
x_short = pt.mlem(short.prompts, A_short, iterations=11)
nrmse = pt.measures.nrmse(x_short, truth.pet, normaliser="mean", mask=head)
print(f"{short.trues.sum(dtype=np.float64):.3g} trues instead of {trues:.3g}: NRMSE {nrmse:.0%}")
pt.volshow({"all counts": x, "short scan": x_short}, grid=grid, vmins=0, vmaxs=same_window)

# %%
pt.course.check.short_scan(short_scan)

# %% [markdown]
# ## Questions
#
# <details><summary>1. Why does one pair of photons not tell us where the decay happened?</summary>
#
# The two photons fly apart along one line, and the detectors tell us only that line. (Some scanners measure the
# difference of the arrival times, *time of flight*, and know the place on the line to a few centimetres. Ours does
# not; lesson 3 tries it out.)
# </details>
#
# <details><summary>2. What is the difference between y and ȳ?</summary>
#
# $\bar y = A x + r$ is what is counted *on average*; it is smooth and need not be whole numbers. $y$ is what was
# counted in one scan: whole numbers, drawn from Poisson's law with mean $\bar y$.
# </details>
#
# <details><summary>3. Why can back projection not be the answer, even without noise?</summary>
#
# Each line's sum is spread along the whole line, also over places where there was nothing. These wrong shares stay in
# the image: it is blurred, and the air around the head is not dark. Lesson 2 measures the blur.
# </details>
#
# <details><summary>4. Where would knowledge from other patients help, and where could it harm?</summary>
#
# It helps where the counts say little: what folds and noise look like is much the same in everybody. It harms where
# this patient differs from all others, for instance in a lesion. Both will be measured.
# </details>
#
# ## Summary
#
# A PET scanner counts pairs of photons on lines; the table of counts is the sinogram. Reconstruction looks for the
# image that explains the counts. Back projection smears; MLEM compares and corrects, and gets close, but blurred or
# noisy. Ten lines take you from a phantom to a reconstructed image, at the size that your machine can take.
#
# **What next:** [lesson 1, the phantom](01_phantom.ipynb).
#
# ## Further reading
#
# - L. A. Shepp, Y. Vardi. *Maximum likelihood reconstruction for emission tomography.* IEEE Trans. Med. Imaging
#   1(2):113, 1982. [doi:10.1109/TMI.1982.4307558](https://doi.org/10.1109/TMI.1982.4307558)
# - A. J. Reader et al. *Deep learning for PET image reconstruction.* IEEE Trans. Radiat. Plasma Med. Sci. 5(1):1, 2021.
#   [doi:10.1109/TRPMS.2020.3014786](https://doi.org/10.1109/TRPMS.2020.3014786)
# - The atlas shown here: V. S. Fonov et al. NeuroImage 47(S1):S102, 2009.
#   [doi:10.1016/S1053-8119(09)70884-5](https://doi.org/10.1016/S1053-8119%2809%2970884-5); NeuroImage
#   54(1):313, 2011. [doi:10.1016/j.neuroimage.2010.07.033](https://doi.org/10.1016/j.neuroimage.2010.07.033)
