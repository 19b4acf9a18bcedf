# %% [markdown]
# # 15 · What came after
#
# **Purpose:** the methods of this course are those of a few good years. This lesson shows three things that came
# after them, all of them running: a deep image prior that is fitted to the counts directly, a newer unrolled network,
# and the parts from which you build one of your own. Then a map of the field, and how to tell whether a new method is
# better.
#
# **Time:** about 50 minutes of reading; about half a minute of computing on two cores. **You need:**
# [lesson 10](10_dip_recon.ipynb) (deep image prior), [lesson 11](11_em_net.ipynb) and
# [lesson 12](12_mapem_net.ipynb) (unrolling); [lesson 14](14_side_by_side.ipynb) has all methods in one table.
#
# **After this lesson you can**
#
# 1. maximise the likelihood over a network's weights without ADMM, and say what that saves and what it needs;
# 2. test a stopping rule where the truth is known, and tell what it would have cost;
# 3. write down EM-Net, MAPEM-Net and FBSEM-Net so that one sees where the CNN sits in each;
# 4. build an unrolled network from layers in a dozen lines, and check its gradient;
# 5. place a new paper on a map: what it learns from, where the physics is, what it changes;
# 6. list what a comparison must have before you believe it.
#
# Words and symbols: [glossary](glossary.ipynb).

# %% [markdown] tags=["teacher"]
# **In class 45 minutes.** Three parts that do not need each other. For the end of a course take only the map of the
# field and the seven questions, and let the students bring a paper each.

# %% [markdown]
# ## The workbench
#
# The test subject of lessons 11 to 13, on which no network of this course was trained: one slice, the four lesions of
# the course. First a scan with a third of the dose: at few counts, noise is soon learnt. For the deep image prior we
# cut the image to the head, as in lesson 10, and the model knows the blur of 4.5 mm. (In the second and third part, as
# in lessons 11 to 13, it believes in 2.5 mm.)

# %%
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import pettutor as pt
from pettutor.networks.fitting.deep_image_prior import DeepImagePrior

keras = pt.networks.load_keras()
ops = keras.ops
long = False
recipe = pt.networks.recipe("fbsem_net", "slab")
settings = {"heights": (0.0,), "realisations": 2, "workers": 1}
test = pt.networks.simulate_scans(["mni:0"], recipe.test_scans(), **settings, progress=True)
faint, full = test[0], [scan for scan in test if scan.dose == 1]  # a third of the dose; the dose, twice
print(f"{faint}: {faint.prompts.sum():,.0f} counts")

# %%
scanner = pt.Scanner.preset("slab")
grid = scanner.image_grid(shape=(1, 104, 88))
inner = np.s_[:, 12:116, 20:108]  # of 128 x 128 voxels, those of the head
X = pt.Projector(scanner, grid).to_matrix()
A = pt.AcquisitionModel(X, normalisation=faint.factors, background=faint.background, psf_fwhm=4.5)
y = faint.prompts
pictures = (faint.truth, faint.t1, faint.regions["head"], faint.regions["white matter"])
truth, mr, head, white = (np.ascontiguousarray(picture[inner]) for picture in pictures)
masks = [faint.regions[lesion["region"]][inner] for lesion in faint.lesions]
s = A.T(np.ones(A.out_shape, np.float32))


def error(image):
    """NRMSE in the head, per cent."""
    return 100 * pt.measures.nrmse(image, truth, normaliser="rms", mask=head)


def log_likelihood(image):
    return pt.log_likelihood(y, A, image)


# %%
frames = {}
pt.mlem(y, A, iterations=100, sensitivity=s, callback=frames.__setitem__)
width, (filtered,) = pt.best_gaussian([frames[100]], [truth], grid, mask=[head])
gaussian = f"MLEM 100 + best Gaussian, {width:.1f} mm"
settings = {"subsets": 18, "iterations": 12, "start": frames[40], "seed": 0}
tried = {}
for kappa in (0.02, 0.05, 0.1):
    edges = pt.priors.Bowsher(pt.priors.strength(kappa, s, recipe.scale), mr, 3, grid.voxel_size)
    tried[kappa] = pt.bsrem(y, A, edges, **settings)
kappa = min(tried, key=lambda kappa: error(tried[kappa]))
bowsher, by_bowsher = f"Bowsher MAP, κ {kappa} (sees T1)", tried[kappa]
limits = {"vmins": 0, "vmaxs": [150, 150, 1], "cmaps": ["magma", "magma", "gray"]}
pt.volshow({"truth": truth, "MLEM 40": frames[40], "T1": mr}, grid=grid, **limits)

# %% [markdown] tags=["teacher"]
# **12 minutes, end to end.** Answer to the prediction: end to end rises faster, and passes the likelihood of the truth.
# In a run of 50 steps the error only falls, or has just stopped; its valley comes with `long = True`. Ask where one
# would stop without the truth: nothing in the first picture says it.
#
# Expected at `slab`: least error 30.1 % end to end and 30.6 % with DIPRecon; the best Gaussian 33.4 %, Bowsher MAP
# 27.5 %. At the end the lesions have a CRC of 0.34 and 0.31, with Bowsher MAP 0.50.

