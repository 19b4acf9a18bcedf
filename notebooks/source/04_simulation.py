# %% [markdown]
# # 4 · From line integrals to counts
#
# **Purpose:** a perfect scanner would measure line integrals. A real one counts photon pairs: most of them are lost
# on the way, some come from somewhere else, and all of them come by chance. This lesson puts these effects on, one
# at a time, until we have the data that the rest of the course reconstructs.
#
# **Time:** about 40 minutes of reading; about 1 minute of computing at the default size on two cores. **You need:**
# [lesson 1](01_phantom.ipynb) (the phantom), [lesson 2](02_scanner_and_sinogram.ipynb) (lines of response,
# sinogram, projection).
#
# **After this lesson you can**
#
# 1. write down the expected counts of a scan, $\bar y = N\,A_\mu\,X\,H\,x + r$, and say what each letter does;
# 2. compute attenuation factors in the right units, and recognise an image in which they were forgotten;
# 3. explain gaps, normalisation, resolution, randoms and scatter by their pictures;
# 4. check that counts are Poisson distributed, and say why "add some Gaussian noise" is a wrong model;
# 5. predict how image noise changes with the counts, and simulate a scan with `pt.simulate` that can be repeated.
#
# Words and symbols: [glossary](glossary.ipynb).

# %% [markdown] tags=["teacher"]
# **In class 45 minutes.** One sentence holds the lesson together; say it at the beginning, in the middle and at the
# end: *do not correct the data, describe them.* If time is short, leave out exercise 3.

# %%
import matplotlib.pyplot as plt
import numpy as np

import pettutor as pt
from pettutor.simulation import attenuation_factors, detector_efficiencies

size = pt.course.size()
scanner = pt.Scanner.preset(size)
grid = scanner.image_grid()
X = pt.Projector(scanner, grid)
truth = pt.load_subject("mni:0").on(grid)
print(scanner)
print(truth.source, "- cite:", truth.citation, sep="\n")

# %% [markdown]
# ## 1 The perfect scan
#
# One notation for the whole course: $x$ is the **image** (activity in every voxel), $y$ the measured **counts**
# (one number for every **bin** of the sinogram, that is for every line of response), $\bar y$ the counts that are
# *expected* on average. A perfect scanner has $\bar y = X x$: bin $i$ holds the line integral
#
# $$[Xx]_i = \int_{\text{line } i} x \,\mathrm{d}l \qquad \text{in activity} \times \text{mm}.$$
#
# The head below is the ICBM MNI152 atlas with the activity of the tracer FDG: 128 in grey matter, 32 in white
# matter, 16 in skin (arbitrary units).

# %%
direct = scanner.segments[0].planes  # the planes that are not tilted
middle = direct.stop // 2  # the one through the middle of the head
live = scanner.live_bins  # (view, bin): False where a crystal is missing

integrals = X(truth.pet)
pt.volshow({"x: activity": truth.pet}, grid=grid, units="activity")

# %%
pt.volshow({"Xx: line integrals": integrals[direct]}, xlabels="bin", ylabels="view", units="activity · mm")

# %% [markdown] tags=["teacher"]
# **12 minutes, the perfect scan and attenuation.** Collect guesses for the share that survives along the longest line
# before the cell runs: most guess too high. Let the cell fail and wait: somebody will find the factor of ten (µ is per
# cm, the projector works in mm). Exercise 1: $e^{-0.096 \cdot 20} = 0.147$. Common mistakes, which the check names: 200
# instead of 20, the radius instead of the diameter, the wrong sign, the factor twice for two photons.
#
# Expected at `slab`: 9.1e-10 survive with the wrong unit, 12 % with the right one.

