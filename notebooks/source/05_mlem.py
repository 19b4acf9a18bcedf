# %% [markdown]
# # 5 · MLEM: the image that explains the counts
#
# **Purpose:** get the image back from the counts, with the method on which everything later in the course is built,
# and understand why it gets noisy if you let it run.
#
# **Time:** about 50 minutes of reading; about 1 minute of computing at the default size on two cores. **You need:**
# [lesson 4](04_simulation.ipynb) (the model $\bar y = A x + r$).
#
# **After this lesson you can**
#
# 1. write down the Poisson likelihood and derive the MLEM update from it in five lines;
# 2. program that update yourself, in one line;
# 3. show what goes wrong with least squares, with a forgotten background and with a wrong point spread function;
# 4. say what MLEM guarantees (likelihood, positivity, total counts) and what it does not (a good image);
# 5. choose when to stop and how much to filter, and name the price of both;
# 6. watch, stop and resume a reconstruction.
#
# Words and symbols: [glossary](glossary.ipynb).

# %% [markdown] tags=["teacher"]
# **In class 60 minutes.** The most important lesson. Nobody should leave it without having written the update with
# their own hands. What can go: the Gibbs artefact, the search of exercise 2, the volume.

# %% [markdown]
# ## The workbench
#
# From now on $A$ is the whole linear model of lesson 4 (normalisation · attenuation · projection · blur), and $r$
# the background: $\bar y = A x + r$. To try many things quickly we work with one ring and one slice; the last
# section does the same with the volume. The scan is short, 100,000 trues, so that noise matters.
#
# How good is an image? We use the **normalised root-mean-square error (NRMSE)** in the head, in per cent of the
# truth's root mean square. It needs the truth, so for a patient nobody can compute it.
#
# The projector is the stored matrix of lesson 3: one ring fits into memory, and an iteration takes milliseconds.

# %%
import matplotlib.pyplot as plt
import numpy as np

import pettutor as pt

size = pt.course.size()  # for the volume at the end
scanner = pt.Scanner.preset("slab")
grid = scanner.image_grid()
X = pt.Projector(scanner, grid)
truth = pt.load_subject("mni:0").on(grid)
head, grey, white, csf = (truth.regions[name] for name in ("head", "grey matter", "white matter", "csf"))

data = pt.simulate(truth, X, counts=100_000, randoms_fraction=0.3, psf_fwhm=4.5, seed=1)
y = data.prompts
known = {"attenuation": data.attenuation, "normalisation": data.normalisation, "background": data.randoms}
stored = X.to_matrix()
A = pt.AcquisitionModel(stored, **known, psf_fwhm=4.5)
print(data, truth.source, f"Cite: {truth.citation}", sep="\n")


# %%
def error(image):
    """NRMSE in the head, per cent."""
    return 100 * pt.measures.nrmse(image, truth.pet, normaliser="rms", mask=head)


pt.volshow({"x, to be found": truth.pet}, grid=grid, units="activity", vmaxs=150)

# %% [markdown] tags=["teacher"]
# **8 minutes, least squares.** Answer to the prediction: it fits better and better, and the image gets worse. Insist
# that the solver is *good*: it solves the wrong problem. Two reasons to collect on the board: activity is not negative,
# and bins do not deserve equal trust.
#
# Expected at `slab`: error 50, 41, 38 and 45 % after 5, 10, 15 and 20 iterations, 15 % of the head negative at the end.

# %% [markdown]
# ## A first try: least squares
#
# We know $A$, $r$ and $y$, and want $x$ with $A x + r \approx y$. The naive answer is **least squares**,
# $\min_x \lVert A x + r - y\rVert^2$, solved with conjugate gradients (SciPy has them). No sophistication is
# missing here: this is a good solver.
#
# **Before you run it:** it fits the data better and better. Does the image get better and better, too?

# %%
from scipy.sparse.linalg import LinearOperator, cg

n = int(np.prod(A.in_shape))


def normal_matrix(v):
    return A.T(A(v.reshape(A.in_shape).astype(np.float32))).ravel()


