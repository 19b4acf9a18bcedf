"""Typical wrong answers to the exercises of lessons 9 to 15: lines in place of the solution, and a pattern of words."""

WRONG = {}

# ---- lesson 9 ----

ENCODER = "channels = [(1, 2), (2, 4), (4, 8), (8, 16), "
WRONG["ced_layers"] = [
    (ENCODER + "(16, 8), (8, 4), (4, 2), (2, 1)]", "The joins are missing"),
    (ENCODER + "(16 + 16, 8), (8 + 8, 4), (4 + 4, 2), (2 + 2, 1)]", "one size off"),
    (ENCODER + "(16 + 8, 8), (8 + 4, 4), (4 + 2, 2), (2, 1)]", "The last join"),
    (ENCODER + "(16 + 1, 8), (8 + 2, 4), (4 + 4, 2), (2 + 8, 1)]", "encoder's own order"),
    ("channels = [(d, c) for c, d in [(1, 2), (2, 4), (4, 8), (8, 16), (24, 8), (12, 4), (6, 2), (3, 1)]]",
     "exchanged"),
    (ENCODER + "(16 + 8, 8), (8 + 4, 4)]", "got 6"),
    (ENCODER + "(16 + 8, 16), (16 + 4, 8), (8 + 2, 4), (4 + 1, 1)]", "Convolution 5 gives 8 channels"),
    (ENCODER + "(16 + 8, 8), (8 + 4, 4), (4 + 4, 2), (2 + 1, 1)]", "Convolution 7 does not read 8"),
    ("channels = 3870", "a list of pairs"),
]  # fmt: skip

SLICES = "return [[k for k, head in enumerate(subjects) if {}] for {} in {}]"
HEADS = 'heads = sorted(set(subjects) - {"mni:0"})\n'
WRONG["split_by_subject"] = [
    ("n = len(subjects)\nreturn range(n // 2), range(n // 2, 3 * n // 4), range(3 * n // 4, n)", "test head `mni:0`"),
    ('others = [k for k, head in enumerate(subjects) if head != "mni:0"]\n'
     'return others[::2], others[1::2], [k for k, head in enumerate(subjects) if head == "mni:0"]',
     "slices of one head are in two sets"),
    (HEADS + SLICES.format("head in one", "one", '(heads, heads[:1], ["mni:0"])'), "two sets"),
    (HEADS + SLICES.format("head in one", "one", '(heads[2:], heads[:1], ["mni:0"])'), "in no set"),
    (HEADS + SLICES.format("head in one", "one", '(heads[2:], heads[:1], ["mni:0", heads[1]])'), "It is `mni:0` alone"),
    ('first = [k for k, head in enumerate(subjects) if head.startswith("mni:1")]\n'
     'test = [k for k, head in enumerate(subjects) if head == "mni:0"]\n'
     "return [k for k in range(len(subjects)) if k not in first + test], first, test", "compare whole names"),
    (SLICES.format("one(head)", "one", '(lambda h: h not in ("mni:0", "mni:3"), lambda h: h == "mni:3", '
                   'lambda h: h == "mni:0")'), "the validation set is empty"),
    (HEADS + 'return heads[1:], heads[:1], ["mni:0"]', "names of heads"),
    ('return [[head != "mni:0" for head in subjects], [], [head == "mni:0" for head in subjects]]', "is a mask"),
    ('return [k for k, head in enumerate(subjects) if head == "mni:0"]', "Return three lists"),
    (HEADS + SLICES.format("head in one", "one", '(heads[1:], heads[:1], ["mni:0"])') + "[::-1]", "training set"),
]  # fmt: skip

