# %% [markdown]
# # 1 · The phantom
#
# **Purpose:** know the object that the scanner looks at, before any scanner spoils it.
#
# **Time:** about 30 minutes of reading; about half a minute of computing at the default size on two cores.
#
# **You need:** [lesson 0](00_start_here.ipynb).
#
# **After this lesson you can**
#
# 1. say what activity, µ, T1, T2, labels and regions are, and in which units;
# 2. compare images on different grids by millimetres, never by index;
# 3. explain partial volume, and why a voxel is a mean and not a sample;
# 4. choose subject and tracer, put in lesions, and measure in them with masks;
# 5. build simple objects whose truth is known from a formula.
#
# Words and symbols: [glossary](glossary.ipynb).

# %% [markdown] tags=["teacher"]
# **In class 35 minutes.** Students of physics hurry through this lesson and stumble over it later: over voxels that are
# means, and over grids that are not the same. Spend the time on these two. What can go: the tracers, and exercise 3.

# %%
import matplotlib.pyplot as plt
import numpy as np

import pettutor as pt

size = pt.course.size()
scanner = pt.Scanner.preset(size)
grid = scanner.image_grid()
subject = pt.load_subject("mni:0")
truth = subject.on(grid)
print(subject, truth, grid, sep="\n")

# %% [markdown] tags=["teacher"]
# **8 minutes, six kinds of truth.** Answer to the prediction: µ shows the skull best (0.13 per cm against 0.0975 in
# soft tissue); in the activity it is as good as invisible. Let them find the ventricles in all four images: dark in
# activity and in T1, bright in T2.
#
# Leave the riddle standing that the mean over voxels labelled grey is below the 128 that was painted. It is solved by
# partial volume, a few cells on.
#
# Expected at `slab`: mean activity 111.6 in voxels labelled grey matter, 40.5 in those labelled white.

# %% [markdown]
# A **subject** is a head: a volume that says of each cubic millimetre which tissue it is. `subject.on(grid)` makes of
# it the images on the **grid** of voxels that we want to reconstruct. Together they are called a **phantom**: an
# object that we know completely, so that every reconstruction can be held against the truth.
#
# ## Six kinds of truth
#
# | name | what it is | unit |
# |---|---|---|
# | `truth.pet` | **activity**: how much tracer decays in the voxel. *PET wants to know this.* | arbitrary here |
# | `truth.mu` | **attenuation coefficient** µ at 511 keV: how likely a photon is absorbed or scattered per cm | 1/cm |
# | `truth.t1`, `truth.t2` | two MR images of the same head, with other contrasts | arbitrary |
# | `truth.labels` | the tissue that fills most of the voxel, a number | – |
# | `truth.regions` | masks (yes or no) by name: where to measure | – |
#
# *Before you run the next cell:* which of the four images will show the skull best, and in which will it be
# invisible?

# %%
pt.volshow(
    {"activity": truth.pet, "µ": truth.mu, "T1": truth.t1, "T2": truth.t2},
    cmaps=["magma", "gray", "gray", "gray"],
    units=["a. u.", "1/cm", "a. u.", "a. u."],
    grid=grid,
)

# %% [markdown]
# The activity shows *function*: grey matter burns sugar, and the tracer FDG follows the sugar. µ shows *matter*: bone
# 0.13/cm, soft tissue 0.0975/cm, nearly the same as water. MR shows *anatomy*, in finer detail than PET ever will:
# this is why the networks of later lessons like to look at it.
#
# Where the head comes from: brain and T1 are the ICBM MNI152 atlas of 2009, the average of 152 people (Fonov et al.,
# 2009 and 2011). It ends at the surface of the brain. Skull, marrow, scalp and face are *grown* around it by rules:
# plausible, but not measured. The activity of each tissue is a fixed number: a cartoon, and a fair one to start with.

