"""Typical wrong answers to the exercises: lines in place of the solution, and what the check has to say (a pattern)."""

from wrong_answers_first import WRONG as FIRST
from wrong_answers_last import WRONG as LAST
from wrong_answers_networks import WRONG as OF_NETWORKS

WRONG = FIRST | OF_NETWORKS | LAST  # those of lessons 1 and 2, of 9 to 15, and of 16

# ---- lesson 5 ----

WRONG["em_update"] = [
    ("x = x * ratio(A.T(ratio(y, A(x)) + A.background), s)", "added the randoms after the division"),
    ("x = x * ratio(A.T(ratio(y, A(x))), s)", "background is forgotten"),
    ("x = x * ratio(A.T(ratio(np.maximum(y - A.background, 0), A(x))), s)", "subtracted the randoms"),
    ("x = x * ratio(A.T(ratio(A.expected(x), y)), s)", "upside down"),
    ("x = x * A.T(ratio(y, A.expected(x)))", "division by the sensitivity `s` is missing"),
    ("x = x * A.T(ratio(y, A.expected(x))) * s", "multiplied by the sensitivity"),
    ("x = ratio(A.T(ratio(y, A.expected(x))), s)", "old image is missing"),
    ("x = x * ratio(A.T(y), s)", "back-project the counts themselves"),
    ("x = x + ratio(A.T(y - A.expected(x)), s)", "compare by subtraction"),
    ("x = x + ratio(A.T(ratio(y, A.expected(x))), s)", "add the correction"),
    ("x = x * ratio(A.projector.T(A.factors * ratio(y, A.expected(x))), s)", "blur is missing from the adjoint"),
    ("x = x * ratio(A.projector.T(ratio(y, A.expected(x))), s)", "Attenuation, normalisation and blur are missing"),
    ("x = x * ratio(A.T(y / A.expected(x)), s)", "stopped in line 10.*NaN.*use `ratio`"),
    ("x = x * A.T(ratio(y, A.expected(x))) / s", "infinite or not a number.*use `ratio`"),
    ("return x * ratio(A.T(ratio(y, A.expected(x))), s)", "1 and 2 iterations give the same image"),
    ("x = x * np.sqrt(ratio(A.T(ratio(y, A.expected(x))), s))", "step is not the one of MLEM"),
    ("x = A.T(ratio(y, A.expected(A.T(y))))[0]", r"the image: expected shape \(1, 12, 14\), got \(12, 14\)"),
    ("y /= 2\nx = x * ratio(A.T(ratio(y, A.expected(x))), s)", "changes `y`"),
]

WRONG["filter_search"] = [
    ("return max(((k, w) for k in (10, 20, 30, 40) for w in np.arange(0, 8.1, 0.5)), key=lambda p: error_of(*p))",
     "largest error"),
    ("return min((w, k) for w in np.arange(0, 8.1, 0.5) for k in (10, 20, 30, 40) if error_of(k, w) < 20.01)",
     "exchanged"),
    ("return 30, min(np.arange(0, 8.1, 0.5), key=lambda w: error_of(30, w))", "Not all of 10, 20, 30 and 40"),
    ("return min(((k, w) for k in (10, 20, 30, 40) for w in range(9)), key=lambda p: error_of(*p))",
     "Not all widths"),
    ("return min(((k, w) for k in (10, 20, 30, 40) for w in np.arange(0, 8, 0.5)), key=lambda p: error_of(*p))",
     "both ends included"),
    ("k = min((10, 20, 30, 40), key=lambda k: error_of(k, 4.0))\n"
     "return k, min(np.arange(0, 8.1, 0.5), key=lambda w: error_of(k, w))",
     "first one number, then the other"),
    ("errors = np.array([[error_of(k, w) for w in np.arange(0, 8.1, 0.5)] for k in (10, 20, 30, 40)])\n"
     "return np.unravel_index(errors.argmin(), errors.shape)", "places in a list"),
    ("return min(error_of(k, w) for k in (10, 20, 30, 40) for w in np.arange(0, 8.1, 0.5))", "Return two numbers"),
    ("return error_of(15, 0.0), 2", "line 3 of its cell.*expected 10, 20, 30 or 40"),
]  # fmt: skip