path = []


def keep(v):
    path.append(v.reshape(A.in_shape).astype(np.float32))


cg(LinearOperator((n, n), normal_matrix), A.T(y - data.randoms).ravel(), rtol=0, maxiter=20, callback=keep)
for k in (5, 10, 15, 20):
    x = path[k - 1]
    print(
        f"iteration {k:2}: error {error(x):5.1f} %, negative voxels {(x[head] < 0).mean():4.0%}, least {x.min():6.1f}"
    )
pt.volshow({f"least squares, {k}": path[k - 1] for k in (5, 10, 20)}, grid=grid, vmins=-50, vmaxs=150, cmaps="gray")

# %% [markdown] tags=["teacher"]
# **17 minutes, the derivation and exercise 1.** Derive it at the board with one bin and two voxels: who owns the count?
# Then read the update aloud: project, compare by division, back-project, multiply. Ten minutes for the exercise; walk
# round.
#
# The check names the mistake. The three that come most often: the background is forgotten in the expected counts, the
# division by $s$ is missing, the ratio is upside down. The stub is the library's update, so a notebook that was not
# touched runs on; the check then says "not yet".

# %% [markdown]
# **It fails in two ways.** Negative activity (what should that be?), in a good part of the head. And soon the error
# rises steeply, because least squares believes every bin alike: it fits the noise of the strong bins, which
# fluctuate most, as eagerly as the quiet ones. Neither is a fault of the solver. It solves the wrong problem:
# nothing told it that activity is not negative and that counts are Poisson.
#
# ## The right problem
#
# Counts are independent Poisson variables with means $\bar y_i = [A x]_i + r_i$. The **likelihood** of an image is
# the probability that it would have produced just these counts. Its logarithm, without the constant $\log y_i!$, is
#
# $$L(x) = \sum_i \left( y_i \log \bar y_i - \bar y_i \right), \qquad \bar y = A x + r .$$
#
# We look for the image $x \ge 0$ that makes $L$ largest: **maximum likelihood**. There is no formula for it, but
# there is an iteration, **expectation maximisation (EM)**. In five lines:
#
# 1. Imagine we knew $z_{ij}$: how many of the counts in bin $i$ came from voxel $j$. These are Poisson with mean
#    $A_{ij} x_j$.
# 2. Then the best image would be easy: all counts from voxel $j$ over what one unit of activity there gives,
#    $x_j = \sum_i z_{ij} / s_j$ with the **sensitivity** $s_j = \sum_i A_{ij}$, that is $s = A^{\mathsf T} 1$.
# 3. We do not know $z_{ij}$. But if $x$ were right, voxel $j$ would own the share $A_{ij} x_j / \bar y_i$ of bin
#    $i$; so expect $z_{ij} = y_i \, A_{ij} x_j / \bar y_i$. (E step; the background owns the share $r_i/\bar y_i$.)
# 4. Put this into line 2. (M step.)
# 5. The result is **MLEM**, and since it improves $x$, repeat:
#
# $$x_j \;\leftarrow\; \frac{x_j}{s_j} \sum_i A_{ij} \frac{y_i}{\bar y_i} \qquad\text{or, in the operators of this
# course,}\qquad x \leftarrow \frac{x}{s} \odot A^{\mathsf T} \frac{y}{A x + r} .$$
#
# Read it aloud: project the image, compare with the counts *by division*, back-project the ratio, multiply. A ratio
# above 1 means "more activity along this line". All factors are positive, so an image that starts positive stays
# positive.
#
# ### Exercise 1
# Write the update. `A.expected(x)` is $A x + r$, `A.T` is $A^{\mathsf T}$. Divisions by zero (in gaps, and in
# corners that no line crosses) are taken care of by `ratio`.
#
# The cell after an exercise checks your answer and names the mistake that it recognises. Stuck?
# `pt.course.hint("em_update")` gives a hint, each time one more; `pt.course.solution("em_update")` gives the solution.


# %%
def ratio(a, b):
    """a / b, and 0 where b is 0."""
    return np.divide(a, b, out=np.zeros_like(b), where=b > 0)


