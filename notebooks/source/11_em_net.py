# %% [markdown]
# # 11 · Unrolling: EM-Net
#
# **Purpose:** put the scanner *into* the network. An iteration of MLEM becomes a layer, eight of them with a small CNN
# (convolutional network) between make a network, and the counts are asked again in every layer.
#
# **Time:** about 60 minutes of reading; about 1 minute of computing on two cores. **You need:**
# [lesson 5](05_mlem.ipynb) (MLEM), [lesson 7](07_map.ipynb) (penalties), [lesson 9](09_ced.ipynb) (networks, and how
# they are tested).
#
# **After this lesson you can**
#
# 1. climb the ladder from a projection to an EM step to an unrolled network, and say what crosses its rungs;
# 2. derive the gradient of an EM step, program it, and check it against finite differences;
# 3. show what a wrong gradient does that looks right at first sight;
# 4. write down the step of EM-Net in two forms, and show that the untrained EM-Net *is* MLEM;
# 5. train one for a moment, and read the history of a long training;
# 6. compare it with MLEM and the best Gaussian at three doses, two of which it was not trained for.
#
# Words and symbols: [glossary](glossary.ipynb).

# %% [markdown] tags=["teacher"]
# **In class 60 minutes.** The first scans are simulated and kept, so the first run of the workbench cell waits longest:
# run it in the break before. What can go: the wrong start, the long training.

# %% [markdown]
# ## The workbench
#
# A network must not be shown what it was trained on. So this lesson shows `mni:0`, the **test subject**, on which
# nothing is ever trained (lesson 9). One ring, one slice, four lesions in it; three scans: a third of the dose, the
# dose, three times the dose. As in lesson 9, the scanner blurs with 4.5 mm and the model believes in 2.5 mm.
#
# A **recipe** is all that a network of this course depends on: subjects, doses, layers, training. The scans that it
# asks for are kept on disk (`pt.networks.simulate_scans`), so the second time they are there at once. (If the next
# cell ends in an `ImportError`, see the beginning of lesson 9.)

# %%
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import pettutor as pt
from pettutor.networks.training.trained_network import as_text, figures_of

keras = pt.networks.load_keras()
recipe = pt.networks.recipe("em_net", "slab")
one_slice = {"heights": (0.0,), "realisations": 1, "workers": 1}
test = pt.networks.simulate_scans(["mni:0"], recipe.test_scans(), **one_slice, progress=True)
print(*test, sep="\n")
print(
    f"the networks were trained on {len(recipe.subjects.training)} other heads at {recipe.scans.doses[0]:g} x the dose"
)

# %%
grid = pt.Scanner.preset("slab").image_grid()
scan = test[1]  # the dose that the network was trained at
y, A, start = scan.prompts_on("cpu"), scan.acquisition_model("cpu"), scan.start
head, scale = scan.regions["head"], recipe.scale
s = A.T(np.ones(A.out_shape, np.float32))
print(f"{y.sum():,.0f} counts; the network will see an activity of {scale:g} as 1")
print(f"start: OSEM, {recipe.scans.iterations} iterations x {recipe.scans.subsets} subsets")
pt.volshow({"truth": scan.truth, "start": start}, grid=grid, vmins=0, vmaxs=150, units="activity")

# %% [markdown] tags=["teacher"]
# **10 minutes, two rungs.** Say what crosses the border between projector and framework: images and gradients of
# images, never sinograms. Write "forward" and "vjp" on the board; a layer is this pair of functions.