WRONG["displaced_mr"] = [
    ("return np.roll(t1, -round(mm / grid.voxel_size[2]), axis=2)", "other side"),
    ("return np.roll(t1, int(mm), axis=2)", "You moved by 15 voxels"),
    ("return np.roll(t1, round(mm / grid.voxel_size[2]), axis=1)", "along y, the second axis"),
    ("return np.roll(t1, round(mm / grid.voxel_size[1]), axis=1)", "along y, and by its voxel size"),
    ("return np.roll(t1, round(mm / grid.voxel_size[1]), axis=2)", "you took that along y"),
    ("return np.roll(t1, round(mm / grid.voxel_size[0]), axis=2)", "you took that along z"),
    ("return np.roll(t1, round(mm * grid.voxel_size[2]), axis=2)", "You multiplied"),
    ("return np.roll(t1, int(mm / grid.voxel_size[2]), axis=2)", "`int` cuts off"),
    ("t1[:] = np.roll(t1, round(mm / grid.voxel_size[2]), axis=2)\nreturn t1", "changes the image"),
    ("return np.roll(t1, mm, axis=2)", "line 3 of its cell|You moved by"),
    ("return 2 * np.roll(t1, round(mm / grid.voxel_size[2]), axis=2)", "yours moved otherwise"),
]

# ---- lesson 10 ----

WINDOWS = """found = []
for k in range(window, len(images) + 1):
    last = images[k - window : k]
    found.append({})
return np.array(found)"""
SPREAD, ENERGY = "((last - last.mean(axis=0)) ** 2).sum() / window", "(images[k - 1] ** 2).sum()"
WRONG["windowed_variance"] = [
    (WINDOWS.format(SPREAD), "The energy is missing"),
    (WINDOWS.format(f"((last - last.mean(axis=0)) ** 2).sum() / {ENERGY}"), "1/W is missing"),
    (WINDOWS.format(f"last.var(axis=0, ddof=1).sum() / {ENERGY}"), "without `ddof=1`"),
    (WINDOWS.format(f"np.sqrt({SPREAD} / {ENERGY})"), "standard deviation"),
    (WINDOWS.format(f"last.var(axis=0).mean() / {ENERGY}"), "mean over the voxels as well"),
    (WINDOWS.format("last.var(axis=0).mean()"), "Without the energy"),
    (WINDOWS.format(f"((last - last.mean(axis=(1, 2, 3), keepdims=True)) ** 2).sum() / window / {ENERGY}"),
     "the mean over the window: `axis=0`"),
    (WINDOWS.format(f"((last - images.mean(axis=0)) ** 2).sum() / window / {ENERGY}"), "not of all images"),
    (WINDOWS.format(f"(np.diff(last, axis=0) ** 2).sum() / window / {ENERGY}"), "from one image to the next"),
    (WINDOWS.format(f"{SPREAD} / (last[0] ** 2).sum()"), "first image"),
    (WINDOWS.replace("len(images) + 1", "len(images)").format(f"{SPREAD} / {ENERGY}"), "6 windows of 4"),
    (WINDOWS.format(f"0.9 * {SPREAD} / {ENERGY}"), "not the sum of squares about"),
]  # fmt: skip

ADMM = "x = reconstruct({}, x)\nf = fit({})\nmu = {}\nreturn x, f, mu"
WRONG["diprecon_iteration"] = [
    (ADMM.format("f + mu", "x + mu", "mu + x - f"), "reference of x has the wrong sign"),
    (ADMM.format("f", "x + mu", "mu + x - f"), "mu is missing in the reference"),
    (ADMM.replace(", x)", ", f)", 1).format("f - mu", "x + mu", "mu + x - f"), "starts from f"),
    (ADMM.format("f - mu", "x", "mu + x - f"), "mu is missing in the target"),
    (ADMM.format("f - mu", "x - mu", "mu + x - f"), "target of the fit has the wrong sign"),
    (ADMM.format("f - mu", "x + mu", "x - f"), "begins anew"),
    (ADMM.format("f - mu", "x + mu", "mu + f - x"), "account has the wrong sign"),
    (ADMM.format("f - mu", "x + mu", "mu"), "third line is missing"),
    ("new = reconstruct(f - mu, x)\nreturn new, fit(x + mu), mu + new - fit(x + mu)", "fitted to the old x"),
    ("new = reconstruct(f - mu, x)\nreturn new, fit(new + mu), mu + new - f", "takes the old f"),
    ("new = reconstruct(f - mu, x)\nf = fit(new + mu)\nreturn new, f, mu + x - f", "takes the old x"),
    ("f = fit(x + mu)\nx = reconstruct(f - mu, x)\nreturn x, f, mu + x - f", "fitted before the reconstruction"),
    ("x = reconstruct(f - mu, x)\nmu = mu + x - fit(x + mu)\nreturn x, fit(x + mu), mu", "called 2 times|new f"),
    ("x = reconstruct(f - mu, x)\nfit(x + mu)\nf = fit(x + mu)\nreturn x, f, mu + x - f", "`fit` is called 2 times"),
    ("x = reconstruct(f - mu, x)\nf = fit(x + mu)\nmu += x - f\nreturn x, f, mu", "in place"),
    ("return fit(reconstruct(f - mu, x) + mu)", "Return three images"),
    (ADMM.format("2 * f - mu", "x + mu", "mu + x - f"), "The new x is not"),
]