WRONG["osem_pass"] = [
    ("new = pt.mlem(y[:, k::n], A.subset(k, n), iterations=1, start=x)\nif k == n - 1: return new",
     "starts from the first image"),
    ("x = pt.mlem(y, A, iterations=1, start=x)", "still uses all views"),
    ("x = pt.mlem(y[:, 0::n], A.subset(0, n), iterations=1, start=x)", "same subset"),
    ("x = pt.mlem(y[:, k::n], A.subset(k, n), iterations=3, start=x)", "More than one iteration"),
    ("x = pt.mlem(y[:, k::n], A.subset(k, n), iterations=1)", "`start=x` is missing"),
    ("m = y.shape[1] // n\nx = pt.mlem(y[:, k * m:(k + 1) * m], A.subset(k, n), iterations=1, start=x)",
     "neighbouring views"),
    ("return pt.mlem(y[:, k::n], A.subset(k, n), iterations=1, start=x)", "inside the loop"),
    ("x *= 2", "changes `x`"),
    ("x = pt.mlem(y, A.subset(k, n), iterations=1, start=x)", r"line 3 of its cell.*ValueError: y: expected"),
]  # fmt: skip

# ---- lesson 3 ----

WRONG["joseph_weights"] = [
    ("return 1 - np.abs(voxels - at)", "negative"),
    ("return np.clip(np.abs(voxels - at), 0, 1) * (np.abs(voxels - at) < 1)", "farther of the two voxels"),
    ("return np.clip(1 - (voxels - at), 0, None)", "absolute value"),
    ("return np.clip(1 - np.abs(voxels - at) / 2, 0, None) / 2", "more than two voxels"),
    ("return 1.0 * (voxels == np.floor(at))", "a single voxel"),
    ("return np.clip(1 - (voxels - at) ** 2, 0, None)", "square"),
    ("w = np.clip(1 - np.abs(voxels - at), 0, None)\nreturn w / w.sum(axis=1, keepdims=True)",
     "infinite or not a number"),
    ("w = np.clip(1 - np.abs(voxels - at), 0, None)\nreturn w / np.maximum(w.sum(axis=1, keepdims=True), 1e-9)",
     "normalised"),
    ("return np.clip(1 - np.abs(voxels - at), 0, None).T", r"the shares: expected shape \(\d+, \d+\)"),
]  # fmt: skip

WRONG["enough_rays"] = [
    ("return min((1, 2, 3, 4, 5), key=ripple_of)", "least ripple"),
    ("rays = 1\nwhile ripple_of(rays) >= 1:\n    rays += 1\nreturn rays - 1", "one too few"),
    ("rays = 1\nwhile ripple_of(rays) >= 1:\n    rays += 1\nreturn rays + 1", "one too many"),
    ("for rays in range(1, 6):\n    if ripple_of(rays) < 1:\n        return rays", "search ended"),
    ("rays = 1\nwhile ripple_of(rays) >= 1:\n    rays += 1\nreturn ripple_of(rays)", "ripple itself"),
    ("rays = 1\nwhile ripple_of(rays) >= 1:\n    rays *= 2\nreturn rays", "left out"),
    ("rays = 1\nwhile ripple_of(rays) >= 0.01:\n    rays += 1\nreturn rays", "per cent"),
]

WRONG["unmatched_pair"] = [
    ("return self.back", "projects instead of back-projecting"),
    ("return self.forward", "projects instead of back-projecting"),
    ("return self.back.T.T", "projects instead of back-projecting"),
    ("return lambda y: 0.5 * (self.forward.T(y) + self.back.T(y))", "mixes both"),
    ("return lambda y: 2 * self.back.T(y)", "not the back projection of the second model"),
    ("return self.back.T(np.ones(self.out_shape, np.float32))", "an array"),
    ("return self.back.transpose", "line 13 of its cell.*AttributeError"),
]

WRONG["matrix_memory"] = [
    ("gigabytes = 68_516 * 837 * 250 * 4 * (4 + 4)", "bytes"),
    ("gigabytes = 68_516 * 250 * 4 * 8 / 1e9", "837 planes"),
    ("gigabytes = 68_516 * 837 * 250 * 8 / 1e9", "four voxels"),
    ("gigabytes = 68_516 * 837 * 250 * 4 * 4 / 1e9", "number of its voxel"),
    ("gigabytes = 252 * 344 * 837 * 250 * 4 * 8 / 1e9", "live"),
    ("gigabytes = 68_516 * 837 * 250 * 4 * 8 / 2**30", "gibibytes"),
    ("gigabytes = 68_516 * 837 * 250 * 4 * 8 / 1e6", "megabytes"),
    ("gigabytes = 100", "five numbers"),
]