# %% [markdown]
# ## First rung: the projection as a layer
#
# Post-processing (lesson 9) looks at the image alone. What it paints, nobody compares with the counts. To let the
# counts object, the network must *project* inside, and to be **trained** it must be differentiable: Keras has to know
# how a change of the image changes the loss.
#
# A framework can differentiate only what it computed itself, in its own operations. A projector is not of that kind,
# and it need not be. All that is asked of $v = f(x)$ is this: given the gradient $g$ of the loss with respect to $v$,
# what is the gradient with respect to $x$? The answer is $J^{\mathsf T} g$ with the Jacobian $J$ of $f$, the
# **vector-Jacobian product**. For a projection $f(x) = Ax$ it is the back projection, $A^{\mathsf T} g$. So a layer is
# a pair of functions on arrays, `forward` and `vjp`; one module of the course (`pettutor.networks.physics.bridge`)
# hands both to TensorFlow, JAX or PyTorch.
#
# The layers `ForwardProjection` and `BackProjection` are made like this. But a sinogram that leaves a layer becomes
# part of the framework's **graph**, and is kept there until the way back. Lesson 12 measures what that costs in 3-D.
# We take a larger rung at once.
#
# ## Second rung: the EM step as a layer
#
# $$x_{EM} = x \odot \frac{1}{s} A^{\mathsf T} \frac{y}{\bar y}, \qquad \bar y = A x + r .$$
#
# An image goes in, an image comes out. The sinograms $y$, $r$, $\bar y$ live and die inside. They stay in a list of
# scans, `Scans`; the network gets the image and the *number* of its scan:

# %%
scans = pt.networks.Scans([(y, A)])
em_layer = pt.networks.EMStep(scans, scale)


def layer_output(layer, x, *others):
    """Apply a layer to one image: Keras wants (batch, y, x, channel), in units of the scale."""
    images = [np.asarray(image)[..., None] for image in (x / np.float32(scale), *others)]
    return keras.ops.convert_to_numpy(layer(*images, np.zeros(1, np.int32)))[..., 0] * np.float32(scale)


by_layer, by_library = layer_output(em_layer, start), pt.mlem(y, A, iterations=1, start=start)
print(f"layer against pt.mlem: {np.abs(by_layer - by_library).max() / by_library.max():.1e} of the maximum")
print(f"in and out of the layer: {start.size:,} voxels; inside: {y.size:,} bins")

# %% [markdown] tags=["teacher"]
# **15 minutes, the gradient, exercise 1.** Answer to the prediction: EM takes back the broad blob and lets fine detail
# and noise pass. So inside an unrolled network *the counts decide about the broad, and the CNN about the fine*. Common
# mistakes in exercise 1: $\bar y$ instead of its square, $A$ and $A^{\mathsf T}$ exchanged, $x/s$ left out. The naive
# gradient is nearly right after one step and wrong after eight; nothing crashes.
#
# Expected at `slab`: after eight steps 24.1 % of the broad blob is left, 70.9 % of the small one, 96.0 % of the noise;
# the naive gradient says more than 100 %.

# %% [markdown]
# ### The way back
#
# Now the gradient. Move $x$ by a little $d$. Two things change in $x \odot e/s$ with $e = A^{\mathsf T}(y/\bar y)$:
#
# - the factor $x$: that gives $d \odot e/s$;
# - the ratio: $\bar y$ grows by $A d$, so $y/\bar y$ falls by $(y/\bar y^2) \odot A d$, and $x_{EM}$ by
#   $\frac{x}{s} \odot A^{\mathsf T}\big[\frac{y}{\bar y^2} \odot A d\big]$.
#
# Both are linear in $d$. Transpose them (the order turns round, $A$ becomes $A^{\mathsf T}$ and back) and apply to $g$:
#
# $$J^{\mathsf T} g = g \odot \frac{e}{s} - A^{\mathsf T}\Big[ \frac{y}{\bar y^2} \odot A \big( g \odot \frac{x}{s}
# \big) \Big] .$$
#
# One projection forward, one back. The second term is the data's objection, and easily forgotten: "the EM step
# multiplies by a ratio, so its gradient is that ratio". That is our **naive way**. For fine detail, and one step, it is
# even nearly right, as you will see.
#
# ### Exercise 1
# Complete `em_gradient` by the second term. The stub is the naive way. `s` is the sensitivity $A^{\mathsf T} 1$.
#
# The cell after an exercise checks your answer and names the mistake that it recognises. Stuck?
# `pt.course.hint("em_gradient")` gives a hint, each time one more; `pt.course.solution("em_gradient")` gives the
# solution.


# %%
def over(a, b):
    """a / b, and 0 where b is 0."""
    return np.divide(a, b, out=np.zeros_like(b), where=b > 0)


# %%
def em_gradient(y, A, s, x, g):
    expected = A.expected(x)
    # solution:
    second = A.T(over(y, expected**2) * A(g * over(x, s)))
    return g * over(A.T(over(y, expected)), s) - second
    # stub: return g * over(A.T(over(y, expected)), s)  # the naive way: how does the ratio object?
    # end of solution


