# %% [markdown]
# # 7 · MAP: priors and MR
#
# **Purpose:** tell the reconstruction what heads look like, so that it need not stop early: maximise the likelihood
# *less a penalty*. Three penalties, one of which looks at the patient's MR; what they are worth, and what they cost.
#
# **Time:** about 60 minutes of reading; about 1 minute of computing at the default size on two cores.
#
# **You need:** [lesson 5](05_mlem.ipynb) (likelihood, MLEM) and [lesson 6](06_osem.ipynb) (subsets, noise and bias).
#
# **After this lesson you can**
#
# 1. say why maximum likelihood needs help, and write down what is maximised instead;
# 2. choose the strength of a prior by a number without unit, and say what happens to those who do not;
# 3. derive De Pierro's algorithm, and program its step so that float32 does not ruin it;
# 4. tell quadratic smoothing, the relative difference prior and Bowsher's prior apart, in a formula and in a picture;
# 5. choose an algorithm: monotone and slow, fast and circling, or fast and convergent;
# 6. compare at equal noise, and say what MR does for lesions that it shows, does not show, or alone shows;
# 7. use any image as a reference, the step on which the networks of later lessons are built.
#
# Words and symbols: [glossary](glossary.ipynb).

# %% [markdown] tags=["teacher"]
# **In class 60 minutes.** With little time: the truth against the likelihood, the strength without a unit, the three
# priors as pictures, and MR that is wrong. De Pierro's algorithm and the root can be read at home; lessons 12 and 13
# need only that the step is a compromise between $x^{EM}$ and a reference.

# %% [markdown]
# ## The workbench
#
# One ring and one slice again, 500,000 trues. The tissues are not flat, but have some structure; MR has part of it.
# We put in three lesions of 12 mm:
#
# - **in both**: hot in PET, dark in T1, at the same place;
# - **PET only**: hot in PET, T1 shows nothing;
# - **MR only**: dark in T1, PET shows nothing (an old scar, say).
#
# The projector is the stored matrix of lesson 3: one ring fits into memory, and an iteration takes milliseconds.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import pettutor as pt

size = pt.course.size()  # for the volume at the end
scanner = pt.Scanner.preset("slab")
grid = scanner.image_grid()
places = {"in both": (0, -31, -31), "PET only": (0, -31, 31), "MR only": (0, 27, 35)}  # mm
hot = [pt.Lesion(12, "hot", where="pet", centre=places[name]) for name in ("in both", "PET only")]
dark = [pt.Lesion(12, "cold", where="mr", centre=places[name]) for name in ("in both", "MR only")]
subject = pt.load_subject("mni:0")
truth = subject.on(grid, structure=0.5, seed=1).with_lesions(lesions=hot + dark)
head, grey, white = (truth.regions[name] for name in ("head", "grey matter", "white matter"))
spots = dict(zip(places, [list(truth.regions.values())[k] for k in (-4, -3, -1)], strict=True))

# %%
X = pt.Projector(scanner, grid)
data = pt.simulate(truth, X, counts=500_000, randoms_fraction=0.3, psf_fwhm=4.5, seed=1)
y = data.prompts
known = {"attenuation": data.attenuation, "background": data.randoms, "psf_fwhm": 4.5}
A = pt.AcquisitionModel(X.to_matrix(), normalisation=data.normalisation, **known)
s = A.T(np.ones(A.out_shape, np.float32))


def error(image):
    """NRMSE in the head, per cent."""
    return 100 * pt.measures.nrmse(image, truth.pet, normaliser="rms", mask=head)


print(data, truth.source, f"Cite: {truth.citation}", sep="\n")
pt.volshow({"activity": truth.pet, "T1": truth.t1}, grid=grid, vmins=0, vmaxs=[200, 180], cmaps=["gray_r", "gray"])

# %% [markdown] tags=["teacher"]
# **10 minutes, the question was wrong.** Answer to the prediction: after enough iterations the likelihood likes MLEM's
# image better than the truth. Let that sink in; it is the reason for the rest of the course. Then the unit of β: the
# same number and another unit of activity, and the brain is a blur.
#
# Expected at `slab`: log-likelihood against the truth −58 after 40 iterations and +351 after 100; the errors with β =
# 0.001 are 36.0 % in kBq and 55.1 % in Bq, with κ = 0.01 they are 33.7 and 33.8 %.

# %% [markdown]
# ## What the likelihood does not know
#
# Lesson 5 left us with a riddle: the image that explains the counts best is not the best image. Let us ask the
# likelihood directly. Which image does it like better: MLEM's, or the **truth**?
#
# **Before you run it:** which?


# %%
def log_likelihood(image):
    """Σ y log ȳ - ȳ with ȳ = A x + r, summed in double precision; gaps (ȳ = 0) say nothing."""
    return pt.log_likelihood(y, A, image)


frames = {}
pt.mlem(y, A, iterations=150, callback=lambda k, image: frames.update({k: image}), progress=True)
for k in (10, 40, 100, 150):
    more = log_likelihood(frames[k]) - log_likelihood(truth.pet)
    print(f"MLEM {k:3}: log-likelihood {more:+8.0f} against the truth, error {error(frames[k]):.1f} %")
labels = ("truth", *(f"MLEM {k}" for k in (10, 40, 150)))
images = (truth.pet, *(frames[k] for k in (10, 40, 150)))
pt.volshow(dict(zip(labels, images, strict=True)), grid=grid, vmins=0, vmaxs=200, cmaps="gray_r")