# %% [markdown]
# ## 2 Attenuation: most pairs never arrive
#
# A positron meets an electron, and two photons of 511 keV fly apart. The pair counts only if *both* leave the head
# without being scattered or absorbed. A photon survives a path with probability $\exp(-\int \mu\,\mathrm{d}l)$,
# where $\mu$ is the **linear attenuation coefficient** (about 0.096 per cm in water, 0.13 in bone). The two photons
# share the line between them, so
#
# $$a_i = e^{-\int_{\text{here}}^{\text{detector 1}}\mu\,\mathrm{d}l}\; e^{-\int_{\text{here}}^{\text{detector
# 2}}\mu\,\mathrm{d}l} = e^{-\int_{\text{line } i} \mu \,\mathrm{d}l}.$$
#
# "Here" has disappeared: it does not matter *where* on the line the pair was born. So attenuation is one factor for
# every bin, the **attenuation factor**; the operator that multiplies every bin by its factor is called $A_\mu$.
#
# We have a projector for integrals, so the naive way is one line of code. **Before you run the next cell:** the head is
# roughly 18 cm long. What share of the pairs should get out of it along the longest line? A tenth? A thousandth?

# %%
mu_integrals = X(truth.mu)
longest = float(mu_integrals.max())
print(f"integral of mu along the longest line: {longest:.1f}")
print(f"so the share that survives would be exp(-{longest:.1f}) = {np.exp(-longest):.1e}")

# %% [markdown]
# **That fails.** If one pair in many millions got out, PET would not exist. The reason is a unit: the projector
# works in mm, but $\mu$ is given per **cm**, as in every table. The integral is ten times too large. It is the
# commonest mistake with attenuation, and nothing warns you: no error, no NaN, only an empty sinogram.
#
# The library's `attenuation_factors` knows about the ten.

# %%
attenuation = attenuation_factors(truth.mu, X)
print(f"longest line: {longest / 10:.2f} attenuation lengths, {100 * attenuation.min():.0f} % of the pairs survive")
arriving = (attenuation * integrals).sum(dtype=float) / integrals.sum(dtype=float)
print(f"of all pairs on lines that the scanner sees, {100 * arriving:.0f} % arrive")
pt.volshow({"attenuation factor": attenuation[direct]}, xlabels="bin", ylabels="view", vmins=0, vmaxs=1)

# %% [markdown]
# (The bright net is made of dead bins: they have no integral, and $e^0 = 1$. They are taken out in section 4.)
#
# ### Exercise 1
# A cylinder of water, 200 mm across, $\mu$ = 0.096 per cm. Predict the smallest attenuation factor by hand and
# compare it with the projector's.
#
# The check after an exercise names the mistake that it recognises. `pt.course.hint("water_attenuation")` gives a hint,
# each time one more; `pt.course.solution("water_attenuation")` gives the solution.

# %%
# the workbench for this lesson: one ring of detectors, one slice, 4 mm voxels
ring = pt.Scanner.preset("slab")
bench = ring.image_grid(shape=(1, 64, 64), voxel_size=(4.0, 4.0, 4.0))
Y = pt.Projector(ring, bench)
water = pt.phantoms.cylinder(bench, radius=100.0)
factors = attenuation_factors(0.096 * water, Y)

# %%
# solution:
predicted = np.exp(-0.096 * 20)
# stub: predicted = np.nan  # your formula here
# end of solution
print(f"predicted {predicted:.4f}, projector {factors.min():.4f}")

# %%
pt.course.check.water_attenuation(predicted)

# %% [markdown] tags=["teacher"]
# **5 minutes, cupping.** Answer to the prediction: not by the same factor; the centre suffers most, since its lines
# cross the most water. Ask what a doctor would see: a cold centre.
#
# Expected at `slab`: 0.06 in the centre and 0.28 at the rim; 1.00 and 1.00 with attenuation in the model.

# %% [markdown]
# ## 3 What if we forget it?
#
# Let the cylinder hold water with activity 1 everywhere. We project it, attenuate it, add no noise at all, and
# reconstruct it twice with **MLEM** (the next lesson's method; here it is a black box that looks for the image that
# explains the data). Once the black box is told about the attenuation, once not.
#
# **Before you run it:** what does the image look like when attenuation is ignored? Too dark everywhere by the same
# factor, or not?