# %%
pt.course.check.em_gradient(em_gradient)


# %%
def my_gradient(x, g):
    return em_gradient(y, A, s, x, g)


def naive_gradient(x, g):
    return g * over(A.T(over(y, A.expected(x))), s)


def layer_gradient(x, g):
    """What the layers do; `Scans` has E(x) = e/s and its vector-Jacobian product, each for a stack of images."""
    return g * scans.em_ratio([0], x[None])[0] + scans.em_ratio_gradient([0], x[None], (x * g)[None])[0]


# %% [markdown]
# How does one check a gradient? By **finite differences**: move the input by $\pm\varepsilon d$, look how much the
# output moves. We ask: change the image by $d$; *which share of the change is left* in the output, after one EM step
# and after eight? That is $\langle g, x_{\text{out}}(x + \varepsilon d) - x_{\text{out}}(x - \varepsilon d) \rangle / 2
# \varepsilon$ with $g = d/\langle d, d\rangle$, and the gradient has to say the same: $\langle J^{\mathsf T} g, d
# \rangle$. Three changes: a broad blob, a small one, and noise.
#
# **Before you run it:** which of the three does EM take back, and which does it let pass?

# %%
mm = np.hypot(*np.meshgrid(grid.coordinates()[1], grid.coordinates()[2], indexing="ij"))[None]
blob = {f"blob of {width} mm": np.exp(-4 * np.log(2) * (mm / width) ** 2) for width in (40, 8)}
noise = np.random.default_rng(0).standard_normal(start.shape)
changes = {name: (d * start * head).astype(np.float32) for name, d in {**blob, "noise": noise}.items()}


def chain(gradient, g, steps):
    """Back through several EM steps: the gradient of each at the image that went into it."""
    images = [start]
    pt.mlem(y, A, iterations=steps, start=start, callback=lambda k, image: images.append(image))
    for x in images[-2::-1]:
        g = gradient(x, g)
    return g


def finite_difference(d, g, steps, epsilon=0.03):
    up, down = (pt.mlem(y, A, iterations=steps, start=start + e * d) for e in (epsilon, -epsilon))
    return np.vdot(g, (up.astype(float) - down) / (2 * epsilon))


# %%
rows = []
for steps in (1, 8):
    for name, d in changes.items():
        g = (d / np.vdot(d, d)).astype(np.float32)
        row = {"EM steps": steps, "change": name, "finite difference": finite_difference(d, g, steps)}
        for who, function in {"yours": my_gradient, "layer": layer_gradient, "naive": naive_gradient}.items():
            row[who] = np.vdot(chain(function, g, steps).astype(float), d)
        rows.append(row)
left = pd.DataFrame(rows).set_index(["EM steps", "change"])
print((100 * left).to_string(float_format="{:.1f} %".format), "\n")
for who in ("yours", "layer", "naive"):
    off = (left[who] / left["finite difference"] - 1).abs().groupby(level=0).max()
    print(f"{who}: off by at most {off[1]:.2%} in one step, {off[8]:.2%} in eight")

# %% [markdown]
# Read the first column first; it is physics. A broad blob is well measured: in eight steps EM takes most of it back,
# whoever put it there. The small one, and noise, it lets pass: fine detail is what the counts say little about (in so
# few steps). **So inside an unrolled network the counts decide about the broad, and the CNN about the fine.**
#
# Then the last column. The naive gradient believes that every change survives. Every step makes the mistake once more,
# and eight steps multiply it. A network trained with it is told that broad changes matter, which in truth leave little
# trace. Nothing crashes, and the loss may even fall. Only a finite difference tells.
#
# As a picture: how should the *start* image change, so that eight EM steps end nearer to the truth? That is the
# gradient of the squared error, with the sign turned. Fine detail is nearly the same in both, so we look at what is
# left of them after a filter of 20 mm.

# %%
after_8 = pt.mlem(y, A, iterations=8, start=start)
gradients = {name: chain(f, after_8 - scan.truth, 8) for name, f in
             {"by the layer": layer_gradient, "naive": naive_gradient}.items()}  # fmt: skip