def my_mlem(y, A, iterations):
    x = np.ones(A.in_shape, np.float32)
    s = A.T(np.ones(A.out_shape, np.float32))
    for _ in range(iterations):
        # solution:
        x = x * ratio(A.T(ratio(y, A.expected(x))), s)
        # stub: x = pt.mlem(y, A, iterations=1, start=x)  # the library's update: write your own here
        # end of solution
    return x


mine, theirs = my_mlem(y, A, 3), pt.mlem(y, A, iterations=3)
print(f"largest difference from pt.mlem: {np.abs(mine - theirs).max() / theirs.max():.1e} of the maximum")

# %%
pt.course.check.em_update(my_mlem)

# %% [markdown] tags=["teacher"]
# **10 minutes, what it does.** Answer to the prediction: likelihood and noise go up all the time, the error turns
# round. Let the class move the frame slider: first a blur, then a brain, then a storm. Write on the board: *the image
# that explains the counts best is not the best image.*
#
# Expected at `slab`: least error 37.2 % after 22 iterations.

# %% [markdown]
# ## What MLEM does
#
# `pt.mlem` is this line, with checks, a progress bar, a `record` of the likelihood and a `callback` that sees every
# image.
#
# To see the **noise** alone we scan the same head twice: same scanner, new Poisson noise. What differs between the
# two images is noise; we take its standard deviation over the mean, averaged over the voxels of white matter.
#
# **Before you run it:** which of these three go up all the time, and which turn round: the likelihood, the error,
# the noise?

# %%
second_scan = np.random.default_rng(2).poisson(data.trues + data.randoms).astype(np.float32)
frames, twins, record = [], [], pt.Record()
pt.mlem(y, A, iterations=40, record=record, progress=True, callback=lambda k, image: frames.append(image))
pt.mlem(second_scan, A, iterations=40, progress=True, callback=lambda k, image: twins.append(image))


def noise(one, two):
    """Noise in white matter, per cent of the mean."""
    return 100 * pt.measures.background_std(np.stack([one, two]), white)


errors = np.array([error(f) for f in frames])
noises = np.array([noise(*pair) for pair in zip(frames, twins, strict=True)])
best = int(errors.argmin()) + 1
rising = bool(np.all(np.diff(record.log_likelihood) > 0))
print(f"likelihood rises in every iteration: {rising}; least error {errors.min():.1f} % after {best} iterations")

# %%
curves = {
    "log-likelihood": (record.log_likelihood[1:], "L, without log y!"),
    "error in the head": (errors, "NRMSE (%)"),
    "noise in white matter": (noises, "standard deviation / mean (%)"),
}
fig, axes = plt.subplots(1, 3, figsize=(11, 3.1), layout="constrained")
for ax, (title, (values, label)) in zip(axes, curves.items(), strict=True):
    ax.plot(np.arange(len(values)) + 1, values)
    ax.set(title=title, xlabel="iteration", ylabel=label)
axes[1].axvline(best, color="k", ls=":")
plt.show()

# %%
picks = (1, 2, 5, 11, best, 40)
stack = np.stack([frames[k - 1] for k in picks])
labels = [f"iteration {k}" for k in picks]
viewer = pt.volshow({"truth": truth.pet, "MLEM": stack}, labels=labels, grid=grid, units="activity", vmins=0, vmaxs=150)
viewer.frame = 3  # the one to begin with
viewer

# %% [markdown]
# Move the frame slider: first a blur, then a brain, then a storm. The likelihood still rises while the image gets
# worse. **The image that explains the counts best is not the best image**, because it explains their noise as well.
# So MLEM is hardly ever run to the end; where one stops is part of the method. (That is also true of 11 iterations,
# the number in many papers and in later lessons: a choice, not a law.)
#
# ### It preserves the counts
# Without background, the projection of the image has exactly as many counts as were measured, after every single
# iteration:
#
# $$\sum_i [A x^{+}]_i = \sum_j s_j x_j^{+} = \sum_j x_j \Big[A^{\mathsf T} \frac{y}{\bar y}\Big]_j = \sum_i
# [Ax]_i\, \frac{y_i}{\bar y_i} = \sum_i y_i \quad\text{where } \bar y = A x .$$

