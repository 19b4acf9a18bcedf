# %% [markdown]
# # 16 · Real data: from list mode to an image
#
# **Purpose:** so far every lesson got its counts, its normalisation and its randoms from a simulation that knew them.
# A scanner gives you *files*. This lesson opens them: from the 32 bits of a single event to an image that you can
# hand to somebody else.
#
# **Time:** about 50 minutes of reading; about a minute of computing at the default size on two cores. **You
# need:** [lesson 2](02_scanner_and_sinogram.ipynb) (planes, gaps, span), [lesson 4](04_simulation.ipynb) (what the
# counts are made of) and [lesson 6](06_osem.ipynb) (OSEM).
#
# **After this lesson you can**
#
# 1. decode the list mode of a Siemens Biograph mMR by hand, and histogram a file of any size;
# 2. read a head curve, and choose the part of a scan that you reconstruct;
# 3. say why delayeds are neither subtracted nor put into the model as they are, and estimate randoms from fan sums;
# 4. compute the normalisation of a bin from the scanner's components, and recognise an image without it;
# 5. name what a real scan needs beyond this lesson, and what each missing piece does to the image.
#
# Words and symbols: [glossary](glossary.ipynb).

# %% [markdown] tags=["teacher"]
# **In class 50 minutes.** The message: nothing in the model of lesson 4 changes, only where its letters come from. If
# you have fetched the amyloid scan, show its head curve beside ours. If time is short, leave out attenuation and
# hardware.

# %%
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import pettutor as pt
from pettutor.simulation import attenuation_factors

size = pt.course.size()
changes = {"slab": {"rings": 1, "span": 1, "max_ring_difference": 0, "image_shape": (1, 128, 128),
                    "image_voxel_size": (4.0625, 2.08626, 2.08626)},
           "mini": {"max_ring_difference": 5, "image_shape": (127, 64, 64),
                    "image_voxel_size": (2.03125, 4.17252, 4.17252)},
           "mmr": {}}  # fmt: skip
scanner = pt.Scanner.preset("mmr", **changes[size])
grid = scanner.image_grid()
print(scanner)

# %% [markdown]
# The scanner is the mMR at every size, only that not all of it is used: at `slab` one of its 64 rings, at `mini` the
# segment of planes straight across (ring differences up to 5), at `mmr` everything.
#
# ## The files of a scan
#
# A scan leaves three kinds of files: **list mode** (every event, one after the other), a **normalisation** (how well
# each crystal sees; measured every few days), and images from which the attenuation is made. There is a real one that
# you can have: the amyloid scan of the NiftyPET community, 9 GB (`data_scripts/fetch_amyloid.py`; unpack the zip
# file). Then name its folder in the next cell, and all cells run on it as far as its files go.
#
# Without it the lesson writes the files itself, and we want to be honest about them: the *formats* are the scanner's
# own, bit by bit, as NiftyPET and STIR read them. The *contents* are simulated: our head, crystals with made-up
# efficiencies, no scatter. (The cells have been tried on such files; what a real one does differently, you may be the
# first to find.)

# %%
real = None  # or the folder of a real scan, such as "pettutor-data/amyloid/amyloidPET_FBP_TP0"
counts = {"slab": 6e5, "mini": 1e7, "mmr": 1e8}[size]
temporary = tempfile.TemporaryDirectory()
if real:
    scan = pt.course.find_raw_scan(real)
else:
    scan = pt.course.simulate_raw_scan(temporary.name, scanner, counts=counts, randoms_fraction=0.5, seed=1)
for path in (scan.listmode, scan.normalisation, scan.mu):
    print(f"{path.parent.name}/{path.name}: {path.stat().st_size:,} bytes" if path else "no attenuation map")

# %% [markdown] tags=["teacher"]
# **10 minutes, words, exercise 1.** Let everybody decode the first line on paper before they program. Common
# mistakes, which the check names: bit 30 left in the address, 252 and 344 exchanged, the rate not multiplied by 8.

# %% [markdown]
# ## 32 bits
#
# A list-mode file is a row of **words** of 32 bits, nothing else: no header, no names. Ten of them from the middle:

# %%
middle = scan.listmode.stat().st_size // 8  # the number of the word in the middle
words = np.fromfile(scan.listmode, "<u4", 10, offset=4 * middle)
for word in words:
    bits = f"{word:032b}"
    print(bits[0], bits[1], bits[2], bits[3:], f"  = {word:,}")