# %%
counts = factors * Y(water)
images = {"truth": water}
for name, a in {"attenuation ignored": None, "attenuation in the model": factors}.items():
    images[name] = pt.mlem(counts, pt.AcquisitionModel(Y, attenuation=a), iterations=15)

core = bench.cylinder_mask(20.0)
rim = bench.cylinder_mask(92.0) & ~bench.cylinder_mask(80.0)
for name, image in images.items():
    c, r = (pt.measures.region_mean(image, m) for m in (core, rim))
    print(f"{name:25s} centre {c:.2f}   rim {r:.2f}   centre / rim {c / r:.2f}")
pt.volshow(images, grid=bench, vmins=0, vmaxs=1.1, cmaps="gray", units="activity")

# %%
across = bench.coordinates()[2]
fig, ax = plt.subplots(figsize=(6.5, 3.2))
for (name, image), style in zip(images.items(), ("k--", "C1", "C0"), strict=True):
    ax.plot(across, image[0, 32], style, label=name)
ax.set(xlabel="x (mm)", ylabel="activity", title="Profile through the middle: cupping")
ax.legend(loc="center", fontsize=8)
fig.tight_layout()

# %% [markdown] tags=["teacher"]
# **6 minutes, normalisation and blur.** Answer to the prediction: it does not average out. The pattern is the same in
# every scan, so that a longer scan makes it *more* visible, not less. Of the blur say that grey matter is a ribbon of 2
# to 4 mm and the scanner sees 4.5 mm.
#
# Expected at `slab`: spread in the water 2.9 % ignored, 0.4 % in the model; grey matter 122.5 sharp, 108.0 blurred.

# %% [markdown]
# This dish shape is called **cupping**. Lines through the centre cross the most water and lose the most, so the
# centre suffers most. No constant can repair it. In a head it would look like a cold centre and a hot scalp, and a
# doctor would read it as disease.
#
# The remedy is *not* to divide the data by $a$ (that multiplies the noise of the weakest bins most). The remedy is
# to put $a$ into the model that the reconstruction uses. That will be a habit in this course: **do not correct the
# data, describe them.**
#
# ## 4 Gaps and normalisation: no two detectors are alike
#
# Crystals differ in how well they see (their **efficiency**), and between the blocks there are **gaps** where no
# crystal is. The factor for each bin is called **normalisation** $N$; a bin sees a pair only if both its crystals
# do, so it is the product of two efficiencies, and 0 where one of the crystals is missing.

# %%
efficiency = detector_efficiencies(scanner, 0.1, seed=1)  # crystals differ by 10 %
typical = efficiency[middle][live].std() / efficiency[middle][live].mean()
print(f"{100 * (1 - live.mean()):.0f} % of the bins are dead; in a plane the others differ by {100 * typical:.0f} %")
pt.volshow({"relative efficiency": efficiency[middle]}, xlabels="bin", ylabels="view", vmins=0, cmaps="gray")

# %% [markdown]
# Every dark diagonal is one missing crystal: in each view it is another bin. The weaker stripes are crystals that
# see a little less than their neighbours.
#
# **Before you run the next cell:** ten per cent up and down, at random. Does it average out in the image?

# %%
uneven = detector_efficiencies(ring, 0.1, seed=1)
counts = uneven * Y(water)
images = {}
for name, n in {"efficiencies ignored": None, "efficiencies in the model": uneven}.items():
    image = pt.mlem(counts, pt.AcquisitionModel(Y, normalisation=n), iterations=15)
    images[name] = image / image[core | rim].mean()
    inside = images[name][bench.cylinder_mask(80.0)]
    print(f"{name:26s} spread inside the water {100 * inside.std():.1f} %")
pt.volshow(images, grid=bench, vmins=0.8, vmaxs=1.2, cmaps="gray", units="activity / mean")