# %%
clean = pt.simulate(truth, X, counts=100_000, randoms_fraction=0, seed=1)
B = pt.AcquisitionModel(stored, attenuation=clean.attenuation, normalisation=clean.normalisation, psf_fwhm=4.5)
print(f"without background: measured {clean.prompts.sum(dtype=float):,.0f}")
pt.mlem(clean.prompts, B, iterations=3, callback=lambda k, x: print(f"  after {k}: {B(x).sum(dtype=float):,.0f}"))
print(f"with background: measured {y.sum(dtype=float):,.0f}")
for k in (1, 2, 5, 40):
    print(f"  after {k}: {A.expected(frames[k - 1]).sum(dtype=float):,.0f}")

# %% [markdown] tags=["teacher"]
# **10 minutes, what is missing in the model.** Three ways with the randoms: look *outside* the head. Then the two
# discs: the right PSF gives the small disc back and lets the large one overshoot. Answer to the prediction: no, it must
# not; the edges overshoot (Gibbs).
#
# Expected at `slab`: activity outside the head 0.34 in the model, 2.50 forgotten, 0.69 subtracted; discs with the true
# PSF 5.25 and 5.52, without 4.34 and 5.01.

# %% [markdown]
# With background the total is only approached, since part of the excess is blamed on $r$. It is a good check of any
# code of yours: if the totals are wrong, $A$ and $A^{\mathsf T}$ do not belong together.
#
# ## What if the background is forgotten?
#
# Three ways to treat the 30 % randoms: as background in the model (right); not at all; and subtracted from the data
# beforehand, with the negative bins set to zero because MLEM takes no negative counts. All with 20 iterations.

# %%
no_randoms = np.maximum(y - data.randoms, 0)
images = {
    "in the model": frames[19],
    "forgotten": pt.mlem(y, A, iterations=20, background=0.0),
    "subtracted, clipped": pt.mlem(no_randoms, A, iterations=20, background=0.0),
}
print(f"{'mean activity':21} grey  white   csf  outside   error")
for name, image in {"truth": truth.pet, **images}.items():
    g, w, c, o = (image[mask].mean() for mask in (grey, white, csf, ~head))
    print(f"{name:20} {g:5.1f}  {w:5.1f} {c:5.1f}  {o:7.2f}  {error(image):5.1f} %")
pt.volshow(images, grid=grid, vmins=0, vmaxs=150, units="activity")

# %% [markdown]
# Forgotten randoms become activity: everything is too bright, most of all where nothing should be. Subtracting
# looks fine at first sight, and in this scan its error in the head is about the same. But look outside: clipping
# keeps the upward fluctuations and cuts off the downward ones, so a positive haze remains, and it grows as the
# counts per bin fall. Describe the data, do not correct them.
#
# (No method gets white matter and csf right here: blur and too few iterations leave them too bright. That is the
# partial-volume effect, not the randoms.)
#
# ## What if the resolution is forgotten?
#
# The scanner blurs with 4.5 mm. We reconstruct two hot discs, 8 and 20 mm across, in a larger one, without any
# noise, and believe in a **point spread function (PSF)** of 0, 2.5 or 4.5 mm.
#
# **Before you run it:** the right width must give the right discs. Must it?

# %%
small = scanner.image_grid(shape=(1, 48, 48))
S = pt.Projector(scanner, small)
discs = pt.phantoms.cylinder(small, 42.0, value=1.0)
discs += pt.phantoms.cylinder(small, 4.0, centre=(0, 0, -18), value=4.0)
discs += pt.phantoms.cylinder(small, 10.0, centre=(0, 0, 16), value=4.0)
perfect = pt.simulate(discs, S, counts=1e6, randoms_fraction=0, efficiency_spread=0, psf_fwhm=4.5, seed=0)
fig, ax = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
mm, row = small.coordinates()[2], small.shape[1] // 2
ax.plot(mm, discs[0, row], "k--", label="truth")
for width in (0, 2.5, 4.5):
    model = pt.AcquisitionModel(S.to_matrix(), normalisation=perfect.normalisation, psf_fwhm=width)
    image = pt.mlem(perfect.trues, model, iterations=40)
    ax.plot(mm, image[0, row], label=f"PSF {width} mm")
    peaks = [image[0, :, side].max() for side in (slice(0, row), slice(row, None))]
    print(f"PSF {width} mm: maximum of the small disc {peaks[0]:.2f}, of the large disc {peaks[1]:.2f}")
