# %% [markdown]
# # 12 · MAPEM-Net against a U-Net of equal size
#
# **Purpose:** unroll another algorithm, ADMM with MAP-EM steps, and put it to a fair contest with a post-processing
# network that has as many weights. And measure what keeps a projector inside a network affordable in 3-D.
#
# **Time:** about 65 minutes of reading; about 1 minute of computing on two cores. **You need:**
# [lesson 7](07_map.ipynb) (De Pierro's step), [lesson 9](09_ced.ipynb) (fair tests),
# [lesson 11](11_em_net.ipynb) (unrolling).
#
# **After this lesson you can**
#
# 1. turn a penalised problem into three lines that are repeated (ADMM), and these into a network;
# 2. derive the three derivatives of a MAP-EM step, and show why the framework must not find them by itself;
# 3. read $\kappa$ as a balance between data and network, at any dose;
# 4. say what a network does before it has been trained, and show it;
# 5. build an opponent of equal size, and compare at equal noise, three doses, and in time;
# 6. use a network that is trained already as a penalty, and say what learning it inside the iterations adds;
# 7. count the sinograms in a graph, and measure what they cost.
#
# Words and symbols: [glossary](glossary.ipynb).

# %% [markdown] tags=["teacher"]
# **In class 65 minutes.** Needs lesson 11. If time is short: the three lines, the contest, the two numbers of the
# memory. Leave `measure` as it is: it takes a minute or more and shows what the table has.

# %% [markdown]
# ## The workbench
#
# The test subject of lesson 11, one slice, four lesions, a third of the dose, the dose, and three times the dose; this
# time with two realisations of the noise each, so that noise can be measured. (Scans that were made before are read
# from the disk.)

# %%
import inspect
import time
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display

import pettutor as pt
from pettutor.networks.mapem_net import unroll
from pettutor.networks.physics import graph_memory
from pettutor.networks.training.trained_network import as_text, figures_of

keras = pt.networks.load_keras()
recipe = pt.networks.recipe("mapem_net", "slab")
scale, grid = recipe.scale, pt.Scanner.preset("slab").image_grid()
test = pt.networks.simulate_scans(
    ["mni:0"], recipe.test_scans(), heights=(0.0,), realisations=2, workers=1, progress=True
)
print(*test, sep="\n")

# %%
scan = next(one for one in test if one.dose == 1)
y, A, start = scan.prompts_on("cpu"), scan.acquisition_model("cpu"), scan.start
scans = pt.networks.Scans([(y, A)])
s, mean_s = scans[0].sensitivity, scans[0].mean_sensitivity
head = scan.regions["head"]
print(f"{y.sum():,.0f} counts, an activity of {scale:g} is 1 for the networks, mean sensitivity {mean_s:.3g}")

# %% [markdown] tags=["teacher"]
# **12 minutes, three lines.** The same play as in lesson 10, with a network that is trained: the counts decide, the
# penalty decides, the memory. Let them compare the three formulas with the library's loop, line by line.

# %% [markdown]
# ## Three lines
#
# Lesson 7 maximised $L(x) - U(x)$. **ADMM** (the alternating direction method of multipliers) takes it apart. Use two
# images, one for the data, one for the penalty, and force them to be equal:
#
# $$\max_{x, z}\; L(x) - U(z) \quad\text{subject to}\quad x = z .$$
#
# The force is a spring, $\frac{\rho}{2}\lVert x - z \rVert^2$, and a memory $\mu$ of how far it has been stretched (a
# scaled Lagrange multiplier). One repeats three lines:
#
# $$\begin{aligned} x &\leftarrow \arg\max_x\; L(x) - \tfrac{\rho}{2} \lVert x - (z - \mu) \rVert^2 &&\text{the counts
# decide}\\ z &\leftarrow \arg\min_z\; U(z) + \tfrac{\rho}{2} \lVert z - (x + \mu) \rVert^2 &&\text{the penalty
# decides}\\ \mu &\leftarrow \mu + x - z &&\text{the memory} \end{aligned}$$
#
# The second line knows nothing of counts. It takes an image with errors, $x + \mu$, and gives the nearest image that
# $U$ likes: it is a **denoiser**. So do not write down $U$ at all, and let a CNN do the line:
# $z \leftarrow f(\theta | x + \mu)$. The first line is a MAP problem with a reference image, and a few of De Pierro's
# steps do it. Repeat a fixed number of times, train $\theta$ so that the last $z$ is near the truth: that is
# **MAPEM-Net** (Gong et al. 2019), with 8 unrolls of 2 MAP-EM steps each. Here is the library's loop; compare it line
# by line:

# %%
print(inspect.getsource(unroll))

# %% [markdown]
# (`dual` is $\mu$; it is None as long as it is zero.) The paper leaves open, and the course has chosen: one CNN for all
# unrolls, $\rho$ learnt through $\kappa$ (below), a short OSEM as $x^0 = z^0$, $\mu^0 = 0$, and $z$ as the output. The
# paper's network works in 3-D, with a 3-D CNN and a distance-driven projector; slices, and a residual CNN that starts
# as an identity, are choices.
#
# ## The MAP-EM step as a layer
#
# Each voxel solves its own quadratic equation (lesson 7), with $x_{EM}$ from the EM step (here $z$ stands for the
# reference, which is $z - \mu$ in the loop):
#
# $$\rho x^2 + (s - \rho z)\, x - s\, x_{EM} = 0, \qquad x > 0 .$$
#
# $\rho$ has a unit, and networks should not care about units or doses. So
#
# $$\rho = \kappa \cdot \operatorname{mean}(s) / \text{scale}.$$
#
# In the units of the network (activity over `scale`, $s$ over its mean) $\rho$ *is* $\kappa$. Near the solution a voxel
# of activity 1 is about $\frac{1}{1+\kappa}\, x_{EM} + \frac{\kappa}{1+\kappa}\, z$: the counts have one vote, the
# network $\kappa$ votes. Three times the dose means three times $s$ *and* three times $\rho$: the balance stays.