# %% [markdown]
# ## One: no ADMM
#
# DIPRecon maximises $L(y \mid x)$ subject to $x = f(\theta \mid z)$, with three images and a strength $\rho$ (lesson
# 10). Part of the reason was practical: projector and network lived in different programs. Today a projector can stand
# in the same chain of derivatives as the network. So put $f$ into the likelihood,
#
# $$\max_\theta \; L\big(y \mid f(\theta \mid z)\big), \qquad \nabla_\theta = J_\theta^{\mathsf T} \; A^{\mathsf T}
# \Big( \frac{y}{A f + r} - 1 \Big),$$
#
# and take steps of Adam: the idea of the **end-to-end deep image prior** (Hashimoto et al.). Their loss and optimiser
# are others; the likelihood, Adam, the softplus at the end and the fit to a short MLEM are choices of ours. What MLEM
# back-projects, $A^{\mathsf T}(\dots)$, is pulled back through the network by the **Jacobian** $J_\theta$ of $f$. No
# $x$, no $\mu$, no $\rho$.
#
# | | DIPRecon | end to end |
# |---|---|---|
# | unknowns | $x$, $\theta$, $\mu$ | $\theta$ |
# | to choose | $\rho$, steps of both halves, start, when to stop | learning rate, start, when to stop |
# | projections | 2 + 2 for an iteration of 5 steps of the network | 1 + 1 for each step of the network |
#
# The last row was the price: in 3-D a projection is dear. Hashimoto et al. pay less by going **block by block**: each
# step of Adam asks one subset of the views, as in OSEM (`subsets=`; try it below).
#
# The mark to beat is Bowsher MAP (lesson 7): it sees the same T1 as these two, and needs neither a network nor a stop.
# Its strength is the best of three by the truth, as the filter's width is the best by the truth.
#
# Both begin with the same network, fitted to a short MLEM (40 iterations, stopped about where MLEM is best; the fit
# takes 40 steps). Then both may do the same number of network steps. (About 10 seconds.)
#
# **Before you run it:** which likelihood will rise faster? And what will the error do meanwhile?

# %%
keras.utils.set_random_seed(0)
network = pt.networks.dip_unet((*grid.shape[1:], 1), (8, 16, 32), last_activation="softplus")
prior = DeepImagePrior(grid.shape, mr, network=network)
prior.scale = activity = float(frames[40][head].mean())
adam = {"optimiser": "adam", "learning_rate": 5e-3}
begun = prior.fit(prior.start, frames[40], s > 0, 40, **adam)
prior.keep(begun.weights)  # the weights of `network`
first = prior.image(begun.weights) * (s > 0)
common = {"network": network, "start": frames[40], "start_fit": 0, "scale": activity}
steps = 200 if long else 50

# %%
end_to_end = SimpleNamespace(images={0: first}, name="end to end", per_iteration=1)
settings = {**common, "learning_rate": 1e-3, "iterations": steps, "progress": True}
pt.networks.end_to_end_dip(y, A, mr, callback=end_to_end.images.__setitem__, **settings)