ax.set(xlabel="x (mm)", ylabel="activity", title="Noise-free, 40 iterations; both discs should reach 5")
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# Without a PSF the small disc stays too low: the blur is now part of the "object" (the partial-volume effect
# again). With the true PSF it recovers, but the large disc overshoots at its edges. This is the **Gibbs artefact**:
# the high frequencies that the blur has wiped out cannot come back, and an edge without its highest frequencies
# overshoots. In small objects the overshoots of the two sides meet, so with more iterations a small lesion may even
# look hotter than it is. A narrower PSF (2.5 mm, as in this course's reference reconstruction) is a compromise:
# less recovery, hardly any overshoot. It is a *mismatch* on purpose, and we shall name it whenever we use it.
#
# And with noise, in the brain?

# %%
print("least error within 20 iterations")
for width in (0, 2.5):
    model, course = pt.AcquisitionModel(stored, **known, psf_fwhm=width), []
    pt.mlem(y, model, iterations=20, callback=lambda k, image, course=course: course.append(error(image)))
    print(f"  PSF {width} mm: {min(course):.1f} % (iteration {int(np.argmin(course)) + 1})")
print(f"  PSF 4.5 mm: {errors[:20].min():.1f} % (iteration {int(errors[:20].argmin()) + 1})")

# %% [markdown] tags=["teacher"]
# **10 minutes, noise against contrast.** Here the picture comes in that all later lessons use: contrast upwards, noise
# to the right, top left is best. Let everybody mark where they would stop. There is no right answer, and that is the
# point. Exercise 2, common mistake: first the best iterations, then the best width; the two depend on each other.
#
# Expected at `slab`: exercise 2: 40 iterations and 5.5 mm, 36.4 %.

# %% [markdown]
# The model of the resolution also smooths the noise (it couples neighbouring voxels), so the error turns round later.
#
# ## Stop early or filter afterwards?
#
# Both remove noise, and both cost contrast. The **contrast recovery coefficient (CRC)** is the contrast of grey to
# white matter in the image, over the true one: 1 is perfect. We plot it against the noise. One curve shows stopping
# after 2 … 40 iterations; the others filter with a Gaussian of 0 … 10 mm afterwards.
#
# **Before you run it:** best is top left. Which curve will lie there?


# %%
def noise_and_recovery(one, two):
    return noise(one, two), pt.measures.crc(np.stack([one, two]), truth.pet, grey, white)


fig, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
stopped = [noise_and_recovery(*pair) for pair in zip(frames[1:], twins[1:], strict=True)]
ax.plot(*np.transpose(stopped), "k-", label="stopping after 2 … 40 iterations")
for k in (20, 40):
    pairs = [[pt.gaussian_filter(f[k - 1], width, grid) for f in (frames, twins)] for width in range(0, 11)]
    ax.plot(*np.transpose([noise_and_recovery(*p) for p in pairs]), "o-", ms=4, label=f"{k}, then 0 … 10 mm")
ax.set(xlabel="noise in white matter (%)", ylabel="CRC of grey matter", title="The price of smoothness", ylim=(0, None))
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# The curves are close; here, iterating longer and filtering afterwards lies a little above stopping early. There is
# no free lunch: each point is a choice between **noise** and **bias** (lost contrast). Everything that comes later
# in this course, priors, kernels, networks, tries to get *off* these curves, to the upper left.
#
# ### Exercise 2
# Find the pair of iterations (10, 20, 30 or 40) and filter width (0 to 8 mm in steps of 0.5) with the least error
# in the head. `error_of(iterations, width)` gives the error of a pair.