# %% [markdown]
# It does not average out: the errors are the same in every scan, so they make a fixed pattern that no longer scan
# removes. (It would hide under the noise of a short scan, and come out in a long one.) With $N$ in the model it is
# gone.
#
# Scanners measure $N$ with a source whose shape is known. Here `pt.simulate` also packs the **calibration** into
# it, that is how many counts one unit of activity gives in this scan, so that images come out in units of activity.
#
# ## 5 Resolution: nothing is seen sharply
#
# The positron flies about a millimetre before it meets its electron, the photons are not exactly back to back, and
# crystals are millimetres wide. Together this blurs the image. We describe it by one Gaussian $H$ with a **full
# width at half maximum** (FWHM) of 4.5 mm, applied to the image before it is projected. (That all of the blur is in
# the image, and equal everywhere, is a simplification.)

# %%
blurred = pt.gaussian_filter(truth.pet, 4.5, grid)
print("mean activity      sharp  blurred")
for region in ("grey matter", "white matter", "csf"):
    mask = truth.regions[region]
    print(f"{region:15s} {truth.pet[mask].mean():8.1f} {blurred[mask].mean():8.1f}")
pt.volshow({"x": truth.pet, "Hx, 4.5 mm": blurred}, grid=grid, vmins=0, vmaxs=130, units="activity")

# %% [markdown] tags=["teacher"]
# **5 minutes, randoms and scatter.** Common mistake: "randoms are noise". They are counts like all others, with a mean
# that we know well; what we do not know is which ones they are.

# %% [markdown]
# Grey matter is a ribbon of 2-4 mm. Blur takes activity out of it and puts it into white matter and into the fluid
# (**csf**), which has no activity at all. This loss of contrast in small structures is the **partial-volume
# effect**; we will meet it in every reconstruction.
#
# ## 6 Randoms and scatter: pairs that are none
#
# The scanner calls any two photons within a few nanoseconds a pair. All that it counts are the **prompts**. Among
# them are
#
# - **trues**: both photons of one annihilation, neither scattered. They carry the image;
# - **randoms**: two photons of *different* annihilations. They know nothing of the line between the detectors, so
#   they are spread almost evenly over all live bins;
# - **scatter**: one photon was deflected in the head. The line is wrong, but not by much: a smooth hill.
#
# Randoms and scatter together are the **background** $r$. `pt.simulate` makes all of this: here 30 % of the prompts
# are randoms, and (only for this picture) 20 % of the trues and scatter together are scatter. The scatter is a
# smooth shape, not the physics of Compton scattering.

# %%
with_scatter = pt.simulate(truth, X, randoms_fraction=0.3, scatter_fraction=0.2, psf_fwhm=4.5, seed=1)
print(with_scatter)
fig, ax = plt.subplots(figsize=(6.5, 3.4))
ax.plot(with_scatter.prompts[middle].sum(axis=0), color="0.7", label="prompts (with noise)")
for name in ("trues", "scatter", "randoms"):
    ax.plot(getattr(with_scatter, name)[middle].sum(axis=0), label=f"{name} (expected)")
ax.set(xlabel="bin", ylabel="counts, sum over views", title="What one plane of the sinogram is made of", ylim=(0, None))
ax.legend(fontsize=8)
fig.tight_layout()

# %% [markdown] tags=["teacher"]
# **10 minutes, Poisson.** Answers to the predictions: the variance of the Poisson draws lies on the line "variance =
# mean", that of the constant Gaussian is flat. Four times the counts leave half the noise in the image. Two images are
# a small sample, so accept 1.8 to 2.2.
#
# Expected at `slab`: noise 14.7, 6.8 and 3.3 %.

