# %% [markdown]
# # 2 · The scanner and its sinogram
#
# **Purpose:** know the lines along which a PET scanner looks, the table into which it counts, and the two operations
# on which every reconstruction is built: projection and back projection.
#
# **Time:** about 40 minutes of reading; about half a minute of computing at the default size on two cores.
#
# **You need:** [lesson 1](01_phantom.ipynb).
#
# **After this lesson you can**
#
# 1. describe a scanner by its rings, blocks, crystals and gaps, and draw its lines of response;
# 2. read a sinogram (plane, view, bin), and predict the trace that a point leaves in it;
# 3. say why gaps draw diagonals, and what happens if the true geometry is ignored;
# 4. explain planes, segments and span in 3-D;
# 5. project with `X`, back-project with `X.T`, test that the two belong together, and say why back projection is not
#    reconstruction.
#
# Words and symbols: [glossary](glossary.ipynb).

# %% [markdown] tags=["teacher"]
# **In class 45 minutes.** The sinogram must be understood before lunch. Everything else here (span, michelogram) may be
# left for reading. Bring a sheet of paper and a pencil per student: they draw the trace of a point before they see it.

# %%
import matplotlib.pyplot as plt
import numpy as np

import pettutor as pt

size = pt.course.size()
scanner = pt.Scanner.preset(size)
grid = scanner.image_grid()
X = pt.Projector(scanner, grid)
truth = pt.load_subject("mni:0").on(grid)
print(scanner, X, sep="\n")

# %% [markdown]
# ## The ring
#
# A PET scanner is a stack of **rings** of small **crystals** that light up when a photon hits them. Crystals are
# mounted on flat **blocks**, so a ring is not a circle but a polygon. Between the blocks there is a **gap** in which
# nothing is detected. Crystals and gaps are numbered round the ring: `scanner.crystal_centres` are the positions,
# `scanner.live_crystals` says which are real.
#
# A pair of crystals that fire at the same moment (a **coincidence**) defines a **line of response (LOR)**.
# `scanner.lor_endpoints()` gives both ends of every LOR in mm. Lines that are nearly parallel make up a **view**;
# within a view they are numbered as **bins**.

# %%
fig, (ring, zoom) = plt.subplots(1, 2, figsize=(11.5, 4.8), layout="constrained", width_ratios=(1, 1.3))
across, down = scanner.crystal_centres[:, 1], scanner.crystal_centres[:, 0]  # (y, x) in mm
for ax, ms in ((ring, 2), (zoom, 9)):
    ax.plot(across[scanner.live_crystals], down[scanner.live_crystals], "s", ms=ms, color="0.2", label="crystal")
    ax.plot(across[~scanner.live_crystals], down[~scanner.live_crystals], "x", ms=ms, color="tab:red", label="gap")