# %% [markdown]
# After enough iterations MLEM's image explains the counts *better than the truth*: it explains the noise, too. No
# better algorithm can mend that; the *question* was wrong. But nobody would take the last image for a head. We know
# something that the likelihood does not: neighbouring voxels are mostly alike.
#
# ## Likelihood less penalty
#
# Bayes' rule puts both together. If $p(x)$ is how probable an image is *before* the scan (the **prior**), then after it
# $p(x\,|\,y) \propto p(y\,|\,x)\,p(x)$. Its maximum is the **maximum a posteriori (MAP)** image. Write
# $p(x) \propto e^{-U(x)}$ and take the logarithm: maximise the **objective**
#
# $$\Phi(x) = L(x) - U(x), \qquad x \ge 0 .$$
#
# $U$ is the **penalty**: large for images that we do not believe. The oldest one is **quadratic smoothing**,
#
# $$U(x) = \frac{\beta}{2} \sum_{\text{neighbours } j,k} w_{jk}\,(x_j - x_k)^2 ,$$
#
# over all pairs of neighbours, here 8 round each voxel (26 in a volume); $w_{jk}$ is 1 for the nearest, less for
# those farther away. In this course it is `pt.priors.Smoothness`.
#
# ### How strong? β has a unit
#
# $L$ is a pure number. So $U$ must be one, and $\beta$ has the unit 1/activity². Somebody writes: "we used a $\beta$ of
# 0.001". Let us do that, for one and the same scan: once with activity in kBq, and once in Bq. (The matrix then counts
# a thousandth per unit of activity. That is the whole change.) The algorithm, `pt.bsrem`, is explained below.


# %%
def penalised(counts, prior, *, model=A, iterations=6, start=None):
    """The MAP image: one pass of OSEM finds the scale, then a fast algorithm for L - U."""
    start = pt.osem(counts, model, iterations=1, subsets=8) if start is None else start
    return pt.bsrem(counts, model, prior, iterations=iterations, subsets=8, start=start)


activity = float(truth.pet[head].mean())  # a typical activity, in kBq; from any first image of a patient
shown = {}
for unit, per_kilo in (("kBq", 1), ("Bq", 1000)):
    model = pt.AcquisitionModel(A.projector, normalisation=data.normalisation / per_kilo, **known)
    sensitivity = model.T(np.ones(A.out_shape, np.float32))
    beta = pt.priors.strength(0.01, sensitivity, activity * per_kilo)
    print(f"in {unit}: κ = 0.01 is β = {beta:.3g}")
    for name, strength in (("β = 0.001", 1e-3), ("κ = 0.01", beta)):
        prior = pt.priors.Smoothness(strength, grid.voxel_size)
        shown[f"{name}, in {unit}"] = penalised(y, prior, model=model) / per_kilo

# %%
for name, image in shown.items():
    print(f"{name:18}: error {error(image):5.1f} %")
pt.volshow(shown, grid=grid, vmins=0, vmaxs=200, cmaps="gray_r")

# %% [markdown]
# The same number, another unit, and the brain is a blur. If the activity grows by a factor $c$, then $\beta$ has to
# become $\beta/c^2$. So a $\beta$ is worth nothing to anybody with another scanner, dose or unit. This course gives the
# strength as a number $\kappa$ **without unit**,
#
# $$\beta = \kappa\,\frac{\operatorname{mean}(s)}{\text{a typical activity}} ,$$
#
# `pt.priors.strength(kappa, sensitivity, activity)`. The reason for this form: in an EM step, the data hold a voxel
# with about the curvature $s/x$ (next section). So $\kappa$ is the curvature of the prior over that of the data, up to
# the number of neighbours.

# %% [markdown] tags=["teacher"]
# **15 minutes, the surrogate and the root, exercises 1 and 2.** Draw a hilly curve and a parabola that touches it:
# "replace what is hard by something easy". Answer to the prediction: in float32 the textbook's root gives 0 instead of
# 0.001.
#
# Common mistakes, which the check names: the stable form in the wrong branch, the sign of $b$, the sensitivity missing
# under the root; in exercise 2 the surrogate of the *start* image in every iteration, $\rho$ and $z$ exchanged.
#
# Expected at `slab`: with the textbook's root 832 voxels of the head are 0, with the stable one none.

# %% [markdown]
# ## De Pierro's algorithm
#
# How do we maximise $L - U$? Setting the derivative to zero gives an equation that couples each voxel to its
# neighbours, and through $A$ to all. De Pierro's idea (1995): **replace what is hard by something easy that lies
# below it and touches it** at the present image. Raise the easy thing, and the hard one has risen, too.
#
# 1. EM has done it already for $L$. Up to a constant, with $x^{EM} = \frac{x}{s} \odot A^{\mathsf T}\frac{y}{\bar y}$
#    from the present image, $L(x') \ge \sum_j s_j\,(x_j^{EM} \log x'_j - x'_j)$: one voxel at a time.
# 2. The penalty couples pairs. But a square is convex: with $m = x_j + x_k$ at the present image,
#    $(x'_j - x'_k)^2 \le \tfrac12 (2x'_j - m)^2 + \tfrac12 (2 x'_k - m)^2$, and both sides agree at $x' = x$.
# 3. Collect all terms of voxel $j$. They are a parabola, $\frac{\rho_j}{2}(x'_j - z_j)^2$: the **surrogate**. Here
#    $\rho_j = 2\beta \sum_k w_{jk}$, and $z_j$ is the weighted mean of $(x_j + x_k)/2$.
# 4. Each voxel now maximises $s\,(x^{EM} \log x' - x') - \frac{\rho}{2}(x' - z)^2$ by itself. Derivative zero, times
#    $-x'$:
#    $$\rho\,x'^2 + (s - \rho z)\,x' - s\,x^{EM} = 0 .$$
# 5. The product of its two roots is $-s\,x^{EM}/\rho \le 0$, so one of them is positive. Take it. Repeat.
#
# Every prior of the library has `value(x)` and `surrogate(x)`, which gives $\rho$ and $z$. Let us look at one voxel:
# we move it and leave all others where they are.

# %%
x0 = frames[40]
strengths = {order: pt.priors.strength(0.02, s, activity, order=order) for order in (1, 2)}
quadratic = pt.priors.Smoothness(strengths[2], grid.voxel_size)
relative = pt.priors.RelativeDifference(strengths[1], voxel_size=grid.voxel_size)
z0 = quadratic.surrogate(x0)[1]
voxel = np.unravel_index(np.abs(np.where(grey, x0 - z0, 0)).argmax(), x0.shape)  # the prior does not like this one
values = np.linspace(5, 2 * x0[voxel], 60)
x_em = pt.mlem(y, A, iterations=1, start=x0)[voxel]
new = pt.map_em(y, A, quadratic, iterations=1, start=x0)[voxel]


def moved(function, value):
    image = x0.copy()
    image[voxel] = value
    return function(image)


def surrogate(prior, value):
    rho, z = (part[voxel] for part in prior.surrogate(x0))
    return rho / 2 * ((value - z) ** 2 - (x0[voxel] - z) ** 2)