prior.keep(begun.weights)
solver = pt.networks.DIPRecon(y, A, mr, **common, kappa=0.3, fit_iterations=5, optimiser="adam", learning_rate=1e-3)
solver.prior = prior  # the network that is compiled already
admm = SimpleNamespace(images={0: first}, name="DIPRecon", per_iteration=5)
solver.run(steps // 5, callback=admm.images.__setitem__, progress=True)
runs = (end_to_end, admm)

# %%
at_truth = log_likelihood(truth)
for run in runs:
    images, run.steps = list(run.images.values()), np.array(list(run.images)) * run.per_iteration
    run.errors = np.array([error(x) for x in images])
    run.likelihoods = [log_likelihood(x) - at_truth for x in images]
    run.contrasts = [np.mean([pt.measures.crc(x, truth, m, white) for m in masks]) for x in images]
    best = run.best = int(run.errors.argmin())
    print(f"{run.name}: error {run.errors[0]:.1f} % at the start, least {run.errors[best]:.1f} % after "
          f"{run.steps[best]} steps, {run.errors[-1]:.1f} % at the end; "
          f"L of the last image less that of the truth: {run.likelihoods[-1]:+.0f}")  # fmt: skip
for name, image in {gaussian: filtered, bowsher: by_bowsher}.items():
    print(f"{name}: error {error(image):.1f} %")

# %%
fig, axes = plt.subplots(1, 3, figsize=(12, 3.5), layout="constrained")
for run in runs:
    for ax, values in zip(axes, (run.likelihoods, run.errors, run.contrasts), strict=True):
        ax.plot(run.steps, values, ".-", label=run.name)
axes[0].axhline(0, color="k", lw=0.8)
for name, image, colour, line in ((gaussian, filtered, "k", "--"), (bowsher, by_bowsher, "C2", ":")):
    contrast = np.mean([pt.measures.crc(image, truth, m, white) for m in masks])
    for ax, value in zip(axes[1:], (error(image), contrast), strict=True):
        ax.axhline(value, color=colour, ls=line, label=name)
axes[0].set(ylabel="L − L of the truth", title="Log-likelihood")
axes[1].set(ylabel="NRMSE in the head (%)", title="Error")
axes[2].set(ylabel="CRC", title="Contrast of the lesions, mean of four")
for ax in axes:
    ax.set_xlabel("steps of the network")
fig.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
plt.show()

# %% [markdown] tags=["teacher"]
# **6 minutes, a rule on trial.** Answer to the prediction: at the default it stops at the end of the run, which is no
# test; in the long run up to 85 steps too late. A rule that works in one paper is a proposal.

# %% [markdown]
# Read the first two pictures together, and the numbers above them. In a run as short as this one you see only the
# beginning: the error still falls, or has just stopped falling. With `long = True` (200 steps; measured once) the
# likelihood of end to end ends 285 above that of the *truth* (the line at zero): what is above has begun to explain the
# noise. So the naive way, to run until the likelihood no longer rises, ends in noise: the error goes from 30.1 % after
# 48 steps to 41.5 %, and nothing in the first picture tells where the valley was. DIPRecon is slower: its error still
# falls after 200 steps (29.5 %). Sooner or later each method that does not stop by itself comes there: MLEM, DIPRecon,
# end to end. (With one learning rate and one run of each this is no contest.) The dotted green line is Bowsher MAP,
# from the same counts and the same T1: in a run as short as ours neither of the two gets to it, nor do their lesions.
#
# So everything hangs on the stop, and the patient has no truth.
#
# ### When to stop: the windowed variance
#
# The rule of lesson 10 again, now in its own field. As long as the network learns the picture, its images move less and
# less, and the variance of the last $W$ images (over the energy of the last one, as there) falls,
#
# $$V(k) = \frac{1}{W} \sum_{i = k - W + 1}^{k} \lVert x_i - \bar x \rVert^2 \;\Big/\; \lVert x_k \rVert^2 ;$$
#
# when it begins to learn noise, the images move again, and $V$ is said to rise. The image at the least $V$ is the
# result. The paper sets $W = 100$ and waits for 1000 steps; our runs are shorter, so our windows are, too.
#
# **Before you run it:** look at the error above. Where should the rule stop, and where will it?

# %%
fig, axes = plt.subplots(1, 2, figsize=(10, 3.3), layout="constrained")
rows = []
for ax, run in zip(axes, runs, strict=True):
    for window in (3, 5) if run is admm else (3, 5, 10, 20):
        rule = pt.networks.WindowedVariance(window=window, patience=10**6)  # it looks, and does not stop
        for image in list(run.images.values())[1:]:
            rule(image)
        ax.semilogy(run.steps[1:], rule.variance, ".-", ms=4, label=f"W = {window}")
        stop, best = rule.best_iteration, run.best
        rows.append({"method": run.name, "W": window, "stops at step": run.steps[stop],
                     "error there %": run.errors[stop], "least error %": run.errors[best],
                     "at step": run.steps[best]})  # fmt: skip
    ax.axvline(run.steps[run.best], color="k", ls=":", label="least error (by the truth)")
    ax.set(title=run.name, xlabel="steps of the network", ylabel="windowed variance")
    ax.legend(fontsize=8, loc="upper right")
plt.show()

# %%
table = pd.DataFrame(rows)
print(table.round(1).to_string(index=False))
costs = table["error there %"] - table["least error %"]
late = table["stops at step"] > table["at step"]
print(f"too late: {late.sum()} of {len(table)}; the stop costs {costs.min():.1f} to {costs.max():.1f} points of error")
print(f"{bowsher}, which nothing has to stop: {error(by_bowsher):.1f} %")

# %% [markdown]
# Judge by the table. At the default the rule stops where the run ends, or close to it, which says nothing. In the long
# run it stopped end to end after 87 to 133 steps instead of 48, which cost 1.4 to 5.4 points. The rule is no nonsense:
# it needs no truth, and it was tested on thousands of pictures. But it looks for a valley of $V$, and there is one only
# where the picture is finished *before* the noise begins. In PET, with a network that starts from a fitted image, fine
# structure and noise come together. What one would have to do: make many scans like the patient's, with a truth, and
# fix a number of steps there, before the patient is looked at.
#
# ### Averaging
#
# Steps of Adam wander, and so do ADMM's. The mean of the last images costs nothing (`average_from=`).

# %%
rows = {}
for run in runs:
    images = list(run.images.values())
    third = len(images) // 3
    rows[run.name, "last"] = error(images[-1])
    rows[run.name, "mean of the last third"] = error(np.mean(images[-third:], axis=0))
    rows[run.name, "mean error of these"] = float(np.mean(run.errors[-third:]))
rows[bowsher, "last"] = error(by_bowsher)
print(pd.Series(rows).unstack(sort=False).round(2).to_string(na_rep=""))

# %% [markdown]
# Two things are in the mean, and the third column takes them apart: the images of the last third may have been better
# ones, each for itself (they are *earlier*), and their mean may be better than they are. Only the second is the merit
# of averaging.
#
# ### Try it: block by block
# Block by block: `subsets=4` takes four steps of Adam a pass, and each asks a quarter of the views. The same number of
# network steps then needs a quarter of the projections. Is the error as good? (`prior.keep(begun.weights)` puts the
# network back to the start; take a few passes.)

# %%
# solution:
passes = 4
# stub: passes = 0  # a few
# end of solution
blocks = {}
prior.keep(begun.weights)
if passes:
    settings = {**common, "learning_rate": 1e-3, "subsets": 4, "iterations": passes}
    pt.networks.end_to_end_dip(y, A, mr, callback=blocks.__setitem__, **settings)
    print(f"{passes} passes of 4 blocks, {4 * passes} steps: error {error(blocks[passes]):.2f} %; "
          f"all views at once: {end_to_end.errors[4 * passes]:.2f} % after as many steps, "
          f"{end_to_end.errors[passes]:.2f} % after as many projections")  # fmt: skip

# %%
picked = {"truth": truth, gaussian: filtered, bowsher: by_bowsher, "start": first}
for run in runs:
    best = int(run.errors.argmin())
    picked[f"{run.name}, best ({run.steps[best]})"] = run.images[best]
    picked[f"{run.name}, {run.steps[-1]} steps"] = list(run.images.values())[-1]
pt.volshow(picked, grid=grid, vmins=0, vmaxs=150, ncols=4)

# %% [markdown] tags=["teacher"]
# **8 minutes, FBSEM-Net.** Three formulas on the board; let the class find the CNN in each and say who speaks last.
# Answer to the prediction: no order can be told from the formulas. One expects less noise where the CNN speaks last;
# here it is the other way round (MAPEM-Net 17.9 %, FBSEM-Net 16.1 %): learnt weights and training decide. Bowsher has
# to stand in the table although it sees MR.

# %% [markdown]
# ## Two: FBSEM-Net
#
# A penalised likelihood can be unrolled in more ways than one. **Forward-backward splitting** alternates a step for the
# penalty and a step for the data; with EM for the data that is FBSEM (Mehranian and Reader). Here are the three
# unrolled networks of this course in one notation, $x_{EM}$ for the EM step from $x$. Look for the CNN $f$:
#
# $$\begin{aligned} \text{EM-Net:}\quad & x \leftarrow \Big\{ (1-\alpha)\, x + \alpha\, x_{EM} - \alpha\,
# \tfrac{x}{s} \odot f(\theta|x) \Big\}_+ \\[2pt] \text{MAPEM-Net:}\quad & x \leftarrow \text{two steps of MAP-EM
# towards } z - \mu, \qquad z \leftarrow f(\theta|x + \mu), \qquad \mu \leftarrow \mu + x - z \\[2pt]
# \text{FBSEM-Net:}\quad & z \leftarrow f(\theta|x), \qquad x \leftarrow \text{one step of MAP-EM towards } z
# \end{aligned}$$
#
# | | the CNN stands for | what it gives | who speaks last | memory |
# |---|---|---|---|---|
# | EM-Net | the gradient of a penalty | a direction | both at once | none |
# | MAPEM-Net | a denoiser in ADMM | an image | the CNN ($z$ is the output) | $\mu$ |
# | FBSEM-Net | a denoiser before the EM step | an image | the counts ($x$ is the output) | none |
#
# "One step of MAP-EM" is the fusion of FBSEM: each voxel takes the positive root of $\rho x^2 + (s - \rho z)\, x - s\,
# x_{EM} = 0$, a mean of $x_{EM}$ and $z$ with learnt weight (lesson 12). So FBSEM-Net is MAPEM-Net without $\mu$, with
# one step for two, and with the counts at the end. In the paper the CNN has five layers with batch normalisation
# (lesson 10), and may see MR; ours is the small U-Net of the others, without MR (choices), so that only the *unrolling*
# differs.
#
# **Before you run it:** from these rows alone, can you tell which will be best? Which should have more noise?

# %%
networks = {name: pt.networks.pretrained(name, "slab") for name in ("em_net", "mapem_net", "fbsem_net")}
titles = {"em_net": "EM-Net", "mapem_net": "MAPEM-Net", "fbsem_net": "FBSEM-Net"}
for name, net in networks.items():
    past = net.record["history"]
    print(f"{titles[name]:10} {net.model.count_params():,} weights, {past['updates'][-1]:5,} updates in training, "
          f"{past['seconds'][-1] / 60:.0f} minutes")  # fmt: skip

# %% [markdown]
# The contest, at the dose of the training, on two scans of the same head, so that noise can be measured (standard
# deviation between the two over their mean, in white matter). Three opponents stand in the table. The start image.
# MLEM with the best Gaussian there is. And **Bowsher's prior** (lesson 7): no network, a few lines, T1 as a guide. It
# sees MR, which the three networks do not; so it is no fair opponent, but one that has to be there.

# %%
models = [scan.acquisition_model("cpu") for scan in full]
counts = [scan.prompts_on("cpu") for scan in full]
plain = [pt.mlem(c, model, iterations=60) for c, model in zip(counts, models, strict=True)]
whole = models[0].grid
regions = full[0].regions
width, smooth = pt.best_gaussian(plain, [x.truth for x in full], whole, mask=[x.regions["head"] for x in full])
sensitivity = models[0].T(np.ones(models[0].out_shape, np.float32))
images = {"start, OSEM": [scan.start for scan in full], f"MLEM 60 + {width:.1f} mm": smooth}
images["Bowsher MAP (sees T1)"] = [pt.networks.bowsher_map(scan) for scan in full]
for name, net in networks.items():
    images[titles[name]] = [net.of_scan(scan) for scan in full]

# %%
rows = {}
for name, pair in images.items():
    found = pd.DataFrame([pt.networks.figures_of(image, scan) for image, scan in zip(pair, full, strict=True)]).mean()
    noise = pt.measures.background_std(np.stack(pair), regions["white matter"])
    rows[name] = {"NRMSE %": found["nrmse"], "CRC grey": found["grey"], "CRC lesions": found["lesions"],
                  "noise %": 100 * noise}  # fmt: skip
table = pd.DataFrame(rows).T
print(table.round({"NRMSE %": 1, "CRC grey": 2, "CRC lesions": 2, "noise %": 1}).to_string())
for column, sign in {"NRMSE %": 1, "CRC grey": -1, "CRC lesions": -1, "noise %": 1}.items():
    order = (sign * table[column]).sort_values().index
    print(f"{column:12}: best {order[0]}; of the networks {next(n for n in order if n in titles.values())}")

# %%
shown = {"truth": full[0].truth, **{name: pair[0] for name, pair in images.items()}}
pt.volshow(shown, grid=whole, vmins=0, vmaxs=150, ncols=4)

# %% [markdown] tags=["teacher"]
# **10 minutes, build one, exercises 1 and 2.** Exercise 1 is two lines, and the loop has to give what the stored
# network gives. In exercise 2 the network is three iterations of MLEM while untrained: the first check. The finite
# difference is the second. Common mistake there: the dual CNN gets one channel instead of two.

# %% [markdown]
# Do not read an order of *ideas* from this table. The networks were trained for a similar, short time on a CPU, so a
# step that costs less had more updates (the list above). It is one seed and one head. And the columns disagree about
# who is best, which is why there is more than one. The noise is no exception. One expects less of it where the CNN
# speaks last; here it is the other way round (MAPEM-Net 17.9 %, FBSEM-Net 16.1 %), since learnt weights and training
# decide as well. In the FBSEM paper itself the network and a U-Net for post-processing were level on simulated scans;
# the network was ahead on real ones.
#
# ### Exercise 1
# Write FBSEM-Net as a loop, with `pt.map_em` and `pt.priors.Reference(z, rho)`. `denoise(x)` is the CNN.
#
# The cell after an exercise checks your answer and names the mistake that it recognises. Stuck?
# `pt.course.hint("fbsem_loop")` gives a hint, each time one more; `pt.course.solution("fbsem_loop")` the solution.


# %%
def fbsem_loop(y, A, start, denoise, rho, unrolls):
    x = start
    for _ in range(unrolls):
        # solution:
        z = denoise(x)
        x = pt.map_em(y, A, pt.priors.Reference(z, rho), iterations=1, start=x)
        # stub: x = pt.mlem(y, A, iterations=1, start=x)  # the EM step alone: where is the CNN?
        # end of solution
    return x


# %%
pt.course.check.fbsem_loop(fbsem_loop)

# %% [markdown]
# With the trained CNN and the learnt $\kappa$ your loop has to give what the network of the package gives.

# %%
fbsem = networks["fbsem_net"].model
cnn, raw_kappa = fbsem.get_layer("cnn"), fbsem.get_layer("map_em_step").raw_kappa
kappa = float(ops.convert_to_numpy(ops.softplus(raw_kappa)))


def denoise(x):
    image = cnn(x[..., None] / np.float32(recipe.scale))
    return ops.convert_to_numpy(image)[..., 0] * np.float32(recipe.scale)


rho = pt.priors.strength(kappa, sensitivity, recipe.scale)
by_loop = fbsem_loop(counts[0], models[0], full[0].start, denoise, rho, unrolls=8)
by_network = images["FBSEM-Net"][0]
off = np.abs(by_loop - by_network).max() / by_network.max()
print(f"learnt κ: {kappa:.2f}; your loop against the network: {off:.1e} of the maximum")

# %% [markdown]
# ## Three: build one yourself
#
# The next network that you read about will not be in any library. With the layers of this one it is a dozen lines. We
# take **learned primal-dual** (Adler and Öktem; for PET Guazzo and Colarieti-Tosti). It is unlike all networks so far
# in one respect: a second CNN works on *sinograms*. After each projection the **dual** CNN may correct what is sent
# back, after each back projection the **primal** CNN corrects the image. So the network can learn that some bins
# deserve less trust.
#
# Ours is that idea in PET's own form (a choice, so that we have a check): the dual CNN adds to the ratio $y/\bar y$,
# the primal one to the EM step. With $c$ for the factors of each bin (attenuation, normalisation), so that $A = c \odot
# P$ and $\bar y = c \odot P x + r$:
#
# $$h = \frac{y}{\bar y} + \Lambda\big(\tfrac{y}{\bar y}, c\big), \qquad x \leftarrow \Big\{ \frac{x}{s} \odot
# P^{\mathsf T}(c \odot h) + \Gamma(x) \Big\}_+ , \qquad s = P^{\mathsf T} c .$$
#
# The last convolutions of $\Lambda$ and $\Gamma$ start at zero. So the untrained network is ... what?
#
# The price is one that you know: $y$, $c$, $r$, $h$ are tensors in the graph, which in 3-D nobody can afford without
# care (lesson 12).
#
# ### Exercise 2
# The dual CNN sees the ratio and $c$ as two channels, `ops.concatenate([...], axis=-1)`, and corrects the ratio. Write
# $h$. (The stub has no dual CNN.)


# %%
def corrected(ratio, c, dual):
    """The ratio with the correction by the dual CNN."""
    # solution:
    return ratio + dual(ops.concatenate([ratio, c], axis=-1))
    # stub: return ratio  # and what the dual CNN says of it
    # end of solution


# %%
pt.course.check.dual_correction(corrected)


# %%
def over(a, b):
    """a / b, and 0 where b is 0."""
    return ops.where(b > 0, a / ops.where(b > 0, b, 1), 0)


def small_cnn(name):
    """Two convolutions; the last one starts at zero."""
    last = keras.layers.Conv2D(1, 3, padding="same", kernel_initializer="zeros")
    return keras.Sequential([keras.layers.Conv2D(8, 3, padding="same", activation="relu"), last], name=name)


# %%
def primal_dual(unrolls, P):
    views, bins = P.out_shape[1:]
    x, y, c, r = (keras.Input((*size, 1)) for size in (P.in_shape[1:], *[(views, bins)] * 3))
    project, back = pt.networks.ForwardProjection(P), pt.networks.BackProjection(P, slices=True)
    to_scanner, to_picture = keras.layers.Reshape(P.out_shape), keras.layers.Reshape((views, bins, 1))
    primal, dual, start = small_cnn("primal"), small_cnn("dual"), x
    s = back(to_scanner(c))
    for _ in range(unrolls):
        h = corrected(over(y, c * to_picture(project(x)) + r), c, dual)
        x = ops.relu(over(x * back(to_scanner(c * h)), s) + primal(x))
    return keras.Model([start, y, c, r], x)


P = pt.AcquisitionModel(models[0].projector, psf_fwhm=2.5)  # what is the same for all scans
learnt = primal_dual(3, P)
print(f"{learnt.count_params()} weights")

# %% [markdown]
# First check: untrained it must be three iterations of MLEM. (Activities in units of `scale`, so counts are divided
# by it as well.)


# %%
def tensors_of(scans):
    """Inputs and truth, as the network wants them."""
    scale = np.float32(recipe.scale)
    columns = [[x.start / scale, x.prompts / scale, x.factors, x.background / scale, x.truth / scale] for x in scans]
    *inputs, target = (np.stack([c[0][..., None] for c in column]) for column in zip(*columns, strict=True))
    return inputs, target


inputs, target = tensors_of(full[:1])
by_network = recipe.scale * ops.convert_to_numpy(learnt(inputs))[0, ..., 0]
by_mlem = pt.mlem(counts[0], models[0], iterations=3, start=full[0].start)[0]
print(f"untrained against MLEM: {np.abs(by_network - by_mlem).max() / by_mlem.max():.1e} of the maximum")

# %% [markdown]
# Second check: the **gradient**. You built a chain of projections, ratios and convolutions; does its derivative fit?
# Lesson 11 has shown what a wrong one does: nothing that one would notice. A step of plain gradient descent with the
# learning rate 1 changes each weight by its gradient, so Keras itself tells us: weights before less weights after.
# Against that the finite difference, along a random direction. (We shake the weights first, as zeros hide mistakes.)

# %%
rng = np.random.default_rng(0)
learnt.compile(optimizer=keras.optimizers.SGD(1.0), loss="mse")


def shaken(weights, size):
    return [w + size * d for w, d in zip(weights, directions, strict=True)]


def loss(weights):
    learnt.set_weights(weights)
    return float(np.mean((ops.convert_to_numpy(learnt(inputs)).astype(float) - target) ** 2))


untrained = learnt.get_weights()
directions = [rng.standard_normal(w.shape).astype(np.float32) for w in untrained]
here = shaken(untrained, 0.02)
learnt.set_weights(here)
learnt.train_on_batch(inputs, target)
gradient = [before - after for before, after in zip(here, learnt.get_weights(), strict=True)]
by_keras = sum(float(np.vdot(g, d)) for g, d in zip(gradient, directions, strict=True))
by_difference = (loss(shaken(here, 1e-3)) - loss(shaken(here, -1e-3))) / 2e-3
print(f"along a random direction: by Keras {by_keras:.5f}, by finite differences {by_difference:.5f}, "
      f"off by {abs(by_keras / by_difference - 1):.1%}")  # fmt: skip

# %% [markdown]
# Third: does it learn? Two scans of a training head, a few steps; the loss on the validation head. This is no training,
# it only shows that the loss goes down. (About 5 seconds; `long = True` at the top takes ten times as many steps.)

# %%
unrolled = {"workers": 1, "progress": True}
training = tensors_of(pt.networks.simulate_scans(["mni:1"], recipe.scans, heights=(-12.0, 8.0), **unrolled))
validation = tensors_of(pt.networks.simulate_scans(["mni:101"], recipe.scans, heights=(13.0,), **unrolled))


def rms_error(pair):
    """Root mean square error over the scale."""
    return float(np.sqrt(np.mean((ops.convert_to_numpy(learnt(pair[0])) - pair[1]) ** 2)))


learnt.set_weights(untrained)
learnt.optimizer.learning_rate = 0.02
before = [rms_error(pair) for pair in (training, validation)]
for _ in range(100 if long else 10):
    learnt.train_on_batch(*training)
after = [rms_error(pair) for pair in (training, validation)]
for name, a, b in zip(("training head", "validation head"), before, after, strict=True):
    print(f"{name:15}: {a:.4f} untrained (three iterations of MLEM), {b:.4f} after, {b / a - 1:+.1%}")

# %% [markdown] tags=["teacher"]
# **9 minutes, the map and the seven questions.** The end of the methods. Let the class answer the seven questions for
# a figure that you have brought, then for a row of lesson 14's table.

# %% [markdown]
# From here to a paper it is "only" what lessons 11 to 13 did: many heads, a validation subject that decides when to
# stop, hours instead of seconds, and the table above with one row more.
#
# ## A map of the field
#
# Every method answers the same questions: where does its knowledge come from, and where is the physics? And each
# changes something, and has something to beware of.
#
# | method | learns from | physics |
# |---|---|---|
# | CED, U-Net, also with MR (lesson 9) | pairs of images | none |
# | deep image prior: DIPRecon (10), end to end (here) | the one scan, and its MR | the likelihood |
# | EM-Net, MAPEM-Net (11, 12), FBSEM-Net (here) | pairs of scan and truth | in every unroll |
# | BCD-Net (13) | pairs, layer by layer | between the layers |
# | learned primal-dual (here in kind) | pairs of scan and truth | in every unroll |
# | self-supervised (Reader 2023) | noisy scans, split | the likelihood |
# | diffusion priors, e.g. PET-DDS (Singh et al. 2023) | good *images* alone, no scans | a step in each of many |
#
# - **Post-processing** changes nothing in the scanner's software. What it paints, the counts never see.
# - **Deep image priors** need no training set. They must be stopped, and a scan takes minutes to hours.
# - **Unrolled networks** learn the penalty. Training costs projections, and the model of the scanner must be right.
# - **BCD-Net** sends no gradient through the projector; each layer does the best for itself alone.
# - **Learned primal-dual** has a CNN on the sinogram, too: sinograms in the graph, and a tie to one scanner.
# - **Self-supervised** methods need no truth. What is noise and what is structure becomes an assumption about the data.
# - **Diffusion priors** serve all doses and scanners with one training, and can give samples instead of one image. They
#   take hundreds of network steps, and a sample looks real everywhere, also where it is invented.
#
# The last two answer a real need: truths exist for phantoms only. A **self-supervised** method makes its target
# from the data: one part of the counts has to predict the other, and noise cannot be predicted. A **diffusion model**
# learns to take a little noise away, over and over; that tells it which images are probable, that is, a prior like
# those of lesson 7, only drawn from a thousand heads. The counts then enter by steps that you know by now.
#
# ## Is the new method better?
#
# Next year there will be another row. What to ask, in this order:
#
# 1. **Who was the opponent?** MLEM without a filter is none. At least the best Gaussian, chosen with the truth; where
#    the method sees MR, **Bowsher's prior** must be in the table: it costs a few lines, and it is hard to beat.
# 2. **At equal noise?** A smoother image has the smaller error and the smaller lesion. Compare contrast at equal noise,
#    or whole curves (lessons 6 and 12).
# 3. **Over how many realisations?** One scan is a throw of the dice. Several, the same for all methods, differences
#    with their standard errors (lesson 6); several seeds of the training, too.
# 4. **On which subjects?** Subjects that nothing was trained, stopped or tuned on (lesson 9). "Stopped where the error
#    was least" has used the truth of the test.
# 5. **Lesions?** In PET alone, in MR alone, in both; small ones; their contrast, not the error over the head.
# 6. **Off the beaten track?** Another dose, an MR that is off by some millimetres, a model of the scanner that is a
#    little wrong (lessons 9 and 13).
# 7. **What did it cost?** Weights, minutes, memory, and the choices: who tuned what, and on what?
#
# `pettutor study` answers 2 and 3 for every method of the library, and for a network of its kinds that you trained
# yourself (`folder`); the lists of this course answer the rest.
#
# ### Try it: a paper of your own
# Take a paper on PET reconstruction with a network from the last two years. Put it on the map: a row of the table, and
# the seven questions with yes, no, or "not said". (There is nothing to program.)
#
# ## Questions
#
# <details><summary>1. End to end needs neither $\rho$ nor $\mu$. Has one choice less been made?</summary>
#
# Not quite. The learning rate sets how fast the image follows the counts and how far it has got when you stop, which is
# what $\rho$ and the number of iterations did together. And the start is a choice in both.
# </details>
#
# <details><summary>2. FBSEM-Net gives $x$, MAPEM-Net gives $z$. Feed both with a CNN that paints a false lesion. Which
# output shows more of it?</summary>
#
# MAPEM-Net's $z$ shows all of what the last CNN painted. In FBSEM-Net one EM step comes after it and takes back a
# share, $1/(1+\kappa)$ at best; for details far less (lessons 7 and 11).
# </details>
#
# <details><summary>3. A learned primal-dual network was trained on one scanner. A detector block fails. What
# happens?</summary>
#
# The physics knows it (factors of 0), and the EM part copes. But the dual CNN has never seen such a gap in its
# sinograms: its answer there is anyone's guess. Networks that see images alone suffer less directly.
# </details>
#
# <details><summary>4. A diffusion prior gives ten different images for the same counts. Is that a fault?</summary>
#
# No, it may be its best feature: where the ten differ, the counts do not decide. A method that gives one image has
# made that choice silently. (Whether their spread is the *right* one is another question.)
# </details>
#
# <details><summary>5. Your check of the gradient along a random direction is fine. Can the gradient still be
# wrong?</summary>
#
# Along this direction it is right. A mistake in one weight of hundreds could hide; so take several directions, and one
# weight of each layer alone.
# </details>
#
# ## Summary
#
# A deep image prior can be fitted to the counts directly; what it saves is a strength, what it keeps is the need to
# stop, and the rule tried here was judged by its table. FBSEM-Net puts the CNN before one EM step and gives the counts
# the last word. With projection layers a network of your own is a dozen lines, and two checks, "untrained it is MLEM"
# and a finite difference, find most mistakes. New methods differ in what they learn from and where the physics stands.
# Whether they are better is asked at equal noise, over realisations, on a test subject, with Bowsher in the table.
#
# **What next:** your own row in the table; and [lesson 16, real data](16_real_data.ipynb): where counts, randoms and
# normalisation come from when nobody has simulated them.
#
# ## Further reading
#
# - F. Hashimoto, Y. Onishi, K. Ote, H. Tashima, T. Yamaya. *Fully 3D implementation of the end-to-end deep image
#   prior-based PET image reconstruction using block iterative algorithm.*
#   [arXiv:2212.11844](https://doi.org/10.48550/arXiv.2212.11844)
# - H. Wang et al. *Early stopping for deep image prior.* [arXiv:2112.06074](https://doi.org/10.48550/arXiv.2112.06074)
# - A. Mehranian, A. J. Reader. *Model-based deep learning PET image reconstruction using forward-backward splitting
#   expectation-maximization.* IEEE Trans. Radiat. Plasma Med. Sci. 5(1):54, 2021.
#   [doi:10.1109/TRPMS.2020.3004408](https://doi.org/10.1109/TRPMS.2020.3004408)
# - J. Adler, O. Öktem. *Learned primal-dual reconstruction.* IEEE Trans. Med. Imaging 37(6):1322, 2018.
#   [doi:10.1109/TMI.2018.2799231](https://doi.org/10.1109/TMI.2018.2799231)
# - A. Guazzo, M. Colarieti-Tosti. *Learned primal dual reconstruction for PET.* J. Imaging 7(12):248, 2021.
#   [doi:10.3390/jimaging7120248](https://doi.org/10.3390/jimaging7120248)
# - I. R. D. Singh et al. *Score-based generative models for PET image reconstruction* (PET-DDS).
#   [arXiv:2308.14190](https://doi.org/10.48550/arXiv.2308.14190)
# - A. J. Reader. *Self-supervised and supervised deep learning for PET image reconstruction.*
#   [arXiv:2302.13086](https://doi.org/10.48550/arXiv.2302.13086)
# - Reviews: A. J. Reader et al. *Deep learning for PET image reconstruction.* IEEE Trans. Radiat. Plasma Med. Sci.
#   5(1):1, 2021. [doi:10.1109/TRPMS.2020.3014786](https://doi.org/10.1109/TRPMS.2020.3014786); F. Hashimoto et al.
#   *Deep learning-based PET image denoising and reconstruction: a review.* Radiol. Phys. Technol. 17:24, 2024.
#   [doi:10.1007/s12194-024-00780-3](https://doi.org/10.1007/s12194-024-00780-3)