# %% [markdown]
# The highest bits tell what a word is:
#
# | bits from the top | kind | the rest |
# |---|---|---|
# | `0 1` | **prompt** | 30 bits: the address of the bin |
# | `0 0` | **delayed** | 30 bits: the address of the bin |
# | `1 0 0` | time | 29 bits: milliseconds; there is one in every millisecond |
# | `1 0 1` | **singles** | 10 bits: the detector **bucket**; 19 bits: its rate, counts per second over 8 |
#
# The address is that of a sinogram with span 1: `address = plane · 86688 + view · 344 + bin`, and $86688 = 252 \cdot
# 344$. So there is no arrival time of an event but the last time word before it, and no crystal but through its bin.
#
# **Before you run on:** take the first line above, and decode it on paper.
#
# ### Exercise 1
# Write `decode(word)`. It returns one of `("time", milliseconds)`, `("singles", bucket, rate)`, `("prompt", plane,
# view, bin)`, `("delayed", plane, view, bin)`. Python has `word >> 29` (drop the lowest 29 bits), `word & (2**29 -
# 1)` (keep only them) and `divmod(a, b)`.
#
# The cell after an exercise checks your answer and names the mistake that it recognises. Stuck?
# `pt.course.hint("decode_word")` gives a hint, each time one more; `pt.course.solution("decode_word")` the solution.


# %%
def decode(word):
    # solution:
    if word >> 31:
        value = word & (2**29 - 1)
        if word >> 29 == 4:
            return "time", value
        return "singles", value >> 19, 8 * (value & (2**19 - 1))
    plane, rest = divmod(word & (2**30 - 1), 252 * 344)
    view, bin = divmod(rest, 344)
    return "prompt" if word >> 30 else "delayed", plane, view, bin
    # stub: return None  # a tuple that begins with "time", "singles", "prompt" or "delayed"
    # end of solution


for word in words[:5]:
    print(decode(int(word)))

# %%
pt.course.check.decode_word(decode)

# %% [markdown]
# ## From words to sinograms
#
# A function such as yours decodes about a million words a second. An hour of the mMR has 1.3 billion.
# `pt.io.read_listmode` does the same to four million words at a time: faster, and the length of a file does not
# matter to the memory.

# %%
start = time.perf_counter()
whole = pt.io.read_listmode(scan.listmode, scanner)
seconds = time.perf_counter() - start
print(whole)
print(f"{scan.listmode.stat().st_size / 4e6 / seconds:.0f} million words a second")

# %% [markdown]
# Before anything else, look at the **head curve**: events per second, prompts and delayeds. It shows what no sinogram
# shows: when the tracer arrived, whether the scan was interrupted, whether something failed.
#
# **Before you run it:** the tracer is injected while the scan runs. Which curve rises earlier, or do they rise
# together?

# %%
fig, ax = plt.subplots(figsize=(7.5, 3.2), layout="constrained")
for name, curve in (("prompts", whole.prompts_per_second), ("delayeds", whole.delayeds_per_second)):
    ax.step(np.arange(len(curve)), curve / 1000, where="post", label=name)
curve = whole.prompts_per_second
begin = int(np.argmax(curve > 0.7 * curve.max()))  # s: from here on the rate is high
ax.axvspan(begin, whole.seconds, color="0.92", zorder=0, label="used below")
ax.set(xlabel="time (s)", ylabel="thousand events a second", title="Head curve", ylim=(0, None))
ax.legend(fontsize=8)
plt.show()

# %% [markdown] tags=["teacher"]
# **12 minutes, prompts and delayeds, exercise 2.** Answers to the predictions: delayeds rise later and steeper, since
# randoms go with the *square* of the activity. Of the three ways, smoothed randoms win; subtracting looks harmless
# inside the head and is wrong outside.
#
# Expected at `slab`: in a frame of 5 s 0.69 delayeds in a live bin; outside the head 0.38 (smoothed), 1.70 (delayeds
# as background), 1.60 (subtracted); NRMSE 40.2, 41.0, 42.1 %.