# %%
kappas = np.logspace(-2.5, 2.5, 60)
x_em, z = 1.2, 0.8
root = keras.ops.convert_to_numpy(pt.networks.map_root(*(np.full(60, v) for v in (x_em, 1.0, z)), kappas))
fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.semilogx(kappas, root, label="the step")
ax.semilogx(kappas, (x_em + kappas * z) / (1 + kappas), "k--", label="weights 1/(1+κ) and κ/(1+κ)")
ax.axhline(x_em, color="0.7", lw=0.8)
ax.axhline(z, color="0.7", lw=0.8)
ax.set(xlabel="κ", ylabel="x", title=f"One voxel between $x_{{EM}}$ = {x_em} and z = {z}")
ax.legend(fontsize=8)
plt.show()

# %% [markdown] tags=["teacher"]
# **12 minutes, derivatives, exercise 1.** Answer to the prediction: 0/0, so the derivative is no number in corners
# where there is not even a patient; summed over the image, one NaN spoils every weight. Common mistakes in exercise 1:
# $D$ without the factor 2, the sign of $z - x$.
#
# Expected at `slab`: 10,412 voxels without a derivative, none of them in the head.

# %% [markdown]
# ### Three derivatives, and how not to get them
#
# To train through the step we need its derivatives by $x_{EM}$, by $z$ and by $\rho$. The **naive way**: write the
# solution of the quadratic equation in the framework's operations, and let it differentiate,
#
# $$x = \frac{-b + \sqrt{b^2 + 4 \rho s\, x_{EM}}}{2\rho}, \qquad b = s - \rho z .$$
#
# The framework applies the chain rule, part by part: $\frac{d\sqrt u}{du} = \frac{1}{2\sqrt u}$, times $\frac{\partial
# u}{\partial z} = -2 \rho b$, and so on. We do by hand what it would do, on our slice, with $z$ = the start image; but
# in a larger picture of 192 × 192 voxels, with corners that lie beyond the ring.
#
# **Before you run it:** no line of response crosses those corners: $s = 0$, and the image is 0. What is $1/(2 \sqrt u)$
# there, and what is it times $b$?

# %%
wide = pt.Projector(pt.Scanner.preset("slab"), pt.Scanner.preset("slab").image_grid(shape=(1, 192, 192)))
s_wide = wide.T(np.ones(wide.out_shape, np.float32))
s_wide /= s_wide[s_wide > 0].mean()
margin = ((0, 0), (32, 32), (32, 32))
z_wide, head_wide = np.pad(start / np.float32(scale), margin), np.pad(head, margin)
em_wide = np.pad(pt.mlem(y, A, iterations=1, start=start) / np.float32(scale), margin)


def chain_rule(x_em, s, z, rho):
    """∂x/∂z of the formula, part by part, as automatic differentiation does it."""
    b = s - rho * z
    u = b * b + 4 * rho * s * x_em
    with np.errstate(all="ignore"):
        return (rho + (0.5 / np.sqrt(u)) * (2 * b) * -rho) / (2 * rho)


slope = chain_rule(em_wide, s_wide, z_wide, np.float32(0.3))
print(f"voxels that no line crosses: {(s_wide == 0).sum():,}")
print(f"derivative is not a number: {np.isnan(slope).sum():,} voxels, {np.isnan(slope[head_wide]).sum()} in the head")
print(f"sum over the image, which is what a weight of the CNN gets to see: {slope.sum()}")

# %% [markdown]
# In corners where there is not even a patient, $0/0$. But the gradient of a weight is a *sum over all voxels*: one NaN
# in it, and after one update every weight of the network is NaN. (And where it is finite, the formula loses digits in
# float32, as lesson 7 showed.)
#
# The right way needs no formula for $x$. Differentiate the *equation*: if $x$ solves it, and $z$ moves by $dz$, then
# $(2 \rho x + s - \rho z)\, dx - \rho x\, dz = 0$. With $D = 2 \rho x + s - \rho z$:
#
# $$\frac{\partial x}{\partial x_{EM}} = \frac{s}{D}, \qquad \frac{\partial x}{\partial z} = \frac{\rho x}{D}, \qquad
# \frac{\partial x}{\partial \rho} = \frac{x (z - x)}{D} .$$
#
# $D$ is $\sqrt u$ again. But where it is 0 (in the corners), the numerators are 0 as well, so there the derivatives may
# simply be set to 0, as the layer does.
#
# ### Exercise 1
# Write the three, from the root $x$ that the equation has. Then check them against finite differences, for voxels of
# all kinds.
#
# The cell after an exercise checks your answer and names the mistake that it recognises. Stuck?
# `pt.course.hint("map_em_derivatives")` gives a hint, each time one more; `pt.course.solution("map_em_derivatives")`
# gives the solution.