zoom.legend(loc="lower center", ncols=2)
for view, colour in ((0, "tab:blue"), (scanner.views // 3, "tab:orange")):
    one_view, some_bins = slice(view, view + 1), slice(4, None, 12)  # every twelfth bin
    start, end = (e[0, 0] for e in scanner.lor_endpoints(slice(0, 1), one_view, some_bins))
    ring.plot([start[:, 2], end[:, 2]], [start[:, 1], end[:, 1]], color=colour, lw=0.8)
    ring.plot([], [], color=colour, label=f"view {view}")
ring.legend(handles=[h for h in ring.lines if "view" in h.get_label()], loc="center", title="lines of")
top = -scanner.effective_radius
zoom.set(xlim=(-50, 50), ylim=(top + 30, top - 8), title="The top of the ring, enlarged: three corners of the polygon")
ring.set(title=f"One ring, {scanner.blocks} blocks", ylabel="y (mm), front to back")
for ax in (ring, zoom):
    ax.set(aspect="equal", xlabel="x (mm), left to right")
ring.invert_yaxis()
plt.show()

# %% [markdown] tags=["teacher"]
# **12 minutes, ring and sinogram.** Answers to the prediction: a point draws half a sine; a point in the middle draws a
# straight line down the middle bins; further out the amplitude grows. Let them draw it first. Then let one student walk
# round a chair and call out "left" and "right": that is the sine.

# %% [markdown]
# Two things to remember for later: neighbouring blocks meet at an angle (the enlargement shows it), and the lines of
# a view are closer together at the edge than in the middle, because the ring turns away from them.
#
# ## The sinogram
#
# A line in a plane has two numbers: its direction $\varphi$ and its distance $s$ from the middle,
#
# $$ x\cos\varphi + y\sin\varphi = s . $$
#
# For an activity $f$, the sum along this line is $(Xf)(\varphi, s) = \int f \,\mathrm d\ell$: the **projection**. The
# table of all sums, directions downwards and distances to the right, is the **sinogram**. Turn the formula round: a
# *point* at $(x_0, y_0)$ is met, in direction $\varphi$, by the line with $s = x_0\cos\varphi + y_0\sin\varphi$.
#
# *Before you run the next cells:* what curve does a point draw in the sinogram? What does a point in the middle of
# the scanner draw? Where is the curve if the point moves outwards?
#
# First $s$ and $\varphi$ of every LOR, from its end points:

# %%
plane = scanner.segments[0].size // 2  # a plane straight across, in the middle of the scanner
start, end = (e[0, ..., 1:] for e in scanner.lor_endpoints(slice(plane, plane + 1)))  # (view, bin, (y, x)), mm
along = end - start
normal = np.stack([along[..., 1], -along[..., 0]], axis=-1) / np.linalg.norm(along, axis=-1, keepdims=True)
s = (start * normal).sum(axis=-1)  # mm
phi = np.arctan2(normal[..., 0], normal[..., 1])  # radians; 0 for a line straight up and down
centre_bin = scanner.bins // 2
print(f"views {scanner.views}, bins {scanner.bins}; the middle bin of view 0: s = {s[0, centre_bin]:.2f} mm")
step = np.degrees(np.diff(phi[:, centre_bin]))
print(f"directions of the middle bin: {step.mean():.2f} degrees apart ({step.min():.2f} to {step.max():.2f})")

# %%
z0 = grid.coordinates()[0][grid.shape[0] // 2]
point_at = (z0, -0.32 * scanner.field_of_view_radius, 0.8 * scanner.field_of_view_radius)  # mm (z, y, x)
point = pt.phantoms.point_sources(grid, [point_at], values=1000)
sinogram = X(point)


def show_sinogram(ax, values, title):
    ax.imshow(values, cmap="gray_r", aspect="auto", interpolation="nearest")
    ax.set(title=title, xlabel="bin", ylabel="view")


def bin_of(distance):
    """In each view, the bin whose line passes nearest to the given s."""
    return np.abs(s - distance[:, None]).argmin(axis=1)


predicted = point_at[2] * np.cos(phi[:, centre_bin]) + point_at[1] * np.sin(phi[:, centre_bin])
fig, ax = plt.subplots(figsize=(6, 4.8), layout="constrained")
show_sinogram(ax, sinogram[plane], f"A point at x = {point_at[2]:.0f}, y = {point_at[1]:.0f} mm")
ax.plot(bin_of(predicted), np.arange(scanner.views), color="tab:red", lw=1, label="x₀ cos φ + y₀ sin φ")
ax.legend()
plt.show()

# %% [markdown] tags=["teacher"]
# **10 minutes, true lines and gaps.** Near the middle of the ring nobody would notice the naive geometry; at its edge
# the naive lines are many millimetres off. Answer to the prediction about a broken crystal: diagonals. Say clearly that
# a gap is *no information*, not "no activity": filtered back projection does not know the difference, and its streaks
# are the proof.
#
# Expected at `slab`: the brightest voxel is 5.2 mm off with naive lines, 0.8 mm with the true ones; 79.0 % of the bins
# are live.

# %% [markdown]
# Half a period of a sine: hence the name sinogram. (The other half would be the same lines seen from their other
# ends.) The curve fits because `bin_of` uses the $s$ of the *real* lines.
#
# ## The naive way fails
#
# Textbooks, and functions such as `skimage.transform.iradon`, assume lines at *equal* distances and directions at
# *equal* angles. The temptation is great: bins about half a crystal apart, views over 180 degrees, done. How far off
# is that?

# %%
half_crystal = 0.5 * scanner.crystal_pitch
ideal = (np.arange(scanner.bins) - centre_bin) * half_crystal
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
left.plot(s[0], label="real lines of view 0")
left.plot(ideal, "--", label="equal distances")
left.set(title="Distance from the middle", xlabel="bin", ylabel="s (mm)")
left.legend()
right.plot(ideal - s[0])
right.set(title="Error of the naive distance", xlabel="bin", ylabel="naive − real (mm)")
plt.show()

# %% [markdown]
# In the middle of the ring nobody would notice. At the edge the naive lines are many millimetres too far out: more
# than the scanner's resolution. The kinks come from the flat blocks. Now smear the point's sinogram back along the
# naive lines, and along the real ones with `X.T`.


# %%
def naive_back_projection(values, grid):
    """Smear a (view, bin) sinogram back along equally spaced lines: a (y, x) image."""
    _, y, x = grid.coordinates()
    image = np.zeros(grid.shape[1:])
    for view, row in enumerate(values):
        angle = np.pi * view / len(values)
        distance = x[None, :] * np.cos(angle) + y[:, None] * np.sin(angle)
        image += np.interp(distance, ideal, row, left=0, right=0)
    return image


direct = np.zeros_like(sinogram)
direct[plane] = sinogram[plane]  # only the lines of this one plane, so that both see the same
naive, real = naive_back_projection(direct[plane], grid), X.T(direct)[grid.shape[0] // 2]

# %%
_, y, x = grid.coordinates()
edges = grid.extent  # left, right, bottom, top in mm
fig, axs = plt.subplots(1, 2, figsize=(9.4, 4.4), layout="constrained", sharex=True, sharey=True)
for ax, image, title in ((axs[0], naive, "naive lines"), (axs[1], real, "real lines, X.T")):
    shown = ax.imshow(image / image.max(), cmap="magma", extent=edges, vmin=0, vmax=1, interpolation="nearest")
    ax.plot(point_at[2], point_at[1], "+", color="cyan", ms=12, label="the point")
    row, column = np.unravel_index(image.argmax(), image.shape)
    off = np.hypot(y[row] - point_at[1], x[column] - point_at[2])
    area = (image > 0.5 * image.max()).sum() * grid.voxel_size[1] * grid.voxel_size[2]
    print(f"{title:18} brightest voxel {off:4.1f} mm from the point; area above half of it {area:4.0f} mm²")
    ax.set(title=title, xlabel="x (mm)", ylabel="y (mm)")
ax.set(xlim=(point_at[2] - 40, point_at[2] + 25), ylim=(point_at[1] + 32, point_at[1] - 32))
axs[0].legend(loc="lower left")
fig.colorbar(shown, ax=axs, label="relative to the maximum")
plt.show()

# %% [markdown]
# Along the naive lines the point falls apart, and its brightest part lands at the wrong place. The real lines put it
# as near as voxels of 2 mm allow. The classical remedy is to *resample* the sinogram to equal distances (**arc
# correction**), which costs resolution and mixes the noise of neighbouring bins. The modern remedy, and ours, is to
# leave the data alone and to give the *true* lines to the projector.
#
# ## Gaps draw diagonals
#
# The sinogram is white wherever a bin's line ends in a gap. `scanner.live_bins` tells which bins are real. *Before
# you run the next cell:* one crystal belongs to many bins. If a single crystal broke down, which shape would be
# missing?

# %%
ends = scanner.bin_crystals  # (view, bin, 2): the two positions that each bin joins
uses = np.stack([np.bincount(ends[..., e].ravel(), minlength=scanner.crystal_positions) for e in (0, 1)])
broken = (uses.min(axis=0) * scanner.live_crystals).argmax()  # one that is often the first *and* often the second end
touched = (ends == broken).any(axis=-1)
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained", sharey=True)
show_sinogram(left, scanner.live_bins, "Live bins (black) and gaps (white)")
show_sinogram(right, touched, f"Bins of crystal {broken}")
live_positions = scanner.live_crystals.mean()
print(f"live positions {live_positions:.1%}, squared {live_positions**2:.1%}; live bins {scanner.live_bins.mean():.1%}")

# %% [markdown]
# One step down (the next view) moves both ends by one position round the ring; two steps to the right move one end
# back and the other end on. So to stay with one crystal you go *diagonally*: one diagonal while it is the first end
# of the line, another while it is the second. (Most crystals show one of the two; the one drawn here shows both.) A
# gap is nothing but a row of crystals that are always broken. In the sinogram of an object these bins hold 0 counts.
# This is not "no activity", it is "no information", and the reconstruction has to know the difference. Here is what
# it does to the textbook recipe, **filtered back projection**, which takes every zero at its word (and every distance
# as equal):

# %%
from skimage.transform import iradon

brain = X(truth.pet)
angles = -180 * np.arange(scanner.views) / scanner.views  # iradon counts angles the other way round
textbook = iradon(brain[plane].T, theta=angles, circle=True) / half_crystal  # per bin to per mm
reach = half_crystal * scanner.bins / 2
fig, axs = plt.subplots(1, 2, figsize=(9.4, 4.3), layout="constrained")
for ax, image, extent, title in (
    (axs[0], truth.pet[grid.shape[0] // 2], edges, "truth"),
    (axs[1], textbook, (-reach, reach, reach, -reach), "filtered back projection, no noise at all"),
):
    shown = ax.imshow(image, cmap="magma", vmin=0, vmax=128, extent=extent)
    ax.set(title=title, xlabel="x (mm)", ylabel="y (mm)", xlim=edges[:2], ylim=edges[2:])
fig.colorbar(shown, ax=axs, label="activity (a. u.)")
plt.show()

# %% [markdown] tags=["teacher"]
# **5 minutes, the third dimension.** Enough for most classes: a plane of the sinogram belongs to a pair of rings, and
# the span says how many are added up. `mini` has span 3, the mMR span 11. Answer to the prediction: with span 1 each
# recorded pair of rings is a plane of its own; the table prints the numbers.
#
# Expected at `slab`: `mini` has 175 planes with span 3 and 250 with span 1.

# %% [markdown]
# ## Into the third dimension
#
# With several rings, a line may also join *different* rings. Each pair of rings makes a **plane** of the sinogram.
# Planes straight across (or nearly so) make up **segment** 0; planes tilted by about the same **ring difference**
# make up the segments −1, +1, −2, … To save memory, pairs of rings whose middles agree and whose tilt is nearly the
# same are added up into one plane. How many ring differences share a segment is called the **span**; span 1 adds
# nothing.
#
# The **michelogram** shows it: a dot for each pair of rings, and a line between the dots that are added up. (At size
# `slab` there is only one ring, so the scanner `mini` stands in here.)

# %%
rings = scanner if scanner.rings > 1 else pt.Scanner.preset("mini")
table = rings.plane_of_ring_pair  # (ring of the first end, ring of the second end) -> plane, -1: not recorded
number_of = np.concatenate([np.full(g.size, g.number) for g in rings.segments])
fig, ax = plt.subplots(figsize=(5.4, 5.4), layout="constrained")
for index in range(rings.sinogram_shape[0]):
    ring0, ring1 = np.nonzero(table == index)
    colour = plt.get_cmap("coolwarm")(0.5 + 0.5 * number_of[index] / max(number_of.max(), 1))
    ax.plot(ring0, ring1, ".-", ms=6 if rings.rings < 32 else 2, color=colour, mec="0.3", mew=0.3)
for g in rings.segments:
    pairs = np.argwhere((table >= g.planes.start) & (table < g.planes.stop))
    ring0, ring1 = pairs[np.abs(pairs.sum(axis=1) - rings.rings + 1).argmin()]
    ax.text(ring0, ring1, f"{g.number:+d}" if g.number else "0", ha="center", va="center", bbox={"fc": "w", "pad": 1.5})
ax.set(aspect="equal", title=f"Michelogram of {rings.name!r}, span {rings.span}; numbers: segments")
ax.set(xlabel="ring of the first end", ylabel="ring of the second end")
plt.show()

# %% [markdown]
# And the same seen from the side. A plane that sums several pairs of rings is drawn at their mean tilt, so that its
# ends may lie a little beyond the outermost rings.

# %%
fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
radius, rows = rings.effective_radius, (np.arange(rings.rings) - 0.5 * (rings.rings - 1)) * rings.ring_pitch
for g, colour in ((rings.segments[0], "0.5"), (rings.segments[-2], "tab:blue"), (rings.segments[-1], "tab:red")):
    middles = g.first_z + g.spacing * np.array([0, g.size - 1])
    ax.plot([-radius, radius], middles + 0.5 * g.axial_difference * np.array([[-1], [1]]), color=colour)
    ax.plot([], [], color=colour, label=f"segment {g.number}: first and last plane")
for side in (-radius, radius):
    ax.plot(np.full(rings.rings, side), rows, "s", ms=3, color="0.2")
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
ax.set(title="Rings and planes from the side", xlabel="across the ring (mm)", ylabel="z (mm)")
plt.show()

# %% [markdown]
# *Predict:* how many planes would `mini` have with span 1, if the largest ring difference stays? (Each recorded pair
# of rings is then a plane of its own: count them.)

# %%
for name, span in (("slab", 1), ("mini", 3), ("mini", 1), ("mmr", 11), ("mmr", 1)):
    g = pt.Scanner.preset(name, span=span)
    pairs = (g.plane_of_ring_pair >= 0).sum()
    planes, segments = g.sinogram_shape[0], len(g.segments)
    print(f"{name:5} span {span:2}: {pairs:5} pairs of rings in {planes:5} planes, {segments:3} segments")

# %% [markdown]
# Our brain's sinogram, segment 0 only. Scroll through the planes (at size `slab` there is one).

# %%
direct_planes = scanner.segments[0].planes
pt.volshow(brain[direct_planes], titles="brain", xlabels="bin", ylabels="view", cmaps="gray_r", units="a. u. · mm")

# %% [markdown] tags=["teacher"]
# **10 minutes, projection and back projection.** Write the inner-product test on the board and leave it there: it comes
# back in lessons 3, 5, 8 and 11. Answer to the prediction: no, the naive back projection does not pass, and no constant
# repairs it, since the ratio changes with the place. A typical misunderstanding: that $X^T$ is nearly $X^{-1}$. The
# $1/r$ curve is the answer.
#
# Expected at `slab`: the ratio of the naive pair is 0.499 in the middle and 0.411 at 0.8 of the radius, that of `X` and
# `X.T` 1.00000.

# %% [markdown]
# ## Two operations: `X` and `X.T`
#
# Number all voxels $j$ and all LORs $i$. Then projection is a matrix, $(Xx)_i = \sum_j X_{ij}\, x_j$, where $x_j$ is
# the image and $X_{ij}$ is the length (in mm) that line $i$ has in voxel $j$, smoothed a little by interpolation (the
# method is Joseph's, 1982). `X` computes it on the fly. The reason:

# %%
voxels, lines = np.prod(X.in_shape), np.prod(X.out_shape)
gigabytes = lines * voxels * 4 / 1e9
print(f"{lines:,} LORs × {voxels:,} voxels = {lines * voxels:.2g} numbers, {gigabytes:,.1f} GB in float32")

# %% [markdown]
# Does `X` really measure in mm? A line at distance $s$ from the axis of a cylinder of radius $R$ runs
# $2\sqrt{R^2-s^2}$ inside it.

# %%
radius = 0.6 * scanner.field_of_view_radius
chords = X(pt.phantoms.cylinder(grid, radius, supersample=8))[plane]
formula = 2 * np.sqrt(np.clip(radius**2 - s**2, 0, None))
inside = scanner.live_bins & (np.abs(s) < 0.9 * radius)
ratio = chords[inside] / formula[inside]
print(f"cylinder of {radius:.0f} mm: computed / formula = {ratio.mean():.4f} on average, {ratio.std():.4f} spread")

# %% [markdown]
# **Back projection** is the transposed matrix, $(X^T y)_j = \sum_i X_{ij}\, y_i$: each voxel collects the values of
# all lines that pass through it. That the code of `X.T` really is the transpose of the code of `X` can be tested
# without ever seeing the matrix. For every $x$ and $y$
#
# $$ \langle X x,\, y\rangle = \langle x,\, X^T y\rangle . $$
#
# Every algorithm of this course relies on it. *Predict:* does the naive back projection from above pass the test?

# %%

mismatch, scale = pt.adjoint_mismatch(X, seed=1)
print(f"X and X.T: mismatch {mismatch:.1e}, scale factor {scale:.7f}\n")
for r in (0.0, 0.4, 0.8):  # a small disc, further and further out
    disc = pt.phantoms.cylinder(grid, 8.0, centre=(0.0, 0.0, r * scanner.field_of_view_radius))
    y_disc = np.zeros_like(sinogram)
    y_disc[plane] = X(disc)[plane]
    Xx_y = np.vdot(y_disc, y_disc)  # <X x, y>, as y is a plane of X x
    x_By = np.vdot(disc[grid.shape[0] // 2], naive_back_projection(y_disc[plane], grid))
    x_XTy = np.vdot(disc, X.T(y_disc))
    print(f"disc at {r:.1f} of the radius: <x, B y> / <X x, y> = {x_By / Xx_y:.3f} naive, {x_XTy / Xx_y:.5f} with X.T")

# %% [markdown]
# A constant factor would be forgivable; one that changes with the place is not: no scaling makes the naive code the
# transpose of `X`. An iteration built on such a pair runs, and converges, if it does, to something else than what you
# wrote down.
#
# ## Back projection is not reconstruction
#
# Back-project the noise-free sinogram of the point, with the true lines and the true transpose. Is the point back?

# %%
centre_point = pt.phantoms.point_sources(grid, [(z0, 0.0, 0.0)], values=1000)
y_point = np.zeros_like(sinogram)
y_point[plane] = X(centre_point)[plane]
blurred = X.T(y_point)[grid.shape[0] // 2]
distance = np.hypot(*np.meshgrid(*grid.coordinates()[1:], indexing="ij"))
radii = np.arange(2.0, 0.45 * grid.size[2], 2.0)
profile = [blurred[np.abs(distance - r) < 1.5].mean() for r in radii]
fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
ax.loglog(radii, profile, "o-", ms=3, label="back projection of a point")
ax.loglog(radii, profile[8] * radii[8] / radii, "--", label="1 / distance")
ax.set(title="How far a point is smeared", xlabel="distance from the point (mm)", ylabel="mean over a ring")
ax.legend()
plt.show()

# %% [markdown]
# The point is smeared out like $1/r$: all lines cross in the point, and at distance $r$ the same lines are spread
# over a circle of length $2\pi r$. This falls so slowly that every voxel of the image gets something of every other
# one. In the brain:

# %%
smeared = X.T(brain)
smeared *= truth.pet.max() / smeared.max()
pt.volshow({"truth": truth.pet, "back projection": smeared}, grid=grid, vmins=0, vmaxs=float(truth.pet.max()))

# %% [markdown]
# So $X^T$ is not $X^{-1}$. But it is a part of every way back: it carries what the *lines* know to the *voxels*.
# Lesson 5 puts it to work: back-project not the counts, but how much they disagree with what the present image
# predicts.

# %% [markdown] tags=["teacher"]
# **8 minutes, exercises.** Exercise 1, common mistake: sine and cosine exchanged; the red curve then runs mirrored or
# shifted. Exercise 2: `&` with the live bins is forgotten, so that gaps count as lost. Exercise 3: question 6 has the
# answer; with one ring the sensitivity is largest towards the edge, with several round the middle of the axis.
#
# Expected at `slab`: exercise 2: 6.2 %.

# %% [markdown]
# ## Exercises
#
# **Exercise 1. Predict a trace.** Write the formula for the $s$ of a point at `(y0, x0)` for each direction in
# `phi`, and check it on another point.
#
# The cell after an exercise checks your answer and names the mistake that it recognises. Stuck?
# `pt.course.hint("point_trace")` gives a hint, each time one more; `pt.course.solution("point_trace")` gives the
# solution.


# %%
def trace(y0, x0, phi):
    # solution:
    return x0 * np.cos(phi) + y0 * np.sin(phi)
    # stub: return 0 * phi  # your turn
    # end of solution


# %%
pt.course.check.point_trace(trace)

# %%
other = pt.phantoms.point_sources(grid, [(z0, 60.0, -25.0)], values=1000)
fig, ax = plt.subplots(figsize=(5.6, 4.2), layout="constrained")
show_sinogram(ax, X(other)[plane], "A point at x = −25, y = 60 mm")
predicted = bin_of(trace(60.0, -25.0, phi[:, centre_bin]))
ax.plot(predicted, np.arange(scanner.views), color="tab:red", lw=1, label="your prediction")
ax.legend()
plt.show()

# %% [markdown]
# **Exercise 2. A broken block.** Block 5 fails. Mark the bins that are lost (in addition to the gaps), and say which
# share of the live bins that is. Block `k` has the positions `k * scanner.positions_per_block` up to, but not
# including, the next block's.


# %%
def lost_bins(scanner, block):
    first = block * scanner.positions_per_block
    # solution:
    dead = np.arange(first, first + scanner.positions_per_block)
    return np.isin(scanner.bin_crystals, dead).any(axis=-1) & scanner.live_bins
    # stub: return np.zeros_like(scanner.live_bins)  # your turn: np.isin(scanner.bin_crystals, ...) helps
    # end of solution


# %%
pt.course.check.lost_bins(lost_bins)

# %%
lost = lost_bins(scanner, 5)
print(f"lost: {lost.sum() / scanner.live_bins.sum():.1%} of the live bins")
fig, ax = plt.subplots(figsize=(5.6, 4.2), layout="constrained")
show_sinogram(ax, lost, "Bins lost with block 5 (black)")

# %% [markdown]
# **Exercise 3. Sensitivity.** Back-project a sinogram that is 1 everywhere. The result $(X^T 1)_j = \sum_i X_{ij}$ is
# the **sensitivity**: how much line length the scanner has in each voxel. Where is it largest, and why is it not
# flat?


# %%
def sensitivity(X):
    # solution:
    return X.T(np.ones(X.out_shape, np.float32))
    # stub: return X.T(np.zeros(X.out_shape, np.float32))  # your turn
    # end of solution


pt.volshow({"sensitivity": sensitivity(X)}, grid=grid, units="mm")

# %%
pt.course.check.sensitivity(sensitivity)

# %% [markdown]
# ## Questions
#
# <details><summary>1. Why are 180 degrees of views enough?</summary>
#
# A line has no direction: seen from its other end it is the same line with the same sum. The views from 180 to 360
# degrees would be copies.
# </details>
#
# <details><summary>2. A point source moves towards the edge of the ring. Which naive assumption hurts first?</summary>
#
# That bins are equally spaced. Near the middle this is nearly true; at the edge the real lines crowd together, and
# the naive ones run off.
# </details>
#
# <details><summary>3. Bins in gaps hold zero. Why must a reconstruction not take them for measurements?</summary>
#
# A measured zero says that there is little activity along the line. A gap says nothing. Taken for a measurement it
# would punch a dark line into the image, as filtered back projection did above.
# </details>
#
# <details><summary>4. What does a larger span gain, and what does it cost?</summary>
#
# Fewer planes: less memory and less time. The rings that are added up have slightly different tilts, so lines are
# treated as one that are not quite the same: resolution along z is lost towards the edge of the field of view.
# </details>
#
# <details><summary>5. X.T X is not the identity. Is it at least harmless?</summary>
#
# It is a heavy blur, like 1/r, and with an inhomogeneous weight (the sensitivity). To undo it is what reconstruction
# means. In doing so, noise is amplified as well: the other half of the course.
# </details>
#
# <details><summary>6. (To exercise 3) Where is the sensitivity largest?</summary>
#
# One ring (size `slab`): towards the edge of the field of view, where the lines crowd together, so that more of them
# pass through a voxel. Several rings: round the middle of the axis, where the tilted planes of all segments cross;
# further out in the slice, and towards the ends of the scanner, some of them miss the voxel. The fine rings are the
# pattern of the gaps.
# </details>
#
# ## Summary
#
# A scanner sees line sums, one for each pair of crystals. The sinogram holds them by plane, view and bin; a point
# draws half a sine, a broken crystal draws diagonals. Real rings have unequal distances and gaps, and the projector
# must know them. `X` projects, `X.T` back-projects, and the inner-product test shows that they belong together. Back
# projection smears like $1/r$ and is not a reconstruction.
#
# **What next:** [lesson 3, the projector](03_projector.ipynb): what is behind `X`.
#
# ## Further reading
#
# - P. M. Joseph. *An improved algorithm for reprojecting rays through pixel images.* IEEE Trans. Med. Imaging
#   1(3):192, 1982. [doi:10.1109/TMI.1982.4307572](https://doi.org/10.1109/TMI.1982.4307572)
# - The scanner behind the size `mmr`: G. Delso et al. *Performance measurements of the Siemens mMR integrated
#   whole-body PET/MR scanner.* J. Nucl. Med. 52(12):1914, 2011.
#   [doi:10.2967/jnumed.111.092726](https://doi.org/10.2967/jnumed.111.092726)
# - Sinograms, segments and span in an open program: K. Thielemans et al. *STIR: software for tomographic image
#   reconstruction release 2.* Phys. Med. Biol. 57(4):867, 2012.
#   [doi:10.1088/0031-9155/57/4/867](https://doi.org/10.1088/0031-9155/57/4/867)
# - The atlas shown here: V. S. Fonov et al. NeuroImage 54(1):313, 2011.
#   [doi:10.1016/j.neuroimage.2010.07.033](https://doi.org/10.1016/j.neuroimage.2010.07.033)