LAST = "return np.mean([path[k] for k in path if {}], axis=0)"
WRONG["mean_of_last_third"] = [
    ("return list(path.values())[-1]", "last image alone"),
    (LAST.format("True"), "mean of all images"),
    (LAST.format("k <= max(path) / 3"), "first"),
    (LAST.format("k > max(path) / 3"), "last two thirds"),
    (LAST.format("k >= 2 * max(path) / 3"), "One image too many"),
    (LAST.format("k > 2 * max(path) / 3 + 1"), "One image too few"),
    (LAST.format("2 * max(path) / 3 < k < max(path)"), "last image is left out"),
    (LAST.replace("np.mean", "np.sum").format("k > 2 * max(path) / 3"), "This is the sum"),
    (LAST.replace("np.mean", "np.median").format("k > 2 * max(path) / 3"), "median"),
    ("return sum(path[k] for k in path if k > 2 * max(path) / 3) / max(path)", "number of .all. iterations"),
    ("return np.mean([path[k] for k in path if k > 2 * max(path) / 3])", "expected shape"),
    ("return 1.1 * np.mean([path[k] for k in path if k > 2 * max(path) / 3], axis=0)", "another mean"),
]

# ---- lesson 11 ----

BACK = "return g * over(A.T(over(y, expected)), s) - {}"
WRONG["em_gradient"] = [
    (BACK.replace(" - ", " + ").format("A.T(over(y, expected**2) * A(g * over(x, s)))"), "second term is subtracted"),
    ("return A.T(over(y, expected**2) * A(g * over(x, s)))", "second term alone. The first"),
    ("return -A.T(over(y, expected**2) * A(g * over(x, s)))", "without its minus sign"),
    (BACK.format("A.T(over(y, expected) * A(g * over(x, s)))"), "squared"),
    (BACK.format("A.T(over(1 + 0 * y, expected**2) * A(g * over(x, s)))"), "y is missing"),
    (BACK.format("A.T(over(y, expected**2) * A(g * x))"), "1/s is missing"),
    (BACK.format("A.T(over(y, expected**2) * A(g * over(1 + 0 * x, s)))"), "x is missing"),
    (BACK.format("A.T(over(y, expected**2) * A(over(x, s)))"), "g is missing"),
    (BACK.format("over(x, s) * A.T(over(y, expected**2) * A(g))"), "x / s stands outside"),
    (BACK.format("A.T(over(y, A(x) ** 2) * A(g * over(x, s)))").replace("expected", "A(x)"),
     "background is forgotten"),
    (BACK.format("A.T(y / expected**2 * A(g * over(x, s)))"), "use `over`|NaN|finite"),
    (BACK.format("over(y, expected**2) * A(g * over(x, s))"), "shape|broadcast"),
    (BACK.format("0.5 * A.T(over(y, expected**2) * A(g * over(x, s)))"), "Finite differences give another"),
]  # fmt: skip