# %%
fig, axes = plt.subplots(1, 3, figsize=(11.5, 3.6), layout="constrained")
for ax, prior, title in zip(axes, (quadratic, relative), ("quadratic", "relative difference"), strict=False):
    penalty = np.array([moved(prior.value, v) for v in values]) - prior.value(x0)
    bound = surrogate(prior, values)
    ax.plot(values, penalty, label="penalty U")
    ax.plot(values, bound, "--", label="surrogate")
    ax.plot(x0[voxel], 0, "ko", ms=5, label="present image")
    ax.set(title=title, xlabel="value of the voxel", ylabel="change of the penalty", ylim=(None, 1.05 * bound.max()))
near = np.linspace(x0[voxel] - 40, x0[voxel] + 30, 200)
parts = [s[voxel] * (x_em * np.log(near) - near), -surrogate(quadratic, near)]
for part, style, name in zip((*parts, sum(parts)), ("-", "--", "k"), ("data", "prior", "sum of both"), strict=True):
    axes[2].plot(near, part - part.max(), style, label=name)
for at, name, side in ((x_em, "$x^{EM}$", "left"), (z0[voxel], "$z$", "right"), (new, "root", "center")):
    axes[2].axvline(at, color="0.4", ls=":")
    axes[2].text(at, 1.02, name, transform=axes[2].get_xaxis_transform(), ha=side)
axes[2].set(xlabel="value of the voxel", ylabel="less its maximum")
axes[2].set_title("one step (quadratic)", pad=20)
for ax in axes:
    ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# The surrogate touches the penalty at the present image and lies above it everywhere else. On the right the data want
# $x^{EM}$, the prior wants $z$, and the root is the compromise.
#
# ### Exercise 1: the root
#
# Every textbook has it:
#
# $$x' = \tfrac12\Big[\big(z - \tfrac{s}{\rho}\big) + \sqrt{\big(z - \tfrac{s}{\rho}\big)^2 + 4\,\tfrac{s\,x^{EM}}
# {\rho}}\;\Big] .$$
#
# With a weak prior ($\rho \to 0$) this should give $x^{EM}$, that is, MLEM. But then $s/\rho$ is huge, and a huge
# negative number is added to a huge positive one. Float32 keeps seven digits. Write the **stable** form: with
# $b = s - \rho z$ and $d = \sqrt{b^2 + 4 \rho\,s\,x^{EM}}$ the root is $(d - b)/(2\rho)$. Where $b > 0$ this is a
# difference of nearly equal numbers; multiply numerator and denominator by $d + b$ to get rid of it.
#
# **Before you run it:** $s = 10^4$, $\rho = 0.003$, $x^{EM} = 0.001$, $z = 0$. The right answer is 0.001. What does
# the textbook's root give in float32?
#
# The check after an exercise names the mistake that it recognises. `pt.course.hint("stable_root")` gives a hint, each
# time one more; `pt.course.solution("stable_root")` gives the solution.


# %%
def textbook_root(x_em, s, rho, z):
    half = z - s / rho
    return (half + np.sqrt(half**2 + 4 * s * x_em / rho)) / 2


def stable_root(x_em, s, rho, z):
    # solution:
    b = s - rho * z
    d = np.sqrt(b**2 + 4 * rho * s * x_em)
    return np.where(b > 0, 2 * s * x_em / np.where(b > 0, d + b, 1), (d - b) / (2 * rho))
    # stub: return textbook_root(x_em, s, rho, z)  # write the stable form here
    # end of solution


hard = [np.float32(v) for v in (0.001, 1e4, 0.003, 0)]
print(f"float32: textbook {float(textbook_root(*hard)):.6f}, yours {float(stable_root(*hard)):.6f}")
print(f"float64: textbook {float(textbook_root(*(v.astype(float) for v in hard))):.6f}")

# %%
pt.course.check.stable_root(stable_root)

# %% [markdown]
# ### Exercise 2: the algorithm
#
# Now write De Pierro's step. `pt.mlem(..., iterations=1, start=x)` gives $x^{EM}$, `prior.surrogate(x)` gives $\rho$
# and $z$; the function's argument `root` is one of the two above. We try it on a very weak prior, so the result should
# be MLEM's.


# %%
def my_map_em(y, A, prior, iterations, root, start):
    x, s = start, A.T(np.ones(A.out_shape, np.float32))
    for _ in range(iterations):
        # solution:
        x_em = pt.mlem(y, A, iterations=1, start=x)
        rho, z = prior.surrogate(x)
        x = np.where(s > 0, root(x_em, s, rho, z), 0).astype(np.float32)
        # stub: x = pt.map_em(y, A, prior, iterations=1, start=x)  # the library's: write your own here
        # end of solution
    return x


weak = pt.priors.Smoothness(pt.priors.strength(1e-8, s, activity), grid.voxel_size)
tries = {"MLEM": frames[40], "textbook": my_map_em(y, A, weak, 20, textbook_root, frames[20])}
tries["stable"] = my_map_em(y, A, weak, 20, stable_root, frames[20])
for name, image in tries.items():
    off = np.abs(image - frames[40])[head].max()
    print(
        f"{name:9}: largest difference from MLEM {off:8.4f}, voxels of the head that are 0: {(image[head] == 0).sum()}"
    )
theirs = pt.map_em(y, A, quadratic, iterations=5, start=x0)
off = np.abs(my_map_em(y, A, quadratic, 5, stable_root, x0) - theirs).max()
print(f"and at κ = 0.02, difference from pt.map_em: {off / theirs.max():.1e} of the maximum")
pt.volshow(tries, grid=grid, vmins=0, vmaxs=200, cmaps="gray_r")

# %%
pt.course.check.map_em_step(my_map_em)

# %% [markdown]
# (Before exercise 2 is solved, all rows are the library's, and no fault is to be seen.) With the textbook's root, the
# naive way, the image is made of coarse steps, the skin breaks up, the lesions fade. Nothing crashed, no warning came.
# Who looks only at strong priors never sees it; the networks of later lessons have a $\rho$ that they *learn*, and it
# starts anywhere.
#
# ### Two checks for any MAP-EM
#
# The step must solve its equation: dividing the quadratic by $x'$, $\;s\,x^{EM}/x' - s - \rho\,(x' - z) = 0$ in every
# voxel. And the objective must never fall.