# %%
def search(error_of):
    """Iterations and width (mm) for which ``error_of(iterations, width)`` is least."""
    # solution:
    pairs = [(k, w) for k in (10, 20, 30, 40) for w in np.arange(0, 8.1, 0.5)]
    return min(pairs, key=lambda pair: error_of(*pair))
    # stub: return 10, 0.0  # your turn: search for the best
    # end of solution


chosen = search(lambda k, width: error(pt.gaussian_filter(frames[k - 1], width, grid)))
final = pt.gaussian_filter(frames[chosen[0] - 1], chosen[1], grid)
print(f"{chosen[0]} iterations and {chosen[1]} mm: {error(final):.1f} %; best without a filter: {errors.min():.1f} %")

# %%
pt.course.check.filter_search(search)

# %% [markdown] tags=["teacher"]
# **5 minutes, stop and resume; exercise 3 and the volume for those who are quick.** Show the stop button once:
# `pt.mlem` gives back the last finished image. Exercise 3 prepares lesson 6; common mistakes: `start=x` forgotten,
# neighbouring views instead of every n-th.

# %% [markdown]
# ## Watch, stop, resume
#
# A callback may draw, too. The figure is made once and updated. The *stop* button of the notebook (keyboard
# interrupt) ends `pt.mlem` early and gives back the last finished image.

# %%
from IPython.display import display

fig, ax = plt.subplots(figsize=(3.6, 3.4), layout="constrained")
picture = ax.imshow(np.ones(grid.shape[1:]), cmap="magma", vmin=0, vmax=150)
fig.colorbar(picture, label="activity", shrink=0.8)
ax.set_axis_off()
handle = display(fig, display_id=True)
plt.close(fig)


def live(iteration, image):
    picture.set_data(image[0])
    ax.set_title(f"MLEM, iteration {iteration}")
    handle.update(fig)


watched = pt.mlem(y, A, iterations=6, callback=live)

# %% [markdown]
# To **resume**, start from an image. MLEM has no other memory, so 6 and then 5 iterations are exactly 11:

# %%
resumed = pt.mlem(y, A, iterations=5, start=watched)
print("6 + 5 iterations equal 11, bit for bit:", np.array_equal(resumed, frames[10]))

# %% [markdown]
# ### Exercise 3
# MLEM is slow because it looks at all counts before it moves. **OSEM** (ordered subsets) moves after each part of
# the views: `A.subset(k, n)` is the model of every n-th view, and `y[:, k::n]` are its counts. Program one pass
# through `n` subsets with one MLEM iteration each.


# %%
def osem_pass(y, A, x, n):
    for k in range(n):
        # solution:
        x = pt.mlem(y[:, k::n], A.subset(k, n), iterations=1, start=x)
        # stub: x = x  # one iteration with subset k, starting from x
        # end of solution
    return x


x = np.ones(A.in_shape, np.float32)
for passes in (1, 2):
    x = osem_pass(y, A, x, 6)
    print(
        f"{passes} x 6 subsets: {error(x):.1f} %   ({passes} MLEM: {errors[passes - 1]:.1f} %, "
        f"{6 * passes} MLEM: {errors[6 * passes - 1]:.1f} %)"
    )

# %%
pt.course.check.osem_pass(osem_pass)

# %% [markdown]
# With a correct solution, a pass through six subsets does about the work of six MLEM iterations in the time of one
# or two. (It no longer converges to the maximum of the likelihood, but nobody runs it that long.)
#
# ## The volume
#
# The same, without a single new idea, in three dimensions: all planes of the sinogram, the course's reference of 11
# iterations, and 2.5 mm in the model against 4.5 mm in the scanner.

# %%
volume = pt.Scanner.preset(size)
V = pt.Projector(volume, volume.image_grid())
brain = pt.load_subject("mni:0").on(V.grid)
scan = pt.simulate(brain, V, psf_fwhm=4.5, seed=1)
model = pt.AcquisitionModel(
    V, attenuation=scan.attenuation, normalisation=scan.normalisation, psf_fwhm=2.5, background=scan.randoms
)
kept = {}