# %%
print(f"{'label':>5}  {'tissue':13} {'volume (mL)':>11} {'mean activity':>14} {'mean µ (1/cm)':>14}")
for label, name in enumerate(pt.phantoms.LABELS):
    here = truth.labels == label
    if label and here.any():
        volume = here.sum() * grid.voxel_volume / 1000
        print(f"{label:5}  {name:13} {volume:11.1f} {truth.pet[here].mean():14.1f} {truth.mu[here].mean():14.4f}")
print(f"\nlargest and smallest activity in the brain: {truth.pet.max():g}, {truth.pet[truth.regions['brain']].min():g}")

# %% [markdown]
# (Only what lies inside this grid: a scanner sees a part of the head.)
#
# Grey matter was painted with 128, white matter with 32. Yet the mean over the voxels labelled grey is well below
# 128, and over those labelled white well above 32. Keep this question in mind; it is answered below.


# %%
names = list(pt.phantoms.LABELS)
colours = plt.get_cmap("tab20b")(np.linspace(0, 1, len(names)))
colours[:4] = [(0.06, 0.06, 0.06, 1), (0.35, 0.6, 0.85, 1), (0.55, 0.55, 0.55, 1), (0.95, 0.95, 0.95, 1)]
middle = grid.shape[0] // 2
fig, ax = plt.subplots(figsize=(7, 5), layout="constrained")
ax.imshow(colours[truth.labels[middle]], extent=grid.extent, interpolation="nearest")
for colour, name in zip(colours, names, strict=True):
    ax.plot([], [], "s", ms=9, color=colour, mec="0.5", label=name)
ax.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
ax.set(
    title=f"Labels at z = {grid.coordinates()[0][middle]:.0f} mm",
    xlabel="x (mm), left to right",
    ylabel="y (mm), front to back",
)
plt.show()

# %% [markdown] tags=["teacher"]
# **5 minutes, millimetres.** The point is that *nothing crashes*. Ask who has ever put one array over another because
# the shapes agreed. Common mistake in the students' own code: the order (x, y, z). Here it is always (z, y, x).
#
# Expected at `slab`: Dice 0.84 by index, 1.00 in millimetres.

# %% [markdown]
# ## Millimetres, not indices
#
# Two scanners hardly ever share a grid. Say that an MR scanner has seen the same head, with smaller voxels, centred
# at another point. Both arrays have the same shape, so NumPy is happy to put one over the other.
#
# *Before you run the next cell:* what goes wrong if the T1 contour is drawn onto the PET image voxel by voxel?

# %%
mr_size = (grid.voxel_size[0], 0.85 * grid.voxel_size[1], 0.85 * grid.voxel_size[2])
mr_grid = pt.ImageGrid(grid.shape, mr_size, centre=(0, -6, 8))
mr = subject.on(mr_grid)
fig, axs = plt.subplots(1, 2, figsize=(9.5, 4.6), layout="constrained")
for ax, unit, pet_extent, mr_extent in ((axs[0], "index", None, None), (axs[1], "mm", grid.extent, mr_grid.extent)):
    ax.imshow(truth.pet[middle], cmap="magma", extent=pet_extent)
    brain = mr.regions["brain"][middle].astype(float)
    ax.contour(brain, [0.5], colors="cyan", linewidths=1, origin=mr_extent and "upper", extent=mr_extent)
    ax.set(title=f"PET, with the MR's outline of the brain by {unit}", xlabel=f"x ({unit})", ylabel=f"y ({unit})")
axs[1].set(xlim=grid.extent[:2], ylim=grid.extent[2:])
plt.show()

# %% [markdown]
# By index the brain seems to be larger and shifted. Nothing crashed: a wrong picture is the only sign. How wrong, in
# numbers: the **Dice coefficient** $2|A\cap B|/(|A|+|B|)$ of the two masks of the brain is 1 for a perfect match. The
# right way is to ask the subject for its images *on the grid that you need*, or to give `pt.volshow` the grid of each
# panel, which then links them in mm.


# %%
def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


