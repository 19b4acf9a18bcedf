# %% [markdown]
# # 3 · The projector: how a line becomes numbers
#
# **Purpose:** know what is inside `X`: which voxels a line of response weighs and how much, why four programs give
# four different answers, when this hurts, and what it costs in seconds and in bytes.
#
# **Time:** about 50 minutes of reading; about half a minute of computing at the default size on two cores.
#
# **You need:** [lesson 2](02_scanner_and_sinogram.ipynb) (lines of response, sinogram, `X` and `X.T`).
#
# **After this lesson you can**
#
# 1. write down the weights of a line in the voxels under four system models, and recognise them in a picture;
# 2. program Siddon's and Joseph's methods for one line, and check them against the library;
# 3. say how the third dimension is done, and why this makes a projector fast;
# 4. predict when tracing single rays fails, show it in a picture and in a number, and choose a remedy;
# 5. catch a back projector that does not belong to its projector;
# 6. compare computing on the fly with a stored system matrix, in seconds and in gigabytes;
# 7. say what time of flight adds to a line.
#
# Words and symbols: [glossary](glossary.ipynb).

# %% [markdown] tags=["teacher"]
# **In class 50 minutes.** For a course on methods this lesson can be left out without harm to the others; say then only
# that `X` is Joseph's method and `to_matrix()` its stored form. For a course on physics or computing it is the heart.
# On a slow machine run the section on time beforehand: it needs the cores for itself, so let only one laptop in the
# room do it.

# %%
import matplotlib.pyplot as plt
import numpy as np

import pettutor as pt

size = pt.course.size()
scanner = pt.Scanner.preset(size)
models = ("siddon", "multi_ray", "joseph", "distance_driven")
print(pt.Projector(scanner, scanner.image_grid()))

# %% [markdown] tags=["teacher"]
# **15 minutes, four models.** Begin with the question, not with the formulas: which voxels should a slanted line weigh,
# and how much in all? (The sum of the weights is the length of the line in the image, in mm.) Then the sliders: a line
# parallel to the grid, one at 45 degrees, one near the edge. Siddon's weights jump, Joseph's do not.
#
# Exercise 1, common mistakes, which the check names: no clipping (negative shares), no absolute value, the weight of
# the farther voxel, a square.

# %% [markdown]
# ## A scanner that fits on the page
#
# In lesson 2, $X_{ij}$ was "the length of line $i$ in voxel $j$, smoothed a little by interpolation". That hides a
# question. A line of response joins two crystals, and a crystal is no point: it has a **face**, here 4 mm wide.
# Which line does it see? The one from middle to middle? All lines from face to face, a **tube**? And what is the
# share of a voxel that the line, or the tube, just touches? Every answer is a **system model**.
#
# In a real scanner the crystals are small and far away. For the pictures we build a toy: 36 big crystals, and a grid
# of 12 × 12 coarse voxels.

# %%
toy = pt.Scanner(
    name="toy", rings=1, ring_pitch=6.0, blocks=12, crystals_per_block=3, gaps_per_block=0, crystal_pitch=10.0,
    inner_radius=58.0, depth_of_interaction=0.0, first_block_angle=np.pi / 2, bins=22, span=1, max_ring_difference=0,
    image_shape=(1, 12, 12), image_voxel_size=(6.0, 6.0, 6.0),
)  # fmt: skip
coarse = toy.image_grid()
toys = {model: pt.Projector(toy, coarse, model=model) for model in models}  # "multi_ray": 2 rays across, 2 along z


def face_points(view, bin_index, part):
    """Where the lines at ``part`` (-0.5 … 0.5) of the two faces begin and end: ((y, x), (y, x)), mm."""
    first, second = toy.bin_crystals[view, bin_index]
    centres, tangents = toy.crystal_centres, toy.crystal_tangents
    shift = part * toy.crystal_pitch
    # the second face is seen from the other side: its left is the first one's right
    return np.stack([centres[first] + shift * tangents[first], centres[second] - shift * tangents[second]])


def one_line(X, *position):
    """The row of the matrix that belongs to one bin: back project a sinogram that is 1 there and 0 elsewhere."""
    hot = np.zeros(X.out_shape, np.float32)
    hot[position] = 1
    return X.T(hot)


chosen = (5, 10)  # view and bin of the line in the pictures

# %% [markdown]
# `one_line` is the trick of this lesson. We never see the matrix, but $X^T$ of a sinogram with a single 1 is one of
# its rows, as an image: the **footprint** of the line.
#
# *Before you run the next cells:* think of the line between two crystals, slightly slanted. Which voxels should have
# a weight? How large should all weights of the line be together, in mm? (The first three cells only define how to
# draw.)


# %%
def draw_ring(ax):
    shift = 0.46 * toy.crystal_pitch * toy.crystal_tangents
    (y0, x0), (y1, x1) = (toy.crystal_centres - shift).T, (toy.crystal_centres + shift).T
    ax.plot([x0, x1], [y0, y1], color="0.3", lw=4, solid_capstyle="butt")


def draw_grid(ax):
    y, x = coarse.coordinates()[1:]
    ax.hlines(np.append(y - 3, y[-1] + 3), x[0] - 3, x[-1] + 3, color="0.8", lw=0.5)
    ax.vlines(np.append(x - 3, x[-1] + 3), y[0] - 3, y[-1] + 3, color="0.8", lw=0.5)
    ax.set(aspect="equal", xlabel="x (mm)", ylabel="y (mm)")