# %% [markdown]
# (The teeth are gaps again: at every ninth bin fewer views meet one.) At the edge of the field of view there is no
# head, yet there are counts. A reconstruction that takes them for trues will put activity there; the next lesson
# shows how much.
#
# Now the expected counts are complete:
#
# $$\bar y = N\,A_\mu\,X\,H\,x + r \qquad\text{normalisation} \cdot \text{attenuation} \cdot \text{projection} \cdot
# \text{blur, plus background}.$$
#
# ## 7 Noise: counts are Poisson
#
# The atoms decay independently of each other, so the counts of a bin are a **Poisson** variable: whole numbers, with
#
# $$P(y_i) = e^{-\bar y_i}\,\frac{\bar y_i^{\,y_i}}{y_i!}, \qquad \text{mean} = \text{variance} = \bar y_i .$$
#
# A shortcut that you will see in papers is to add Gaussian noise of one constant strength. We take the same mean
# variance, so that the total noise is the same, and look at one plane.

# %%
data = pt.simulate(truth, X, randoms_fraction=0.3, psf_fwhm=4.5, seed=1)
expected = (data.trues + data.background)[middle]
rng = np.random.default_rng(2)
sigma = np.sqrt(expected[live].mean())
poisson = rng.poisson(expected, size=(200, *expected.shape))
constant = (expected + rng.normal(0, sigma, size=poisson.shape)) * live
print(f"bins below zero: Poisson {(poisson < 0).mean():.0%}, constant Gaussian {(constant < 0).mean():.1%}")
try:
    pt.mlem(constant[:1].astype(np.float32), pt.AcquisitionModel(Y), iterations=1)
except ValueError as error:
    print("MLEM:", error)

# %% [markdown]
# Negative counts: what should half a photon less than none be? Now the variance, over 200 scans of the same head.
# **Before you run it:** draw the two curves of variance against mean in your mind.

# %%
groups = np.array_split(np.argsort(expected[live]), 25)  # bins of about equal expectation
means = [expected[live][g].mean() for g in groups]
fig, ax = plt.subplots(figsize=(5.2, 4))
ax.plot(means, means, "k--", label="variance = mean")
for name, draws in (("Poisson", poisson), ("Gaussian, constant", constant)):
    variance = draws[:, live].var(axis=0, ddof=1)
    ax.plot(means, [variance[g].mean() for g in groups], "o", label=name)
ax.set(xlabel="mean counts of a bin", ylabel="variance over 200 scans", title="Only one of them is how counts behave")
ax.set(xlim=(0, None), ylim=(0, None))
ax.legend(fontsize=8)
fig.tight_layout()

# %% [markdown]
# The constant Gaussian is too noisy in the weak bins and too quiet in the strong ones. A reconstruction that trusts
# such a model weights its data wrongly: it believes all bins alike, although the *relative* error of a bin,
# $\sqrt{\bar y_i}/\bar y_i = 1/\sqrt{\bar y_i}$, differs from bin to bin. MLEM is built on the Poisson law instead.
#
# ## 8 How much noise ends up in the image?
#
# **Before you run the next cell:** with four times the counts (a scan four times as long, or four times the dose),
# how much noise is left in the image?
#
# We measure it as it should be measured: scan the *same* head with the *same* detectors twice, draw only the
# Poisson noise anew, and look at how the two images differ in white matter.

# %%
P = pt.Projector(ring, ring.image_grid())
head = pt.load_subject("mni:0").on(P.grid)
white = head.regions["white matter"]
shown, noise = {}, []
for share in (1 / 16, 1 / 4, 1):
    scan = pt.simulate(head, P, counts=share * 0.5e6, seed=1)
    A = pt.AcquisitionModel(
        P, attenuation=scan.attenuation, normalisation=scan.normalisation, psf_fwhm=4.5, background=scan.randoms
    )
    noisy = [rng.poisson(scan.trues + scan.randoms).astype(np.float32) for _ in range(2)]
    pair = np.stack([pt.mlem(y, A, iterations=8) for y in noisy])
    noise.append(pt.measures.background_std(pair, white))
    shown[f"{share * 0.5e6:,.0f} trues"] = pair[0]
    step = f", {noise[-2] / noise[-1]:.2f} times less" if len(noise) > 1 else ""
    print(f"{share * 0.5e6:9,.0f} trues: noise {100 * noise[-1]:.1f} % of the mean{step}")