for name, gradient in gradients.items():
    print(f"{name:12}: the start should change by {-gradient[head].sum():+8.0f} in all")
broad = {name: pt.gaussian_filter(-gradient, 20, grid) for name, gradient in gradients.items()}
pt.volshow(broad, grid=grid, vmins=-8, vmaxs=8, cmaps="RdBu_r")

# %% [markdown] tags=["teacher"]
# **10 minutes, the step, exercise 2, the untrained network.** Answer to the prediction: untrained it *is* eight
# iterations of MLEM. It is worth asking why one would want that. Common mistake in exercise 2: α only on one of the two
# terms, or the clipping forgotten.

# %% [markdown]
# ## Third rung: EM-Net
#
# Penalised likelihood (lesson 7) wants $\max_x L(x) - U(x)$. A step uphill of size $\alpha$, in each voxel times $x/s$
# (MLEM's own step, large where the activity is high and few lines pass), kept positive, $\{\cdot\}_+ = \max(\cdot, 0)$:
#
# $$x^+ = \Big\{ x - \alpha\, \frac{x}{s} \odot \Big[ A^{\mathsf T}\Big(1 - \frac{y}{A x + r}\Big) + \nabla U(x) \Big]
# \Big\}_+ .$$
#
# The idea of EM-Net (Gong et al. 2019): nobody knows the right penalty $U$, but only its gradient is needed. **Let a
# CNN $f(\theta|x)$ stand in its place, do a fixed number of steps, and learn $\theta$** so that the *last* image is
# near the truth. Since $\frac{x}{s} \odot A^{\mathsf T} 1 = x$, the step is made of what we have:
#
# $$x^+ = \Big\{ (1 - \alpha)\, x + \alpha\, x_{EM} - \alpha\, \frac{x}{s} \odot f(\theta|x) \Big\}_+ .$$
#
# This is the layer `GradientStep`. The paper leaves open, and the course has chosen: 8 unrolls; one CNN shared by all
# of them; $\alpha$ learnt (as a softplus, so that it stays positive), starting at 1; the last convolution of the CNN
# starts at zero; the training loss is the mean squared error of the last image; the start is a short OSEM. One more
# for volumes: in the last term $s$ counts as at least 0.3 of its mean. In a slice of the head it is nowhere less, but
# the end planes of a 3-D scanner see a twentieth of the mean: there $f$ would multiply the image in every unroll. (This
# network, used on a volume without that limit, ended at $10^{22}$.)
#
# ### Exercise 2
# Program the step in its second form, from the image, its EM update, what the CNN gives, $\alpha$ and the sensitivity.
# (`s` comes in over its mean, so that $f$ has no unit. Where it is 0, `over(x, s)` is 0.)


# %%
def em_net_step(x, x_em, f, alpha, s):
    # solution:
    return np.maximum((1 - alpha) * x + alpha * x_em - alpha * over(x, s) * f, 0)
    # stub: return x_em  # where f and alpha come in: see the formula
    # end of solution


# %%
pt.course.check.em_net_step(em_net_step)

# %%
mean_s = scans[0].mean_sensitivity
f = np.random.default_rng(1).standard_normal(start.shape).astype(np.float32)
step_layer = pt.networks.GradientStep(scans, scale)
step_layer.raw_alpha.assign(np.log(np.expm1(0.7)))  # softplus of this is 0.7

# %%
by_you = em_net_step(start, by_library, f, 0.7, s / np.float32(mean_s))
difference = np.abs(by_you - layer_output(step_layer, start, f)).max()
print(f"yours against the layer: {difference / start.max():.1e} of the maximum")

# %% [markdown]
# ## The network
#
# `pt.networks.EMNet` puts eight of these steps in a row, each with the CNN in front. The CNN is a small U-Net (its size
# is a choice).
#
# **Before you run it:** the CNN's last convolution is zero and $\alpha$ is 1. What does the untrained network do?

# %%
untrained = pt.networks.EMNet((128, 128, 1), unrolls=8, scale=scale)
by_network = pt.networks.reconstruct(untrained, y, A, start)
by_mlem = pt.mlem(y, A, iterations=8, start=start)
print(f"{untrained.count_params():,} weights, of which the CNN {untrained.get_layer('cnn').count_params():,} and α 1")
print(f"untrained EM-Net against 8 iterations of MLEM: {np.abs(by_network - by_mlem).max() / by_mlem.max():.1e}")