# %%
def draw_rays(ax, model, view, bin_index):
    """The rays, or the tube, from which a model makes its weights."""
    if model == "distance_driven":
        edges = np.concatenate([face_points(view, bin_index, -0.5), face_points(view, bin_index, 0.5)[::-1]])
        ax.fill(edges[:, 1], edges[:, 0], fc="tab:red", alpha=0.15)
        ax.plot(*edges[[0, 1, 2, 3, 0], ::-1].T, color="tab:red", lw=1)
        return
    for part in (-0.25, 0.25) if model == "multi_ray" else (0,):
        start, end = face_points(view, bin_index, part)
        ax.plot([start[1], end[1]], [start[0], end[0]], color="tab:red", lw=1)
    if model == "joseph":  # it looks at the line only where it crosses the middle of a row (or column) of voxels
        walk = int(np.abs(end - start).argmax())
        part = (coarse.coordinates()[1 + walk] - start[walk]) / (end - start)[walk]
        ax.plot(*(start + part[:, None] * (end - start))[:, ::-1].T, ".", color="tab:red", ms=5)


# %%
def draw_line(ax, model, view, bin_index):
    """The weights of one line (mm), and its rays."""
    weights = one_line(toys[model], 0, view, bin_index)[0]
    ax.imshow(weights, cmap="Blues", vmin=0, vmax=10, extent=coarse.extent)
    draw_grid(ax)
    draw_rays(ax, model, view, bin_index)
    _, y, x = coarse.coordinates()
    for j, i in np.argwhere(weights > 0.05):
        ax.text(x[i], y[j], f"{weights[j, i]:.1f}", ha="center", va="center", fontsize=7)
    ax.set(title=f"{model}: {weights.sum():.1f} mm in all", xlim=coarse.extent[:2], ylim=coarse.extent[2:])


# %%
fig, ax = plt.subplots(figsize=(5.2, 5), layout="constrained")
draw_ring(ax)
draw_grid(ax)
draw_rays(ax, "distance_driven", *chosen)
ax.set(ylim=(62, -62), title="The toy, and the tube between two of its crystals")
plt.show()

# %% [markdown]
# And now the four models, for a line of your choice. (In a notebook that runs, the sliders move the line; a printed
# one shows the line that we chose.)

# %%
import ipywidgets as widgets
from IPython.display import display

fig, axs = plt.subplots(2, 2, figsize=(10, 9.8), layout="constrained", sharex=True, sharey=True)


def show(view, bin_index):
    for ax, model in zip(axs.flat, models, strict=True):
        ax.clear()
        draw_line(ax, model, view, bin_index)
        ax.label_outer()


view_slider = widgets.IntSlider(chosen[0], 0, toy.views - 1, description="view", continuous_update=False)
bin_slider = widgets.IntSlider(chosen[1], 0, toy.bins - 1, description="bin", continuous_update=False)
display(widgets.HBox([view_slider, bin_slider]))
show(*chosen)
picture = display(fig, display_id=True)
plt.close(fig)


def moved(_):
    show(view_slider.value, bin_slider.value)
    picture.update(fig)


for slider in (view_slider, bin_slider):
    slider.observe(moved, "value")

# %% [markdown]
# Try a line that is nearly parallel to the grid, one at about 45 degrees, one near the edge. Three things to see:
#
# - **siddon** follows the line from voxel to voxel; a voxel that is just touched in a corner gets next to nothing, its
#   neighbour nearly all. A small shift of the line changes everything.
# - **joseph** takes the two nearest voxels on each row (or column) of voxels, and shares the length smoothly between
#   them.
# - **multi_ray** and **distance_driven** know the width of the crystal; the first by samples, the second completely.
#
# For lines that cross the interior the sums agree: all models put the same length into the image. They differ in
# *where* they put it.
#
# ## The four models, in equations
#
# Let the line have the length $L$ and the direction $r$, and let $\Delta$ be the voxel size. It is more parallel to
# one axis than to the other, say to $y$; so walk along $y$, one row of voxels after the other. Per row the line is
# $\ell = \Delta\,L/|r_y|$ long, and it crosses the middle of the row at $c$ (measured in voxels). Voxel $j$ of that
# row has the weight
#
# - **siddon**: the length of the line inside the voxel. Exact, for a line without width.
# - **multi_ray**: the mean of $n \times m$ such lines, spread over the two faces. A tube, by samples.
# - **joseph**: interpolation between the two nearest voxels,
#
# $$ X_j = \ell\,\max(0,\; 1 - \lvert j - c\rvert) . $$
#
# - **distance_driven**: the tube crosses the row from $c_-$ to $c_+$ (its two edges); the share of it in the voxel,
#
# $$ X_j = \ell\;\frac{\text{length of } [c_-, c_+] \cap [j - \tfrac12,\, j + \tfrac12]}{c_+ - c_-} . $$
#
# ### Siddon's method in fifteen lines
# Where does the line cross the borders of the voxels? Sort all crossings; between two of them the line is in a single
# voxel. Which one, its middle tells.


# %%
def siddon(start, end, grid):
    """Length (mm) of the line from ``start`` to ``end``, mm (y, x), in every voxel of a slice."""
    origin, voxel, shape = (np.array(a[1:]) for a in (grid.origin, grid.voxel_size, grid.shape))
    step = end - start
    crossings = [0.0, 1.0]  # as parts of the way from start to end
    for axis in (0, 1):
        borders = origin[axis] + voxel[axis] * (np.arange(shape[axis] + 1) - 0.5)
        if step[axis] != 0:
            crossings.extend((borders - start[axis]) / step[axis])
    parts = np.sort(np.clip(crossings, 0, 1))
    middles = start + 0.5 * (parts[1:] + parts[:-1])[:, None] * step
    index = np.floor((middles - origin) / voxel + 0.5).astype(int)
    inside = ((index >= 0) & (index < shape)).all(axis=1)
    weights = np.zeros(shape)
    np.add.at(weights, tuple(index[inside].T), np.diff(parts)[inside] * np.linalg.norm(step))
    return weights