# ---- lesson 4 ----

WRONG["water_attenuation"] = [
    ("predicted = np.exp(-0.096 * 200)", "200 mm"),
    ("predicted = np.exp(-0.096 * 10)", "radius"),
    ("predicted = np.exp(0.096 * 20)", "sign"),
    ("predicted = 1 - np.exp(-0.096 * 20)", "are lost"),
    ("predicted = 0.096 * 20", "integral"),
    ("predicted = np.exp(-2 * 0.096 * 20)", "twice"),
    ("predicted = 10 ** (-0.096 * 20)", "base"),
    ("predicted = 0.5", "share between 0 and 1"),
]

WRONG["expected_counts"] = [
    ("return data.normalisation * data.attenuation * X(image) + data.randoms", "blur"),
    ("return data.normalisation * X(pt.gaussian_filter(image, 4.5, X.grid)) + data.randoms",
     "attenuation is missing"),
    ("return data.attenuation * X(pt.gaussian_filter(image, 4.5, X.grid)) + data.randoms", "normalisation is missing"),
    ("return data.normalisation * data.attenuation * X(pt.gaussian_filter(image, 4.5, X.grid))",
     "background is missing"),
    ("return data.normalisation * data.attenuation * (X(pt.gaussian_filter(image, 4.5, X.grid)) + data.randoms)",
     "inside the brackets"),
    ("return data.normalisation / np.maximum(data.attenuation, 1e-9) * X(pt.gaussian_filter(image, 4.5, X.grid)) "
     "+ data.randoms", "divided by the attenuation"),
    ("return data.normalisation * data.attenuation * X(pt.gaussian_filter(image, 2.5, X.grid)) + data.randoms",
     "4.5 mm"),
    ("return data.prompts", "the image does not matter"),
    ("return data.normalisation * data.attenuation * X(pt.gaussian_filter(image, 4.5, X.grid)) + data.prompts",
     "prompts"),
]  # fmt: skip

WRONG["noise_equivalent_counts"] = [
    ("return (f * T) ** 2 / (f * T + f * R)", "f² R"),
    ("return (f * T) ** 2 / (f * T + R)", "f² R"),
    ("return f * T / (f * T + f**2 * R)", "square of the trues is missing"),
    ("return f * T**2 / (f * T + f**2 * R)", "whole of f T"),
    ("return f * T - f**2 * R", "subtract"),
    ("return (f * T) ** 2 / (f * T + 2 * f**2 * R)", "2 R"),
    ("return (f * T) ** 2 / (f**2 * R)", "trues are missing below"),
    ("return np.sqrt((f * T) ** 2 / (f * T + f**2 * R))", "signal to noise"),
    ("return T**2 / (T + R)", "shape"),
]

# ---- lesson 6 ----

WRONG["subset_order"] = [
    ('return sorted(range(n), key=lambda k: f"{k:08b}")', "plain order"),
    ("return list(range(n))[::-1]", "turned round"),
    ("return list(range(0, n, 2)) + list(range(1, n, 2))", "First all even"),
    ('return [int(f"{k:08b}"[::-1], 2) for k in range(n)]', "reversed digits as numbers"),
    ("return [(3 * k) % n for k in range(n)]", "missing, or come twice|lie evenly"),
    ("return np.random.default_rng(0).permutation(n)", "lie evenly"),
    ('return sorted(f"{k:08b}"[::-1] for k in range(n))', "expected an array of numbers"),
    ("return np.arange(n) / n", "each once"),
]