# %% [markdown]
# Delayeds rise later, since a random needs two decays: they go with the square of the activity (lesson 4). We take
# what comes after the first seconds, where the activity no longer changes much. Which part is a **frame** is your
# choice, after the scan: `read_listmode` has `start` and `stop`.

# %%
raw = pt.io.read_listmode(scan.listmode, scanner, start=begin)
print(raw)
direct = scanner.segments[0].planes
live = scanner.live_bins
brightest = [float(np.quantile(one[direct][:, live], 0.999)) for one in (raw.prompts, raw.delayeds)]
shown = {"prompts": raw.prompts[direct], "delayeds": raw.delayeds[direct]}
pt.volshow(shown, xlabels="bin", ylabels="view", vmins=0, vmaxs=brightest, units="counts")

# %% [markdown]
# ## Delayeds
#
# Prompts hold **randoms**: two photons of different annihilations within the time window of about 6 ns. How many? The
# scanner measures it: it looks for coincidences once more, with one photon *delayed* by much more than the window. No
# true pair survives that, but randoms are as frequent as before. So the **delayeds** are a second, independent draw
# of the randoms: same mean, other noise.
#
# Three ways to use them:
#
# 1. the naive way: subtract them from the prompts (and clip what becomes negative, as MLEM takes no negative counts);
# 2. put them into the model as the background $r$;
# 3. estimate the *expected* randoms from them, and put those into the model.
#
# With many counts in every bin it hardly matters. A dynamic scan begins with frames of a few seconds, so we take one
# of **five seconds**. **Before you run on:** how many delayeds will a bin have? What is wrong with 1, and what with
# 2?

# %%
frame = pt.io.read_listmode(scan.listmode, scanner, start=begin, stop=begin + 5)
print(frame)
print(f"delayeds in a live bin: mean {frame.delayeds[:, live].mean():.2f}; "
      f"none in {100 * (frame.delayeds[:, live] == 0).mean():.0f} % of the bins")  # fmt: skip
print(f"bins in which prompts - delayeds < 0: {100 * (frame.prompts < frame.delayeds)[:, live].mean():.0f} %")

# %% [markdown]
# For the third way we need a law with fewer unknowns than bins. A random is two singles that know nothing of each
# other. So its rate is a product, with one number $q$ for each crystal:
#
# $$r_{ij} = q_i\, q_j .$$
#
# For one ring that is 448 numbers instead of 68,516 bins. The **fan sum** $F_i$ of a crystal holds all delayeds that
# it took part in; its expectation is $q_i \sum_j q_j$, over the crystals $j$ of its *fan*, those that it is in
# coincidence with. For Poisson counts, the most likely $q$ is the one whose fan sums are exactly those measured:
#
# $$q_i \sum_j C_{ij}\, q_j = F_i \qquad \text{for every crystal } i,$$
#
# with $C_{ij} = 1$ where $i$ and $j$ are in coincidence, else 0.
#
# ### Exercise 2
# Find $q$ from $F$ and $C$ by iteration. (`q = F / (C @ q)` looks right. Try it, and see what the check says.)


# %%
def singles(F, C):
    q = np.ones_like(F)
    # solution:
    for _ in range(50):
        q = np.sqrt(q * F / (C @ q))
    # stub: # repeat: a better q from F, C and q
    # end of solution
    return q


# %%
pt.course.check.crystal_singles(singles)

# %% [markdown]
# Try yours on one ring of this scan: the delayeds of the ring in the middle.

# %%
one_ring = pt.Scanner.preset("mmr", **changes["slab"])
ring_data = pt.io.read_listmode(scan.listmode, one_ring, start=begin)
crystals = one_ring.live_crystals
ends = one_ring.bin_crystals[one_ring.live_bins]
C = np.zeros((one_ring.crystal_positions,) * 2)
C[ends[:, 0], ends[:, 1]] = C[ends[:, 1], ends[:, 0]] = 1
q = singles(ring_data.delayed_fans[0, crystals].astype(float), C[np.ix_(crystals, crystals)])
fig, ax = plt.subplots(figsize=(7.5, 2.8), layout="constrained")
where = np.flatnonzero(crystals)
at_edge = np.isin(where % one_ring.positions_per_block, (0, one_ring.crystals_per_block - 1))
for name, these in (("at the edge of its block", at_edge), ("inside", ~at_edge)):
    ax.plot(where[these], q[these], ".", ms=4, label=name)