# %%
def largest_difference(mine, model):
    """Of hand-made weights from the library's, over every 7th line of the toy, mm."""
    lines = [(view, b) for view in range(toy.views) for b in range(view % 7, toy.bins, 7)]
    return max(np.abs(mine(*line) - one_line(toys[model], 0, *line)[0]).max() for line in lines)


print(f"siddon: {largest_difference(lambda *line: siddon(*face_points(*line, 0), coarse), 'siddon'):.1e} mm")

# %% [markdown]
# (What is left is the rounding of float32. Why a line that runs exactly *along* a border still counts once, and only
# once, is the kind of question on which a projector's tests spend most of their lines.)
#
# ### Exercise 1: Joseph's method
# The two other models need the places where a line, or the edges of a tube, cross the rows. `on_rows` gives them.
# `joseph` gets the crossings `at`, shape (rows, 1), and the numbers of the voxels in a row, `voxels`, shape (n,), and
# returns the share of every voxel in every row. Write it: one line, from the equation above. (At first it gives all to
# the nearest voxel, which is how many a home-made projector begins.)
#
# The check after an exercise names the mistake that it recognises. `pt.course.hint("joseph_weights")` gives a hint,
# each time one more; `pt.course.solution("joseph_weights")` gives the solution.


# %%
def on_rows(start, end, walk, grid):
    """Where a line crosses the middle of each row of voxels, in voxels: shape (rows, 1). ``walk``: 0 for y, 1 for x."""
    origin, voxel, across = grid.origin[1:], grid.voxel_size[1:], 1 - walk
    middles = grid.coordinates()[1 + walk]
    part = (middles - start[walk]) / (end - start)[walk]
    return ((start[across] + part * (end - start)[across] - origin[across]) / voxel[across])[:, None]


def joseph(at, voxels):
    # solution:
    return np.clip(1 - np.abs(voxels - at), 0, None)
    # stub: return 1.0 * (np.abs(voxels - at) <= 0.5)  # all to the nearest one; your turn: share it between two
    # end of solution


def distance_driven(one_edge, other_edge, voxels):
    left, right = np.minimum(one_edge, other_edge), np.maximum(one_edge, other_edge)
    overlap = np.minimum(right, voxels + 0.5) - np.maximum(left, voxels - 0.5)
    return np.clip(overlap, 0, None) / (right - left)


# %%
def by_rows(shares_of, parts, view, bin_index):
    """Weights (mm) from the shares in each row; ``parts``: which lines between the two faces."""
    step = np.subtract(*face_points(view, bin_index, 0)[::-1])
    walk = int(np.abs(step).argmax())  # the axis that the line is more parallel to
    crossings = [on_rows(*face_points(view, bin_index, part), walk, coarse) for part in parts]
    length = coarse.voxel_size[1 + walk] * np.linalg.norm(step) / np.abs(step[walk])
    weights = length * shares_of(*crossings, np.arange(coarse.shape[2 - walk]))
    return weights if walk == 0 else weights.T


for shares_of, parts in ((joseph, [0]), (distance_driven, [-0.5, 0.5])):
    difference = largest_difference(lambda *line, f=shares_of, p=parts: by_rows(f, p, *line), shares_of.__name__)
    verdict = "the same as the library's" if difference < 1e-3 else "not yet the library's"
    print(f"{shares_of.__name__:16} largest difference {difference:.1e} mm: {verdict}")

# %%
pt.course.check.joseph_weights(joseph)

# %% [markdown] tags=["teacher"]
# **5 minutes, why it is fast.** One sentence: the next plane of a segment has the *same* footprint, moved. Walk a line
# once and serve all planes. Everything else of this section is for reading.

# %% [markdown]
# ## The third dimension
#
# In 3-D a line also climbs. Its weight in voxel $(z, y, x)$ is a product: the transaxial weight that we have just
# seen, times the share of voxel $z$ at this place of the line. For the axial half each model has the same idea as
# before: Siddon and multi-ray share a piece of the line by length, Joseph interpolates between two slices,
# distance-driven takes the overlap with the height of the tube.
#
# Here is a steep line from the side: all weights are summed across the line. (At size `slab` there is only one ring,
# so `mini` stands in.)