# %%
before = frames[20]
x_em = pt.mlem(y, A, iterations=1, start=before)
rho, z = quadratic.surrogate(before)
after = pt.map_em(y, A, quadratic, iterations=1, start=before)
rest = np.abs(s * x_em / np.maximum(after, 1e-9) - s - rho * (after - z))[head]
print(f"largest rest of the equation: {rest.max() / s[head].mean():.1e} of the sensitivity")
record = pt.Record()
pt.map_em(y, A, quadratic, iterations=40, start=frames[150], record=record)
print(f"the objective rises in every iteration: {bool(np.all(np.diff(record.objective) > 0))}")
print(f"the likelihood too: {bool(np.all(np.diff(record.log_likelihood) > 0))}")

# %% [markdown] tags=["teacher"]
# **10 minutes, three priors, exercise 3.** Ask of each: what does an edge cost, what does noise cost? Bowsher asks the
# MR only for the *order* of likeness, so bright or dark does not matter. Exercise 3, common mistakes: the ε that makes
# 0 over 0 defined, and $\gamma |a-b|$ left out.
#
# Expected at `slab`: the truth costs 97 % of the noisy image (quadratic), 102 % (relative difference), 40 % (Bowsher).

# %% [markdown]
# (We began with the noisy image of 150 iterations. The likelihood alone falls: the prior takes back what MLEM had
# gained by fitting noise.)
#
# ## Three priors
#
# **Quadratic smoothing** has a fault that its formula shows: a difference twice as high costs four times as much. An
# edge of 100 costs as much as 10,000 noise differences of 1. So it blurs what we want most.
#
# **Relative difference prior** (Nuyts 2002; it is in some clinical scanners). A pair $a, b$ costs
#
# $$\varphi(a, b) = \frac{(a - b)^2}{a + b + \gamma\,|a - b| + \epsilon} .$$
#
# The denominator does two things. $a + b$: the *relative* difference counts, as Poisson noise is larger where there is
# more activity. $\gamma|a - b|$: a high edge costs in proportion to its height, not to its square.
#
# ### Exercise 3
# Write $\varphi$.


# %%
def phi(a, b, gamma=2.0, epsilon=1e-3):
    # solution:
    return (a - b) ** 2 / (a + b + gamma * abs(a - b) + epsilon)
    # stub: return (a - b) ** 2 / (a + b)  # something is missing
    # end of solution


pair = np.array([[[30.0, 120.0]]], np.float32)
print(f"yours {phi(30.0, 120.0):.3f}, library {pt.priors.RelativeDifference(1.0, 2.0, 1e-3).value(pair):.3f}")
fig, axes = plt.subplots(1, 2, figsize=(9, 3.3), layout="constrained")
height, level = np.linspace(0, 100, 101), np.linspace(5, 150, 101)
axes[0].plot(height, height**2 / 100, "k", label="quadratic")
axes[1].plot(level, (0.1 * level) ** 2 / 100, "k", label="quadratic")
for gamma in (0, 2, 10):
    axes[0].plot(height, phi(50 + height / 2, 50 - height / 2, gamma), label=f"relative difference, γ = {gamma}")
    axes[1].plot(level, phi(1.05 * level, 0.95 * level, gamma), label=f"relative difference, γ = {gamma}")
axes[0].set(xlabel="height of an edge about 50", ylabel="cost", title="the price of an edge")
axes[1].set(xlabel="activity", ylabel="cost", title="the price of 10 % noise")
axes[0].legend(fontsize=8)
plt.show()

# %%
pt.course.check.relative_difference(phi)

# %% [markdown]
# **Bowsher's prior** (2004) asks the MR where the edges are. Of the 8 neighbours of a voxel it keeps the few (here 4)
# that are most like it *in T1*, and smooths towards these only:
#
# $$U(x) = \frac{\beta}{2} \sum_{j,k} w_{jk}\,g_{jk}\,(x_j - x_k)^2, \qquad g_{jk} = 1,\ \tfrac12 \text{ or } 0 ,$$
#
# 1 where each of the two has the other among its own, ½ where only one has. Only the *order* of likeness matters, so
# the MR's brightness, and whether grey matter is darker or brighter than white, plays no role. That is why one MR fits
# all tracers.


# %%
from matplotlib.collections import LineCollection


def bowsher(kappa, image=truth.t1, similar=4):
    return pt.priors.Bowsher(pt.priors.strength(kappa, s, activity), image, similar, grid.voxel_size)


prior, lines = bowsher(0.03), []
for number, (step, _) in enumerate(prior.neighbours):
    if step[0] == 0:  # within the slice
        _, below, right = step
        for j, i in np.argwhere(prior.weights(number, truth.pet)[0] > 0):
            i += max(0, -right)  # the weights begin at the first voxel that has this neighbour
            lines.append([(i, j), (i + right, j + below)])
fig, ax = plt.subplots(figsize=(6.2, 5), layout="constrained")
picture = ax.imshow(truth.t1[0], cmap="gray", vmin=30, vmax=170)
ax.add_collection(LineCollection(lines, colors="tab:orange", linewidths=1))
ax.set(xlim=(33.5, 55.5), ylim=(55.5, 37.5), xticks=[], yticks=[])
ax.set_title("T1, round the lesion in both; lines join voxels that are smoothed together", fontsize=10)
fig.colorbar(picture, label="T1", shrink=0.8)
plt.show()

# %% [markdown]
# Few lines cross the rim of the lesion or of the cortex; along the edges they are dense.
#
# ### What does the truth cost?
#
# A good prior is one that finds the truth cheap and noise dear. That can be computed, without any reconstruction:


# %%
def prior_of(name, kappa, **settings):
    if name == "Bowsher":
        return bowsher(kappa, **settings)
    if name == "quadratic":
        return pt.priors.Smoothness(pt.priors.strength(kappa, s, activity), grid.voxel_size)
    return pt.priors.RelativeDifference(pt.priors.strength(kappa, s, activity, order=1), voxel_size=grid.voxel_size)