WRONG["bias_and_noise"] = [
    ("return truth - images.mean(axis=0), images.std(axis=0, ddof=1)", "wrong sign"),
    ("return abs(images.mean(axis=0) - truth), images.std(axis=0, ddof=1)", "keeps its sign"),
    ("return images.mean(axis=0), images.std(axis=0, ddof=1)", "truth is missing"),
    ("return images.mean(axis=0) / truth - 1, images.std(axis=0, ddof=1)", "over the truth"),
    ("return images[0] - truth, images.std(axis=0, ddof=1)", "single realisation"),
    ("return images.mean(axis=0) - truth, images.std(axis=0)", "Without `ddof=1`"),
    ("return images.mean(axis=0) - truth, images.var(axis=0, ddof=1)", "variance"),
    ("return images.mean(axis=0) - truth, images.std(axis=0, ddof=1) / np.sqrt(len(images))", "deviation of the mean"),
    ("return images.std(axis=0, ddof=1), images.mean(axis=0) - truth", "exchanged"),
    ("return images.mean(axis=1) - truth, images.std(axis=1, ddof=1)", r"the bias: expected shape \(3, 1, 4, 6\)"),
    ("return images.mean(axis=0) - truth", "Return two values"),
]

WRONG["equal_noise"] = [
    ("return pt.gaussian_at_noise(images, pt.measures.background_std(rival, region | True), region | True, grid)",
     "over all voxels"),
    ("return pt.gaussian_at_noise(images, pt.measures.spatial_variation(rival[0], region), region, grid)", "roughness"),
    ("return 0.0, rival", "rival itself"),
    ("return pt.gaussian_at_noise(images, pt.measures.background_std(rival, region), region, grid)[::-1]", "exchanged"),
    ("return pt.gaussian_at_noise(images, 0.5 * pt.measures.background_std(rival, region), region, grid)",
     "In the region the rival has"),
    ("return 3.0, np.stack([pt.gaussian_filter(x, 3.0, grid) for x in rival])", "filtered the rival"),
    ("return 4.0, np.stack([pt.gaussian_filter(x, 3.0, grid) for x in images])", "belong together"),
    ("return pt.gaussian_at_noise(images, 100 * pt.measures.background_std(rival, region), region, grid)",
     r"line \d+ of its cell.*noise: expected at most"),
]  # fmt: skip

WRONG["filtered_pass"] = [
    ("return pt.gaussian_at_noise(stack[:, min(p, stack.shape[1] - 1)], noise, region, grid)", "Python counts from 0"),
    ("return pt.gaussian_at_noise(stack[:, -1], noise, region, grid)", "filtered the images after 5"),
    ("return pt.gaussian_at_noise(stack[:, 1], noise, region, grid)", "filtered the images after 2"),
    ("return pt.gaussian_at_noise(stack[:, p - 1], 1.3 * noise, region, grid)", "a noise of"),
    ("return pt.gaussian_at_noise(stack[p - 2], noise, region, grid)", "second the pass|finite|expected"),
    ("return pt.gaussian_at_noise(stack[:, p], noise, region, grid)", "Python counts from 0"),
    ("return 2.0, stack", "all passes"),
    ("return pt.gaussian_at_noise(stack[:, p - 1], noise, region, grid)[1]", "Return two values"),
]

# ---- lesson 7 ----

WRONG["stable_root"] = [
    ("b = s - rho * z\nreturn (np.sqrt(b**2 + 4 * rho * s * x_em) - b) / (2 * rho)", "With a weak prior"),
    ("b = s - rho * z\nreturn 2 * s * x_em / (np.sqrt(b**2 + 4 * rho * s * x_em) + b)", "With a strong prior"),
    ("b = s - rho * z\nreturn -(b + np.sqrt(b**2 + 4 * rho * s * x_em)) / (2 * rho)", "negative root"),
    ("b = rho * z - s\nreturn (np.sqrt(b**2 + 4 * rho * s * x_em) - b) / (2 * rho)", "sign of b"),
    ("b = s - rho * z\nreturn (np.sqrt(b**2 + 4 * rho * x_em) - b) / (2 * rho)", "sensitivity is missing"),
    ("b = s - rho * z\nreturn s * x_em / (np.sqrt(b**2 + 4 * rho * s * x_em) + b)", "Half of it"),
    ("b = s - rho * z\nd = np.sqrt(b**2 + 4 * rho * s * x_em)\n"
     "return np.where(b < 0, 2 * s * x_em / (d + b), (d - b) / (2 * rho))", "With a weak prior"),
    ("x_em, s, rho, z = (np.asarray(v, float) for v in (x_em, s, rho, z))\nb = s - rho * z\n"
     "d = np.sqrt(b**2 + 4 * rho * s * x_em)\n"
     "return np.where(rho > 0, (d - b) / np.where(rho > 0, 2 * rho, 1), x_em)", "more digits only hide"),
    ("b = s - rho * z\nd = np.sqrt(b**2 + 4 * rho * s * x_em)\n"
     "return np.where(b > 0, 2 * rho * s * x_em / (rho * (d + b)), (d - b) / (2 * rho))", "no prior"),
]  # fmt: skip