pt.volshow(shown, grid=P.grid, vmins=0, vmaxs=150, units="activity")

# %% [markdown] tags=["teacher"]
# **7 minutes, the whole scan, and exercise 2.** Warn of the one trap: the seed of `pt.simulate` draws the *detectors*
# as well as the noise. For many scans of one scanner it is `data.realisation(seed)`.
#
# Exercise 2, common mistakes, which the check names: the blur forgotten, the background inside the brackets, a division
# by the attenuation, 2.5 in place of 4.5 mm. Exercise 3: the gain is bounded by $T^2/R$; more tracer helps less and
# less.

# %% [markdown]
# Four times the counts, about half the noise (two images are a small sample): noise goes with
# $1/\sqrt{\text{counts}}$. This is why low-dose PET is hard, and why a method that takes noise away (a filter, a
# prior, a network) is worth as much as a longer scan, *if* it does not take signal away as well.
#
# ## 9 The whole scan in one call
#
# `pt.simulate` did all this for us; `pt.AcquisitionModel` is the same physics for the reconstruction: an operator
# $A$ (the linear part, $N\,A_\mu\,X\,H$) with its `.background` and `.expected(x)`.

# %%
A = pt.AcquisitionModel(
    X, attenuation=data.attenuation, normalisation=data.normalisation, psf_fwhm=4.5, background=data.randoms
)
print(data)
print(f"A(truth) sums to {A(truth.pet).sum(dtype=float):,.0f} counts, data.trues to {data.trues.sum(dtype=float):,.0f}")
fields = ("attenuation", "normalisation", "trues", "randoms", "prompts")
pt.volshow({name: getattr(data, name)[direct] for name in fields}, xlabels="bin", ylabels="view", cmaps="gray", ncols=3)

# %% [markdown]
# **Seeds.** Whatever is drawn by chance has a `seed`: the same seed gives the same scan, to the last count. Beware
# of one thing: the seed of `pt.simulate` draws the detectors' efficiencies *and* the noise. Another seed is another
# scanner. For many noisy scans of one scanner, draw from the expected counts, as in section 8.

# %%
again, other = (pt.simulate(truth, X, seed=s).prompts for s in (1, 2))
print("same seed, same prompts:", np.array_equal(data.prompts, again))
print("other seed, same prompts:", np.array_equal(data.prompts, other))

# %% [markdown]
# A warning about all simulations: we simulate with the same projector and on the same voxels with which we will
# reconstruct. Real data do not do us this favour, so results look better than they should. It is called the **inverse
# crime**. The course commits it knowingly, and softens it: in lessons 9 and 11 to 14 the reconstruction believes in a
# narrower blur (2.5 mm) than the scanner has (4.5 mm).
#
# ### Exercise 2
# Build the expected counts by hand, from `data`, `X` and `pt.gaussian_filter`, without `A`. (`X.grid` is the grid.)


# %%
def by_hand(image, data, X):
    """Expected counts of an image, scanned like `data`."""
    # solution:
    blurred = pt.gaussian_filter(image, 4.5, X.grid)
    return data.normalisation * data.attenuation * X(blurred) + data.randoms
    # stub: return A.expected(image)  # your turn: write N · A_µ · X · H x + r here instead
    # end of solution


counts = by_hand(truth.pet, data, X)
difference = np.abs(counts - A.expected(truth.pet)).max() / counts.max()
print(f"largest difference from A.expected: {difference:.1e} of the largest count")

# %%
pt.course.check.expected_counts(by_hand)

# %% [markdown]
# ### Exercise 3
# Would more tracer always help? With $f$ times the activity there are $f\,T$ trues, but $f^2 R$ randoms: they need
# *two* independent decays. A common measure of what the counts are worth is the number of **noise-equivalent
# counts**, $\mathrm{NEC} = \dfrac{(\text{trues})^2}{\text{trues} + \text{scatter} + \text{randoms}}$. Compute it
# for the activities below. What is the most that can be gained?