ax.legend(fontsize=8)
ax.set(xlabel="crystal position", ylabel="q (root of counts)", title="Singles of one ring, from its delayeds",
       ylim=(0, 1.1 * q.max()))  # fmt: skip
plt.show()

# %% [markdown]
# You see the side to which the head lies nearer, and in the scatter of the points how crystals differ; those at the
# edges of a block see less. `pt.smooth_randoms` does the same for all rings together, and gives the expected randoms
# of every bin.

# %%
randoms = pt.smooth_randoms(raw.delayed_fans, scanner)
here = np.s_[direct.stop // 2, scanner.views // 3]
bins = np.flatnonzero(live[scanner.views // 3])
fig, ax = plt.subplots(figsize=(7.5, 3), layout="constrained")
ax.plot(bins, raw.prompts[here][bins], ".-", lw=0.5, ms=3, color="0.7", label="prompts")
ax.plot(bins, raw.delayeds[here][bins], ".", ms=3, color="tab:orange", label="delayeds")
ax.plot(bins, randoms[here][bins], color="tab:red", label="smoothed randoms")
ax.set(xlabel="bin", ylabel="counts", title="The live bins of one view of one plane", ylim=(0, None))
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# Now the three ways, with everything else right: what `normalisation` and `attenuation` are made of comes in the next
# two sections. (The image is smaller than the scanner's field of view. Lines that miss it say nothing about it, so
# their counts are left out.)

# %%
components = pt.io.read_normalisation(scan.normalisation)
normalisation = components.factors(scanner, raw.bucket_singles)
X = pt.Projector(scanner, grid)
mu = np.zeros(grid.shape, np.float32) if scan.mu is None else pt.io.load_nifti(scan.mu)[0]  # zeros: wrong, see below
attenuation = attenuation_factors(mu, X)
crossed = X(np.ones(grid.shape, np.float32)) > 0
P = X.to_matrix() if size == "slab" else X  # the matrix of one ring is small (lesson 3)


def reconstruct(y=raw.prompts, background=randoms, normalisation=normalisation, attenuation=attenuation, fwhm=2.5):
    factors = {"attenuation": attenuation, "normalisation": normalisation, "psf_fwhm": 4.5}
    A = pt.AcquisitionModel(P, **factors, background=background)
    return pt.gaussian_filter(pt.osem(y * crossed, A, iterations=3, subsets=14), fwhm, grid)


few = {"fwhm": 5.0}  # mm: few counts, much filter
images = {"smoothed randoms": reconstruct(frame.prompts, pt.smooth_randoms(frame.delayed_fans, scanner), **few),
          "delayeds as background": reconstruct(frame.prompts, frame.delayeds, **few),
          "delayeds subtracted": reconstruct(np.maximum(frame.prompts - frame.delayeds, 0), 0.0, **few)}  # fmt: skip

# %% [markdown]
# Images are in arbitrary units: nobody has told us how many counts a becquerel gives. So we scale them such that the
# first image of a table has the truth's mean in the head. (A real scan has no truth. Then the mean is 100, and the
# head is where the first image is bright.)


# %%
truth = {"truth": scan.truth.pet} if scan.truth else {}


def scaled(images):
    """Images in units in which the first has the right mean in the head; prints their numbers."""
    first = next(iter(images.values()))
    head = scan.truth.regions["head"] if truth else first > 0.2 * np.quantile(first, 0.99)
    scale = np.float32((scan.truth.pet[head].mean() if truth else 100) / first[head].mean())
    print(f"{'':23} in the head  outside   NRMSE")
    for name, image in images.items():
        error = pt.measures.nrmse(scale * image, scan.truth.pet, normaliser="rms", mask=head) if truth else np.nan
        inside, outside = (scale * image[mask].mean() for mask in (head, ~head))
        print(f"{name:23} {inside:11.1f} {outside:8.2f} {100 * error:7.1f} %")
    return {name: scale * image for name, image in images.items()}


images = scaled(images)
pt.volshow(truth | images, grid=grid, vmins=0, vmaxs=150, units="a. u.")

# %% [markdown]
# Once more with another window, for what lies outside the head, where nothing should be:

# %%
pt.volshow(images, grid=grid, vmins=0, vmaxs=10, units="a. u.")

# %% [markdown] tags=["teacher"]
# **10 minutes, normalisation, exercise 3.** Answer to the prediction: both, but what one sees is a pattern, rings
# round the middle of the *scanner*. Common mistake, which the check names: axial effects multiplied.
#
# Expected at `slab`: exercise 3: 0.77548; NRMSE 29.9 % with normalisation, 31.8 % without; blind 4.5 % of the time.

# %% [markdown]
# Subtracting looks like the exact thing to do, and it is, for the mean. But the difference of two Poisson numbers is
# not Poisson; clipping keeps the upward fluctuations and cuts the others, so activity appears where there is none.
# Delayeds as background do it as well, by another way: where a bin has none by chance, the model says that randoms
# are *impossible* there, and every prompt must have come from the image. The expected randoms know better, although
# they are made of the very same delayeds.
#
# ## Normalisation
#
# The scanner's **normalisation** file holds no sinogram but its **components**, 80,851 numbers from which all 280
# million pairs of crystals get theirs. A bin that joins crystals $c_0$, $c_1$ of the rings $r_0$, $r_1$ has the
# factor
#
# $$N = \frac{\text{geometric}[r_0 + r_1, \text{bin}] \cdot \text{interference}[\text{bin}, \text{view} \bmod 9] \cdot
# \varepsilon[r_0, c_0] \cdot \varepsilon[r_1, c_1]}{\text{axial effects}[\text{plane}]} \cdot \text{live times},$$
#
# with the **crystal efficiencies** $\varepsilon$. The **dead time** is the time after a photon in which a detector is
# blind; what is left, the **live time**, follows from the singles rate of the crystal's bucket, which the list mode
# has reported. A plane with span 11 counts several pairs of rings, so their factors are *added*.

# %%
fig, (left, middle, right) = plt.subplots(1, 3, figsize=(12.5, 3), layout="constrained", width_ratios=(2.2, 1, 1))
shown = left.imshow(components.crystal_efficiencies[:, :63], aspect="auto", cmap="gray", vmin=0.4, vmax=1.4)
left.set(xlabel="crystal position", ylabel="ring", title="Crystal efficiencies of seven blocks (black: gaps)")
fig.colorbar(shown, ax=left)
middle.plot(components.axial_effects[:127])
middle.set(xlabel="direct plane", ylim=(0.7, 1.4), title="Axial effects")
right.plot(components.geometric[63])
right.set(xlabel="bin", ylim=(0.7, 1.4), title="Geometric")
plt.show()
if np.isfinite(raw.bucket_singles).all():
    lost = 1 - components.live_times(raw.bucket_singles)[:, crystals]
    print(f"singles of a bucket: {raw.bucket_singles.mean():,.0f} a second; blind {100 * lost.mean():.1f} %")

# %% [markdown]
# ### Exercise 3
# Write the factor of one bin of a **direct** plane: both crystals in the same ring, so $r_0 + r_1$ is twice that
# ring, and so is the number of the plane in `axial_effects`. Leave the live times out.


# %%
def factor(n, ring, c0, c1, view, bin):
    # solution:
    geometric, interference = n.geometric[2 * ring, bin], n.crystal_interference[bin, view % 9]
    efficiencies = n.crystal_efficiencies[ring, c0] * n.crystal_efficiencies[ring, c1]
    return geometric * interference * efficiencies / n.axial_effects[2 * ring]
    # stub: return np.nan  # from n.geometric, n.crystal_interference, n.crystal_efficiencies, n.axial_effects
    # end of solution


c0, c1 = one_ring.bin_crystals[20, 171]
by_library = components.factors(one_ring, first_ring=31)[0, 20, 171]
print(f"yours {factor(components, 31, c0, c1, 20, 171):.5f}, the library's {by_library:.5f}")

# %%
pt.course.check.bin_factor(factor)

# %% [markdown]
# **Before you run it:** without a normalisation we know nothing but the gaps, and how many ring pairs a plane has.
# Crystals differ at random, and those at block edges see less. What will the image look like: a grain, or a pattern?

# %%
pairs = (live[None] * scanner.ring_pairs_per_plane[:, None, None]).astype(np.float32)
pairs *= normalisation.sum(dtype=float) / pairs.sum(dtype=float)  # the same mean
best = reconstruct()
images = scaled({"with normalisation": best, "without": reconstruct(normalisation=pairs)})
inside = images["with normalisation"] > 5  # a. u.
ratio = np.divide(images["without"], images["with normalisation"], out=np.ones_like(best), where=inside)
windows = {"vmins": [0, 0, 0.7], "vmaxs": [150, 150, 1.3], "cmaps": ["magma", "magma", "gray"]}
pt.volshow(images | {"without / with": ratio}, grid=grid, **windows)

# %% [markdown] tags=["teacher"]
# **8 minutes, attenuation, hardware, scatter.** Say that a real scan has scatter, more than a third of trues and
# scatter together in the phantom of the text, and that this lesson has none: a picture from it is too good.
#
# Expected at `slab`: mean in the head 50.7, with the coil in the map 55.2, without a map 9.4; 12 % arrive along the
# longest line.

# %% [markdown]
# A pattern: **rings** round the middle of the scanner. In some bins both ends of a line come to the edges of their
# blocks at the same time, in others never. That is so all round the ring, and a bin is a distance from the middle.
# Noise would average out in a longer scan; rings stay. In the single image you may not even see them, and a lesion is
# smaller than a ring.
#
# ## Attenuation, and what MR does not see
#
# Attenuation factors come from a map of $\mu$, as in lesson 4. On a PET/MR scanner nobody measures that map: it is
# derived from MR, where bone is as dark as air. And MR does not show the **hardware** at all: table and head coil
# absorb too, and their maps come with the scanner. (They are not in the public amyloid scan. Its $\mu$-map of the
# head comes as DICOM images: turn them into NIfTI, for instance with `dcm2niix`, and bring them onto the grid above,
# in 1/cm.)
#
# What do they cost? We leave the map out, then we add a coil to it, a made-up one: a shell of plastic, 4 mm thick.
# (The simulated scan has had no coil, so what is too *bright* here is what would be too dark in a scan with a coil
# that nobody told us about.)

# %%
_, y, x = grid.coordinates()
radius = np.hypot(*np.meshgrid(y, x, indexing="ij"))
wall = np.clip((2 - np.abs(radius - 124)) / grid.voxel_size[1] + 0.5, 0, 1)  # the voxels' share of 122 … 126 mm
coil = np.broadcast_to(0.1 * wall, grid.shape).astype(np.float32)  # 1/cm
with_coil = attenuation_factors(mu + coil, X)
images = scaled({"map of the head": best, "coil added to the map": reconstruct(attenuation=with_coil),
                 "no map": reconstruct(attenuation=np.ones_like(attenuation))})  # fmt: skip
print(f"{100 * attenuation[direct.stop // 2][live].min():.0f} % of the pairs arrive along the longest line")
pt.volshow(images, grid=grid, vmins=0, vmaxs=[150, 150, 30])

# %% [markdown]
# Without a map everything is too low by a factor of several, most of all in the middle (note the other window). Four
# millimetres of plastic change the numbers by several per cent, differently at every place: no error that one sees in
# a picture, and a large one for a study that compares numbers between scanners.
#
# ## Scatter
#
# The simulation of this lesson has none, a real scan has: on the mMR about 37 % of the trues and scatter together, in
# a standard phantom (Karlberg et al.). Scatter is estimated from the image and the map of $\mu$, by the physics of
# Compton scattering (single scatter simulation), scaled to the counts outside the head, and added to the background
# like the randoms. The library has no such program; STIR and NiftyPET do. Without it a reconstruction of the amyloid
# scan shows too much activity in the middle of the head, and a haze around it.
#
# ## The image, for somebody else
#
# What is left is to hand it over. NIfTI carries the grid in mm, so that every program puts it at the right place.

# %%
final = images["map of the head"]
path = pt.io.save_nifti(Path(temporary.name) / "osem.nii.gz", final, grid)
back, its_grid = pt.io.load_nifti(path)
print(f"{path.name}: {path.stat().st_size:,} bytes, shape {back.shape}, voxels {its_grid.voxel_size} mm")
print("the same voxels and the same grid:", np.array_equal(back, final) and its_grid == grid)
pt.volshow(truth | {"OSEM": final}, grid=grid, vmins=0, vmaxs=150, units="activity (a. u.)")

# %% [markdown] tags=["teacher"]
# **10 minutes, what else, and the questions.** Let the class make the list before they read it: what differs between
# this scan and a patient? Then question 5. If somebody brings raw data of another scanner: the words differ, the
# thoughts do not.

# %% [markdown]
# ## What else a real scan has
#
# - **Motion.** Nobody lies still for an hour. List mode helps: short frames, each registered to the first.
# - **Decay and frames.** Activity decays and moves; a dynamic scan is many frames, each corrected for decay over its
#   length.
# - **Dead time and pile-up.** In the live times above, as far as singles rates tell.
# - **Calibration.** Counts to kBq/ml: one number from a phantom of known activity. Without it all our images are in
#   arbitrary units.
# - **Where the head is.** PET and MR have their own coordinates; table position and gantry offset stand in the
#   headers.
# - **Hardware, scatter, a better map of bone.** See above; each is a field of its own.
# - **Time of flight.** The mMR has none. Newer scanners store its bin in every event.
#
# ## Questions
#
# <details><summary>1. A file of an hour has 5 GB. How much of it must be in memory to make a sinogram?</summary>
#
# A block of any size, and the sinogram. Nothing in a word refers to another one but the time before it.
# </details>
#
# <details><summary>2. Why can the delayeds not be smoothed with a Gaussian instead?</summary>
#
# Their expectation is not smooth: it jumps from crystal to crystal. A Gaussian would blur the efficiencies away, and
# mix live bins with gaps. The product model keeps every jump.
# </details>
#
# <details><summary>3. The normalisation was measured with a source in the scanner. Why does it not hold the dead
# time?</summary>
#
# Dead time depends on the rates of *this* scan. The file has its parameters; the rates come with the list mode.
# </details>
#
# <details><summary>4. Two bins have efficiencies 0.5 and 2. You may divide the counts by them, or multiply the model.
# What is the difference?</summary>
#
# None for the mean. But counts divided by 0.5 have twice the variance that their mean says, those divided by 2 half
# of it. MLEM believes mean = variance. Describe the data, do not correct them.
# </details>
#
# <details><summary>5. Somebody shows you an image of the amyloid scan made with this lesson. What is missing in
# it?</summary>
#
# Scatter, table and coils for certain; the $\mu$-map unless they brought it to the grid; motion, decay, calibration.
# It is a picture, not a measurement.
# </details>
#
# ## Summary
#
# List mode is a row of 32-bit words; a sinogram is a histogram of their addresses. Delayeds are a second draw of the
# randoms, and the product of singles makes an expectation of them. The normalisation is a product of components,
# with the dead time of this scan. Everything goes into the model of lesson 4, and the counts stay as they are.
#
# **What next:** your own data. The course ends here.
#
# ## Further reading
#
# - P. J. Markiewicz et al. *NiftyPET: a high-throughput software platform for high quantitative accuracy and
#   precision PET imaging and analysis.* Neuroinformatics 16:95, 2018.
#   [doi:10.1007/s12021-017-9352-y](https://doi.org/10.1007/s12021-017-9352-y)
# - P. J. Markiewicz et al. *Rapid processing of PET list-mode data for efficient uncertainty estimation and data
#   analysis.* Phys. Med. Biol. 61(13):N322, 2016.
#   [doi:10.1088/0031-9155/61/13/N322](https://doi.org/10.1088/0031-9155/61/13/N322)
# - M. E. Casey, E. J. Hoffman. *Quantitation in positron emission computed tomography: 7. A technique to reduce noise
#   in accidental coincidence measurements and coincidence efficiency calibration.* J. Comput. Assist. Tomogr.
#   10(5):845, 1986.
# - V. Y. Panin, M. Chen, C. Michel. *Simultaneous update iterative algorithm for variance reduction on random
#   coincidences in PET.* IEEE NSS/MIC Conf. Record, 2007.
# - A. M. Karlberg, O. Sæther, L. Eikenes, P. E. Goa. *Quantitative comparison of PET performance: Siemens Biograph
#   mCT and mMR.* EJNMMI Phys. 3:5, 2016. [doi:10.1186/s40658-016-0142-7](https://doi.org/10.1186/s40658-016-0142-7)
# - The scan: Zenodo, [doi:10.5281/zenodo.1472951](https://doi.org/10.5281/zenodo.1472951)