# %% [markdown] tags=["teacher"]
# **10 minutes, training and a look inside.** Two updates show that everything works, and no more; leave `long` as it
# is. Answer to the prediction: look at the printed line, EM-Net's likelihood need not rise in every unroll; nothing
# forces it to. With 16 unrolls: it was told to stop at 8, and need not rest there.
#
# Expected at `slab`: the likelihood falls in 1 of 8 unrolls; error 25.3 % after 8, 27.5 % after 16.

# %% [markdown]
# It **is** MLEM. Training begins at a reconstruction that works, not at noise; all that it can do is to leave MLEM for
# something better (or worse).
#
# ## Train it, for a moment
#
# Two slices of a training head, another head to validate, a network of 2 unrolls, and two updates: a few seconds, most
# of them for building the graph. It shows that all works, and no more. With `long = True` it runs for five minutes with
# 8 unrolls and 8 heads. An update then projects forward and back 8 times on the way out and 8 times on the way back,
# for each of its slices, and runs the CNN 8 times: it costs many times what an update of a post-processing network
# costs.
#
# **Resume here if the kernel died**, or if you stopped the training: run the two cells of the workbench, then the next
# one. It goes on after its last round, which is kept in the folder `pettutor-training`. (Remove that folder to train
# from the beginning.)

# %% tags=["limit=120"]
long = False
heads = recipe.subjects.training[: 8 if long else 1]
training = pt.networks.simulate_scans(heads, recipe.scans, heights=(-12.0, 8.0), workers=1)
held_out = pt.networks.simulate_scans(recipe.subjects.validation, recipe.scans, heights=(13.0,), workers=1)
mine = pt.networks.EMNet((128, 128, 1), unrolls=8 if long else 2, scale=scale)
history = pt.networks.train(
    mine,
    training,
    held_out,
    scale=scale,
    learning_rate=recipe.learning_rate,
    multipliers=recipe.multipliers,  # α may move faster than the weights of convolutions
    batch_size=2,
    round_updates=16 if long else 1,
    folder=pt.course.training_folder("11_em_net", long=long),
    progress=True,
    **({"minutes": 5} if long else {"updates": 2}),
)

# %%
untouched = figures_of(pt.mlem(held_out[0].prompts_on("cpu"), held_out[0].acquisition_model("cpu"),
                               iterations=8 if long else 2, start=held_out[0].start), held_out[0])  # fmt: skip
trained = figures_of(pt.networks.TrainedNetwork(mine, recipe, {}).of_scan(held_out[0]), held_out[0])
print(f"{history.updates[-1]} updates in {history.seconds[-1]:.0f} s (validation and building included)")
print(f"validation subject, NRMSE: untrained {untouched['nrmse']:.2f} %, after that {trained['nrmse']:.2f} %")

# %% [markdown]
# ## A long training
#
# The course comes with trained weights. `pettutor train em_net` makes them anew; this is what it wrote down (grey: the
# round whose weights were kept).

# %%
network = pt.networks.pretrained("em_net", "slab")
past = SimpleNamespace(**network.record["history"])
minutes = np.array(past.seconds) / 60
fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
ax.plot(minutes, np.sqrt(past.loss), "C0", label="training")
ax.plot(minutes, np.sqrt(past.validation_loss), "C0--", label="validation subject")
ax.axvline(minutes[past.best_round - 1], color="0.6")
ax.set(xlabel="minutes", ylabel="root mean square error / scale", title="EM-Net: a long training")
ax.legend(fontsize=8)
plt.show()
step = network.model.get_layer("step")
print(f"{past.updates[-1]} updates of {recipe.batch_size} slices in {minutes[-1]:.0f} min; ended by: {past.ended}")
alpha = float(keras.ops.convert_to_numpy(keras.ops.softplus(step.raw_alpha)))
print(f"learnt α: {alpha:.2f}")