STEP = "x = np.where(s > 0, root({}), 0).astype(np.float32)"
EM, PRIOR = "x_em = pt.mlem(y, A, iterations=1, start=x)\n", "rho, z = prior.surrogate(x)\n"
WRONG["map_em_step"] = [
    ("x = pt.mlem(y, A, iterations=1, start=x)", "This is MLEM"),
    (EM + "rho, z = prior.surrogate(start)\n" + STEP.format("x_em, s, rho, z"), "those of the start image"),
    (EM.replace(", start=x", "") + PRIOR + STEP.format("x_em, s, rho, z"), "starts from ones"),
    (EM.replace("start=x", "start=start") + PRIOR + STEP.format("x_em, s, rho, z"), "always made from the start"),
    (PRIOR + STEP.format("x, s, rho, z"), "present image in place of the EM image"),
    (EM + PRIOR + STEP.format("x_em, s, z, rho"), "exchanged"),
    (EM + PRIOR + STEP.format("x_em, np.ones_like(s), rho, z"), "sensitivity s is missing"),
    (EM + PRIOR + STEP.format("x_em, s, rho / 2, z"), "halved"),
    (EM + PRIOR + "x = root(x_em, s, rho, z).astype(np.float32)", "Where no line crosses"),
    (EM + PRIOR + STEP.format("x_em, s, rho, z").replace("x =", "return"), "`return` is inside the loop"),
    (EM + PRIOR + "x = np.where(s > 0, x_em - z, 0).clip(0).astype(np.float32)", "`root` is not used"),
    (EM + PRIOR + "x = np.where(s > 0, root(x_em, s, rho, z), 0).astype(float)", "line 4 of its cell.*float32"),
]

WRONG["relative_difference"] = [
    ("return (a - b) ** 2 / (a + b + gamma * abs(a - b))", "epsilon is missing"),
    ("return (a - b) ** 2 / (a + b + epsilon)", "gamma .* is missing"),
    ("return (a - b) ** 2 / (a + b + gamma * (a - b) + epsilon)", "absolute value is missing"),
    ("return (a - b) ** 2 / (a + b + gamma * (a - b) ** 2 + epsilon)", "not squared"),
    ("return abs(a - b) / (a + b + gamma * abs(a - b) + epsilon)", "square is missing above"),
    ("return (a - b) ** 2", "quadratic penalty"),
    ("return (a - b) ** 2 / (gamma * (a + b) + abs(a - b) + epsilon)", "gamma multiplies the sum"),
    ("return (a - b) ** 2 / (a + b + gamma * abs(a - b) + epsilon) / 2", "half of the penalty"),
    ("return (a - b) ** 2 / (a + 2 * b + gamma * abs(a - b) + epsilon)", "pair has no order"),
    ("return (a - b) ** 2 / (a + b + 2 * gamma * abs(a - b) + epsilon)", "slope of phi"),
    ("return (a - b) ** 2 / (a + b + gamma * abs(a - b) + epsilon) + 1", "cost nothing"),
]

WRONG["first_worse_shift"] = [
    ("return [mm for mm in errors if errors[mm] > without_mr]", "not a list"),
    ("return next((mm for mm in list(errors)[::-1] if errors[mm] > without_mr), None)", "last shift that is worse"),
    ("return next((mm for mm in errors if errors[mm] >= without_mr), None)", "equal is not worse"),
    ("return next((mm for mm in errors if errors[mm] < without_mr), None)", "wrong way round"),
    ("return next((errors[mm] for mm in errors if errors[mm] > without_mr), None)", "error in per cent"),
    ("return next((k for k, mm in enumerate(errors) if errors[mm] > without_mr), None)", "place in the list"),
    ("return next((mm for mm in errors if errors[mm] > without_mr), max(errors))", "return None"),
    ("return next((mm for mm in errors if errors[mm] > errors[0]), None)", "expected|worse|helps"),
    ("return any(error > without_mr for error in errors.values())", "not True or False"),
]