def keep_some(k, image):
    if k in (1, 3, 6, 11):
        kept[f"iteration {k}"] = image


x = pt.mlem(scan.prompts, model, iterations=11, callback=keep_some, progress=True)

# %%
stack = np.stack(list(kept.values()))
inside = brain.regions["head"]
for name, image in kept.items():
    nrmse = pt.measures.nrmse(image, brain.pet, normaliser="rms", mask=inside)
    print(f"{name}: NRMSE {100 * nrmse:.1f} %")
shown = {"truth": brain.pet, "MLEM": stack}
viewer = pt.volshow(shown, labels=list(kept), grid=V.grid, units="activity", vmins=0, vmaxs=150)
viewer.frame = len(kept) - 1
viewer

# %% [markdown]
# ## Questions
#
# <details><summary>1. Why must the start image have no zeros where activity may be?</summary>
#
# The update multiplies. A voxel that is 0 stays 0 for ever. (This is used on purpose: a mask of the field of view.)
# </details>
#
# <details><summary>2. The likelihood rises in every iteration. Why is the image with the highest likelihood not the
# one we want?</summary>
#
# It is the image that explains *these* counts best, noise included. Another scan of the same head has other noise
# and another best image, far from this one. The likelihood says nothing about what brains look like; a prior would.
# </details>
#
# <details><summary>3. Your own MLEM has a negative voxel. Name two possible mistakes.</summary>
#
# The start image, the counts or the model hold negative numbers (for example randoms were subtracted from the
# data), or the update adds a correction instead of multiplying.
# </details>
#
# <details><summary>4. A paper shows less noise than another one, both with MLEM. What do you ask before you believe
# that its scanner is better?</summary>
#
# How many iterations, which post-filter, which PSF, and what the contrast is. Noise alone can be had at any level
# by stopping or filtering.
# </details>
#
# <details><summary>5. Why is the sensitivity computed with the same attenuation, normalisation and blur as the
# projection?</summary>
#
# It is $A^{\mathsf T}1$ of the same $A$. Only then is the update that of maximum likelihood, and only then are the
# counts preserved.
# </details>
#
# ## Summary
#
# MLEM finds the image that makes the measured counts most probable under the model $\bar y = A x + r$: project,
# divide, back-project, multiply. It keeps the image positive, raises the likelihood in every iteration and, without
# background, preserves the counts. What is missing in the model ends up in the image. The noise grows with the
# iterations, so one stops early or filters, and pays with contrast.
#
# **What next:** [lesson 6, from MLEM to OSEM](06_osem.ipynb): faster, and measured over twenty scans.
#
# ## Further reading
#
# - L. A. Shepp, Y. Vardi. *Maximum likelihood reconstruction for emission tomography.* IEEE Trans. Med. Imaging
#   1(2):113, 1982. [doi:10.1109/TMI.1982.4307558](https://doi.org/10.1109/TMI.1982.4307558)
# - K. Lange, R. Carson. *EM reconstruction algorithms for emission and transmission tomography.* J. Comput. Assist.
#   Tomogr. 8(2):306, 1984.
# - H. M. Hudson, R. S. Larkin. *Accelerated image reconstruction using ordered subsets of projection data.* IEEE
#   Trans. Med. Imaging 13(4):601, 1994. [doi:10.1109/42.363108](https://doi.org/10.1109/42.363108)
# - A. Rahmim, J. Qi, V. Sossi. *Resolution modeling in PET imaging: theory, practice, benefits, and pitfalls.* Med.
#   Phys. 40:064301, 2013. [doi:10.1118/1.4800806](https://doi.org/10.1118/1.4800806)
# - The atlas shown here: V. S. Fonov et al. NeuroImage 54(1):313, 2011.
#   [doi:10.1016/j.neuroimage.2010.07.033](https://doi.org/10.1016/j.neuroimage.2010.07.033)