# %%
def over(a, b):
    """a / b, and 0 where b is 0."""
    return np.divide(a, b, out=np.zeros_like(b), where=b != 0)


def derivatives(x, s, z, rho):
    """By x_EM, by z and by ρ."""
    # solution:
    D = 2 * rho * x + s - rho * z
    return over(s, D), over(rho * x, D), over(x * (z - x), D)
    # stub: return 0 * x, 0 * x, 0 * x  # from the box above
    # end of solution


# %%
pt.course.check.map_em_derivatives(derivatives)


# %%
def root_of(*parts):
    """The library's stable root (float64 numbers in, float64 out)."""
    return keras.ops.convert_to_numpy(pt.networks.map_root(*parts))


rng = np.random.default_rng(0)
parts = [rng.uniform(0.1, 3, 1000) for _ in range(4)]  # x_EM, s, z, ρ
for k, (name, mine) in enumerate(zip(("x_EM", "z", "ρ"), derivatives(root_of(*parts), *parts[1:]), strict=True)):
    moved = (0, 2, 3)[k]
    up, down = ([p + e * (i == moved) for i, p in enumerate(parts)] for e in (1e-5, -1e-5))
    expected = (root_of(*up) - root_of(*down)) / 2e-5
    print(f"by {name:4}: largest difference {np.abs(mine - expected).max():.1e} of {np.abs(expected).max():.1f}")

# %% [markdown] tags=["teacher"]
# **8 minutes, before training, exercise 2.** Answer to the prediction: μ stays 0, and the network is a brake on MLEM
# (the proximal point method). Exercise 2 is two lines; common mistake: the start image as the reference in every block
# instead of the present one.
#
# Training for a moment shows that everything works, and no more; leave `long` as it is. Answer to its prediction: down,
# the brake is let go. (The stored network has learnt to denoise, and its κ has gone up.)
#
# Expected at `slab`: NRMSE 32.9 % at the start, 32.0 % untrained, 32.3 % with 16 iterations of MLEM; κ 0.289 after two
# updates, 0.41 stored.

# %% [markdown]
# ## Before training
#
# `pt.networks.MAPEMNet` puts everything together. Its CNN, a small U-Net, is *residual*: it gives its input plus a
# correction, and the correction's last convolution starts at zero.
#
# **Before you run it:** so the untrained CNN is $z = x + \mu$. What becomes of $\mu$? And what is the untrained
# MAPEM-Net?
#
# ### Exercise 2
# Program the untrained MAPEM-Net with `pt.map_em` and `pt.priors.Reference(z, rho)`: blocks of some steps (`unrolls`
# blocks, each of `steps`). One line is missing.


# %%
def untrained_loop(y, A, start, rho, unrolls, steps):
    x = start
    for _ in range(unrolls):
        # solution:
        x = pt.map_em(y, A, pt.priors.Reference(x, rho), iterations=steps, start=x)  # μ stays 0
        # stub: x = pt.mlem(y, A, iterations=steps, start=x)  # MAP-EM steps towards z
        # end of solution
    return x


# %%
pt.course.check.untrained_mapem_net(untrained_loop)

# %%
untrained = pt.networks.MAPEMNet((128, 128, 1), unrolls=8, steps=2, kappa=0.3, scale=scale)
by_network = pt.networks.reconstruct(untrained, y, A, start)
x = untrained_loop(y, A, start, 0.3 * mean_s / scale, unrolls=8, steps=2)
by_mlem = pt.mlem(y, A, iterations=16, start=start)
for name, image in {"your loop": x, "16 iterations of MLEM": by_mlem}.items():
    print(f"untrained MAPEM-Net against {name}: {np.abs(by_network - image).max() / image.max():.1e}")
for name, image in {"start": start, "untrained": by_network, "MLEM": by_mlem}.items():
    print(f"{name:10}: NRMSE {figures_of(image, scan)['nrmse']:.1f} %")

# %% [markdown] tags=["teacher"]
# **16 minutes, the contest, exercise 3.** Ask first what "fair" means: equal weights, equal updates, equal time? Then
# the tables, dose by dose. In the table of the stored networks (NRMSE at a third, one and three times the dose)
# MAPEM-Net has 34.4, 27.4 and 24.8 %, the U-Net 34.1, 26.7 and 24.0 %, the best Gaussian 34.9, 30.7 and 27.5 %, Bowsher
# MAP 30.0, 26.5 and 23.7 %. Do not explain the order away, and look at what each was shown.
#
# Expected at `slab`: MAPEM-Net against the U-Net 34.1 to 33.8 % (a draw), 26.6 to 26.0 % and 24.1 to 23.5 %;
# Bowsher MAP 29.4, 25.8 and 23.2 %, which neither network beats; the U-Net was shown 3,528 slices, MAPEM-Net 1,320.

# %% [markdown]
# It is a brake on MLEM: each block is held back by the image of the block before. (Mathematicians know it as the
# proximal point method; it goes to the same maximum of the likelihood, in smaller steps.) So training starts from
# something sensible here, too.
#
# ## Train it, for a moment
#
# As in lesson 11: two slices of a training head, another head to validate, 2 unrolls and two updates, a few seconds,
# most of them for building the graph. With `long = True` it runs for five minutes with 8 unrolls and 8 heads, and takes
# 2 GB of memory. An update projects twice as often as one of EM-Net, because an unroll has two MAP-EM steps.
#
# **Resume here if the kernel died**, or if you stopped the training: run the two cells of the workbench, then the next
# two. It goes on after its last round, which is kept in the folder `pettutor-training`.
#
# **Before you run it:** $\kappa$ is learnt, too, and begins at 0.3. The CNN can hardly denoise yet. Which way should
# $\kappa$ want to go?