# %% [markdown]
# Has it converged? Look at the end of the dashed line: the learning rate falls to zero there, which flattens any curve.
# Only a longer training could tell.
#
# ## Look inside
#
# An unrolled network is a loop, and since all unrolls share one CNN, we can write that loop ourselves, and stop where
# we like. We watch three things: the error and the log-likelihood, against MLEM from the same start, and what the CNN
# adds.
#
# **Before you run it:** MLEM raises the likelihood in every step. Does EM-Net?

# %%
pt.networks.attach(network.model, scans)
cnn = network.model.get_layer("cnn")
number = np.zeros(1, np.int32)


def unroll(x, unrolls):
    """EM-Net by hand: images after 0, 1, 2 … unrolls, and what the CNN added in each, -α (x/s) f; activity."""
    images, added, x = [x], [], x[..., None] / np.float32(scale)
    for _ in range(unrolls):
        f = cnn(x)
        added.append(-alpha * over(images[-1], s / mean_s) * keras.ops.convert_to_numpy(f)[..., 0])
        x = step(x, f, number)
        images.append(keras.ops.convert_to_numpy(x)[..., 0] * np.float32(scale))
    return images, added


def log_likelihood(image):
    return pt.log_likelihood(y, A, image)


unrolled, added = unroll(start, 8)
by_mlem = [start]
pt.mlem(y, A, iterations=8, start=start, callback=lambda k, image: by_mlem.append(image))
same = np.abs(unrolled[8] - network.of_scan(scan)).max() / unrolled[8].max()
print(f"loop against network: {same:.1e} of the maximum")


# %%
def nrmse(image):
    return figures_of(image, scan)["nrmse"]


fig, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
at_truth = log_likelihood(scan.truth)
for images, style, name in ((by_mlem, "k--", "MLEM"), (unrolled, "C0o-", "EM-Net")):
    axes[0].plot([nrmse(image) for image in images], style, label=name, markersize=4)
    axes[1].plot([log_likelihood(image) - at_truth for image in images], style, label=name, markersize=4)
axes[0].set(xlabel="unrolls / iterations", ylabel="NRMSE (%)", title="error in the head")
axes[1].set(xlabel="unrolls / iterations", ylabel="L - L(truth)", title="log-likelihood")
axes[1].axhline(0, color="0.7")
axes[0].legend()
plt.show()
falls = int((np.diff([log_likelihood(image) for image in unrolled]) < 0).sum())
print(f"EM-Net: the likelihood falls in {falls} of 8 unrolls")
for name, images in {"EM-Net": unrolled, "MLEM": by_mlem}.items():
    print(f"{name}: error {nrmse(images[0]):.1f} % -> {nrmse(images[8]):.1f} %")

# %%
shown = {f"added in unroll {k}": added[k - 1] for k in (1, 4, 8)}
pt.volshow({"after 8": unrolled[8], **shown}, grid=grid, vmins=[0, *[-6] * 3], vmaxs=[150, *[6] * 3],
           cmaps=["magma", *["RdBu_r"] * 3], units="activity")  # fmt: skip

# %% [markdown]
# Red is what the CNN adds, blue what it takes away. Nobody has told it at which unroll it is: it sees an image, and
# does what helps at the end. The counts had their say in the same step.
#
# ### Try it: more unrolls
# It was trained with 8 unrolls. What if you let it run on, to 16? Is the last image a *solution* of something, at which
# the loop would rest, or only the place where it was told to stop?

# %%
# solution:
unrolls = 16
# stub: unrolls = 8  # more
# end of solution
errors = [nrmse(image) for image in unroll(start, unrolls)[0]]
best = int(np.argmin(errors))
print(f"error after 8: {errors[8]:.1f} %, after {unrolls}: {errors[-1]:.1f} %; least {errors[best]:.1f} % after {best}")

# %% [markdown]
# It need not rest: nothing in the training asked for it. After 16 unrolls the error is 27.5 %, after 8 it was 25.3 %.
# (MLEM goes on towards a maximum; this network was trained for one image only, the eighth.)