STEP = "return np.maximum({}, 0)"
WRONG["em_net_step"] = [
    ("return (1 - alpha) * x + alpha * x_em - alpha * over(x, s) * f", "gets negative"),
    (STEP.format("(1 - alpha) * x + alpha * x_em + alpha * over(x, s) * f"), "is subtracted"),
    (STEP.format("(1 - alpha) * x + alpha * x_em - over(x, s) * f"), "in front of the CNN's term"),
    (STEP.format("(1 - alpha) * x + x_em - alpha * over(x, s) * f"), "in front of x_em"),
    (STEP.format("alpha * x + (1 - alpha) * x_em - alpha * over(x, s) * f"), "exchanged"),
    (STEP.format("alpha * x_em - alpha * over(x, s) * f"), "old image is missing"),
    (STEP.format("x + alpha * x_em - alpha * over(x, s) * f"), "weighted by 1 - alpha"),
    (STEP.format("(1 - alpha) * x + alpha * x_em"), "CNN's term is missing"),
    (STEP.format("(1 - alpha) * x + alpha * x_em - alpha * f"), "x / s is missing"),
    (STEP.format("(1 - alpha) * x + alpha * x_em - alpha * x * s * f"), "multiplied by s"),
    (STEP.format("(1 - alpha) * x + alpha * x_em - alpha * x * f"), "1 / s is missing"),
    ("return abs((1 - alpha) * x + alpha * x_em - alpha * over(x, s) * f)", "Not an absolute value"),
    ("return (1 - alpha) * x + alpha * x_em + alpha * over(x, s) * f", "And the image gets negative"),
    (STEP.format("(1 - alpha) * x + alpha * x_em - alpha * x / s * f"), "use `over`"),
    (STEP.format("1.1 * ((1 - alpha) * x + alpha * x_em - alpha * over(x, s) * f)"), "This is not"),
]

# ---- lesson 12 ----

THREE = "D = 2 * rho * x + s - rho * z\nreturn over({}, D), over({}, D), over({}, D)"
RIGHT_THREE = THREE.format("s", "rho * x", "x * (z - x)")
WRONG["map_em_derivatives"] = [
    (RIGHT_THREE.replace("2 * rho", "rho"), "The 2 is missing"),
    (RIGHT_THREE.replace("- rho * z", "+ rho * z"), "sign of ρ z"),
    (RIGHT_THREE.replace(" - rho * z", ""), "ρ z is missing"),
    (RIGHT_THREE.replace("2 * rho * x", "2 * x"), "ρ is missing in the first term"),
    (THREE.format("s", "x", "x * (z - x)"), "By z: the ρ"),
    (THREE.format("s", "-rho * x", "x * (z - x)"), "By z: the sign"),
    (THREE.format("s", "rho * x", "x * (x - z)"), "By ρ: the sign"),
    (THREE.format("s", "rho * x", "z - x"), "By ρ: the x"),
    (THREE.format("s * x", "rho * x", "x * (z - x)"), "stands s alone"),
    (THREE.format("rho * x", "s", "x * (z - x)"), "in another order"),
    ("D = 2 * rho * x + s - rho * z\nreturn s / D, rho * x / D, x * (z - x) / D", "D is 0 there"),
    ("D = 2 * rho * x + s - rho * z\nreturn over(s, D), over(rho * x, D)", "Return three derivatives"),
    (THREE.format("s", "rho * x", "2 * x * (z - x)"), "another derivative by rho"),
]

BLOCK = "x = pt.map_em(y, A, pt.priors.Reference({}, {}), iterations={}, start={})"
WRONG["untrained_mapem_net"] = [
    (BLOCK.format("start", "rho", "steps", "x"), "always the start image"),
    (BLOCK.format("x", "rho", "steps", "start"), "begins at the start image"),
    ("for _ in range(steps):\n    " + BLOCK.format("x", "rho", "1", "x"), "moves within a block"),
    (BLOCK.format("x", "rho", "1", "x"), "One step a block"),
    (BLOCK.format("x", "2 * rho", "steps", "x"), "rho is doubled"),
    (BLOCK.format("x", "rho", "steps", "x").replace("x =", "return"), "Only one block"),
    (BLOCK.format("x", "rho", "2", "x"), "is a number fixed"),
    (BLOCK.format("x", "rho", "steps", "np.ones_like(x)"), "not blocks of MAP-EM steps"),
    ("x = pt.map_em(y, A, x, iterations=steps, start=x)", "line 5 of its cell|line 4 of its cell"),
]