names = ("quadratic", "relative difference", "Bowsher")
for name in names:
    prior = prior_of(name, 0.01)
    share = prior.value(truth.pet) / prior.value(frames[150])
    print(f"{name:20}: the truth costs {100 * share:3.0f} % of what the noisy image (MLEM 150) costs")

# %% [markdown] tags=["teacher"]
# **10 minutes, curves.** Answer to the prediction: κ = 0 lies far to the right (maximum likelihood), κ → ∞ at the left
# end without contrast. Six passes a point are a compromise for the class; the stored study has 60.
#
# Expected at `slab`: at 10 % noise NRMSE 33.8 (Gaussian), 33.3 (quadratic), 31.3 (relative difference) and 27.9 %
# (Bowsher).

# %% [markdown]
# (`order=1` in the strength: the relative difference prior grows with the first power of the activity, so its $\beta$
# has the unit 1/activity.) Bowsher's prior charges the truth least by far. The relative difference prior is not cheaper
# for the truth than quadratic smoothing by this count; its merit is *which* differences it charges.
#
# ## The scan of strengths
#
# Three scans of the same head (other Poisson noise), three priors, several $\kappa$. As in lesson 6, noise is the
# standard deviation over the scans in white matter, over the mean. The opponent is MLEM with 100 iterations and a
# Gaussian filter afterwards. We go from strong to weak, each image the start of the next: that saves passes. (Six
# passes for each are a class's compromise: the weaker the prior, the further its maximum. The big study below has 60.)
#
# **Before you run it:** draw the curves that you expect. Where is $\kappa = 0$, where $\kappa \to \infty$?

# %%
kappas = {"quadratic": (0.03, 0.01, 0.003), "relative difference": (0.03, 0.01, 0.003), "Bowsher": (0.1, 0.03, 0.01)}
scans = [y, *(data.realisation(seed).prompts for seed in (11, 12))]
stacks = {name: {} for name in ("MLEM + Gaussian", *names)}
for name in names:
    starts = [None] * len(scans)
    for kappa in kappas[name]:
        prior = prior_of(name, kappa)
        starts = [penalised(counts, prior, start=x) for counts, x in zip(scans, starts, strict=True)]
        stacks[name][kappa] = np.stack(starts)
    print(f"{name}: κ = {', '.join(map(str, kappas[name]))} done")
mlem = np.stack([frames[100], *(pt.mlem(counts, A, iterations=100) for counts in scans[1:])])
stacks["MLEM + Gaussian"] = {w: np.stack([pt.gaussian_filter(x, w, grid) for x in mlem]) for w in (3, 4, 6, 8, 10)}


# %%
def curve(name, region):
    settings = {"along": "setting", "labels": {"method": name}, "normaliser": "rms", "mask": head}
    return pt.measures.noise_contrast(stacks[name], truth.pet, region, white, **settings)


fig, axes = plt.subplots(1, 2, figsize=(11, 4.3), layout="constrained")
table = pd.concat([curve(name, grey) for name in stacks])
table = table.assign(region="grey matter")
pt.measures.plot_curves(table, ax=axes[0])
pt.measures.plot_curves(table, y="nrmse", ax=axes[1], legend=False)
axes[0].set_title("contrast of grey matter: up and left is better")
axes[1].set_title("error in the head: down is better")
plt.show()

# %% [markdown]
# Each curve is a ruler from "much noise, little bias" (weak prior, narrow filter; right) to "no noise, no contrast"
# (strong prior, wide filter; left). The numbers are $\kappa$, and millimetres for the filter. **No prior removes the
# choice between noise and bias; a good one makes it cheaper.** And no $\kappa$ is "the right one": that depends on what
# the image is for.
#
# So methods are compared at **equal noise**. We take 10 % and read off each curve, by interpolation, the $\kappa$ that
# gives it. (From three scans the standard deviation comes out some 10 % too low, for all methods alike.)

# %%
noise = 0.10
found = {name: {"setting": pt.measures.at_equal_noise(curve(name, grey), noise, "setting")} for name in stacks}
for name, row in found.items():
    row["CRC grey matter"] = pt.measures.at_equal_noise(curve(name, grey), noise)
    for spot in ("in both", "PET only"):
        row[f"CRC lesion {spot}"] = pt.measures.at_equal_noise(curve(name, spots[spot]), noise)
    row["NRMSE %"] = 100 * pt.measures.at_equal_noise(curve(name, grey), noise, "nrmse")
table = pd.DataFrame(found).T
print(table.round(3).to_string())
print(f"least error: {table['NRMSE %'].idxmin()}; highest contrast of grey matter: {table['CRC grey matter'].idxmax()}")
for spot in ("in both", "PET only"):
    print(f"highest contrast of the lesion {spot}: {table[f'CRC lesion {spot}'].idxmax()}")

# %% [markdown]
# (Quadratic smoothing does little that a Gaussian filter does not do as well.) Now the pictures at that noise. Look at
# the cortex, and at the lesion on the right (PET only).

# %%
matched = {"MLEM + Gaussian": pt.gaussian_at_noise(mlem, noise, white, grid)[1]}
for name in names:
    prior = prior_of(name, found[name]["setting"])
    strongest = stacks[name][kappas[name][0]]
    matched[name] = np.stack([penalised(c, prior, start=x) for c, x in zip(scans, strongest, strict=True)])
for name, images in matched.items():
    got = pt.measures.background_std(images, white)
    print(f"{name:20}: noise {100 * got:4.1f} %, error {np.mean([error(x) for x in images]):.1f} %")
shown = {"truth": truth.pet, **{name: images[0] for name, images in matched.items()}}
pt.volshow(shown, grid=grid, vmins=0, vmaxs=200, cmaps="gray_r")

# %% [markdown] tags=["teacher"]
# **10 minutes, MR that is wrong, exercise 4.** Answers to the prediction: the lesion in PET only suffers even without a
# shift; the MR-only lesion is not painted in, but an outline appears. Sentence for the board: *a sharp edge in an
# MR-guided image is no proof that PET saw it.* Exercise 4, common mistakes: the index instead of the millimetres, the
# last shift instead of the first.
#
# Expected at `slab`: at that noise Bowsher has a CRC of 0.45 for the lesion in both and 0.29 for the one in PET only;
# exercise 4: worse from 4 mm on.