# %% [markdown] tags=["teacher"]
# **10 minutes, three doses.** Take bets at a third of the dose. In the table of the stored networks (four scans a dose)
# EM-Net has 33.2, 26.4 and 23.5 % NRMSE at a third, one and three times the dose; the best Gaussian 34.9, 30.7 and
# 27.5 %, Bowsher MAP 30.0, 26.5 and 23.7 %. Bowsher MAP sees T1, and T1 is worth most where the counts are few. One
# seed and one head are no law.
#
# Expected at `slab`: on the scans of the lesson EM-Net has 32.1, 25.3 and 22.8 % against 29.0, 25.6 and 23.3 % of
# Bowsher MAP: worse, a draw, better. EM-Net has more contrast of grey matter at all three.

# %% [markdown]
# ## Three doses
#
# The contest, on the test subject. The opponents: 60 iterations of MLEM, and the same with the best Gaussian there is,
# its width chosen with the truth of that very scan, at each dose anew; and, as a mark, Bowsher MAP (lesson 7), which
# sees T1 where EM-Net does not: it shows what MR is worth without a network. NRMSE in the head, and contrast recovery
# (CRC) of grey matter and of the lesions (mean of four), against white matter; 1 would be perfect. The next cell takes
# about ten seconds.
#
# **Before you run it:** at a third of the dose the network sees more noise than it has ever seen. Your bet?

# %%
rows, pictures = {}, {}
for one in test:
    plain = pt.mlem(one.prompts_on("cpu"), one.acquisition_model("cpu"), iterations=60)
    width, filtered = pt.best_gaussian(plain, one.truth, grid, mask=one.regions["head"])
    images = {"start": one.start, "MLEM 60": plain, "best Gaussian": filtered, "EM-Net": network.of_scan(one)}
    images["Bowsher (T1)"] = pt.networks.bowsher_map(one)
    rows |= {(f"{one.dose:.2g} x", name): figures_of(image, one) for name, image in images.items()}
    pictures[one.dose] = {"truth": one.truth, **images}
    del pictures[one.dose]["start"]
    print(f"{one.dose:.2g} x the dose: {one.prompts.sum():9,.0f} counts, best Gaussian {width:.1f} mm")
table = pd.DataFrame(rows).T.rename(columns={"nrmse": "NRMSE %", "grey": "CRC grey", "lesions": "CRC lesions"})
print(table.round({"NRMSE %": 1, "CRC grey": 2, "CRC lesions": 2}).to_string())


# %%
def verdict(dose, other, column, margin, less_is_better=False):
    """EM-Net against another method, in words; less than the margin is a draw."""
    ours, theirs = (table.loc[(dose, who), column] for who in ("EM-Net", other))
    gain = (theirs - ours) if less_is_better else (ours - theirs)
    return "a draw" if abs(gain) < margin else "better" if gain > 0 else "worse"


for dose in dict.fromkeys(table.index.get_level_values(0)):
    print(f"{dose} the dose, EM-Net against")
    for other in ("best Gaussian", "Bowsher (T1)"):
        error = verdict(dose, other, "NRMSE %", 0.5, less_is_better=True)
        grey, lesions = (verdict(dose, other, f"CRC {region}", 0.03) for region in ("grey", "lesions"))
        print(f"    {other:13}: NRMSE {error}; CRC grey matter {grey}, lesions {lesions}")
dose = min(pictures)
pt.volshow(pictures[dose], grid=grid, vmins=0, vmaxs=150, units="activity")

# %%
pt.volshow(pictures[1.0], grid=grid, vmins=0, vmaxs=150, units="activity")

# %% [markdown]
# The first row of pictures is a third of the dose, the second the dose of the training. One scan a dose is one throw of
# the dice. When the weights were stored, the network was tested on four scans a dose (two slices, two realisations of
# the noise; here the Gaussian has one width a dose, and Bowsher MAP one strength):

# %%
by_bowsher = pt.networks.stored_bowsher("slab")["test"]["summary"]
print(as_text(network.record["test"]["summary"], start="start, OSEM", bowsher=by_bowsher))

# %% [markdown] tags=["teacher"]
# **5 minutes, a wrong start.** The point of the whole lesson in one number: what is left of it when the counts are
# asked again, and what when they are not.
#
# Expected at `slab`: of +50 % in the left half +28 % are left after EM-Net, +50 % after CED.