SORTED = 'rising = curve.sort_values("noise %")\n'
WRONG["contrast_at_noise"] = [
    ('return np.interp(noise_level, curve["noise %"], curve[region], left=np.nan, right=np.nan)',
     "rising noise|sorted"),
    (SORTED + 'return np.interp(noise_level, rising["noise %"], rising[region])', "Outside the curve"),
    (SORTED + 'return np.interp(noise_level, rising[region], rising["noise %"])', "exchanged"),
    ('return np.interp(noise_level, np.sort(curve["noise %"]), curve[region], left=np.nan, right=np.nan)',
     "Only one column is sorted"),
    ('return curve[region][(curve["noise %"] - noise_level).abs().idxmin()]', "nearest point"),
    (SORTED + 'return np.interp(noise_level, rising["noise %"], rising["CRC lesions"])', "another region"),
    ('curve.sort_values("noise %", inplace=True)\nreturn np.interp(noise_level, curve["noise %"], curve[region])',
     "changes the table"),
    ("return noise_level", "that was asked for"),
    (SORTED + 'return np.interp(noise_level, rising["noise"], rising[region])', "stopped in line"),
    (SORTED + 'return 1.1 * np.interp(noise_level, rising["noise %"], rising[region])', "expected 0"),
]  # fmt: skip

# ---- lesson 13 ----

WRONG["soft_threshold"] = [
    ("return a * (np.abs(a) > t)", "hard"),
    ("return np.maximum(a - t, 0)", "Negative codes are lost"),
    ("return np.maximum(np.abs(a) - t, 0)", "sign is lost"),
    ("return np.sign(a) * (np.abs(a) - t)", "other side of 0"),
    ("return a - t", "shifted by t"),
    ("return np.clip(a, -t, t)", "keeps the small codes"),
    ("return a * (np.abs(a) < t)", "large codes are set to 0"),
    ("return a * np.maximum(np.abs(a) - t, 0)", "the sign is enough"),
    ("return np.sign(a) * max(np.abs(a).max() - t, 0)", "should come out as"),
    ("return np.array([np.sign(v) * max(abs(v) - t, 0) for v in a.ravel()]).reshape(a.shape)",
     "of its own|ValueError"),
]  # fmt: skip

WRONG["overall_filter"] = [
    ("for c, d in pairs:\n    return convolve2d(c, d)", "first pair alone"),
    ('return sum(convolve2d(c, d, mode="same") for c, d in pairs)', "rim is cut off"),
    ("return sum(c * d for c, d in pairs)", "voxel by voxel"),
    ("return sum(c @ d for c, d in pairs)", "matrix product"),
    ("return sum(convolve2d(c, d) for c, d in pairs) / len(pairs)", "This is the mean"),
    ("return sum(convolve2d(c, d[::-1, ::-1]) for c, d in pairs)", "correlation"),
    ("return sum(convolve2d(c, c) for c, d in pairs)", "with themselves"),
    ("return convolve2d(sum(c for c, d in pairs), sum(d for c, d in pairs))", "belongs to its own encoder"),
    ("for c, d in pairs:\n    delta = convolve2d(c, d)\nreturn delta", "last pair alone"),
    ("return np.array([convolve2d(c, d) for c, d in pairs])", "one a pair"),
    ("return 2 * sum(convolve2d(c, d) for c, d in pairs)", "not the sum of"),
]

TOWARDS = "u = denoise(x)\nreturn pt.map_em(y, A, pt.priors.Reference({}, {}), iterations={}, start={})"
WRONG["bcd_layer"] = [
    ("return denoise(x)", "This is u itself"),
    ("denoise(x)\nreturn pt.mlem(y, A, iterations=1, start=x)", "This is MLEM"),
    (TOWARDS.format("x", "rho", "1", "x"), "reference is x"),
    (TOWARDS.format("u", "rho", "1", "u"), "starts from u"),
    (TOWARDS.format("x", "rho", "1", "u"), "u and x are exchanged"),
    (TOWARDS.format("u", "rho", "1", "np.ones_like(x)"), "image of ones"),
    (TOWARDS.format("u", "rho", "2", "x"), "two steps"),
    (TOWARDS.format("u", "2 * rho", "1", "x"), "rho is doubled"),
    ("return denoise(pt.mlem(y, A, iterations=1, start=x))", "other way round"),
    ("return (denoise(x) + pt.mlem(y, A, iterations=1, start=x)) / 2", "mean of the EM image and u"),
    ("denoise(x)\n" + TOWARDS.format("u", "rho", "1", "x"), "called 2 times"),
    (TOWARDS.format("1.1 * u", "rho", "1", "x"), "not one MAP-EM step"),
]