# %% [markdown]
# ## MR helps where MR is right
#
# Three things can be wrong with an MR: it may not show what PET shows; it may show what PET does not; it may lie a few
# millimetres off, because the head moved. We shift T1 by 2, 4 and 8 mm and reconstruct with the $\kappa$ of above.
#
# **Before you run it:** which lesion suffers from the prior even without a shift? Will the MR-only lesion appear in
# the PET image?

# %%
from scipy.ndimage import distance_transform_edt, shift

kappa = found["Bowsher"]["setting"]
shifts = (0, 2, 4, 8)  # mm, to the right
shifted = {}
for mm in shifts:
    mr = shift(truth.t1, (0, 0, mm / grid.voxel_size[2]), order=1)
    first = stacks["Bowsher"][0.1]
    prior = bowsher(kappa, mr)
    shifted[mm] = np.stack([penalised(c, prior, start=x) for c, x in zip(scans, first, strict=True)])

# %%
images = {name: matched[name] for name in ("MLEM + Gaussian", "quadratic")}
images |= {f"Bowsher, T1 off by {mm} mm": shifted[mm] for mm in shifts}
apart = distance_transform_edt(~spots["MR only"][0], sampling=2.0)[None]  # mm
ring = (apart > 2) & (apart < 8) & white
regions = {"grey": grey, "in both": spots["in both"], "PET only": spots["PET only"]}
report = {}
for name, x in images.items():
    report[name] = {f"CRC {r}": pt.measures.crc(x, truth.pet, mask, white) for r, mask in regions.items()}
    report[name]["MR only / ring"] = np.mean([pt.measures.contrast(one, spots["MR only"], ring) for one in x])
    report[name]["NRMSE %"] = np.mean([error(one) for one in x])
report["truth"] = {"MR only / ring": pt.measures.contrast(truth.pet, spots["MR only"], ring)}
print(pd.DataFrame(report).T.round(2).to_string(na_rep=""))

# %%
columns = {"truth": truth.pet, "T1": truth.t1, **{name: x.mean(axis=0) for name, x in images.items()}}
chosen = ["truth", "T1", "quadratic", *(f"Bowsher, T1 off by {mm} mm" for mm in (0, 4, 8))]
fig, axes = plt.subplots(3, len(chosen), figsize=(11, 5.6), layout="constrained")
_, ys, xs = grid.coordinates()
for line, (spot, place) in zip(axes, places.items(), strict=True):
    j, i = np.abs(ys - place[1]).argmin(), np.abs(xs - place[2]).argmin()
    for ax, name in zip(line, chosen, strict=True):
        part = columns[name][0, j - 10 : j + 11, i - 10 : i + 11]
        ax.imshow(part, cmap="gray" if name == "T1" else "gray_r", vmin=0, vmax=180 if name == "T1" else 200)
        ax.add_patch(plt.Circle((10, 10), 3, fill=False, color="tab:red", lw=1, ls=":"))
        ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(spot)
for ax, name in zip(axes[0], chosen, strict=True):
    ax.set_title(name.replace(", ", "\n"), fontsize=9)
fig.suptitle("Mean of three scans, 42 mm wide; dotted: the lesion's place")
plt.show()

# %% [markdown]
# - **In both:** the MR knows the rim, so the lesion keeps much more contrast than with quadratic smoothing.
# - **PET only:** for T1 this lesion *is* white matter, and is smoothed into it: with Bowsher's prior it has far less
#   contrast than its twin in both, though for the scanner they are alike. Without MR (the first two rows) the twins
#   fare alike. Lesions that MR does not show are what PET is made for.
# - **MR only:** the dark spot of T1 is not painted into the PET image: the prior does not say "make an edge here", it
#   only *allows* one. But activity that blur and noise have brought near is no longer smoothed across the rim, so an
#   outline appears, and the contrast of spot and ring (1 would be none) differs from that without MR. A sharp edge in
#   an MR-guided image is no proof that PET saw it.
# - **Shifted:** the gain in grey matter and in the lesion goes as T1 moves off: the prior smooths over true edges and
#   spares wrong ones. In the picture, the lesion takes the shape of the *overlap*.
#
# ### Exercise 4
# From which shift on is the MR no better than no MR? The opponent is quadratic smoothing at about the same noise
# (`matched["quadratic"]`). Find the first shift whose error is larger than that; None if there is none.


# %%
def first_worse(errors, without_mr):
    """The first shift (mm) whose error is larger than that without MR, or None; errors: dict from mm to error."""
    # solution:
    return next((mm for mm, value in errors.items() if value > without_mr), None)
    # stub: ...  # your turn
    # end of solution


errors = {mm: float(np.mean([error(x) for x in shifted[mm]])) for mm in shifts}
limit = float(np.mean([error(x) for x in matched["quadratic"]]))
worse = first_worse(errors, limit)
print({mm: round(e, 1) for mm, e in errors.items()}, f"without MR {limit:.1f} %")
print("none of them is worse, you say" if worse is None else f"worse from {worse} mm on, you say")

# %%
pt.course.check.first_worse_shift(first_worse)

# %% [markdown] tags=["teacher"]
# **5 minutes, algorithms and a reference image.** Answer to the prediction: the curve of `map_em` with subsets becomes
# flat before it is at the maximum. Point ahead: in lessons 10, 12 and 13 the reference $z$ is what a network says.

# %% [markdown]
# ## Which algorithm?
#
# `pt.map_em` never lets the objective fall, but it is slow, like MLEM. Subsets help as in lesson 6: `pt.map_em(...,
# subsets=16)`. So why did we use `pt.bsrem`?
#
# **BSREM** (block-sequential regularised EM) goes through the subsets, too, but with steps along the gradient that get
# smaller from pass to pass: the **relaxation**, $\alpha_n = 1/(1 + \text{relaxation} \cdot n)$. We show how much of the
# objective is still missing, in parts of what there was to gain, for the relative difference prior. The maximum itself
# is found by a long run.
#
# **Before you run it:** subsets without relaxation end in a cycle. What will the curve of `map_em` with 16 subsets
# look like?

# %%
prior = prior_of("relative difference", 0.1)
start = pt.osem(y, A, iterations=1, subsets=16)


def objective(image):
    return log_likelihood(image) - prior.value(image)