# %% [markdown]
# Read both tables with care. A network that was trained on one dose may or may not serve at another; the verdicts above
# are what this one does. One training seed and one test head are no law (lesson 9), there are only four lesions, of the
# same kind as those in the training heads, and all heads are deformations of one atlas.
#
# Two things are sure. The counts are inside: feed the network a wrong start image, and the EM steps pull its broad
# structures back (Exercise 1's table). And the price: 8 projections and back projections to reconstruct, twice that to
# train, and a model of the scanner that must be right.
#
# ### Try it: a wrong start
# Give the network a wrong start image: the right one with the left half of the picture 50 % too bright. How much of the
# excess is left, after EM-Net, and after a post-processing network (`pt.networks.pretrained("ced")`)?

# %%
# solution:
factor = 1.5
# stub: factor = 1.0  # 1.5
# end of solution
wrong = start.copy()
wrong[..., :64] *= np.float32(factor)
ced = pt.networks.pretrained("ced", "slab")
left_half = head & (np.arange(128) < 64)
answers = {"start": (start, wrong), "EM-Net": [network(x, prompts=y, A=A) for x in (start, wrong)],
           "CED, post-processing": [ced(x) for x in (start, wrong)]}  # fmt: skip
for name, (right, changed) in answers.items():
    print(f"{name:21}: left half {changed[left_half].sum() / right[left_half].sum() - 1:+.1%}")

# %% [markdown]
# ## Questions
#
# <details><summary>1. Which arrays cross from the projector's world to the framework's, and which do not?</summary>
#
# Images and gradients of images cross. Counts, background, expected counts and ratios stay in `Scans`, on the
# projector's side. The framework knows a scan by its number only.
# </details>
#
# <details><summary>2. Why is so little left of the broad blob after eight steps, and what does that mean for
# the training?</summary>
#
# EM has taken most of the change back: the counts had measured it. Whatever the CNN does to broad structures in an
# early unroll has little effect on the loss, so little of it is learnt. The CNN learns about fine detail, and about
# the last unrolls.
# </details>
#
# <details><summary>3. An EM-Net was trained with $\alpha = 1$, $f = 0$ at the start. Why not with random weights in
# the last convolution?</summary>
#
# A random $f$ of size 1 changes every voxel by as much as an EM step and eight unrolls multiply it: the first images
# would be useless, and many of them negative before the clipping, where no gradient passes.
# </details>
#
# <details><summary>4. The likelihood of EM-Net's last image is lower than MLEM's. Is it the worse image?</summary>
#
# No. Lesson 7: the likelihood likes noise. It would worry us if it were *far* below that of the truth: then the image
# does not explain the counts.
# </details>
#
# <details><summary>5. The scanner's normalisation changes a little. Must EM-Net be trained again? And a post-processing
# network?</summary>
#
# EM-Net gets the new $A$ and goes on: the physics is an input. (Its CNN has learnt what errors the old scanner leaves,
# so test it.) The post-processing network knows the scanner only through its images, and must be tested, too.
# </details>
#
# ## Summary
#
# A projector becomes a layer by two functions, forward and vector-Jacobian product. The EM step is the better layer:
# images in, images out, sinograms inside. Its gradient has two terms; the second one is the counts' objection, and
# without it eight unrolls learn fiction. EM-Net is MLEM with a CNN in the place of a penalty's gradient; untrained it
# *is* MLEM. What training gains at which dose stands in the tables, not in this paragraph.
#
# **What next:** [lesson 12, MAPEM-Net](12_mapem_net.ipynb): the same idea from another algorithm, against a U-Net of
# equal size, and what sinograms in the graph would cost.
#
# ## Further reading
#
# - K. Gong et al. *EMnet: an unrolled deep neural network for PET image reconstruction.* Proc. SPIE
#   10948:1094853, 2019.
# - V. Monga, Y. Li, Y. C. Eldar. *Algorithm unrolling: interpretable, efficient deep learning for signal and image
#   processing.* IEEE Signal Process. Mag. 38(2):18, 2021.
#   [doi:10.1109/MSP.2020.3016905](https://doi.org/10.1109/MSP.2020.3016905)
# - A. J. Reader et al. *Deep learning for PET image reconstruction.* IEEE Trans. Radiat. Plasma Med. Sci. 5(1):1, 2021.
#   [doi:10.1109/TRPMS.2020.3014786](https://doi.org/10.1109/TRPMS.2020.3014786)