WRONG["tuned_kappa"] = [
    ("best = min(kappas, key=on_test)\nreturn best, on_test(best)", "You chose on the test head"),
    ("best = min(kappas, key=on_validation)\nreturn best, min(on_test(k) for k in kappas)", "was asked for 5"),
    ("best = min(kappas, key=on_validation)\nreturn best, on_validation(best)", "on which κ was chosen"),
    ("best = max(kappas, key=on_validation)\nreturn best, on_test(best)", "largest"),
    ("best = min(kappas, key=on_validation)\nreturn on_test(best), best", "exchanged"),
    ("best = min(on_validation(k) for k in kappas)\nreturn best, best", "This is the least error"),
    ("best = min(kappas[:3], key=on_validation)\nreturn best, on_test(best)", "Not all κ"),
    ("best = np.argmin([on_validation(k) for k in kappas])\nreturn best, on_test(kappas[best])", "place in the list"),
    ("return min(kappas, key=on_validation)", "Return two values"),
    ("best = min(kappas, key=on_validation)\nreturn best, 0.9 * on_test(best)", "the chosen κ on the test head"),
    ("best = min(kappas, key=lambda k: on_validation(k) + on_test(k))\nreturn best, on_test(best)", "was asked for 5"),
    ("[on_validation(k) for k in kappas]\nreturn kappas[1], on_test(kappas[1])", "expected κ = 2"),
]

# ---- lesson 14 ----

WRONG["paired_difference"] = [
    ("d = second - first\nreturn d.mean(), d.std(ddof=1) / np.sqrt(len(d))", "sign is wrong"),
    ("d = first - second\nreturn d.mean(), d.std(ddof=1)", "a single difference"),
    ("d = first - second\nreturn d.mean(), d.std() / np.sqrt(len(d))", "`ddof=1` is missing"),
    ("n = len(first)\nreturn (first - second).mean(), np.sqrt((first.var(ddof=1) + second.var(ddof=1)) / n)",
     "nothing in common"),
    ("d = first - second\nreturn d.mean(), d.std(ddof=1) / len(d)", "not by n"),
    ("d = first - second\nreturn d.mean(), 2 * d.std(ddof=1) / np.sqrt(len(d))", "two standard errors"),
    ("d = first - second\nreturn d.std(ddof=1) / np.sqrt(len(d)), d.mean()", "exchanged"),
    ("d = first - second\nreturn np.median(d), d.std(ddof=1) / np.sqrt(len(d))", "median"),
    ("return (first - second).mean()", "Return two values"),
    ("d = first - second\nreturn d, d.std(ddof=1) / np.sqrt(len(d))", "Return two numbers"),
    ("d = first - second\nreturn 1.1 * d.mean(), d.std(ddof=1)", "mean difference of two small arrays"),
]  # fmt: skip

METHOD = 'curves["method"] == method'
GREY = 'curves["region"] == "grey matter"'
EXCHANGED = '.rename(columns={"crc": "std", "std": "crc"})'
WRONG["noise_of_method"] = [
    (f'one = curves[({METHOD}) & ({GREY})]\nreturn pt.measures.at_equal_noise(one, crc, "crc")', "not exchanged"),
    (f'one = curves[({METHOD}) & (curves["region"] == "lesion 1")]{EXCHANGED}\n'
     'return pt.measures.at_equal_noise(one, crc, "crc")', "another region"),
    (f'one = curves[(curves["method"] == "U-Net") & ({GREY})]{EXCHANGED}\n'
     'return pt.measures.at_equal_noise(one, crc, "crc")', "another method"),
    (f'one = curves[({METHOD}) & ({GREY})]{EXCHANGED}\nreturn 100 * pt.measures.at_equal_noise(one, crc, "crc")',
     "per cent"),
    (f'one = curves[({METHOD}) & ({GREY})]\nreturn one["std"][(one["crc"] - crc).abs().idxmin()]', "nearest point"),
    (f'one = curves[{METHOD}]{EXCHANGED}\nreturn pt.measures.at_equal_noise(one, crc, "crc")',
     "expected one curve, got several of region"),
    ("return crc", "asked for"),
    (f'one = curves[({METHOD}) & ({GREY})].sort_values("crc")\nreturn np.interp(crc, one["crc"], one["setting"])',
     "a setting"),
    (f'one = curves[({METHOD}) & ({GREY})]{EXCHANGED}\nreturn 1.1 * pt.measures.at_equal_noise(one, crc, "crc")',
     "expected a noise"),
]  # fmt: skip