# ---- lesson 8 ----

LINE = "alpha = alpha * ratio({back}, {below})"
COMPARED = "compared = ratio(y, A.expected(K(alpha)))\n"
WRONG["kernel_em_update"] = [
    (COMPARED + LINE.format(back="K(A.T(compared))", below="K(s)"), "in both places"),
    (COMPARED + LINE.format(back="K(A.T(compared))", below="K.T(s)"), "in the back projection"),
    (COMPARED + LINE.format(back="K.T(A.T(compared))", below="K(s)"), "below the line"),
    (COMPARED + LINE.format(back="K.T(A.T(compared))", below="s"), "divide by s"),
    (COMPARED + LINE.format(back="A.T(compared)", below="K.T(s)"), "ends at the image"),
    (COMPARED + LINE.format(back="A.T(compared)", below="s"), "missing twice"),
    ("compared = ratio(y, A(K(alpha)))\n" + LINE.format(back="K.T(A.T(compared))", below="K.T(s)"), "background"),
    ("compared = ratio(y, A.expected(alpha))\n" + LINE.format(back="K.T(A.T(compared))", below="K.T(s)"),
     "project alpha"),
    (COMPARED + "alpha = K(alpha) * ratio(K.T(A.T(compared)), K.T(s))", "multiply the image"),
    (COMPARED + "alpha = ratio(K.T(A.T(compared)), K.T(s))", "old coefficients are missing"),
    (COMPARED + "alpha = alpha * np.sqrt(ratio(K.T(A.T(compared)), K.T(s)))", "counts should be preserved"),
    (COMPARED + "alpha = alpha * ratio(K.T(s), K.T(A.T(compared)))", "likelihood falls"),
]  # fmt: skip

CHOOSE = "chosen.append(int(np.abs(atoms @ left).argmax()))\n"
FIT = "weights = np.linalg.lstsq(atoms[chosen].T, wanted, rcond=None)[0]\n"
LEFT = "left = wanted - atoms[chosen].T @ weights"
WRONG["matching_pursuit"] = [
    (CHOOSE + "left = left - (atoms[chosen[-1]] @ left) * atoms[chosen[-1]]", "Only the last atom is fitted"),
    (CHOOSE + "left = wanted - (atoms[chosen[-1]] @ wanted) * atoms[chosen[-1]]", "fitted alone"),
    (CHOOSE + FIT.replace("wanted", "left") + LEFT, "fitted to what is left"),
    (CHOOSE.replace("left", "wanted") + FIT + LEFT, "again and again"),
    (CHOOSE.replace("np.abs(atoms @ left)", "(atoms @ left)") + FIT + LEFT, "sign decides"),
    (CHOOSE.replace("argmax", "argmin") + FIT + LEFT, "least alike"),
    (CHOOSE + FIT + "left = atoms[chosen].T @ weights", "exchanged with the fit|orthogonal"),
    (
        CHOOSE + FIT + LEFT + "\npatch = patch - 0\nif len(chosen) == sparsity: return wanted - left",
        "mean of the patch",
    ),
    (CHOOSE + "weights = atoms[chosen] @ wanted\n" + LEFT, "orthogonal"),
]

WRONG["noise_at_contrast"] = [
    ('return pt.measures.at_equal_noise(curve, crc, "crc")', "columns are not exchanged"),
    ('return 100 * pt.measures.at_equal_noise(curve.rename(columns={"crc": "std", "std": "crc"}), crc, "crc")',
     "per cent"),
    ('return curve["std"][(curve["crc"] - crc).abs().idxmin()]', "nearest point"),
    ('return np.interp(crc, curve["std"], curve["crc"])', "This is a CRC"),
    ("return crc", "asked for"),
    ('return np.interp(crc, curve["crc"], curve["setting"])', "a setting"),
    ('curve["std"], curve["crc"] = curve["crc"], curve["std"].copy()\n'
     'return pt.measures.at_equal_noise(curve, crc, "crc")', "changes the table"),
    ('return pt.measures.at_equal_noise(curve.rename(columns={"crc": "std"}), crc, "std")', "stopped in line 3"),
]  # fmt: skip