# %%
def kappa_of(model):
    """κ, which a softplus keeps positive."""
    return float(keras.ops.convert_to_numpy(keras.ops.softplus(model.get_layer("map_em_step").raw_kappa)))


long = False
heads = recipe.subjects.training[: 8 if long else 1]
training = pt.networks.simulate_scans(heads, recipe.scans, heights=(-12.0, 8.0), workers=1)
(held_out,) = pt.networks.simulate_scans(recipe.subjects.validation, recipe.scans, heights=(13.0,), workers=1)
mine = pt.networks.MAPEMNet((128, 128, 1), unrolls=8 if long else 2, steps=2, kappa=0.3, scale=scale)
as_built = {
    "κ": kappa_of(mine),
    "NRMSE %": figures_of(pt.networks.TrainedNetwork(mine, recipe, {}).of_scan(held_out), held_out)["nrmse"],
}

# %% tags=["limit=120"]
history = pt.networks.train(
    mine,
    training,
    [held_out],
    scale=scale,
    learning_rate=recipe.learning_rate,
    multipliers=recipe.multipliers,  # κ may move faster than the weights of convolutions
    batch_size=2,
    round_updates=16 if long else 1,
    folder=pt.course.training_folder("12_mapem_net", long=long),
    progress=True,
    **({"minutes": 5} if long else {"updates": 2}),
)
trained = {
    "κ": kappa_of(mine),
    "NRMSE %": figures_of(pt.networks.TrainedNetwork(mine, recipe, {}).of_scan(held_out), held_out)["nrmse"],
}
print(f"{history.updates[-1]} updates in {history.seconds[-1]:.0f} s (validation and building included)")
print(pd.DataFrame({"as built": as_built, "trained": trained}).round(3).to_string())

# %% [markdown]
# As long as the CNN adds nothing, its pull is a brake and no help, so $\kappa$ begins by letting go. A CNN that has
# learnt to denoise may be given more votes: the next cell prints what $\kappa$ became in the long training.
#
# ## The trained network, and an opponent of equal size
#
# The paper's question was: is it the *physics* that helps, or only the number of weights? So the opponent is a U-Net
# for post-processing with as many weights. `parameters_like` finds its filters:

# %%
mapem_net = pt.networks.pretrained("mapem_net", "slab")
opponent = pt.networks.parameters_like(
    lambda filters: pt.networks.unet((128, 128, 1), filters), mapem_net.model, filters=(8, 16, 32)
)
unet = pt.networks.pretrained("unet", "slab")
rows = {}
for name, network in {"MAPEM-Net": mapem_net, "U-Net": unet}.items():
    past, settings = network.record["history"], network.recipe
    rows[name] = {"weights": network.model.count_params(), "training scans": len(settings.subjects.training)
                  * len(settings.scans.heights) * len(settings.scans.doses), "updates": past["updates"][-1],
                  "slices an update": settings.batch_size,
                  "slices shown": past["updates"][-1] * settings.batch_size, "minutes": past["seconds"][-1] / 60,
                  "s an update": past["seconds"][-1] / past["updates"][-1]}  # fmt: skip
print(pd.DataFrame(rows).map("{:,.6g}".format).to_string())
print(f"κ: {mapem_net.recipe.options.get('kappa', 0.3)} at the start, {kappa_of(mapem_net.model):.2f} learnt")

# %% [markdown]
# Equal in weights; hardly anything else is equal, and the table says so (seconds include validation and the building of
# the graph, on whatever machine it was, whatever else ran there). The training scans and the validation subject are the
# same, and each network is kept at its best round. MAPEM-Net starts from 4 iterations of OSEM and projects for itself;
# the U-Net gets 60 iterations of MLEM, which after a Gaussian filter is the better start for post-processing. What
# would be equal? Equal weights, equal updates, equal time: three different contests. This one is "equal weights, and
# minutes of training on a CPU". Look at the slices that each was shown before you blame an algorithm.
#
# ## The contest
#
# All on the test subject. The Gaussian's width is the best there is for the two scans of a dose, chosen with the truth.
# Noise is the standard deviation between the two realisations in white matter, over the mean. As a mark there is
# Bowsher MAP (lesson 7), which sees T1; the two networks do not. It shows what MR is worth without a network.
#
# **Before you run it** (about 15 seconds)**:** who wins at a third of the dose?

# %% tags=["limit=120"]
images, widths, seconds = {}, {}, {"MAPEM-Net": [], "U-Net": []}
for dose in sorted({one.dose for one in test}):
    group = [one for one in test if one.dose == dose]
    plain = [pt.mlem(one.prompts_on("cpu"), one.acquisition_model("cpu"), iterations=60) for one in group]
    truths, heads = [one.truth for one in group], [one.regions["head"] for one in group]
    widths[dose], filtered = pt.best_gaussian(plain, truths, grid, mask=heads)
    images[dose] = {"MLEM 60": plain, "best Gaussian": filtered, "U-Net": [], "MAPEM-Net": []}
    images[dose]["Bowsher (T1)"] = [pt.networks.bowsher_map(one) for one in group]
    for one, x in zip(group, plain, strict=True):
        data = {"prompts": one.prompts_on("cpu"), "A": one.acquisition_model("cpu")}
        for name, network, x0 in (("U-Net", unet, x), ("MAPEM-Net", mapem_net, one.start)):
            begin = time.perf_counter()
            images[dose][name].append(network(x0, **data))
            seconds[name].append(time.perf_counter() - begin)