SAME = 'same = pt.measures.at_equal_noise(path, rows["std"].to_numpy(), "grey")\n'
WRONG["gain_at_equal_noise"] = [
    (SAME + 'return same - rows["grey"].to_numpy()', "sign is wrong"),
    (SAME + "return same", "This is the Gaussian's contrast"),
    ('return rows["grey"].to_numpy()', "network's contrast alone"),
    ('return rows["grey"].to_numpy() - path["grey"].max()', "best"),
    ('return rows["grey"].to_numpy() - path["grey"].mean()', "mean of the Gaussian's path"),
    ('return rows["grey"].to_numpy() - pt.measures.at_equal_noise(path, rows["std"].mean(), "grey")', "mean noise"),
    (SAME + 'return (rows["grey"].to_numpy() - same).mean()', "one number a seed"),
    (SAME + 'return rows["grey"].to_numpy() / same - 1', "relative to the Gaussian"),
    ('return (rows["grey"] - path["grey"]).to_numpy()', "expected shape|matched by their index"),
    ('return [g - path["grey"][(path["std"] - s).abs().idxmin()] for g, s in zip(rows["grey"], rows["std"])]',
     "nearest noise"),
    (SAME + 'return 1.1 * (rows["grey"].to_numpy() - same)', "not the network's contrast"),
]  # fmt: skip

# ---- lesson 15 ----

UNROLL = "z = denoise({})\nx = pt.map_em(y, A, pt.priors.Reference({}, {}), iterations={}, start={})"
WRONG["fbsem_loop"] = [
    (UNROLL.format("x", "x", "rho", "1", "x"), "reference is x itself"),
    (UNROLL.format("start", "z", "rho", "1", "x"), "made once"),
    (UNROLL.format("x", "z", "rho", "1", "z"), "starts from z"),
    (UNROLL.format("x", "z", "rho", "1", "start"), "starts from the first image"),
    (UNROLL.format("x", "z", "rho", "2", "x"), "Two steps"),
    (UNROLL.format("x", "z", "2 * rho", "1", "x"), "rho is doubled"),
    (UNROLL.format("x", "z", "rho / 2", "1", "x"), "rho is halved"),
    (UNROLL.format("x", "z", "rho", "1", "x").replace("x = pt", "return pt"), "Only one unroll"),
    ("x = denoise(pt.map_em(y, A, pt.priors.Reference(x, rho), iterations=1, start=x))", "comes after it"),
    ("denoise(x)\n" + UNROLL.format("x", "z", "rho", "1", "x"), "called 6 times"),
    ("x = denoise(x)", "not unrolls"),
]

WRONG["dual_correction"] = [
    ("return dual(ops.concatenate([ratio, c], axis=-1))", "alone. It corrects"),
    ("return ratio - dual(ops.concatenate([ratio, c], axis=-1))", "subtracted"),
    ("return ratio * dual(ops.concatenate([ratio, c], axis=-1))", "so that a CNN of 0 changes nothing"),
    ("return ratio + dual(ops.concatenate([c, ratio], axis=-1))", "channels are exchanged"),
    ("return ratio + dual(ops.concatenate([ratio, ratio], axis=-1))", "ratio twice"),
    ("return c + dual(ops.concatenate([ratio, c], axis=-1))", "added to c"),
    ("return ratio + c + dual(ops.concatenate([ratio, c], axis=-1))", "c is added as well"),
    ("return ratio + dual(ratio)", "gets one channel"),
    ("return ratio + dual(ops.concatenate([ratio, c], axis=1))", "`axis=-1`"),
    ("return ratio + dual(np.concatenate([ratio, c], axis=-1))", "stopped in line 3.*KerasTensor"),
    ("return ops.concatenate([ratio, c], axis=-1)", "shape of the ratio"),
]
