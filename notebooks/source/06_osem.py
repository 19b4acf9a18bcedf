# %% [markdown]
# # 6 · From MLEM to OSEM: noise and bias
#
# **Purpose:** make MLEM several times faster by using the counts a part at a time, see what that costs, and learn to
# measure noise and bias as one has to: over many scans. From here on no two methods are compared in any other way.
#
# **Time:** about 60 minutes of reading; about 1 minute of computing at the default size on two cores.
#
# **You need:** [lesson 5](05_mlem.ipynb) (likelihood, MLEM, CRC).
#
# **After this lesson you can**
#
# 1. program OSEM, and say why its subsets are interleaved and why neighbours in time lie far apart;
# 2. choose the number of subsets, and recognise in an image when there were too many;
# 3. show that OSEM is as good as MLEM in a fraction of the passes, and that it does not converge;
# 4. reconstruct single events (list mode), and give them the right sensitivity;
# 5. measure noise and bias over realisations, say how they change with iterations and counts, and how many
#    realisations a figure needs;
# 6. compare two methods fairly: at equal noise, on the same scans.
#
# Words and symbols: [glossary](glossary.ipynb).

# %% [markdown] tags=["teacher"]
# **In class 60 minutes.** Two lessons in one: subsets (the first half) and how to measure (the second). For a course on
# networks the second half is the one that counts; it has the rule by which every later table is read. What can go: list
# mode, the limit cycle, the volume.

# %% [markdown]
# ## The workbench
#
# The scan of lesson 5: one ring, 100,000 trues. The projector is now the stored matrix of lesson 3. One ring fits
# into memory, and an iteration takes some milliseconds. We shall need that: this lesson reconstructs nearly a
# hundred scans.

# %%
import matplotlib.pyplot as plt
import numpy as np

import pettutor as pt

size = pt.course.size()  # for the volume at the end
scanner = pt.Scanner.preset("slab")
grid = scanner.image_grid()
X = pt.Projector(scanner, grid)
matrix = X.to_matrix()
subject = pt.load_subject("mni:0")
truth = subject.on(grid)
head, grey, white = (truth.regions[name] for name in ("head", "grey matter", "white matter"))


def scan_and_model(counts):
    """A simulated scan, and the model that reconstructs it."""
    data = pt.simulate(truth, X, counts=counts, randoms_fraction=0.3, psf_fwhm=4.5, seed=1)
    known = {"attenuation": data.attenuation, "normalisation": data.normalisation, "background": data.randoms}
    return data, pt.AcquisitionModel(matrix, **known, psf_fwhm=4.5)


data, A = scan_and_model(100_000)
y = data.prompts
print(data, truth.source, f"Cite: {truth.citation}", sep="\n")

# %% [markdown]
# Two rulers. The error in the head is that of lesson 5. And since "how far has this image got?" is asked all the
# time, we let MLEM run for 60 iterations and keep its likelihood. Any other image is then **worth** so many
# iterations of MLEM: as many as reach the same likelihood.

# %%
frames, record = [], pt.Record()
pt.mlem(y, A, iterations=61, record=record, progress=True, callback=lambda k, image: frames.append(image))


def error(image):
    """NRMSE in the head, per cent."""
    return 100 * pt.measures.nrmse(image, truth.pet, normaliser="rms", mask=head)


def likelihood(image):
    """Σ y log ȳ - ȳ, what MLEM makes larger in every iteration."""
    return pt.log_likelihood(y, A, image)


def worth(image):
    """So many MLEM iterations reach the likelihood of this image (at most 60)."""
    return float(np.interp(likelihood(image), record.log_likelihood, np.arange(61)))


print(f"the 12th image of MLEM is worth {worth(frames[11]):.1f} iterations; error {error(frames[11]):.1f} %")

# %% [markdown] tags=["teacher"]
# **15 minutes, subsets and exercise 1.** Answer to the prediction: every 6th view is balanced, the others are not.
# Exercise 1: the order for 8 subsets is 0 4 2 6 1 5 3 7. Common mistakes, which the check names: sorted numbers without
# turning the digits round, the reversed digits taken as the numbers themselves, first all even and then all odd.
#
# Expected at `slab`: 48 subsets one after the other are worth 16.7 iterations, in the better order 28.8.

# %% [markdown]
# ## Why wait for all the views?
#
# MLEM looks at all counts before it changes the image. But the first few views already say where the head is.
# **Ordered subsets (OSEM)** moves after each part: split the views into $n$ subsets, and do MLEM's update with one
# after the other,
#
# $$x \;\leftarrow\; \frac{x}{s_k} \odot A_k^{\mathsf T} \frac{y_k}{A_k x + r_k}, \qquad s_k = A_k^{\mathsf T} 1,
# \qquad k = \text{all subsets in turn.}$$
#
# $A_k$, $y_k$, $r_k$ are the rows of subset $k$. Once through all subsets is a **pass**. It projects every view once
# forward and once back, as an iteration of MLEM does, but has moved $n$ times. (Papers call it an iteration, too, and
# write "3 iterations, 21 subsets". Beware.)
#
# Why should that work? If each subset sees the head like the whole scan, only with fewer counts, then
# $A_k^{\mathsf T}(\dots) \approx \tfrac1n A^{\mathsf T}(\dots)$ and $s_k \approx \tfrac1n s$: the two factors cancel,
# and the update points where MLEM's does. Such subsets are called **balanced**. We can look at the second half of
# the condition: $n\, s_k / s$ should be 1 everywhere.
#
# **Before you run it:** three ways to make a subset of the 144 views: every 6th view, 24 neighbouring views, or just
# one view. Which is balanced?


# %%
def sensitivity(model):
    return model.T(np.ones(model.out_shape, np.float32))