# %%
def nec(f, T, R):
    """Noise-equivalent counts with f times the activity; T and R: the trues and randoms at present."""
    # solution:
    return (f * T) ** 2 / (f * T + f**2 * R)
    # stub: return f * T  # your turn: these are the trues alone
    # end of solution


T, R = data.trues.sum(dtype=float), data.randoms.sum(dtype=float)
f = np.linspace(0.1, 10, 50)
fig, ax = plt.subplots(figsize=(5.5, 3.2))
ax.plot(f, f * T, "0.7", label="trues")
ax.plot(f, nec(f, T, R), label="yours")
ax.axhline(T**2 / R, color="k", ls=":", label="T²/R")
ax.set(xlabel="activity, times the present one", ylabel="counts", title="Worth of a scan", ylim=(0, 4 * T))
ax.legend(fontsize=8)
fig.tight_layout()

# %%
pt.course.check.noise_equivalent_counts(nec)

# %% [markdown]
# ## Questions
#
# <details><summary>1. Attenuation does not depend on where on the line the pair was born. Why is it different in
# SPECT, where there is only one photon?</summary>
#
# A single photon crosses only the tissue between its birthplace and the detector, so the factor depends on the
# depth. In PET the two paths add up to the whole line.
# </details>
#
# <details><summary>2. A colleague divides the prompts by the attenuation factors before reconstructing. The mean is
# right. What has become of the noise?</summary>
#
# A bin with factor 0.1 gets counts times 10 and variance times 100: the data are no longer Poisson, the weakest
# bins are the noisiest, and a method that believes mean = variance trusts them far too much.
# </details>
#
# <details><summary>3. Why can randoms not be removed by subtracting their mean?</summary>
#
# The mean goes, the noise stays: the prompts still fluctuate by the square root of trues plus randoms. And single
# bins become negative. The model keeps them instead, as the background.
# </details>
#
# <details><summary>4. You halve the dose of the patient. By how much must the scan be longer for the same noise, if
# there were no randoms? And with randoms?</summary>
#
# Without randoms, twice as long: only the number of trues counts. With randoms a little less than twice, since half
# the activity gives only a quarter of the randoms in the same time.
# </details>
#
# <details><summary>5. In which of the effects of this lesson would a perfectly sharp, perfectly efficient scanner
# still differ from line integrals?</summary>
#
# Attenuation, scatter, randoms and Poisson noise belong to the patient and to physics, and so does the part of the
# blur that comes from the positron's range.
# </details>
#
# ## Summary
#
# A scan is $y \sim \text{Poisson}(N\,A_\mu\,X\,H\,x + r)$. Attenuation, efficiencies and blur are linear and go into
# the operator; randoms and scatter are added; the noise follows from the counts and cannot be chosen. Each of them,
# when forgotten, leaves its own mark in the image: cupping, a fixed grain, washed-out grey matter, a grey haze. The
# remedy is always the same: put it into the model, and leave the data alone.
#
# **What next:** [lesson 5, MLEM](05_mlem.ipynb): how to get the image back.
#
# ## Further reading
#
# - D. L. Bailey, D. W. Townsend, P. E. Valk, M. N. Maisey (eds.), *Positron Emission Tomography: Basic Sciences*,
#   Springer 2005, [doi:10.1007/b136169](https://doi.org/10.1007/b136169)
# - S. C. Strother, M. E. Casey, E. J. Hoffman, *Measuring PET scanner sensitivity: relating countrates to image
#   signal-to-noise ratios using noise equivalent counts*, IEEE Trans. Nucl. Sci. 37:783, 1990,
#   [doi:10.1109/23.106715](https://doi.org/10.1109/23.106715)
# - V. S. Fonov et al., *Unbiased average age-appropriate atlases for pediatric studies*, NeuroImage 54:313, 2011,
#   [doi:10.1016/j.neuroimage.2010.07.033](https://doi.org/10.1016/j.neuroimage.2010.07.033)