brain = truth.regions["brain"]
again = subject.on(pt.ImageGrid(grid.shape, grid.voxel_size, grid.centre))
print(f"brain by index: Dice {dice(brain, mr.regions['brain']):.2f}")
print(f"brain asked for on the same grid: Dice {dice(brain, again.regions['brain']):.2f}")
pt.volshow({"PET": truth.pet, "T1 on the MR's own grid": mr.t1}, grid=[grid, mr_grid], cmaps=["magma", "gray"])

# %% [markdown]
# Where is a voxel? With shape $n$, voxel size $d$ and centre $c$ (all in the order z, y, x), voxel $i$ has its middle
# at
#
# $$ p_i = o + i\,d, \qquad o = c - \tfrac12 (n-1)\,d . $$
#
# $o$ is `grid.origin`, and the origin (0, 0, 0) is the middle of the scanner. `grid.coordinates()` gives all $p_i$,
# and `grid.index_of` the way back.

# %%
position = (0.0, -30.0, 20.0)  # mm: (z, y, x), so 30 mm towards the nose and 20 mm to the right of the picture
for name, g in (("PET", grid), ("MR", mr_grid)):
    origin, index = np.round(g.origin, 2), np.round(g.index_of(position), 2)
    print(f"{name:4} grid: origin {origin} mm; {position} mm is at index {index}")

# %% [markdown] tags=["teacher"]
# **10 minutes, partial volume.** Answers to the prediction: the total must not change (with samples it does, with means
# it does not); the brightest voxel and the mean over grey matter fall as voxels grow. Say it in one sentence: *activity
# is kept, contrast is lost*. This is the sentence that they need when a reconstruction has a bias.
#
# Expected at `slab`: 5.735 million on every grid with means; with samples it moves by 0.8 % at 2 mm and by 32 % at 16
# mm. Pure grey matter has 122.5 at 2 mm and 116.2 at 6 mm.

# %% [markdown]
# ## Partial volume: a voxel is a mean
#
# A voxel $V_i$ is a box, and a scanner cannot see what happens inside. Its true value is the mean over the box,
#
# $$ x_i = \frac1{|V_i|}\int_{V_i} f(p)\,\mathrm dp \;=\; \sum_{\ell} w_{i\ell}\, a_\ell , $$
#
# with $w_{i\ell}$ the part of the box that tissue $\ell$ fills and $a_\ell$ the activity of that tissue. That several
# tissues share a voxel is called the **partial volume effect**. `subject.on` computes the $w_{i\ell}$ exactly.
#
# ### The naive way fails
#
# The naive way looks up the label *at the middle of the voxel*.


# %%
def sampled(subject, grid):
    """Naive: the FDG activity of the label at each voxel's middle."""
    activity = np.zeros(len(pt.phantoms.LABELS), np.float32)
    activity[2], activity[3], activity[6] = 128, 32, 16  # grey matter, white matter, skin
    labels = np.pad(subject.labels, 1)  # air around the head
    places = zip(grid.coordinates(), subject.origin, subject.voxel_size, labels.shape, strict=True)
    index = [np.clip(np.rint((c - o) / d) + 1, 0, n - 1).astype(int) for c, o, d, n in places]
    return activity[labels[np.ix_(*index)]]