for name, values in seconds.items():
    print(
        f"{name:9}: {1000 * np.median(values):4.0f} ms a slice" + (", after 60 iterations of MLEM" * (name == "U-Net"))
    )


# %%
def noise(pair):
    """Standard deviation between realisations in white matter, over the mean."""
    return pt.measures.background_std(np.stack(pair), scan.regions["white matter"])


def row(pair, group):
    """Means over the realisations."""
    found = [figures_of(image, one) for image, one in zip(pair, group, strict=True)]
    means = {name: np.mean([f[name] for f in found]) for name in ("nrmse", "grey", "lesions")}
    names = {"nrmse": "NRMSE %", "grey": "CRC grey", "lesions": "CRC lesions"}
    return {names[name]: value for name, value in means.items()} | {"noise %": 100 * noise(pair)}


table = pd.DataFrame({
    (f"{dose:.2g} x", name): row(pair, [one for one in test if one.dose == dose])
    for dose, methods in images.items() for name, pair in methods.items()
}).T  # fmt: skip
print(table.round({"NRMSE %": 1, "CRC grey": 2, "CRC lesions": 2, "noise %": 1}).to_string())


# %%
def verdict(dose, one, other):
    """NRMSE of two methods in words; less than half a per cent point is a draw."""
    ours, theirs = (table.loc[(dose, who), "NRMSE %"] for who in (one, other))
    words = "a draw" if abs(ours - theirs) < 0.5 else "better" if ours < theirs else "worse"
    return f"{one} against {other}: {ours:.1f} to {theirs:.1f} %, {words}"


rivals = ("best Gaussian", "Bowsher (T1)")
for dose in dict.fromkeys(table.index.get_level_values(0)):
    for one, others in {"MAPEM-Net": (*rivals, "U-Net"), "U-Net": rivals}.items():
        print(*(f"{dose:>6} the dose: {verdict(dose, one, other)}" for other in others), sep="\n")

# %%
for dose, methods in images.items():
    shown = {"truth": scan.truth, **{name: pair[0] for name, pair in methods.items() if name != "MLEM 60"}}
    if dose <= 1:
        print(f"{dose:.2g} x the dose")
        display(pt.volshow(shown, grid=grid, vmins=0, vmaxs=150, units="activity"))

# %% [markdown]
# Above: a third of the dose; below: the dose of the training. NRMSE adds up noise and lost contrast, and a network may
# trade one for the other. So compare at **equal noise**: each Gaussian width is a point of a curve; a network is one
# point, as is Bowsher MAP, and lies above the curve (more contrast at this noise), on it, or below.

# %%
curves = {}
for dose, methods in images.items():
    group = [one for one in test if one.dose == dose]
    curves[dose] = pd.DataFrame(
        [row([pt.gaussian_filter(x, w, grid) for x in methods["MLEM 60"]], group) for w in np.arange(0, 8.1, 1)]
    )
fig, axes = plt.subplots(2, 3, figsize=(11, 6), layout="constrained", sharey="row")
for column, (dose, curve) in enumerate(curves.items()):
    for ax, region in zip(axes[:, column], ("CRC grey", "CRC lesions"), strict=True):
        ax.plot(curve["noise %"], curve[region], "k.-", label="MLEM 60 + Gaussian, 0 … 8 mm")
        for name, style in (("U-Net", "C0s"), ("MAPEM-Net", "C3o"), ("Bowsher (T1)", "C1D")):
            ax.plot(*table.loc[(f"{dose:.2g} x", name), ["noise %", region]], style, label=name)
        ax.set(title=f"{dose:.2g} x the dose", xlabel="noise in white matter (%)", ylabel=region)
fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8)
plt.show()

# %% [markdown]
# ### Exercise 3
# Put the picture into numbers: what contrast has the Gaussian at the *same noise* as each network? (`np.interp` wants
# rising noise, and the curve's falls; outside the curve there is no answer.)


# %%
def gaussian_at(curve, region, noise_level):
    """What a curve has in the column `region` at a level of its column "noise %"."""
    # solution:
    rising = curve.sort_values("noise %")
    return np.interp(noise_level, rising["noise %"], rising[region], left=np.nan, right=np.nan)
    # stub: return np.nan  # interpolate
    # end of solution


# %%
pt.course.check.contrast_at_noise(gaussian_at)

# %%
for dose in curves:
    for name in ("U-Net", "MAPEM-Net", "Bowsher (T1)"):
        own = table.loc[(f"{dose:.2g} x", name)]
        words = [f"{region} {own[region]:.2f} against {gaussian_at(curves[dose], region, own['noise %']):.2f}"
                 for region in ("CRC grey", "CRC lesions")]  # fmt: skip
        print(f"{dose:.2g} x, {name:12} at {own['noise %']:4.1f} % noise: {', '.join(words)} of the Gaussian")

# %% [markdown]
# Two realisations make a rough noise, and one head is one head. When the weights were stored, both networks were tested
# on four scans a dose (two slices with two realisations):