def block(k, n):
    """Counts and model of the k-th of n blocks of neighbouring views; the other views are as good as gaps."""
    keep = np.zeros((1, scanner.views, 1), np.float32)
    keep[:, k * scanner.views // n : (k + 1) * scanner.views // n] = 1
    known = {"attenuation": data.attenuation, "background": data.randoms * keep}
    return y * keep, pt.AcquisitionModel(matrix, normalisation=data.normalisation * keep, psf_fwhm=4.5, **known)


def interleaved(k, n):
    """Counts and model of every n-th view, from the k-th on."""
    return y[:, k::n], A.subset(k, n)


# %%
s = sensitivity(A)
parts = {"every 6th view": (interleaved, 6), "24 neighbouring views": (block, 6), "one view": (interleaved, 144)}
fig, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
for ax, (name, (subset, n)) in zip(axes, parts.items(), strict=True):
    balance = n * sensitivity(subset(0, n)[1]) / np.where(s > 0, s, np.inf)
    shown = ax.imshow(np.where(head, balance, np.nan)[0], cmap="RdBu_r", vmin=0, vmax=2)
    ax.set(xticks=[], yticks=[])
    ax.set_title(f"{name}:\n{balance[head].min():.2f} to {balance[head].max():.2f}", fontsize=10)
fig.colorbar(shown, ax=axes, label=r"$n\,s_k/s$ in the head")
plt.show()

# %% [markdown]
# Every 6th view: the subset goes all round the head and sees it evenly. (The fine pattern, and the stripes on the
# right, are the gaps between the detector blocks.) Neighbouring views look from one side: attenuation is different
# there, and above all they know nothing about what lies behind what along their lines. A single view is worse still.
# The rule is:
#
# **interleave**: subset $k$ holds the views $k,\; k+n,\; k+2n, \dots$
#
# ### The order in time
# One more freedom is left: which subset comes next? Subset 1 lies beside subset 0 and says nearly the same; what lies
# farthest from all that was just used says most. So take the numbers by their binary digits *read backwards*
# (bit reversal): for 8 subsets 0 4 2 6 1 5 3 7. Or draw the order at random.
#
# ### Exercise 1
# In lesson 5 you wrote a pass through the subsets in the order 0, 1, 2 … Give it the better order. Hint: `f"{k:08b}"`
# is $k$ in eight binary digits, as text; `[::-1]` turns a text round; `sorted` takes a `key=`.
#
# The check after an exercise names the mistake that it recognises. `pt.course.hint("subset_order")` gives a hint, each
# time one more; `pt.course.solution("subset_order")` gives the solution.


# %%
def far_apart(n):
    """The subsets 0 ... n - 1, so that neighbours in time lie far apart."""
    # solution:
    return sorted(range(n), key=lambda k: f"{k:08b}"[::-1])
    # stub: return list(range(n))  # your turn: sort them by their digits read backwards
    # end of solution


def osem_pass(x, n, order):
    for k in order:
        x = pt.mlem(y[:, k::n], A.subset(k, n), iterations=1, start=x)
    return x


ones = np.ones(A.in_shape, np.float32)
mine, theirs = osem_pass(ones, 8, far_apart(8)), pt.osem(y, A, iterations=1, subsets=8)
difference = np.abs(mine - theirs).max() / theirs.max()
print(f"order {far_apart(8)}; largest difference from pt.osem: {difference:.1e} of the maximum")
at_random = np.random.default_rng(0).permutation(48).tolist()
for name, order in {"one after the other": range(48), "pt.osem": None, "at random": at_random}.items():
    image = pt.osem(y, A, iterations=1, subsets=48) if order is None else osem_pass(ones, 48, order)
    print(f"48 subsets, 1 pass, {name:19}: worth {worth(image):4.1f} MLEM iterations")

# %%
pt.course.check.subset_order(far_apart)

# %% [markdown]
# With many subsets the order decides how much a pass is worth. With 6 or 12 it hardly matters. `pt.osem` has
# `order="interleaved"` (bit reversal) and `order="random"`.
#
# ## MLEM's likelihood in 1/n of the passes
#
# The claim: one pass through $n$ subsets is worth $n$ iterations of MLEM. Let us measure it, and the time as well.

# %%
subsets = (2, 4, 6, 12, 24)
runs, records = {}, {}
for n in subsets:
    runs[n], records[n] = [], pt.Record()
    pt.osem(y, A, iterations=4, subsets=n, record=records[n], callback=lambda k, image, n=n: runs[n].append(image))
print("worth, in MLEM iterations, after    1     2     3     4 passes      n x passes")
for n in subsets:
    values = "".join(f"{worth(image):6.1f}" for image in runs[n])
    print(f"  OSEM with {n:2} subsets:        {values}             " + "".join(f"{n * p:4}" for p in (1, 2, 3, 4)))

# %%
fig, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained", sharey=True)
curves = {"MLEM": (record.log_likelihood, record.seconds)}
for n in (2, 6, 12):
    curves[f"OSEM, {n} subsets"] = ([record.log_likelihood[0], *map(likelihood, runs[n])], records[n].seconds)
top = max(record.log_likelihood)
for (name, (values, seconds)), mark in zip(curves.items(), "osD^", strict=True):
    missing = top - np.array(values[:-1] if name == "MLEM" else values)
    spent = np.concatenate([[0], np.cumsum(seconds)])[: len(missing)]
    for ax, x in zip(axes, (np.arange(len(missing)), spent), strict=True):
        ax.plot(x, missing, mark + "-", ms=3.5, label=name)
axes[0].set(yscale="log", xlabel="passes over the data", ylabel="log-likelihood less than\nthat of 60 MLEM iterations")
axes[1].set(xlabel="seconds")
axes[0].set(xlim=(-0.5, 20.5), xticks=range(0, 21, 4), ylim=(50, None))
axes[0].legend(fontsize=8)
plt.show()

# %% [markdown] tags=["teacher"]
# **10 minutes, too many subsets.** Answer to the prediction: with blocks the last views have the last word (a lopsided
# image), with one view a subset the image never settles. Then the faint scan: a voxel that is 0 once stays 0. In one
# sentence: *counts per subset are what matters.* The limit cycle is for those who ask why OSEM is not simply better.
#
# Expected at `slab`: 24 subsets: worth 22.1 iterations interleaved, 4.9 in blocks; with 5,000 trues and 144 subsets 73
# % of the head is dead.

# %% [markdown]
# The claim holds: the table's numbers are $n \times$ passes or a little less, as long as the subsets are not too
# small (60.0 stands for 60 or more). In seconds one gains less, as every update has some work of its own (here the
# blur of the image, twice). With a small problem and a stored matrix that shows; with a volume, where projecting
# takes nearly all the time, it matters less. About ten views a subset and more is a good rule.
#
# ## The naive way: the more subsets, the better?
#
# If 6 subsets make it 6 times faster, let us take 144, a view each! Or save the trouble of interleaving, and take
# neighbouring views. **Before you run it:** what will the images look like, after one pass?


# %%
def one_pass(subset, n):
    """OSEM by hand, with any kind of subset: the image after a pass."""
    x = ones
    for k in range(n):
        counts, model = subset(k, n)
        x = pt.mlem(counts, model, iterations=1, start=x)
    return x


images = {
    "24 interleaved, 1 pass": pt.osem(y, A, iterations=1, subsets=24),
    "24 blocks, 1 pass": one_pass(block, 24),
    "144 subsets, 1 pass": pt.osem(y, A, iterations=1, subsets=144),
    "144 subsets, 4 passes": pt.osem(y, A, iterations=4, subsets=144),
}
for name, image in images.items():
    print(f"{name:22}: worth {worth(image):4.1f} iterations, error {error(image):5.1f} %, maximum {image.max():5.0f}")
pt.volshow(images, grid=grid, vmins=0, vmaxs=150, cmaps="gray_r", units="activity", ncols=4)

# %% [markdown]
# **Both fail.** With blocks the last views have the last word: the image is blotchy and lopsided, and the pass is
# worth few iterations. With a single view per subset every update believes a thousand counts as if they were the
# whole truth, and the next one tears it down again. More passes do not help: the likelihood stays where it was, and
# the image gets worse and worse.
#
# With few counts it is fatal. If all bins of a subset that see a voxel are empty, the ratio there is 0, and the
# update multiplies: **the voxel is dead**, whatever the other subsets say. Let us take 5,000 trues, and
# four passes.

# %%
faint, F = scan_and_model(5_000)
for n in (1, 6, 24, 144):
    image = pt.osem(faint.prompts, F, iterations=4, subsets=n)
    dead, nearly = (image[head] == 0).mean(), (image[head] < 0.01).mean()
    print(f"{n:3} subsets: {dead:4.0%} of the head is 0, {nearly:4.0%} below 0.01; error {error(image):6.0f} %")

# %% [markdown]
# Counts per subset are what matters: fewer counts, fewer subsets.
#
# ## OSEM does not converge
#
# MLEM's likelihood rises for ever towards its maximum. OSEM's does not. To see it we need a problem so small that its
# maximum can be computed: voxels of 10 mm, no blur. (With voxels of 2 mm, MLEM would take many thousands of
# iterations.)
#
# **Before you run it:** the maximum is reached by none of them in 30 passes. Who gets closest: 6 subsets, 48, or
# MLEM?

# %%
coarse = scanner.image_grid(shape=(1, 26, 26), voxel_size=(4.0, 10.0, 10.0))
C = pt.Projector(scanner, coarse)
toy = pt.simulate(subject.on(coarse), C, counts=100_000, psf_fwhm=0, seed=1)
known = {"attenuation": toy.attenuation, "normalisation": toy.normalisation, "background": toy.randoms}
T = pt.AcquisitionModel(C.to_matrix(), **known)
long = pt.Record()
summit = pt.mlem(toy.prompts, T, iterations=400, start=pt.osem(toy.prompts, T, iterations=20, subsets=6), record=long)
highest = long.log_likelihood[-1]


def descent(method, passes=30, start=None, **settings):
    """How far below the summit: the likelihood that misses after each pass."""
    images = []
    method(toy.prompts, T, iterations=passes, start=start, callback=lambda k, image: images.append(image), **settings)
    one = pt.Record()
    for image in images:
        pt.mlem(toy.prompts, T, iterations=1, start=image, record=one)
    return highest - np.array(one.log_likelihood), images


# %%
ways = {"MLEM": descent(pt.mlem)}
ways |= {f"OSEM, {n} subsets": descent(pt.osem, subsets=n) for n in (6, 24, 48)}
first = ways["OSEM, 24 subsets"][1][4]
fig, ax = plt.subplots(figsize=(6.8, 4), layout="constrained")
for (name, (missing, _)), mark in zip(ways.items(), "osD^", strict=True):
    ax.plot(np.arange(1, 31), missing, mark + "-", ms=3, label=name)
    print(f"{name:17}: {missing[9]:6.1f} below the summit after 10 passes, {missing[-1]:6.1f} after 30")
later = descent(pt.osem, passes=25, start=first, subsets=6)[0]
ax.plot(np.arange(6, 31), later, "k--", label="24 subsets for 5 passes, then 6")
print(f"24, then 6       : {later[4]:6.1f} below the summit after 10 passes, {later[-1]:6.1f} after 30")
ax.set(yscale="log", xlabel="passes over the data", ylabel="log-likelihood below the summit", ylim=(5, 2e3))
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# The more subsets, the faster at first and the earlier the end. With 24 and 48 subsets the curve becomes flat, far
# from the summit: OSEM has reached its **limit cycle**. Each subset pulls the image to *its own* counts, with their
# own noise. Look at one voxel, update by update:

# %%
from pettutor.reconstruction.passes import interleaved_order  # the order of pt.osem, that of exercise 1

x, path = ways["OSEM, 24 subsets"][1][-1], []
for _ in range(3):
    for k in interleaved_order(24):
        x = pt.mlem(toy.prompts[:, k::24], T.subset(k, 24), iterations=1, start=x)
        path.append(x)
voxel = np.unravel_index(np.std(path, axis=0).argmax(), T.in_shape)
fig, ax = plt.subplots(figsize=(7.5, 3), layout="constrained")
ax.plot(np.arange(72) / 24, [image[voxel] for image in path], ".-", label="OSEM, after every update")
ax.axhline(summit[voxel], color="k", ls=":", label="maximum of the likelihood")
ax.set(xlabel="passes (30 more have gone before)", ylabel=f"activity of voxel {tuple(map(int, voxel))}", ylim=(0, None))
ax.legend(fontsize=8)
plt.show()
same, apart = np.abs(path[-1] - path[-25]).max(), np.ptp(path[-24:], axis=0).max()
print(f"from pass to pass the image changes by up to {same:.2g}, within a pass by up to {apart:.2g}")

# %% [markdown] tags=["teacher"]
# **5 minutes, list mode.** Only the message: the same update, event by event, and the sensitivity must hold all lines
# that *could* have been seen. The mean in the head shows what happens when it is forgotten: no error message, only
# nonsense.
#
# Expected at `slab`: mean in the head 0.044 instead of 30.344 without the sensitivity.

# %% [markdown]
# Round and round, the same way in every pass. Three cures are in use: stop before it matters (the usual one), take
# fewer subsets as you go (the dashed line), or make the steps smaller and smaller (**relaxation**: `pt.bsrem`, in the
# next lesson). For a noisy image that is stopped early anyway, none is needed: the cycle lies far behind the noise.
#
# ## List mode: one event after the other
#
# A modern scanner writes a list: one line for each event. The sinogram of the mMR has 73 million bins, most of them
# empty in a short frame, so the list is shorter and forgets nothing. (Our ring is the other way round: few bins, with
# several counts each.) The sum over bins $\sum_i A_{ij}\, y_i/\bar y_i$ is then a sum over events, $\sum_e A_{ej}\,
# 1/\bar y_e$: every event is a "bin" with one count, and `pt.mlem` and `pt.osem` need no change. Only the sensitivity
# does. It must hold *all* lines that could have been seen, not only those that were. That is `sensitivity=`.
#
# We make a list from our sinogram: events in random order, and the line of each bin by `pt.lines_of_bins`. As the
# lines are the same, so must the image be.

# %%
bins = np.nonzero(y)
events = np.repeat(np.arange(len(bins[0])), y[bins].astype(int))
where = tuple(index[np.random.default_rng(3).permutation(events)] for index in bins)  # plane, view, bin of each event
starts, ends, _ = pt.lines_of_bins(scanner, *where)
Z = pt.ListmodeProjector(starts, ends, grid)
E = pt.AcquisitionModel(Z, normalisation=A.factors[where], background=data.randoms[where], psf_fwhm=4.5)
print(f"{len(starts):,} events; {np.count_nonzero(y):,} of {y.size:,} bins hold a count\n{Z}")

one_each = np.ones(E.out_shape, np.float32)
listed = pt.mlem(one_each, E, iterations=3, sensitivity=s)
forgotten = pt.mlem(one_each, E, iterations=3)
ordered = pt.osem(one_each, E, iterations=1, subsets=6, sensitivity=s)
apart = np.abs(listed - frames[2]).max() / listed.max()
print(f"3 iterations of list and sinogram differ by at most {apart:.0e} of the maximum")
for name, image in {"MLEM of the list": listed, "the sensitivity forgotten": forgotten, "OSEM": ordered}.items():
    print(f"{name:26}: mean in the head {image[head].mean():8.3f} (truth {truth.pet[head].mean():.1f})")

# %% [markdown] tags=["teacher"]
# **12 minutes, noise and bias, exercise 2.** Draw two archers: one with a shift, one with a spread. Noise and bias are
# not properties of one image. Common mistakes, which the check names: the sign of the bias, the variance in place of
# the standard deviation, `ddof=1` forgotten, the deviation of the mean.
#
# Answers to the predictions: the image inherits $1/\sqrt N$ at a fixed number of passes; the bias does not care about
# counts. The noise of lesson 5, from two scans, was about a fifth too small.
#
# Expected at `slab`: noise from 7.1 % after 1 pass to 38.9 % after 8, bias of grey matter from −37.7 to −15.9 %.

# %% [markdown]
# Forgetting the sensitivity gives no error message, only nonsense. In list mode a subset is every $n$-th *event*: all
# views are in it, so it is balanced by itself, whatever $n$.
#
# ## Twenty scans: noise and bias
#
# So far we had the error of one image. It mixes two things that behave quite differently:
#
# - **bias**: what is wrong *on average*, if we scanned the same head again and again;
# - **noise**: how much the scans differ from one another.
#
# With a simulation we can scan again and again: `data.realisation(seed)` is the same scan with other Poisson noise, a
# **realisation**. Twenty of them, 8 passes of OSEM with 6 subsets each, all images kept:


# %%
def reconstruct(data, model, seeds, passes=8):
    """OSEM, 6 subsets, of one realisation a seed: all images (realisation, pass, z, y, x)."""
    images = []
    for seed in seeds:
        images.append([])
        prompts = data.realisation(seed).prompts
        pt.osem(prompts, model, iterations=passes, subsets=6, callback=lambda k, image: images[-1].append(image))
    return np.array(images)


stack = reconstruct(data, A, range(100, 120))
print(stack.shape)

# %% [markdown]
# ### Exercise 2
# Make three images for every pass: the mean over the realisations, the bias (mean less truth), and the standard
# deviation. Use `ddof=1` for the last: we estimate the mean from the same twenty images.


# %%
def bias_and_std(images, truth):
    """Bias and standard deviation (pass, z, y, x) of realisations (realisation, pass, z, y, x)."""
    # solution:
    return images.mean(axis=0) - truth, images.std(axis=0, ddof=1)
    # stub: return 0 * images[0], 0 * images[0]  # your turn
    # end of solution


mean_image = stack.mean(axis=0)  # (pass, z, y, x)
bias_image, std_image = bias_and_std(stack, truth.pet)
shown = {"mean of 20": mean_image, "bias": bias_image, "standard deviation": std_image}
viewer = pt.volshow(
    shown,
    labels=[f"pass {p}" for p in range(1, 9)],
    grid=grid,
    vmins=[0, -100, 0],
    vmaxs=[150, 100, 60],
    cmaps=["gray_r", "bwr", "magma"],
    units="activity",
)
viewer.frame = 7
viewer

# %%
pt.course.check.bias_and_noise(bias_and_std)

# %% [markdown]
# Move the slider (with your own solution of the exercise). The mean image has hardly any noise and gets sharper. The
# **bias** gets smaller: grey matter is too low (blue), white matter and csf are too high (red), because the edges are
# blurred. The **noise** grows, and most of all where there is activity: MLEM and OSEM are noisy where they are
# bright. (Filtered back-projection spreads its noise everywhere.)
#
# Numbers, as in lesson 5: the noise is the standard deviation over the mean, voxel by voxel, averaged over white
# matter. The bias is that of a region's mean.

# %%
print("pass   noise   bias grey   bias white    CRC   error   roughness of one image")
rows = []
for p in range(8):
    images = stack[:, p]
    noise, crc = pt.measures.background_std(images, white), pt.measures.crc(images, truth.pet, grey, white)
    biases = [pt.measures.bias(images, truth.pet, mask=region) for region in (grey, white)]
    rough, wrong = pt.measures.spatial_variation(images[0], white), np.mean([error(image) for image in images])
    rows.append((noise, *biases))
    print(
        f"{p + 1:3}   {noise:6.1%}   {biases[0]:8.1%}   {biases[1]:9.1%}   {crc:6.3f}   {wrong:4.1f} %   {rough:6.1%}"
    )

# %%
noises, bias_grey, bias_white = 100 * np.transpose(rows)
fig, axes = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
axes[0].plot(range(1, 9), noises, "o-")
axes[0].set(xlabel="passes (6 subsets)", ylabel="noise in white matter (%)", ylim=(0, None), title="noise grows")
axes[1].plot(noises, bias_grey, "o-", label="grey matter")
axes[1].plot(noises, bias_white, "s-", label="white matter")
axes[1].axhline(0, color="0.6", lw=0.8)
axes[1].set(xlabel="noise in white matter (%)", ylabel="bias of the mean (%)", title="the trade-off")
axes[1].legend(fontsize=8)
plt.show()

# %% [markdown]
# This is the trade-off of every method that is stopped: less bias for more noise. There is no "right" pass; the
# error, which holds both, has a flat minimum somewhere in between.
#
# The last column is what people measure who have only one scan: the standard deviation *over the voxels* of white
# matter. It is not the noise. It also holds the bias, which differs from voxel to voxel.
#
# ## Noise and counts
#
# Counts are Poisson, so their relative noise is $1/\sqrt N$. **Before you run it:** does the image inherit that? And
# does the bias go away with more counts?

# %%
levels = (25_000, 100_000, 400_000, 1_600_000)
found = {2: [], 4: []}
for counts in levels:
    images = reconstruct(*scan_and_model(counts), range(5), passes=4)
    for p, values in found.items():
        noise = pt.measures.background_std(images[:, p - 1], white)
        values.append((100 * noise, 100 * pt.measures.bias(images[:, p - 1], truth.pet, mask=grey)))
fig, ax = plt.subplots(figsize=(5.6, 3.8), layout="constrained")
for p, values in found.items():
    noise, bias = np.transpose(values)
    power = np.polyfit(np.log(levels), np.log(noise), 1)[0]
    ax.loglog(levels, noise, "o-", label=rf"{p} passes: noise $\propto N^{{{power:.2f}}}$")
    print(f"{p} passes: noise", ", ".join(f"{v:.1f} %" for v in noise), "; bias", ", ".join(f"{v:.1f} %" for v in bias))
ax.minorticks_off()
ax.set_xticks(levels, [f"{counts:,}" for counts in levels])
ax.set_yticks([3, 5, 10, 20, 40], [3, 5, 10, 20, 40])
ax.set(xlabel="counts N (trues)", ylabel="noise in white matter (%)")
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# At a fixed number of passes the noise goes with $1/\sqrt N$, nearly exactly, and the bias does not care: it comes
# from stopping. But nobody would stop at the same place: with 16 times the counts one iterates longer, and turns the
# counts into less bias.
#
# ## How many realisations?
#
# A standard deviation from $R$ values is itself uncertain, by about $1/\sqrt{2(R-1)}$: 16 % for $R = 20$. That is why
# the image of it was so grainy. The *noise* is its mean over all voxels of white matter, and much better known. It
# has another fault, though: the root of an unbiased variance is too small on average, by the factor $c_4 =
# \sqrt{\tfrac{2}{R-1}}\;\Gamma(\tfrac R2)\,/\,\Gamma(\tfrac{R-1}2)$ for Gaussian noise. **Before you run it:** lesson
# 5 had two scans. Was its noise about right?

# %%
from scipy.special import gammaln


def c4(R):
    return np.sqrt(2 / (R - 1)) * np.exp(gammaln(R / 2) - gammaln((R - 1) / 2))


forty = reconstruct(data, A, range(200, 240), passes=2)[:, -1]
reference = pt.measures.background_std(forty, white) / c4(40)
fig, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
for R in (2, 3, 4, 5, 8, 10, 20):
    groups = [pt.measures.background_std(forty[i : i + R], white) / reference for i in range(0, 41 - R, R)]
    spread = np.std(groups, ddof=1)
    ax.plot([R] * len(groups), groups, "C0.", ms=4)
    print(f"R = {R:2}: {np.mean(groups):.3f} of the true noise (c4 says {c4(R):.3f}), give or take {spread:.3f}")
ax.plot(np.arange(2, 21), c4(np.arange(2, 21)), "k--", lw=1, label="c4, Gaussian noise")
ax.axhline(1, color="0.6", lw=0.8)
ax.set(xlabel="realisations R", ylabel="measured noise / true noise", xticks=[2, 5, 10, 15, 20], ylim=(0.6, 1.1))
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# With two scans the noise comes out a fifth too small. That does no harm as long as all methods are measured with
# equally many, as in lesson 5. With twenty it is within about two per cent. So **20 realisations** are what this
# course uses for a figure; fewer in class, where time is short. And compare only what was measured with equally many.
#
# ## Curves: a small study
#
# To compare methods we need each of them, at each of its settings, on the same scans. That is a **study**: `pt.Study`
# makes the scans, runs everything, measures, and writes tables. It may be stopped at any time, and goes on from
# there. Here: three methods on 4 realisations of our head. (Scan 3 has the same counts for all three methods.)

# %%
study = pt.Study(
    name="lesson-6",
    lesions="none",
    structure=0,
    counts=100_000,
    realisations=4,
    methods={
        "MLEM": {"algorithm": "mlem", "iterations": [2, 4, 8, 16, 24, 32]},
        "MLEM + Gaussian": {"algorithm": "mlem", "iterations": 32, "fwhm": [3, 4, 5, 6, 8]},
        "OSEM": {"algorithm": "osem", "subsets": 6, "iterations": [1, 2, 3, 4, 5, 6, 8]},
    },
)
print(study.run(workers=0), study, sep="\n")
curves = study.curves()
curves[["method", "iteration", "fwhm", "crc", "crc_error", "std", "bias", "nrmse", "realisations"]].round(3)

# %% [markdown]
# **A naive comparison.** "We reconstructed with 8 iterations each. OSEM recovers far more contrast, so it is the
# better method." And from another paper: "Our filter of 8 mm cuts the noise in half." Both are true:

# %%
points = curves.set_index(["method", "iteration", "fwhm"])
for key in (("MLEM", 8, 0), ("OSEM", 8, 0), ("MLEM", 32, 0), ("MLEM + Gaussian", 32, 8)):
    point, name = points.loc[key], f"{key[0]}, {key[1]} iterations" + (f", {key[2]} mm" if key[2] else "")
    print(f"{name:36} CRC {point.crc:.3f}   noise {point['std']:5.1%}")

# %% [markdown]
# and both say nothing: more contrast *and* more noise, less noise *and* less contrast. **Before you run it:** CRC
# over noise. Where will OSEM's curve lie, above or below that of MLEM?

# %%
pt.measures.plot_curves(curves)
plt.show()

# %% [markdown] tags=["teacher"]
# **13 minutes, equal noise, exercise 3.** Answer to the prediction before: OSEM lies on the curve of MLEM. Let the
# class find what is wrong with the two "papers" before you say it. Exercise 3: at equal noise the median has no
# advantage. Common mistakes, which the check names: the noise taken over all voxels instead of the region, the
# roughness of one image instead of the noise, the rival filtered.
#
# Expected at `slab`: exercise 3: CRC 0.339 with the median, 0.337 with the Gaussian, both at 18.9 % noise.

# %% [markdown]
# ## Only at equal noise
#
# OSEM walks along the *same* curve as MLEM, only faster: at equal noise there is nothing to choose between them but
# time. Filtering lies a little above, in this scan. `pt.measures.at_equal_noise` reads a curve at a given noise, and
# `pt.measures.compare_at_equal_noise` does it for two methods *in pairs*, realisation by realisation. That is much
# sharper than two separate error bars, since a scan with a lucky contrast is lucky for both.


# %%
def against_mlem(rows, noises, value="crc"):
    """Print how far the others are from MLEM in grey matter's CRC, or in the NRMSE, at equal noise."""
    rows = {name: group for name, group in rows[rows["region"] == "grey matter"].groupby("method")}
    for name in ("OSEM", "MLEM + Gaussian"):
        print(f"{value.upper()} of {name} less that of MLEM, at equal noise, on the same scans:")
        for row in pt.measures.compare_at_equal_noise(rows[name], rows["MLEM"], noises, value).dropna().itertuples():
            far = abs(row.difference) / row.difference_error
            print(f"  {row.std:4.0%}: {row.difference:+.4f} ± {row.difference_error:.4f}, {far:.0f} standard errors")


against_mlem(study.region_rows(), [0.1, 0.15, 0.2, 0.25])

# %% [markdown]
# Read such a table with both eyes: is a difference *real* (many standard errors), and does it *matter*? OSEM and MLEM
# differ by thousandths of CRC, which nobody will ever see; the filter gains many times as much. A noise that a
# curve never has is left out: nothing is extrapolated. (The errors hold the noise of the scans only: another head,
# another scanner, another size of lesion may give another answer.)
#
# The same with images. `pt.gaussian_at_noise` finds the filter that brings a stack of realisations to a given noise:
# stop after 4 passes, or go on to 8 and filter down to the same noise?

# %%
wanted = pt.measures.background_std(stack[:, 3], white)
width, filtered = pt.gaussian_at_noise(stack[:, 7], wanted, white, grid)
pairs = {"4 passes": stack[:, 3], "8 passes": stack[:, 7], f"8 passes, {width:.1f} mm": filtered}
for name, images in pairs.items():
    noise, crc = pt.measures.background_std(images, white), pt.measures.crc(images, truth.pet, grey, white)
    print(f"{name:17} noise {noise:6.1%}   CRC {crc:.3f}   mean error {np.mean([error(x) for x in images]):.1f} %")
first_scan = {name: images[0] for name, images in pairs.items()}
pt.volshow({"truth": truth.pet, **first_scan}, grid=grid, vmins=0, vmaxs=150, cmaps="gray_r", ncols=4)

# %% [markdown]
# Equal noise, and yet the two do not look alike: the filtered image has coarser grains. One number does not say
# everything about noise. But without equal noise no number says anything.
#
# ### Exercise 3
# A colleague says: "My median filter takes out the noise *and keeps the edges*. Look, less noise, smaller error!" Is
# it better than a Gaussian? Bring the Gaussian to the noise of the median-filtered images, and compare.

# %%
from scipy.ndimage import median_filter


def fair_gaussian(images, rival, region, grid):
    """The Gaussian (mm) that gives images the noise that their rival has in a region, and the filtered images."""
    # solution:
    return pt.gaussian_at_noise(images, pt.measures.background_std(rival, region), region, grid)
    # stub: return 0.0, images  # your turn
    # end of solution


after_six = stack[:, 5]
median = np.stack([median_filter(image, (1, 5, 5)) for image in after_six])
fwhm, gaussian = fair_gaussian(after_six, median, white, grid)
for name, images in {"no filter": after_six, "median": median, f"Gaussian, {fwhm:.1f} mm": gaussian}.items():
    noise, crc = pt.measures.background_std(images, white), pt.measures.crc(images, truth.pet, grey, white)
    print(f"{name:17} noise {noise:6.1%}   CRC {crc:.3f}   mean error {np.mean([error(x) for x in images]):.1f} %")

# %%
pt.course.check.equal_noise(fair_gaussian)

# %% [markdown] tags=["solution"]
# At equal noise the median has no advantage here: CRC and error are those of the Gaussian, as nearly as matters. Its
# charm was only that it had been compared with *no* filter.

# %% [markdown] tags=["teacher"]
# **5 minutes, the order turns round.** The honest moment of the lesson: a fair comparison holds for its settings.
# "MLEM + Gaussian" is no method until one says from which iteration. Exercise 4, common mistake: `stack[:, p]`, since
# Python counts from 0.
#
# Expected at `slab`: exercise 4: +0.014, +0.014 and −0.013.

# %% [markdown]
# ## Twenty realisations
#
# The big study of this course, with all its methods and 20 realisations, comes with the package (it takes a while).
# `pt.course.study_file()` says where its settings are; `pettutor study` with that file makes it again. The head has
# structure inside its tissues and three lesions there, and the scan has five times our counts. Here are the three
# methods of this lesson (OSEM with 9 subsets):

# %%
stored = pt.course.stored_curves()
chosen = stored["method"].isin(["MLEM", "MLEM + Gaussian", "OSEM"]) & (stored["region"] == "grey matter")
pt.measures.plot_curves(stored[chosen])
plt.show()
for value in ("crc", "nrmse"):
    against_mlem(pt.course.stored_rows(), [0.1, 0.15, 0.2], value)

# %% [markdown]
# **The order has turned round.** In class, filtering lay above stopping. Here it lies *below*, by many standard
# errors. The error (NRMSE) tells yet another story: the filter's is larger at 10 % noise and smaller at 20 %. (OSEM,
# again, differs from MLEM by thousandths: real, and of no consequence.)
#
# ### Exercise 4
# Why has it turned round? Two suspects: the scan has five times the counts, and another image was filtered, iteration
# 99 instead of 32. Test the second with *our* counts. Here are five scans with up to 16 passes, which is worth about
# 96 iterations. Filter the images after 5, 8 and 16 passes down to the noise of 4 passes. Who gains?


# %%
def filtered_from(stack, p, noise, region, grid):
    """Width (mm) and images (realisation, z, y, x): those after p passes, filtered down to a noise in a region."""
    # solution:
    return pt.gaussian_at_noise(stack[:, p - 1], noise, region, grid)
    # stub: return 0.0, stack[:, 3]  # your turn
    # end of solution


five = reconstruct(data, A, range(5), passes=16)
stopped = five[:, 3]
wanted = pt.measures.background_std(stopped, white)
for p in (5, 8, 16):
    fwhm, images = filtered_from(five, p, wanted, white, grid)
    gain = [pt.measures.crc(x, truth.pet, grey, white) for x in (images, stopped)]
    print(f"{p:2} passes and {fwhm:4.1f} mm: CRC {gain[0] - gain[1]:+.3f} against stopping after 4, at equal noise")

# %%
pt.course.check.filtered_pass(filtered_from)

# %% [markdown]
# <details><summary>The answer</summary>
#
# With the same counts, filtering the image after 5 or 8 passes gains. After 16 passes the gain is gone, or has become a
# loss. So it is the image that was filtered. (Try the first suspect, too: with 500,000 counts all noises shrink, and
# the gains stay much as they are.) "MLEM + Gaussian" is no method until one says *from which iteration*.
# </details>
#
# So even a fair comparison holds for its settings, its object, its noise and its measure. Say which, or better, show
# several. All that the next lessons bring, priors, kernels, dictionaries, networks, has to lie above **both** curves,
# at equal noise, to be worth its trouble.
#
# ## The volume
#
# One reconstruction of the whole scanner, to see that nothing changes in three dimensions: 2 passes through 12
# subsets against 2 iterations of MLEM.

# %%
volume = pt.Scanner.preset(size)
V = pt.Projector(volume, volume.image_grid())
brain = subject.on(V.grid)
scan = pt.simulate(brain, V, psf_fwhm=4.5, seed=1)
factors = {"attenuation": scan.attenuation, "normalisation": scan.normalisation, "background": scan.randoms}
model = pt.AcquisitionModel(matrix if size == "slab" else V, **factors, psf_fwhm=2.5)
timed = {"MLEM": pt.Record(), "OSEM": pt.Record()}
results = {
    "MLEM": pt.mlem(scan.prompts, model, iterations=2, record=timed["MLEM"], progress=True),
    "OSEM": pt.osem(scan.prompts, model, iterations=2, subsets=12, record=timed["OSEM"], progress=True),
}
for name, image in results.items():
    wrong = pt.measures.nrmse(image, brain.pet, normaliser="rms", mask=brain.regions["head"])
    print(f"{name}, 2 passes: {sum(timed[name].seconds):5.1f} s, NRMSE {wrong:.1%}")
pt.volshow({"truth": brain.pet, **results}, grid=V.grid, units="activity", vmins=0, vmaxs=150)

# %% [markdown]
# ## Questions
#
# <details><summary>1. A paper says "OSEM, 4 iterations, 21 subsets". How many MLEM iterations is that about, and what
# else must you know to repeat it?</summary>
#
# About 84, if the counts per subset are high enough. You also need the PSF, the filter afterwards, the voxel size,
# the start image; the order of the subsets matters little.
# </details>
#
# <details><summary>2. Why does OSEM with one subset need no test of its own?</summary>
#
# It is MLEM: one subset holds all the views. (In this library, bit for bit.)
# </details>
#
# <details><summary>3. Dynamic PET: the first frame of a series holds 1 % of the counts of the last. May both be
# reconstructed with the same number of subsets?</summary>
#
# With a number that suits the first. Few counts per subset mean a wide limit cycle and dead voxels, so the early
# frames would be wrong in another way than the late ones.
# </details>
#
# <details><summary>4. Your image of the standard deviation over 5 realisations shows a "hot spot of noise". Do you
# believe it?</summary>
#
# Not yet. A standard deviation from five values is uncertain by about a third, so among thousands of voxels many look
# special. Average over a region, or take more realisations.
# </details>
#
# <details><summary>5. You double the scan time. The noise at 4 passes falls by the factor 1.41. Your colleague
# finds 1.2. Who is wrong?</summary>
#
# Perhaps nobody: your colleague may have iterated further, spending a part of the counts on less bias. Ask for the
# contrast.
# </details>
#
# <details><summary>6. Why is the difference at equal noise taken in pairs, on the same scans?</summary>
#
# Much of the spread of CRC from scan to scan is common to both methods, as they see the same counts. In the
# difference it falls out, and few realisations are enough.
# </details>
#
# ## Summary
#
# OSEM is MLEM with a part of the views at a time. With interleaved subsets and enough counts in each, a pass is worth
# as many iterations as there are subsets. It ends in a limit cycle instead of the maximum, the sooner the fewer
# counts a subset has. Noise and bias are averages over scans, not properties of one image: noise grows with the
# passes and falls with the root of the counts, bias does the opposite and does not care about counts. A noise from
# few realisations is too small and uncertain: 20 make a figure. And methods are compared at equal noise, on the same
# scans, or not at all.
#
# **What next:** [lesson 7, MAP: priors and MR](07_map.ipynb): off the curve.
#
# ## Further reading
#
# - H. M. Hudson, R. S. Larkin. *Accelerated image reconstruction using ordered subsets of projection data.* IEEE
#   Trans. Med. Imaging 13(4):601, 1994. [doi:10.1109/42.363108](https://doi.org/10.1109/42.363108)
# - H. H. Barrett, D. W. Wilson, B. M. W. Tsui. *Noise properties of the EM algorithm: I. Theory.* Phys. Med. Biol.
#   39(5):833, 1994. [doi:10.1088/0031-9155/39/5/004](https://doi.org/10.1088/0031-9155/39/5/004) (why the noise
#   looks like the object)
# - H. H. Barrett, T. White, L. C. Parra. *List-mode likelihood.* J. Opt. Soc. Am. A 14(11):2914, 1997.
#   [doi:10.1364/JOSAA.14.002914](https://doi.org/10.1364/JOSAA.14.002914)
# - S. Ahn, J. A. Fessler. *Globally convergent image reconstruction for emission tomography using relaxed ordered
#   subsets algorithms.* IEEE Trans. Med. Imaging 22(5):613, 2003.
#   [doi:10.1109/TMI.2003.812251](https://doi.org/10.1109/TMI.2003.812251) (cures for the limit cycle)
# - The atlas shown here: V. S. Fonov et al. NeuroImage 54(1):313, 2011.
#   [doi:10.1016/j.neuroimage.2010.07.033](https://doi.org/10.1016/j.neuroimage.2010.07.033)