def run(algorithm, **settings):
    course = [objective(start)]
    algorithm(y, A, prior, iterations=16, start=start, callback=lambda k, x: course.append(objective(x)), **settings)
    return np.array(course)


courses = {
    "map_em": run(pt.map_em),
    "map_em, 16 subsets": run(pt.map_em, subsets=16),
    "bsrem, 16 subsets, no relaxation": run(pt.bsrem, subsets=16, relaxation=0),
    "bsrem, 16 subsets, relaxation 0.1": run(pt.bsrem, subsets=16),
}
best = pt.bsrem(y, A, prior, iterations=40, subsets=8, start=start)
top = objective(pt.map_em(y, A, prior, iterations=25, start=best))  # the last bit, monotonically

# %%
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for name, course in courses.items():
    missing = (top - course) / (top - course[0])
    ax.semilogy(missing, ".-", label=name)
    print(f"{name:34}: missing after 5 passes {missing[5]:.1e}, after 16 {missing[16]:.1e}")
ax.set(xlabel="passes over the data", ylabel="objective still missing (parts of all)")
ax.set_title("relative difference prior, κ = 0.1")
ax.legend(fontsize=8)
ax.grid(alpha=0.3)
plt.show()

# %% [markdown]
# With subsets and no relaxation the curves level off: each subset has its own maximum, and the image walks round
# between them for ever. That is the **limit cycle**. With relaxation the steps shrink and the walk ends at the maximum
# of all. Without subsets it gets there, too, but in many more passes.
#
# Does it matter? For the eye the cycle is hard to see. But an image that is *not* at the maximum depends on the number
# of passes and on the subsets; an image at the maximum depends on $\kappa$ alone. That is why scanners with a penalised
# method use such algorithms.
#
# ## Any image can be the reference
#
# Look again at the step: the prior appears only as $\rho$ and $z$. So take for $z$ *any image that we trust*, and for
# $\rho$ how much, one number or one for each voxel:
#
# $$U(x) = \sum_j \frac{\rho_j}{2} (x_j - z_j)^2 , \qquad \texttt{pt.priors.Reference(z, rho)} .$$
#
# In DIPRecon and MAPEM-Net, later in this course, $z$ is what a *network* says. Networks make mistakes; so we give a
# reference with a mistake in it: a smooth image with a hot spot that does not exist (at the place MR only), and see
# what the data make of it.

# %%
right = matched["Bowsher"][0]
wrong = right + 80 * spots["MR only"].astype(np.float32)  # a network sees what is not there
for kappa in (0.001, 0.01, 0.1):
    rho = pt.priors.strength(kappa, s, activity)
    one, other = (penalised(y, pt.priors.Reference(z, rho), start=right) for z in (right, wrong))
    left = (other - one)[spots["MR only"]].mean() / 80
    rough = pt.measures.spatial_variation(one, white)
    print(f"κ = {kappa:5}: {100 * left:3.0f} % of the false spot is left; white matter varies by {100 * rough:.0f} %")

# %% [markdown]
# A large $\kappa$ believes the reference and keeps its mistake; a small one believes the data, and their noise. In
# *one* step the weights are about $1/(1+\kappa)$ for the data and $\kappa/(1+\kappa)$ for the reference. But after many
# steps even a small $\kappa$ holds on to details: one voxel more or less changes the counts of a line by very little,
# so about details the data speak softly. ($\rho$ voxel by voxel could distrust the network in places.)
#
# ## The verdict of the big study
#
# Three scans of one head are few. The study that comes with the package has 20 realisations, with lesions that only PET
# shows, and all methods of lessons 6 to 8; `pettutor study` on its file makes it anew.

# %%
curves = pt.course.stored_curves()
print(f"{pt.course.study_file().name}: {int(curves['realisations'].max())} realisations")
methods = ["MLEM + Gaussian", "quadratic MAP", "relative difference MAP", "Bowsher MAP"]
part = curves[curves["method"].isin(methods)]
part = part[part["iteration"] == part.groupby("method")["iteration"].transform("max")]
fig, axes = plt.subplots(1, 2, figsize=(11, 4.3), layout="constrained")
for ax, region in zip(axes, ("grey matter", "lesion 1"), strict=True):
    pt.measures.plot_curves(part[part["region"] == region], ax=ax, legend=region == "grey matter")
    ax.set_title(region if region == "grey matter" else "lesion 1 (PET only)")
plt.show()

# %% [markdown]
# Two questions to each curve: how much noise at equal contrast, and how much contrast at equal noise? And, over all
# strengths, the least error.


# %%
def one_curve(method, region="grey matter"):
    return part[(part["method"] == method) & (part["region"] == region)]


def noise_at(method, crc):
    """The same interpolation with the two axes exchanged."""
    exchanged = one_curve(method).rename(columns={"std": "crc", "crc": "std"})
    return pt.measures.at_equal_noise(exchanged, crc, "crc")


def middle(column):
    """The middle of the range that all curves have."""
    ends = part[part["region"] == "grey matter"].groupby("method")[column].agg(["min", "max"])
    return round(float(ends["min"].max() + ends["max"].min()) / 2, 2)


crc, noise = middle("crc"), middle("std")
verdict = pd.DataFrame(index=methods)
verdict[f"noise % at CRC {crc}"] = [100 * noise_at(m, crc) for m in methods]
verdict[f"CRC at noise {100 * noise:.0f} %"] = [pt.measures.at_equal_noise(one_curve(m), noise) for m in methods]
lesion = [pt.measures.at_equal_noise(one_curve(m, "lesion 1"), noise) for m in methods]
verdict["lesion CRC there"] = lesion
verdict["least NRMSE %"] = [100 * one_curve(m)["nrmse"].min() for m in methods]
print(verdict.round(3).to_string())

# %%
rows = pt.course.stored_rows()
rows = rows[rows["iteration"] == rows.groupby("method")["iteration"].transform("max")]


def against(method, region):
    """CRC less that of MLEM + Gaussian at equal noise, on the same scans: mean and standard error, as text."""
    pair = [rows[(rows["method"] == m) & (rows["region"] == region)] for m in (method, methods[0])]
    found = pt.measures.compare_at_equal_noise(*pair, noise).iloc[0]
    return f"{found['difference']:+.3f} ± {found['difference_error']:.3f}"