# %%
by_bowsher = pt.networks.stored_bowsher("slab")["test"]["summary"]
for name, network, begin in (("MAPEM-Net", mapem_net, "start, OSEM"), ("U-Net", unet, "MLEM, 60")):
    print(name, as_text(network.record["test"]["summary"], begin, bowsher=by_bowsher), sep="\n", end="\n\n")

# %% [markdown] tags=["teacher"]
# **5 minutes, the frozen U-Net.** Answer to the prediction: at three times the dose. A network's answer has no counts
# behind it, and κ says how far the counts may correct it; with few counts they bring their noise along.

# %% [markdown]
# ### The U-Net, trained already, as the penalty
#
# MAPEM-Net learnt its CNN *inside* the iterations. Must it? The U-Net is there. Let it stand in the penalty's line as
# it is, with **frozen** weights $\theta_0$. That is the first step of DIPRecon (Gong et al. 2019, lesson 10) with a
# network that never changes:
#
# $$\max_x\; L(x) - \frac{\rho}{2}\, \lVert x - f(\theta_0 \mid x_{\text{MLEM}}) \rVert^2 .$$
#
# `pt.networks.cnn_penalty` asks the network once, and then takes MAP-EM steps (lesson 7) towards its answer. A large
# $\kappa$ gives the answer itself, a small one lets the counts correct it.
#
# **Before you run it** (about 10 seconds)**:** at which dose have the counts something to tell the network?

# %% tags=["limit=120"]
kappas, plugged = (0.01, 0.03, 0.1, 0.5), {}
for dose, methods in images.items():
    group = [one for one in test if one.dose == dose]
    for kappa in kappas:
        plugged[dose, kappa] = [
            pt.networks.cnn_penalty(
                one.prompts_on("cpu"), one.acquisition_model("cpu"), unet.model, x / np.float32(scale),
                scale=scale, kappa=kappa, iterations=40, start=x,
            )
            for one, x in zip(group, methods["MLEM 60"], strict=True)
        ]  # fmt: skip
found = {(f"{dose:.2g} x", f"κ = {kappa}"): row(pair, [one for one in test if one.dose == dose])
         for (dose, kappa), pair in plugged.items()}  # fmt: skip
frozen = pd.DataFrame(found).T
others = table[table.index.get_level_values(1).isin(["U-Net", "MAPEM-Net", "Bowsher (T1)"])]
both = pd.concat([frozen, others])
print(both.sort_index(level=0, sort_remaining=False).round(2).to_string())

# %%
fig, axes = plt.subplots(2, 3, figsize=(11, 6), layout="constrained", sharey="row")
for column, (dose, curve) in enumerate(curves.items()):
    for ax, region in zip(axes[:, column], ("CRC grey", "CRC lesions"), strict=True):
        ax.plot(curve["noise %"], curve[region], "k.-", label="MLEM 60 + Gaussian, 0 … 8 mm")
        path = frozen.loc[f"{dose:.2g} x"]
        ax.plot(path["noise %"], path[region], "C2^-", label=f"U-Net as penalty, κ {kappas[0]} … {kappas[-1]}")
        for name, style in (("U-Net", "C0s"), ("MAPEM-Net", "C3o"), ("Bowsher (T1)", "C1D")):
            ax.plot(*table.loc[(f"{dose:.2g} x", name), ["noise %", region]], style, label=name)
        ax.set(title=f"{dose:.2g} x the dose", xlabel="noise in white matter (%)", ylabel=region)
fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8)
plt.show()

# %% [markdown]
# Read the green lines from the square (the U-Net's own answer, near $\kappa = 0.5$) to the right: with a smaller
# $\kappa$ the counts bring contrast of the lesions back, and their noise along with it. At a third of the dose the
# noise is all that counts (the line runs beside the Gaussian's); at three times the dose there is a $\kappa$ with more
# lesion and no more error. So a frozen network leaves one knob, and the knob wants another value at every dose.
# Compare MAPEM-Net with the green line at *its* noise: that difference is what learning inside the iterations bought
# (lesion by lesion it is small, and one seed).
#
# The earlier idea of DIPRecon's authors takes the network as a *constraint*: the image has to be one that it makes,
# $x = f(\theta_0 \mid \alpha)$, and what is sought is its **input** $\alpha$ (`pt.networks.network_input`; ADMM, as in
# lesson 10, with $\alpha$ in the place of the weights; that L-BFGS finds $\alpha$ is a choice). Five iterations at
# three times the dose:

# %%
rich = next(one for one in test if one.dose == 3)
x60 = images[3.0]["MLEM 60"][0]
sought = pt.networks.network_input(
    rich.prompts_on("cpu"), rich.acquisition_model("cpu"), unet.model, scale=scale, start=x60, iterations=5
)
candidates = {"U-Net": images[3.0]["U-Net"][0], "its input sought": sought, "as penalty, κ 0.03": plugged[3.0, 0.03][0]}
candidates["Bowsher (T1)"] = images[3.0]["Bowsher (T1)"][0]
print(pd.DataFrame({name: figures_of(image, rich) for name, image in candidates.items()}).T.round(2).to_string())
pt.volshow({"truth": rich.truth, "MLEM 60": x60} | candidates, grid=grid, vmins=0, vmaxs=150, units="activity")