# %%
rings = scanner if scanner.rings > 1 else pt.Scanner.preset("mini")
volume = rings.image_grid()
steepest = rings.segments[-1]
plane, view = steepest.planes.start + steepest.size // 2, rings.views // 2 + 3
bins = np.flatnonzero(rings.live_bins[view])
bin_index = bins[np.abs(bins - rings.bins // 2).argmin()]  # the innermost one that is no gap
# one view of each model's projector; the others need not be computed
one_view = {model: pt.Projector(rings, volume, model=model).subset(view, rings.views) for model in models}
start, end = (e[0, 0, 0] for e in rings.lor_endpoints(*(slice(k, k + 1) for k in (plane, view, bin_index))))
along = 1 + int(np.abs(end - start)[1:].argmax())  # 1: the line runs along y, 2: along x

# %%
z, w = (volume.coordinates()[axis] for axis in (0, along))
dz, dw = (volume.voxel_size[axis] / 2 for axis in (0, along))
fig, axs = plt.subplots(2, 2, figsize=(10, 3.9), layout="constrained", sharex=True, sharey=True)
for ax, model in zip(axs.flat, models, strict=True):
    side = one_line(one_view[model], plane, 0, bin_index).sum(axis=3 - along)
    extent = (w[0] - dw, w[-1] + dw, z[0] - dz, z[-1] + dz)
    ax.imshow(side, cmap="Blues", vmin=0, vmax=2 * dw, extent=extent, origin="lower")
    for part in {"multi_ray": (-0.25, 0.25), "distance_driven": (-0.5, 0.5)}.get(model, (0,)):
        heights = np.array([start[0], end[0]]) + part * rings.ring_pitch
        ax.plot([start[along], end[along]], heights, color="tab:red", lw=1)
    ax.set(xlim=(-42, 42), ylim=(-14, 14), title=model, xlabel="along the line (mm)", ylabel="z (mm)")
    ax.label_outer()
plt.show()

# %% [markdown]
# *Before you run the next cell:* take the next plane of the same segment, one step further along z. What does its
# footprint look like?

# %%
step = round(steepest.spacing / volume.voxel_size[0])  # voxels from one plane of a segment to the next
for model in models:
    here, there = (one_line(one_view[model], p, 0, bin_index) for p in (plane, plane + 1))
    print(f"{model:16} moved by {step} voxel: largest difference {np.abs(there[step:] - here[:-step]).max():.1e} mm")
lines, courses = np.prod(rings.sinogram_shape), np.prod(rings.sinogram_shape[1:])
print(f"\n{lines:,} lines, but only {courses:,} transaxial courses and {len(rings.segments)} slopes")

# %% [markdown]
# The same footprint, only moved. This is the secret of a fast projector in a cylindrical scanner: walk a line *once*,
# and serve all planes of all segments on the way. The transaxial footprint mixes a few columns of voxels into one,
# the axial footprint is a short filter along z, and the computer is left with long sums over neighbours in memory,
# which it likes best. All four models are the same program with two small parts exchanged.
#
# ### Lines and bins, by hand
# Here is the same scanner with one hot voxel, away from the middle: its image, and beside it the sinogram that `X`
# makes of it. A click on a bin draws that bin's line into the image; a click into the image marks the bins that see
# that voxel.
#
# *Before you run the next cell:* the hot voxel's trace bends to one side. You click on the trace, then on a bin a
# little to the left of it, in the same view. What is the same about the two lines, and what is not?

# %%
one_voxel = np.zeros(volume.shape, np.float32)
one_voxel[volume.shape[0] // 2, volume.shape[1] // 3, 3 * volume.shape[2] // 4] = 1
pt.explore_lines(one_voxel, pt.Projector(rings, volume)(one_voxel), rings, plane="all", title="one hot voxel")

# %% [markdown]
# All bins of a row belong to one view: their lines run side by side, and a bin further left is a line moved sideways.
# The one on the trace passes through the hot voxel, whichever view you take. Now move the sinogram's slider to a plane
# of another segment, and click again: the line climbs (see it in the coronal picture), and the trace has only those
# views left in which the line passes the height of the voxel.
#
# ## A point in the sinogram
#
# Now from the voxel's side. From here on one ring will do (`slab`), but the voxels are *fine*: 1 mm, a quarter of a
# crystal. One voxel is hot. *Before you run the next cell:* its trace is the half sine of lesson 2. What is different
# from model to model?

# %%
ring = pt.Scanner.preset("slab")
fine = ring.image_grid(shape=(1, 160, 160), voxel_size=(4.0, 1.0, 1.0))


def distance_from(y, x):
    """Distance (mm) at which every line of the ring passes a point, with a sign: (view, bin)."""
    start, end = (e[0, ..., 1:] for e in ring.lor_endpoints())
    normal = np.stack([(end - start)[..., 1], (start - end)[..., 0]], axis=-1)
    return ((start - (y, x)) * normal).sum(axis=-1) / np.linalg.norm(normal, axis=-1)


# %%
hot_voxel = np.zeros(fine.shape, np.float32)
hot_voxel[0, 97, 131] = 1
_, y0, x0 = (axis[k] for axis, k in zip(fine.coordinates(), (0, 97, 131), strict=True))
passes_at = distance_from(y0, x0)
near = ring.live_bins & (np.abs(passes_at) < 4)
met = (ring.live_bins & (np.abs(passes_at) < 1.2)).any(axis=1)  # views without a gap just there
fig, axs = plt.subplots(2, 4, figsize=(12, 6), layout="constrained", sharex="row", sharey="row")
for (above, below), model in zip(axs.T, models, strict=True):
    trace = pt.Projector(ring, fine, model=model)(hot_voxel)[0]
    above.imshow(trace, cmap="gray_r", vmax=1, aspect="auto", interpolation="nearest")
    above.set(title=model, xlabel="bin", xlim=(78, 104), ylim=(70, 30))
    below.plot(passes_at[near], trace[near], ".", ms=2)
    below.set(xlabel="line passes the voxel at (mm)", ylim=(-0.05, 1.5))
    width = np.sqrt(np.average(passes_at[near] ** 2, weights=trace[near]))
    unseen = 1 - trace.any(axis=1)[met].mean()
    print(f"{model:16} mean width {width:.2f} mm (rms); {unseen:4.0%} of the views do not see the voxel at all")
axs[0, 0].set(ylabel="view")
axs[1, 0].set(ylabel="weight (mm)")
plt.show()

# %% [markdown] tags=["teacher"]
# **12 minutes, moiré.** Let them bet before the cell runs. The surprise is `multi_ray` with two rays across: its rays
# coincide with those of the neighbouring bins. Exercise 2: ask for guesses first; most say 2. The check names a search
# that stops one too early or one too late.
#
# Expected at `slab`: ripple at 1 mm: 9.87 (Siddon), 9.57 (multi-ray), 7.82 (Joseph), 0.11 % (distance-driven); exercise
# 2: 5 rays.

# %% [markdown]
# (In the lower row every dot is a line.) Lines of a view are about 2 mm apart, and a 1 mm voxel fits between two of
# them. **With single rays, nearly half of the views do not see the voxel at all.** Joseph smears it over two voxels, so
# it is seen more often; the two rays of `multi_ray` see it in two places, with a hole in the middle. The tube sees it
# evenly and in every view: a box as wide as the crystal. The root-mean-square width of a 4 mm box, seen with a 1 mm
# voxel, is $\sqrt{(4^2 + 1^2)/12} = 1.19$ mm; here a little less, as the faces are seen at an angle.
#
# (Is the box true? A point in the very middle of the scanner is seen by both crystals through a triangle, 2 mm wide
# at half its height, and only near one of the crystals through a box of 4 mm. So the tube is a model, too: too wide
# in the middle. But it is smooth, and that turns out to matter more.)
#
# ## The naive way fails: moiré
#
# Who cares about one voxel, when many lines cross everywhere? Take the friendliest object that there is, a uniform
# disc. Its noise-free sinogram needs no projector: the line at distance $s$ has the chord $2\sqrt{R^2 - s^2}$. We
# give the same numbers to all models, and back-project. *Before you run the next cell:* a smooth sinogram, smeared
# back along all lines. What could possibly go wrong?

# %%
radius = 36.0  # of the disc, mm
chords = 2 * np.sqrt(np.clip(radius**2 - distance_from(0, 0) ** 2, 0, None)) * ring.live_bins
disc = chords[None].astype(np.float32)


def square_grid(voxel):
    """A field of 80 mm."""
    n = round(80 / voxel)
    return ring.image_grid(shape=(1, n, n), voxel_size=(4.0, voxel, voxel))


def back_projections(voxel):
    """Of the disc by all models; "16 rays" is what they should look like."""
    projectors = {model: pt.Projector(ring, square_grid(voxel), model=model) for model in models}
    many = pt.Projector(ring, square_grid(voxel), model="multi_ray", rays=(16, 1))
    return {"16 rays": many.T(disc)[0], **{model: X.T(disc)[0] for model, X in projectors.items()}}


def ripple(image, reference, voxel):
    """Standard deviation of image / reference in the inner part of the disc, per cent."""
    inside = square_grid(voxel).cylinder_mask(0.8 * radius)[0]
    return 100 * np.std(image[inside] / reference[inside])


# %%
images = back_projections(1.0)
fig, axs = plt.subplots(1, 5, figsize=(13, 3.1), layout="constrained", sharex=True, sharey=True)
middle = np.median(images["16 rays"][square_grid(1.0).cylinder_mask(0.8 * radius)[0]])
for ax, (name, image) in zip(axs, images.items(), strict=True):
    shown = ax.imshow(image / middle, cmap="gray", vmin=0.75, vmax=1.25, extent=square_grid(1.0).extent)
    ax.set(title=name, xlim=(-28, 28), ylim=(28, -28), xlabel="x (mm)", ylabel="y (mm)")
    ax.label_outer()
fig.colorbar(shown, ax=axs, label="relative", shrink=0.75)
plt.show()

# %%
voxels = (4.0, 2.0, 1.0, 0.5)  # mm
results = {voxel: back_projections(voxel) for voxel in voxels}
print(f"{'ripple (%) with':16} " + " ".join(f"{voxel:5g} mm" for voxel in voxels) + " voxels")
for model in models:
    values = [ripple(results[voxel][model], results[voxel]["16 rays"], voxel) for voxel in voxels]
    print(f"{model:16} " + " ".join(f"{value:8.2f}" for value in values))

# %% [markdown]
# Where the grid of the voxels and the bundle of lines are out of step, some voxels are met by more lines than their
# neighbours: a **moiré** pattern, the *aliasing* of single rays. (The broad rings, which all have, are the gaps.) The
# pattern has nothing to do with noise, and it grows as the voxels shrink: on coarse voxels nobody would notice. The
# tube leaves no holes between neighbouring lines, however fine the voxels.
#
# The surprise is `multi_ray`: with two rays across, on 1 mm voxels, hardly better than one. Look at the numbers: rays
# lie 1 mm to the left and right of each line, and lines are 2 mm apart. So the right ray of a line is the left ray of
# its neighbour: twice the work, and next to no new place is looked at!
#
# ### Does it matter?
# MLEM (lesson 5) divides by the sensitivity $X^T 1$, which has the same pattern, and much of it cancels. But it does
# not all cancel, and least so in the fast variants that look at a few views at a time. Two passes through 12 subsets
# of the views (OSEM), from noise-free data; the truth is flat:

# %%
grid = square_grid(1.0)
# The weights are stored, as a sparse matrix: quicker with one ring (more of that below).
on_fine = {model: pt.Projector(ring, grid, model=model).to_matrix() for model in models}
inside = grid.cylinder_mask(0.8 * radius)[0]
fig, axs = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained", sharex=True, sharey=True)
for ax, model in zip(axs, models, strict=True):
    x = np.ones(grid.shape, np.float32)
    for k in 2 * list(range(12)):
        x = pt.mlem(disc[:, k::12], on_fine[model].subset(k, 12), iterations=1, start=x)
    shown = ax.imshow(x[0], cmap="gray", vmin=0.8, vmax=1.2, extent=grid.extent)
    ax.set(title=f"{model}: {100 * x[0][inside].std():.1f} % ripple", xlabel="x (mm)", ylabel="y (mm)")
    ax.label_outer()
fig.colorbar(shown, ax=axs, label="activity (truth: 1)", shrink=0.8)
plt.show()

# %% [markdown]
# With single rays the pattern stays in the image, and ten passes do not remove it. (The bright rim is another matter:
# our data are chords of lines *without* width, and a model that believes in a tube sharpens them at the edge. A model
# must fit its scanner: that is lesson 5's point spread function.)
#
# ### Exercise 2: how many rays are enough?
# Find the smallest number of transaxial rays for which `multi_ray` has a ripple below 1 % in the *back projection* on
# 1 mm voxels. Before you search: which number would you expect?

# %%
reference = images["16 rays"]


def ripple_of(rays):
    value = ripple(pt.Projector(ring, grid, model="multi_ray", rays=(rays, 1)).T(disc)[0], reference, 1.0)
    print(f"rays across = {rays}: ripple {value:.2f} %")
    return value


def enough_rays(ripple_of):
    """The smallest number of rays for which ``ripple_of(rays)`` is below 1 (per cent)."""
    # solution:
    rays = 1
    while ripple_of(rays) >= 1:
        rays += 1
    return rays
    # stub: return 1 if ripple_of(1) < 1 else 2  # your turn: go on until one is below 1 %
    # end of solution


rays = enough_rays(ripple_of)
print(f"your answer: {rays} rays" if ripple_of(rays) < 1 else f"{rays} rays are not enough")

# %%
pt.course.check.enough_rays(enough_rays)

# %% [markdown] tags=["teacher"]
# **8 minutes, a pair that does not belong together.** The mismatch of the unmatched pair is small (some $10^{-4}$), and
# yet the two back projections differ by about ten per cent voxel by voxel, and the likelihood falls. The lesson: *a
# small number is not an argument until one knows of what it is the mean.*
#
# Expected at `slab`: mismatch 2.0e-4 with Joseph, 5.2e-4 with distance-driven; voxel by voxel 10.4 %.

# %% [markdown]
# ## Do the two belong together?
#
# Every model comes with its own back projection, and the test of lesson 2, $\langle Xx, y\rangle = \langle x, X^T
# y\rangle$, must hold for each. In float32 we demand a mismatch below $10^{-5}$. (Every eighth view will do.)

# %%
for model in models:
    mismatch, factor = pt.adjoint_mismatch(pt.Projector(scanner, scanner.image_grid(), model=model).subset(0, 8))
    print(f"{model:16} mismatch {mismatch:.1e} {'passes' if mismatch < 1e-5 else 'FAILS'}")

# %% [markdown]
# ### Exercise 3: a pair that does not belong together
# "The models agree to a few per cent, so project with the one and back-project with the other, whichever is
# quicker." Build such a pair. It needs `in_shape`, `out_shape`, `dtype`, a call for the projection, and `.T`. Then
# test it: does it pass? (At first `.T` is still the right one.)


# %%
class Pair:
    """Project with one model, back-project with another."""

    def __init__(self, forward, back):
        self.forward, self.back = forward, back
        self.in_shape, self.out_shape, self.dtype = forward.in_shape, forward.out_shape, forward.dtype

    def __call__(self, image):
        return self.forward(image)

    @property
    def T(self):
        # solution:
        return self.back.T
        # stub: return self.forward.T  # your turn
        # end of solution


for one, other in (("siddon", "siddon"), ("siddon", "joseph"), ("siddon", "distance_driven")):
    mismatch, factor = pt.adjoint_mismatch(Pair(on_fine[one], on_fine[other]), seed=1)
    print(f"{one} / {other}: mismatch {mismatch:.1e} {'passes' if mismatch < 1e-5 else 'FAILS'}")

# %%
pt.course.check.unmatched_pair(Pair)

# %% [markdown]
# A mismatch of some $10^{-4}$ does not sound like much. But the test takes the *mean* over all voxels, where too much
# here and too little there cancel. Voxel by voxel the two back projections differ by ten per cent (the moiré
# pattern!). MLEM must raise the likelihood in every iteration (lesson 5). Watch it with the pair:

# %%
ones = np.ones(disc.shape, np.float32)
ratio = on_fine["siddon"].T(ones)[0][inside] / on_fine["distance_driven"].T(ones)[0][inside]
print(f"siddon / distance_driven, voxel by voxel: mean {ratio.mean():.4f}, standard deviation {ratio.std():.1%}")
fig, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
for back in ("siddon", "distance_driven"):
    record = pt.Record()
    pt.mlem(disc, Pair(on_fine["siddon"], on_fine[back]), iterations=80, record=record)
    likelihood = np.array(record.log_likelihood)
    falls = int((np.diff(likelihood) < 0).sum())
    ax.plot(likelihood[10:] - likelihood[10], label=f"siddon forward, {back} back: falls {falls} times")
ax.set(xlabel="iteration (after the 10th)", ylabel="log-likelihood (gain)", title="MLEM must climb")
ax.legend()
plt.show()

# %% [markdown] tags=["teacher"]
# **7 minutes, time and memory.** Ask for the order of the four models first. Exercise 4: 68,516 · 837 · 250 · 4 weights
# of 8 bytes are 459 GB, and 153 s at 3 GB a second. Common mistakes, which the check names: all bins instead of the
# live ones, the number of the voxel forgotten, gibibytes.

# %% [markdown]
# (With the exercise unsolved both are true pairs, and both curves are the same.) An **unmatched pair** is no crime.
# There are programs that use one on purpose: a smooth back projection suppresses the moiré. But then no theorem of
# this course holds for it. It converges, if it does, to something that nobody wrote down.
#
# ## What it costs: time
#
# The models are not equally dear. `multi_ray` with 2 × 2 rays traces two lines across, each of them with two rays
# along z. *Before you run the next cell:* order the four by time.

# %%
import time

image_grid = scanner.image_grid()
disc_3d = pt.phantoms.cylinder(image_grid, 80.0)


def seconds(function, *arguments, times=2):
    """The shortest of some runs: what the computer needs when nobody else disturbs it."""
    taken = []
    for _ in range(times if size != "mmr" else 1):
        begin = time.perf_counter()
        function(*arguments)
        taken.append(time.perf_counter() - begin)
    return min(taken)


live_lines = scanner.live_bins.sum() * scanner.sinogram_shape[0]
print(f"{live_lines:,} live lines, {np.prod(image_grid.shape):,} voxels")
print(f"{'model':16} {'forward':>10} {'back':>10}   million lines a second")
for model in models:
    X = pt.Projector(scanner, image_grid, model=model)
    projected = X(disc_3d)
    forward, back = seconds(X, disc_3d), seconds(X.T, projected)
    rates = f"{live_lines / forward / 1e6:10.2f} {live_lines / back / 1e6:8.2f}"
    print(f"{model:16} {1e3 * forward:7.0f} ms {1e3 * back:7.0f} ms {rates}")

# %% [markdown]
# ## What it costs: memory
#
# Why compute the weights again and again, in every iteration of a reconstruction? One could store them once, as a
# **sparse matrix**: for every line, the numbers of its voxels and their weights. That is how many programs work for
# 2-D. `X.to_matrix()` does it, and the result has the same contract: `M(x)`, `M.T(y)`, `M.subset(k, n)`. First with
# one ring:

# %%
X = pt.Projector(ring, ring.image_grid())
X.subset(0, 72).to_matrix()  # so that nothing is compiled any more when we take the time
begin = time.perf_counter()
M = X.to_matrix()
build = time.perf_counter() - begin
slice_image = pt.load_subject("mni:0").on(ring.image_grid()).pet
y = X(slice_image)
print(f"{M.nonzeros:,} weights, {M.nonzeros / ring.live_bins.sum():.0f} a line, {M.nbytes / 1e6:.0f} MB")
print(f"built in {1e3 * build:.0f} ms")
print(f"largest difference from X: {np.abs(M(slice_image) - y).max() / y.max():.1e} of the maximum")
for name, operator in (("on the fly", X), ("stored", M)):
    times = 1e3 * seconds(operator, slice_image), 1e3 * seconds(operator.T, y)
    print(f"{name:10} forward {times[0]:5.1f} ms, back {times[1]:5.1f} ms")

# %% [markdown]
# For one ring the matrix is small, and quicker than computing: with a single plane there is nothing to share. It can
# also be kept on the disk:

# %%
import tempfile
from pathlib import Path

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "slab.npz"
    save, load = seconds(M.save, path, times=1), seconds(pt.StoredMatrix.load, path, times=1)
    again = pt.StoredMatrix.load(path)
    print(f"{path.stat().st_size / 1e6:.0f} MB on disk, saved in {1e3 * save:.0f} ms, loaded in {1e3 * load:.0f} ms")
print("the same after loading:", np.array_equal(again(slice_image), M(slice_image)))

# %% [markdown]
# *Before you run the next cell:* and in 3-D? `mini` has 175 planes instead of one, and a line in 3-D meets up to four
# voxels a step instead of two. How much memory do you expect? We allow 1 GB: the library counts first, and refuses
# if it would not fit.

# %%
for name in ("mini", "mmr"):
    s = pt.Scanner.preset(name)
    try:
        pt.Projector(s, s.image_grid(), device="cpu").to_matrix(memory_limit=1e9)
    except MemoryError as message:
        print(f"{name}: {message}\n")

# %% [markdown]
# A part of a 3-D matrix does fit: that of a few views. Is it still quicker?

# %%
every = 36 if rings.name == "mini" else rings.views
part = pt.Projector(rings, volume).subset(0, every)
stored = part.to_matrix()
image = pt.phantoms.cylinder(volume, 80.0)
print(f"{part.out_shape[1]} views: {stored.nonzeros:,} weights, {stored.nbytes / 1e6:.0f} MB")
for name, operator in (("on the fly", part), ("stored", stored)):
    times = 1e3 * seconds(operator, image), 1e3 * seconds(operator.T, part(image))
    print(f"{name:10} forward {times[0]:5.1f} ms, back {times[1]:5.1f} ms")

# %% [markdown]
# No longer. In 3-D the matrix is too large for the processor's caches, and every weight must come from the memory, 8
# bytes each. Computing it anew, once for all planes, is quicker than fetching it.
#
# ### Exercise 4: the matrix of the mMR
# Check the number for the mMR by arithmetic. It has 252 × 344 bins, of which 68,516 are live, in 837 planes. A
# typical line (they are spread over the bins) crosses about 250 rows of voxels of the 344 × 344 grid, and touches
# four voxels in each (two across, two along z). A stored weight takes 4 bytes, and the number of its voxel another 4.
# How many gigabytes? And how long would one have to wait for them, *per projection*, if they come from a fast disk at
# 3 GB a second?

# %%
# solution:
weights = 68_516 * 837 * 250 * 4
gigabytes = weights * (4 + 4) / 1e9
# stub: gigabytes = 0.0  # your turn
# end of solution
print(f"{gigabytes:,.0f} GB; read from the disk in {gigabytes / 3:,.0f} s")

# %%
pt.course.check.matrix_memory(gigabytes)

# %% [markdown] tags=["teacher"]
# **3 minutes, time of flight.** Only the picture: the place on the line is known to a few centimetres. Answer to the
# prediction: added up, the bins give the sinogram without time of flight.

# %% [markdown]
# The projector needs a few seconds for the same on two cores, and none of the memory: **what is quick to compute
# should not be stored**. It does so by storing only what is different: the transaxial course of the lines of one
# plane, and one slope a segment. Programs that do store a matrix use the symmetries of the scanner to the same end.
# What a stored matrix is still good for: weights that are *slow* to compute (simulated by Monte Carlo, say), 2-D
# studies, and a second opinion on the projector.
#
# ## Time of flight
#
# The two photons of a pair do not arrive at quite the same time. If the scanner measures the difference
# $\Delta t$, the decay was at the distance $d = c\,\Delta t / 2$ from the middle of the line, to within a few
# centimetres: **time of flight (TOF)**. The line is then cut into bins, and each voxel's weight is shared among
# them by a Gaussian, as wide as the timing is uncertain. *Before you run the next cell:* what must come out if all
# bins are added up?

# %%
tof = pt.TimeOfFlight.from_picoseconds(bins=13, width=200, resolution=400)
print(f"bins of {tof.width:.1f} mm, resolution {tof.resolution:.1f} mm (FWHM)")
timed = pt.Projector(ring, ring.image_grid(), tof=tof)
spot = pt.phantoms.cylinder(ring.image_grid(), 6.0, centre=(0.0, 24.0, 60.0))
with_time, without = timed(spot), X(spot)
print(f"sinogram {without.shape} becomes {with_time.shape}")
print(f"sum over the bins: {np.abs(with_time.sum(axis=-1) - without).max() / without.max():.1e} from the one without")

# %%
view, bin_index = np.unravel_index(np.argmax(without[0]), without.shape[1:])
start, end = (e[0, view, bin_index] for e in ring.lor_endpoints())
distance = np.dot(np.array([0.0, 24.0, 60.0]) - 0.5 * (start + end), end - start) / np.linalg.norm(end - start)
fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
middles = 0.5 * (tof.edges[1:] + tof.edges[:-1])
ax.bar(middles, with_time[0, view, bin_index], width=0.95 * tof.width, label="TOF bins of one line")
d = np.linspace(tof.edges[0], tof.edges[-1], 400)
bell = np.exp(-0.5 * ((d - distance) / tof.sigma) ** 2) / (tof.sigma * np.sqrt(2 * np.pi))
ax.plot(d, without[0, view, bin_index] * tof.width * bell, "k", lw=1, label="Gaussian round the true place")
ax.axvline(distance, color="tab:red", ls="--", label="the spot")
ax.set(xlabel="distance from the middle of the line (mm)", ylabel="mm", title="Where on the line? Roughly there")
ax.legend()
plt.show()

# %% [markdown]
# The place is known to a few centimetres: too little to do without a reconstruction, but enough that each line
# disturbs only a part of the image. The noise falls as if more counts had been measured. The price: 13 times the
# memory, and several times the work. (The mMR has no time of flight; most newer scanners do.)
#
# ## Questions
#
# <details><summary>1. Siddon's lengths are exact. Why is the most exact model not the best one?</summary>
#
# They are exact for a line without width, and no crystal is a point. The physics is a tube; a single line through its
# middle is a *sample* of it, and samples that are further apart than the voxels are small alias.
# </details>
#
# <details><summary>2. You reconstruct on 4 mm voxels with 4 mm crystals. Which model do you take?</summary>
#
# Any. Lines are about 2 mm apart, so every voxel is met by at least one line in each view, and the ripple is
# well below a per cent. Take the quickest.
# </details>
#
# <details><summary>3. Why does rays=(2, 2) nearly fail on 1 mm voxels, although it traces twice as many rays as
# rays=(1, 1)?</summary>
#
# Because its rays, half a crystal apart, coincide with those of the neighbouring bins, which are half a crystal away,
# too. New rays help only where no old ones are.
# </details>
#
# <details><summary>4. What does distance-driven cost in resolution?</summary>
#
# The tube is as wide as the crystal everywhere, also in the middle of the scanner, where the two crystals' true
# response is narrower. With fine voxels the model then believes in more blur than there is, and reconstruction will
# sharpen a little too much. If the blur is modelled by a point spread function anyway (lesson 5), that one must be
# chosen accordingly.
# </details>
#
# <details><summary>5. A colleague's projector passes the adjoint test. Is it right?</summary>
#
# The test only says that projection and back projection belong together. If both have the crystals in the wrong
# place, it passes. Against that, compare with closed forms: the chords of a cylinder (lesson 2), the trace of a point.
# </details>
#
# <details><summary>6. Which models are slower than others with a stored matrix?</summary>
#
# The time of a product depends on how many weights are stored, not on how they were computed. In a row of voxels
# Siddon's line has one or two, Joseph's two; the tube touches more voxels, so multi-ray and distance-driven have more.
# </details>
#
# ## Summary
#
# A system model says how much a line of response weighs in a voxel: the length of a ray (Siddon), the mean of several
# (multi-ray), interpolation (Joseph), or the overlap with the tube between two crystals (distance-driven). On coarse
# voxels they agree; on voxels finer than the distance of the lines, single rays leave a moiré pattern, and the tube
# does not. Projection and back projection must come from the same model. In a cylindrical scanner the footprint is a
# transaxial part times an axial part, which makes computing it on the fly quicker than reading it from a disk, and
# spares hundreds of gigabytes. Time of flight splits each line into bins whose sum is the line again.
#
# **What next:** [lesson 4, simulation](04_simulation.ipynb): from line sums to counts.
#
# ## Further reading
#
# - R. L. Siddon. *Fast calculation of the exact radiological path for a three-dimensional CT array.* Med. Phys.
#   12(2):252, 1985. [doi:10.1118/1.595715](https://doi.org/10.1118/1.595715)
# - P. M. Joseph. *An improved algorithm for reprojecting rays through pixel images.* IEEE Trans. Med. Imaging
#   1(3):192, 1982. [doi:10.1109/TMI.1982.4307572](https://doi.org/10.1109/TMI.1982.4307572)
# - B. De Man, S. Basu. *Distance-driven projection and backprojection in three dimensions.* Phys. Med. Biol.
#   49(11):2463, 2004. [doi:10.1088/0031-9155/49/11/024](https://doi.org/10.1088/0031-9155/49/11/024)
# - G. L. Zeng, G. T. Gullberg. *Unmatched projector/backprojector pairs in an iterative reconstruction algorithm.*
#   IEEE Trans. Med. Imaging 19(5):548, 2000. [doi:10.1109/42.870265](https://doi.org/10.1109/42.870265)
# - M. Conti. *Focus on time-of-flight PET: the benefits of improved time resolution.* Eur. J. Nucl. Med. Mol. Imaging
#   38(6):1147, 2011. [doi:10.1007/s00259-010-1711-y](https://doi.org/10.1007/s00259-010-1711-y)