for m in methods[1:]:
    less = 100 * (1 - verdict.loc[m].iloc[0] / verdict.loc[methods[0]].iloc[0])
    print(f"{m}, against {methods[0]}: {abs(less):.0f} % {'less' if less > 0 else 'more'} noise at equal contrast;")
    print(f"   at equal noise CRC {against(m, 'grey matter')} in grey matter, {against(m, 'lesion 1')} in lesion 1")
every = curves.groupby("method")["nrmse"].min()
print(f"lowest NRMSE of these: {verdict['least NRMSE %'].idxmin()}; of all in the study: {every.idxmin()}")

# %% [markdown]
# ## The volume
#
# Nothing new in three dimensions, except that a voxel has 26 neighbours instead of 8; Bowsher's prior takes 9 of them.
# The $\kappa$ is one of those of the slice. Beside it OSEM with as many passes, and with the filter that is best for it
# (by the truth, which nobody has for a patient).

# %%
volume = pt.Scanner.preset(size)
V = pt.Projector(volume, volume.image_grid())
brain = subject.on(V.grid, structure=0.5, seed=1)
scan = pt.simulate(brain, V, psf_fwhm=4.5, seed=1)
factors = {"attenuation": scan.attenuation, "normalisation": scan.normalisation, "background": scan.randoms}
system = A.projector if size == "slab" else V  # of one ring we have the matrix
model = pt.AcquisitionModel(system, **factors, psf_fwhm=4.5)
sensitivity = model.T(np.ones(model.out_shape, np.float32))
inside = brain.regions["head"]
first = pt.osem(scan.prompts, model, iterations=1, subsets=9, sensitivity=sensitivity)
beta = pt.priors.strength(0.01, sensitivity, float(brain.pet[inside].mean()))
prior = pt.priors.Bowsher(beta, brain.t1, 9 if V.grid.shape[0] > 1 else 4, V.grid.voxel_size)
settings = {"subsets": 9, "start": first, "sensitivity": sensitivity, "progress": True}
osem = pt.osem(scan.prompts, model, iterations=8, **settings)
width, filtered = pt.best_gaussian(osem, brain.pet, V.grid, mask=inside)
shown = {f"OSEM, {width:.1f} mm": filtered, "Bowsher": pt.bsrem(scan.prompts, model, prior, iterations=8, **settings)}
for name, image in shown.items():
    print(f"{name}: NRMSE {100 * pt.measures.nrmse(image, brain.pet, normaliser='rms', mask=inside):.1f} %")
pt.volshow({"truth": brain.pet, **shown}, grid=V.grid, vmins=0, vmaxs=150, cmaps="gray_r")

# %% [markdown]
# ## Questions
#
# <details><summary>1. In a single slice, what is Bowsher's prior with <code>similar=8</code>?</summary>
#
# Quadratic smoothing: all eight neighbours are kept, whatever the MR shows. (In a volume that would be 26.)
# </details>
#
# <details><summary>2. A scan is repeated with ten times the counts. You keep κ. You keep β. What is the
# difference?</summary>
#
# The sensitivity $s$ is ten times as large, as each unit of activity now gives ten times the counts. With the same
# $\kappa$ the prior grows with it: the same resolution, less noise. With the same $\beta$ the prior counts for a tenth
# against the data: finer resolution, not as little noise. Bayes would keep $\beta$ (what we believe about heads does
# not depend on the scan); who compares methods mostly wants the former. Neither is wrong, but one has to say which.
# </details>
#
# <details><summary>3. Why does MAP not have to be stopped early?</summary>
#
# The maximum of $L - U$ is a sensible image, so one goes there. The number of iterations is no longer a hidden knob;
# the strength is an open one.
# </details>
#
# <details><summary>4. A colleague's MAP-EM has an objective that falls from time to time. Name three possible
# reasons.</summary>
#
# Subsets; a surrogate that is not above the penalty (a factor 2 forgotten in $\rho$ is the classic); the unstable root
# in float32. Or an $A^{\mathsf T}$ that does not belong to $A$.
# </details>
#
# <details><summary>5. A paper shows that its MR-guided method is better in grey matter. What do you ask?</summary>
#
# At equal noise? In lesions that MR does not show? With an MR that is a little off? With tissue that is not made of the
# MR's own flat pieces?
# </details>
#
# ## Summary
#
# MAP maximises $L - U$. The strength of a prior has a unit; $\kappa$ has none. De Pierro's surrogate gives a step in
# each voxel, the positive root of a quadratic, to be computed in its stable form. Quadratic smoothing blurs edges, the
# relative difference prior charges high edges less, Bowsher's prior takes them from the MR. A prior does not remove the
# choice between noise and bias, and the MR helps where it is right. Subsets need relaxation to reach the maximum. Any
# image can stand for the prior, and that is where networks will come in.
#
# **What next:** [lesson 8, kernels and dictionaries](08_kernel_dictionary.ipynb): two other ways to let the MR help.
#
# ## Further reading
#
# - A. R. De Pierro. *A modified expectation maximization algorithm for penalized likelihood estimation in emission
#   tomography.* IEEE Trans. Med. Imaging 14(1):132, 1995. [doi:10.1109/42.370409](https://doi.org/10.1109/42.370409)
# - J. Nuyts et al. *A concave prior penalizing relative differences for maximum-a-posteriori reconstruction in emission
#   tomography.* IEEE Trans. Nucl. Sci. 49(1):56, 2002.
#   [doi:10.1109/TNS.2002.998681](https://doi.org/10.1109/TNS.2002.998681)
# - J. E. Bowsher et al. *Utilizing MRI information to estimate F18-FDG distributions in rat flank tumors.* IEEE Nuclear
#   Science Symposium 2004, vol. 4, p. 2488.
# - S. Ahn, J. A. Fessler. *Globally convergent image reconstruction for emission tomography using relaxed ordered
#   subsets algorithms.* IEEE Trans. Med. Imaging 22(5):613, 2003.
#   [doi:10.1109/TMI.2003.812251](https://doi.org/10.1109/TMI.2003.812251)
# - The atlas shown here: V. S. Fonov et al. NeuroImage 54(1):313, 2011.
#   [doi:10.1016/j.neuroimage.2010.07.033](https://doi.org/10.1016/j.neuroimage.2010.07.033)