# %% [markdown] tags=["teacher"]
# **12 minutes, memory.** Answer to the prediction: at least one sinogram a step, so two an unroll; the table shows many
# more. Numbers to remember: 169 MB against 2,257 MB for ten rings, 2,285 against 11,041 MB at `mini`.
#
# Expected at `slab`: 20 tensors of a sinogram's size with one unroll, 49 with two, none with images only.

# %% [markdown]
# Read the verdicts of *your* run. Where Bowsher MAP has the least error, T1 was worth more than the training; look at
# its noise and its grey matter as well. And know what the verdicts do not say. Published comparisons find the unrolled
# network ahead at some counts and level with a U-Net at others; our own small trials had either in front, depending on
# how many slices there were to learn from and how long each was trained. One seed, one test head, minutes of training:
# a result, not a law. Lesson 14 has a stored study that asks for more: a map of regimes (number of heads × dose ×
# mismatch) with three seeds. There a U-Net has the least error in 34 of 36 cases, mostly one that was trained for as
# long as the unrolled networks. In the contrast of grey matter at equal noise the two kinds are level more often than
# not, and with a single training head physics inside leads.
#
# ## What sinograms in the graph cost
#
# Why all this care to let only images cross? In one slice it hardly matters: the sinogram is hardly larger than the
# image. In 3-D it is not. We build a scanner of six rings, with 4 mm voxels:

# %%
few = replace(pt.Scanner.preset("mini"), name="six rings", rings=6, span=1, max_ring_difference=5,
              image_shape=(11, 64, 64), image_voxel_size=(2.0, 4.0, 4.0))  # fmt: skip
for machine in (few, *map(pt.Scanner.preset, ("slab", "mini", "mmr"))):
    bins, voxels = np.prod(machine.sinogram_shape), np.prod(machine.image_grid().shape)
    print(f"{machine.name:9}: image {4 * voxels / 1e6:6.1f} MB, sinogram {4 * bins / 1e6:7.1f} MB, "
          f"{bins / voxels:5.1f} times the image")  # fmt: skip

# %% [markdown]
# Now the same MAPEM-Net twice. "images": as above. "sinograms": the EM step written as one would write it first, out of
# `ForwardProjection`, a division and `BackProjection`, each differentiated by itself. Both compute the same images. We
# let the framework **trace** a training step (forward, loss, gradient: nothing is computed yet) and count the tensors
# of the size of a sinogram.
#
# **Before you run it** (about 15 seconds)**:** an unroll has two MAP-EM steps. How many sinograms does it take, at the
# least, one way?

# %% tags=["limit=120"]
traced = {}
for unrolls in (1, 2):
    found = graph_memory.compare(few, unrolls=unrolls, counts=1e6, run=False)
    traced[unrolls] = found
    print(f"unrolls: {unrolls}\n{found.round(1).to_string()}\n")

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for kind, colour in (("images", "C0"), ("sinograms", "C3")):
    counts = [found.loc[kind, "sinogram_sized"] for found in traced.values()]
    megabytes = [found.loc[kind, "sinogram_mb"] for found in traced.values()]
    axes[0].plot(list(traced), counts, f"{colour}o-", label=kind)
    axes[1].plot(list(traced), megabytes, f"{colour}o-", label=kind)
axes[0].set(xlabel="unrolls", ylabel="tensors", title="tensors of a sinogram's size", xticks=list(traced))
axes[1].set(xlabel="unrolls", ylabel="MB, were all held at once", title="their memory", xticks=list(traced))
axes[0].legend()
plt.show()
print(f"sinograms in the graph of 'images': {max(found.loc['images', 'sinogram_sized'] for found in traced.values())}")

# %% [markdown]
# None against many, and more with each unroll. Not all are held at the same time, and the framework makes copies; what
# a training step really takes only a run tells. `graph_memory.run_step` runs two of them in a process of its own, and
# looks how far its memory grew and how long the second one took. That was done once, for a scanner of ten rings (4
# unrolls) and for "mini" (8 unrolls, the library's CNN); first what their graphs hold:

# %%
costs = pt.course.stored_step_costs()
print("measured on", costs.attrs["machine"], costs.attrs["versions"])
held = {"tensors": "tensors", "sinogram_sized": "as large as a sinogram", "largest_mb": "largest, MB"}
print(costs.set_index(["scanner", "graph"])[list(held)].rename(columns=held).round(1).to_string())

# %%
fig, axes = plt.subplots(2, 2, figsize=(9, 4), sharey=True, layout="constrained")
for row, (scanner, of_it) in zip(axes, costs.groupby("scanner", sort=False), strict=True):
    sizes = f"{scanner}: image {of_it['image_mb'].iloc[0]:.1f} MB, sinogram {of_it['sinogram_mb'].iloc[0]:.0f} MB"
    for ax, column, form in zip(row, ("peak_mb", "seconds"), ("{:,.0f} MB", "{:.1f} s"), strict=True):
        bars = ax.barh(of_it["graph"], of_it[column], color=["C0", "C0", "C3"])
        ax.bar_label(bars, fmt=form, padding=3)
        ax.set(xlim=(0, 1.4 * of_it[column].max()), xticks=[])
    row[0].set_title(sizes, loc="left", fontsize="medium")
axes[0, 0].invert_yaxis()
fig.suptitle("A training step of MAPEM-Net: peak memory, and time")
plt.show()