widths = (2, 6, 10, 16)  # mm
thick = grid.voxel_size[0]  # only the voxels in the plane grow
grids = [pt.ImageGrid((grid.shape[0], 240 // w, 240 // w), (thick, w, w)) for w in widths]

# %% [markdown]
# *Before you run the next cell:* the head stays the same and only the voxels grow. Which of these should change: the
# total activity? the brightest voxel? the mean over grey matter?

# %%
fig, axs = plt.subplots(2, len(widths), figsize=(11, 5.4), layout="constrained", sharex=True, sharey=True)
for column, (w, g) in enumerate(zip(widths, grids, strict=True)):
    for row, (name, image) in enumerate((("sampled", sampled(subject, g)), ("mean", subject.on(g).pet))):
        shown = axs[row, column].imshow(image[g.shape[0] // 2], cmap="magma", vmin=0, vmax=128, extent=g.extent)
        axs[row, column].set_title(f"{name}, {w} mm")
axs[1, 0].set(xlabel="x (mm)", ylabel="y (mm)")
fig.colorbar(shown, ax=axs, label="activity (a. u.)", shrink=0.7)
plt.show()

# %% [markdown]
# Samples are speckled at coarse voxels: whether a fold is hit is a matter of luck. To see the luck, move the grid by
# half a voxel: the head does not change, so the total must not.

# %%
print("total activity, and how much it changes when the grid is moved by half a voxel")
for w, g in zip(widths, grids, strict=True):
    moved = [g.moved((0, dy * w, dx * w)) for dy in (0, 0.5) for dx in (0, 0.5)]
    for name, images in (
        ("sampled", [sampled(subject, m) for m in moved]),
        ("mean", [subject.on(m).pet for m in moved]),
    ):
        totals = [float(i.sum(dtype=np.float64)) * g.voxel_volume for i in images]
        spread = (max(totals) - min(totals)) / np.mean(totals)
        print(f"{w:3} mm  {name:8} {np.mean(totals) / 1e6:8.3f} million a. u. · mm³, spread {spread:.3%}")

# %% [markdown]
# The mean conserves the total activity on every grid. But it cannot conserve *contrast*. With coarse voxels, grey
# matter shares each of them with white matter and with fluid. Here is the answer to the question from above: the
# voxels labelled grey matter are those in which grey matter *prevails*, and they hold other tissue too. So measure
# where the tissue is almost alone: `truth.regions["grey matter"]` are the voxels that are more than 80 % grey matter.

# %%
print("            more than 80 % grey matter      grey matter prevails")
print("voxel       volume    mean activity         volume    mean activity    brightest voxel")
for w, g in zip(widths, grids, strict=True):
    phantom = subject.on(g)
    pure, most = phantom.regions["grey matter"], phantom.labels == 2
    there = f"{phantom.pet[pure].mean():.1f}" if pure.any() else "none left"
    pure_ml, most_ml = (mask.sum() * g.voxel_volume / 1000 for mask in (pure, most))
    row = f"{w:3} mm {pure_ml:9.1f} mL {there:>16} {most_ml:11.1f} mL {phantom.pet[most].mean():16.1f}"
    print(f"{row} {phantom.pet.max():18.1f}")

# %% [markdown] tags=["teacher"]
# **7 minutes, tracers and lesions.** Amyloid is the harder one: less contrast between grey and white matter. Of the
# lesions say now what comes back in lessons 7 to 14: a method that looks at MR may wipe out what only PET has, and
# paint what only MR has. Ask before the threshold cell: who would segment by 60 % of the maximum? Most of these voxels
# are grey matter.
#
# Expected at `slab`: grey to white 3.57 with FDG, 2.12 with the amyloid tracer; of 1319 bright voxels 62 belong to a
# lesion.

# %% [markdown]
# The coarser the voxels, the less of the grey matter is left on its own, and the darker it looks, although none of it
# was lost. So even a perfect scanner with 6 mm voxels would show grey matter too dark. A real one blurs as well, by
# about 4 to 5 mm; the effect is the same and comes on top. Keep it in mind when a reconstruction has a "bias": part
# of it is already in the truth.
#
# ## Another tracer, another head
#
# **FDG** (a sugar) shows where energy is used: grey matter 4 times white matter. **Amyloid tracers** look for the
# plaques of Alzheimer's disease; the phantom's contrast is much lower and the scalp stands out. *Predict:* which one
# will be harder to reconstruct from noisy counts?

# %%
amyloid = subject.on(grid, tracer="amyloid")
grey, white = truth.regions["grey matter"], truth.regions["white matter"]
for phantom in (truth, amyloid):
    ratio = pt.measures.contrast(phantom.pet, grey, white)
    print(f"{phantom.tracer:8} grey : white = {ratio:.2f} (voxels that are more than 80 % of it)")
textured = subject.on(grid, structure=1.0, seed=3)
pt.volshow(
    {"FDG": truth.pet, "amyloid": amyloid.pet, "FDG with structure": textured.pet}, grid=grid, vmins=0, vmaxs=140
)

# %% [markdown]
# `structure=` lets the activity vary inside each tissue, as it does in life. A phantom that is flat in each tissue is
# too easy a game for methods that like flat images.
#
# Networks need many heads to learn from. `"mni:1"`, `"mni:2"`, … are seeded smooth deformations of the atlas: other
# sizes, bent folds, but never a new fold. Twenty measured heads come from **BrainWeb** (Collins et al., 1998;
# Aubert-Broche et al., 2006). Each is a download of 4 MB, which this lesson does not start unasked:

# %%
try:
    real = pt.load_subject("brainweb:04", download=False)  # leave out download=False to fetch it
except FileNotFoundError as message:
    print(f"{message}\n\nShowing another embedded head instead.")
    real = pt.load_subject("mni:2")
heads = {s.name: s.on(grid).pet for s in (subject, pt.load_subject("mni:1"), real)}
pt.volshow(heads, grid=grid, vmins=0, vmaxs=128, units="a. u.")

# %% [markdown]
# ## Lesions, and why masks
#
# What a doctor looks for is not the average brain but what differs: **lesions**. In a phantom we put them in
# ourselves, so we know where they are. A lesion may be seen in both PET and MR, in PET alone (a tumour that has not
# changed the anatomy), or in MR alone (a scar). Methods that look at the MR are in danger with the last two: they may
# wipe out a lesion that only PET has, and invent one that only MR has. So all three kinds are needed for an honest
# test.

# %%
lesions = [pt.Lesion(14, "hot", where="both"), pt.Lesion(12, "hot", where="pet"), pt.Lesion(12, "hot", where="mr")]
sick = truth.with_lesions(seed=4, lesions=lesions)
masks = {name: mask for name, mask in sick.regions.items() if name.startswith("lesion")}
for (name, mask), lesion in zip(masks.items(), sick.lesions, strict=True):
    place = ", ".join(f"{c:.0f}" for c in lesion.centre)
    values = f"PET {sick.pet[mask].mean():.0f}, T2 {sick.t2[mask].mean():.0f}"
    print(f"{name:20} {mask.sum():5} voxels at ({place}) mm: {values}")
every = sum(number * mask.astype(np.float32) for number, mask in enumerate(masks.values(), start=1))
volumes = {"PET": sick.pet, "T2": sick.t2, "number of the mask": every}
pt.volshow(volumes, grid=grid, cmaps=["magma", "gray", "viridis"], vmins=0, vmaxs=[None, None, 3])

# %% [markdown]
# T2 is shown here because these lesions hardly differ from white matter in T1 (159 against 154): one MR contrast does
# not show everything.
#
# *Naive:* find the lesion by its brightness, say every voxel above 60 % of the maximum.

# %%
bright = sick.pet > 0.6 * sick.pet.max()
in_pet = masks["lesion 1"] | masks["lesion 2 (pet only)"]
print(f"above 60 % of the maximum: {bright.sum()} voxels, of which {(bright & in_pet).sum()} belong to a lesion")
print(f"the masks: {in_pet.sum()} voxels")
print(f"mean activity: {sick.pet[bright].mean():.0f} by brightness, {sick.pet[in_pet].mean():.0f} by mask")

# %% [markdown]
# Most of these voxels are grey matter, which is bright by nature. And what a threshold finds depends on the image: in
# a noisy reconstruction it picks the noise. So we measure with masks that are known beforehand. They are the exact
# spheres and the same for every method that we compare.
#
# ## Simple objects
#
# For some questions a brain is too complicated. `pt.phantoms` has shapes whose truth is a formula. They average over
# the voxel too: `supersample` sets how finely. With `supersample=1` a voxel belongs to the shape if its middle does:
# the naive way again.

# %%
step = grid.voxel_size[2]
print("diameter   naive (middle of the voxel)   averaged (error of the area of a circle)")
for diameter in (1.5 * step, 3 * step, 6 * step, 12 * step):
    exact = np.pi * (diameter / 2) ** 2
    areas = []
    for fineness in (1, 8):
        disc = pt.phantoms.cylinder(grid, diameter / 2, supersample=fineness)[0]
        areas.append(disc.sum(dtype=np.float64) * grid.voxel_size[1] * grid.voxel_size[2])
    print(f"{diameter:5.1f} mm {areas[0] / exact - 1:+18.1%} {areas[1] / exact - 1:+25.1%}")

# %%
fov = scanner.field_of_view_radius
objects = {
    "cylinder": pt.phantoms.cylinder(grid, 0.7 * fov),
    "spheres": pt.phantoms.spheres(grid, (8, 12, 18, 26), ring_radius=0.45 * fov, values=4),
    "NEMA-like": pt.phantoms.image_quality(grid, scale=min(1.0, 0.75 * fov / 150)),
    "contrast and resolution": pt.phantoms.contrast_resolution(grid),
}
pt.volshow(objects, grid=grid, vmins=0, vmaxs=[1.5, 4, 4, 8])

# %% [markdown]
# The third is like the phantom of the NEMA standard, with which real scanners are compared: hot and cold spheres and
# a cold insert in a warm body. In the last, rods get wider to the right and brighter downwards: one look tells what
# is still resolved.

# %% [markdown] tags=["teacher"]
# **5 minutes, exercises.** Exercise 2 is the best one for a class: it is a mistake that really happened. The lines
# along the skull suffer most. Common mistakes: `labels == 11` on the left of the assignment without `wrong[...]`; in
# exercise 3, `"cold"` with `where="both"`.
#
# Expected at `slab`: exercise 1: 2.19; exercise 2: +6.6 % on average, +58.7 % at most.

# %% [markdown]
# ## Exercises
#
# **Exercise 1. Contrast of a coarse grid.** How much of the FDG contrast between grey and white matter is left at 6
# mm? Write the mean over the voxels in which grey matter (label 2) prevails, over that of white matter (label 3).
#
# The cell after an exercise checks your answer and names the mistake that it recognises. Stuck?
# `pt.course.hint("coarse_contrast")` gives a hint, each time one more; `pt.course.solution("coarse_contrast")` gives
# the solution.


# %%
def contrast_of(image, labels):
    # solution:
    return pt.measures.contrast(image, labels == 2, labels == 3)
    # stub: return 4.0  # your turn: pt.measures.contrast(image, region, background)
    # end of solution


coarse = subject.on(grids[1])
print(f"grey : white = {contrast_of(coarse.pet, coarse.labels):.2f} at 6 mm, painted with 4.00")

# %%
pt.course.check.coarse_contrast(contrast_of)

# %% [markdown]
# **Exercise 2. The wrong attenuation map.** A phantom maker forgot the label of the marrow: µ is 0 wherever `labels
# == 11`. (This happened to a widely used package.) The chance that both photons of a pair get out along a line is
# $\exp(-\int\mu\,\mathrm d\ell)$. Make the wrong map and look at the error of this factor. Which lines suffer most?
# (`X` sums µ along the lines, in mm, hence the factor 0.1.)


# %%
def without_marrow(mu, labels):
    wrong = mu.copy()
    # solution:
    wrong[labels == 11] = 0
    return wrong
    # stub: return wrong  # your turn: 0 where the label is 11 (marrow)
    # end of solution


# %%
pt.course.check.forgotten_marrow(without_marrow)

# %%
X = pt.Projector(scanner, grid)
right_factor = np.exp(-0.1 * X(truth.mu))
wrong_factor = np.exp(-0.1 * X(without_marrow(truth.mu, truth.labels)))
error = np.where(right_factor < 1, wrong_factor / right_factor - 1, 0)
plane = scanner.segments[0].size // 2
fig, ax = plt.subplots(figsize=(6, 4.4), layout="constrained")
shown = ax.imshow(100 * error[plane], cmap="magma", aspect="auto", interpolation="nearest")
fig.colorbar(shown, label="error (%)")
ax.set(title="Error of the attenuation factor without marrow", xlabel="bin (line)", ylabel="view (direction)")
print(f"lines through the head: mean error {error[right_factor < 1].mean():+.1%}, largest {error.max():+.1%}")

# %% [markdown]
# **Exercise 3. A lesion of your own.** Put a *cold* lesion of 16 mm where you like (`centre=(z, y, x)` in mm, z = 0),
# seen in PET only. Look at its mean activity and at that of white matter.


# %%
def cold_lesion(truth):
    # solution:
    return truth.with_lesions(lesions=[pt.Lesion(16, "cold", where="pet", centre=(0.0, -35.0, 22.0))])
    # stub: return truth  # your turn: truth.with_lesions(lesions=[pt.Lesion(...)])
    # end of solution


# %%
pt.course.check.cold_lesion(cold_lesion)

# %%
mine = cold_lesion(truth)
for name, mask in mine.regions.items():
    if name == "white matter" or name.startswith("lesion"):
        print(f"{name:20} mean activity {pt.measures.region_mean(mine.pet, mask):.1f}")
pt.volshow({"PET": mine.pet, "T1": mine.t1}, grid=grid, cmaps=["magma", "gray"])

# %% [markdown]
# ## Questions
#
# <details><summary>1. Which of the six does a PET scanner measure, and which does it need to know?</summary>
#
# It measures activity (through counts). It needs µ, since without it the counts from the middle of the head are far
# too low. T1 and T2 come from an MR scanner and are optional help; labels and regions exist only because this is a
# phantom.
# </details>
#
# <details><summary>2. Two images have the same shape. May you subtract them?</summary>
#
# Only if their grids agree: voxel size *and* centre. The shape says nothing about millimetres.
# </details>
#
# <details><summary>3. Why does averaging conserve the total activity, and sampling not?</summary>
#
# The boxes of the voxels fill space without gaps or overlaps, so the means times the volumes add up to the integral
# over everything. A sample knows nothing of the rest of its box.
# </details>
#
# <details><summary>4. A reconstruction shows 110 in grey matter where 128 was painted. Is the method bad?</summary>
#
# One cannot tell yet. Compare it with the phantom *on the same grid and in the same mask*: voxels which are only
# mostly grey matter have a lower truth. What is missing then is blur and method.
# </details>
#
# <details><summary>5. Why should a test contain lesions that only MR shows?</summary>
#
# A method that copies from the MR would draw them into the PET image. Only such a lesion can reveal that.
# </details>
#
# ## Summary
#
# A phantom is a known head, made into images on a grid. The images are activity, µ, T1 and T2; labels and regions say
# where to measure. Grids are compared in mm. A voxel is the mean over its box: the total is kept, contrast is lost
# where structures are smaller than voxels. Lesions come with masks, in PET, MR or both, and masks rather than
# thresholds make measures comparable.
#
# **What next:** [lesson 2, the scanner and its sinogram](02_scanner_and_sinogram.ipynb).
#
# ## Further reading
#
# - The atlas shown here: V. S. Fonov et al. NeuroImage 47(S1):S102, 2009.
#   [doi:10.1016/S1053-8119(09)70884-5](https://doi.org/10.1016/S1053-8119%2809%2970884-5); NeuroImage
#   54(1):313, 2011. [doi:10.1016/j.neuroimage.2010.07.033](https://doi.org/10.1016/j.neuroimage.2010.07.033)
# - BrainWeb: D. L. Collins et al. IEEE Trans. Med. Imaging 17(3):463, 1998.
#   [doi:10.1109/42.712135](https://doi.org/10.1109/42.712135); B. Aubert-Broche et al. IEEE Trans. Med. Imaging
#   25(11):1410, 2006. [doi:10.1109/TMI.2006.883453](https://doi.org/10.1109/TMI.2006.883453)
# - M. Soret, S. L. Bacharach, I. Buvat. *Partial-volume effect in PET tumor imaging.* J. Nucl. Med. 48(6):932, 2007.
#   [doi:10.2967/jnumed.106.035774](https://doi.org/10.2967/jnumed.106.035774)