# %% [markdown]
# The middle bars are the honest small print: the layer may keep $\bar y$ of each step *outside* the graph until the way
# back (512 MB of them at most, the default), since it saves one projection of three there. But it may also let them go
# when memory is short; a graph never can. What is left without any is the CNN's own, for "mini" eight passes of a 3-D
# U-Net over half a million voxels and the way back. **The time hardly differs**: the sinograms cost memory, not
# seconds.
#
# With `measure = True` you measure the first three again; it takes a minute or more. (`python -m
# pettutor.course.step_costs` measures all; do not start it without 14 GB of free memory.)

# %%
measure = False
if measure:
    from pettutor.course import step_costs

    step_costs.measure(*step_costs.cases()[0])

# %%
per_step = traced[2].loc["sinograms", "sinogram_sized"] / 4
for name in ("mini", "mmr"):
    size = 4 * np.prod(pt.Scanner.preset(name).sinogram_shape) / 1e9
    print(f"{name}: 16 steps with one sinogram each {16 * size:6.1f} GB; with all {per_step:.0f} of a step "
          f"{16 * per_step * size:7.0f} GB")  # fmt: skip

# %% [markdown]
# That is arithmetic, not a measurement: the smaller number is what *one* sinogram a step would take (a graph that
# differentiates by itself cannot do with less), the larger one what all of those counted above would. For a real
# scanner the larger is more than most GPUs have, and the CNN has not got any of it yet. With images only, the sinogram
# may be as large as it likes.
#
# ## Questions
#
# <details><summary>1. Which of ADMM's three lines has the weights, and which has the counts?</summary>
#
# The second has the weights (the CNN), the first has the counts. The third has neither; it only remembers.
# </details>
#
# <details><summary>2. $\kappa$ goes to infinity. What is MAPEM-Net then?</summary>
#
# $x = z - \mu$, whatever the counts say: a CNN applied eight times to the start image, post-processing with shared
# weights. For $\kappa \to 0$ nobody listens to the network: $x$ is 16 iterations of MLEM, and only the last $z = f(x +
# \mu)$ comes from the CNN.
# </details>
#
# <details><summary>3. The output is $z$, not $x$. What would speak for $x$?</summary>
#
# $x$ comes from the counts' line, so the counts had the last word; $z$ comes from the CNN, which had it here. $z$ has
# less noise, and what the CNN invents in the last unroll nobody checks. (A choice.)
# </details>
#
# <details><summary>4. The U-Net sees MLEM images of 60 iterations. Would you let MAPEM-Net start from them,
# too?</summary>
#
# It would be fair in another sense, but it is not needed: 16 more steps with the counts inside forget much of the
# start. A contest must say what each was given.
# </details>
#
# <details><summary>5. "As many weights" was the paper's fairness. Name two other ones, and who profits.</summary>
#
# Equal training time: an update of the U-Net costs a small part, so it gets many more. Equal reconstruction time:
# MAPEM-Net projects 16 times each way, in which time the U-Net might use a far larger network; but its start image
# costs projections as well.
# </details>
#
# ## Summary
#
# ADMM takes penalised likelihood apart: the counts' line, the penalty's line, the memory. MAPEM-Net does the first with
# two MAP-EM steps and the second with a CNN, eight times. The derivatives of the step come from its equation; those of
# its formula are NaN in the empty corners. $\kappa$ is the number of votes that the network has against the counts, at
# any dose. Against a U-Net of equal size and a Gaussian, the tables of your run decide, at each dose anew. And only
# images cross the graph: no sinogram in it, where the straightforward way has many for every unroll.
#
# **What next:** [lesson 13, BCD-Net](13_bcd_net.ipynb): trained layer by layer, with no gradient through the projector
# at all.
#
# ## Further reading
#
# - K. Gong et al. *MAPEM-Net: an unrolled neural network for fully 3D PET image reconstruction.* Fully3D 2019,
#   Proc. SPIE 11072:110720O.
# - A. R. De Pierro. *A modified expectation maximization algorithm for penalized likelihood estimation in emission
#   tomography.* IEEE Trans. Med. Imaging 14(1):132, 1995. [doi:10.1109/42.370409](https://doi.org/10.1109/42.370409)
# - S. Boyd, N. Parikh, E. Chu, B. Peleato, J. Eckstein. *Distributed optimization and statistical learning via the
#   alternating direction method of multipliers.* Found. Trends Mach. Learn. 3(1):1, 2011.
#   [doi:10.1561/2200000016](https://doi.org/10.1561/2200000016)
# - A. Mehranian, A. J. Reader. *Model-based deep learning PET image reconstruction using forward-backward splitting
#   expectation-maximization.* IEEE Trans. Radiat. Plasma Med. Sci. 5(1):54, 2021.
#   [doi:10.1109/TRPMS.2020.3004408](https://doi.org/10.1109/TRPMS.2020.3004408) (the close relative `FBSEMNet`)
# - K. Gong, C. Catana, J. Qi, Q. Li. *PET image reconstruction using deep image prior.* IEEE Trans. Med. Imaging
#   38(7):1655, 2019. [arXiv:1807.01759](https://doi.org/10.48550/arXiv.1807.01759) (the penalty of its first step)
# - K. Gong et al. *Iterative PET image reconstruction using convolutional neural network representation.* IEEE Trans.
#   Med. Imaging 38(3):675, 2019. [arXiv:1710.03344](https://doi.org/10.48550/arXiv.1710.03344) (`network_input`)
