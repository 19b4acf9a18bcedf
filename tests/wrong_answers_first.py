"""Typical wrong answers to the exercises of lessons 0 to 2: lines in place of the solution, and a pattern of words."""

WRONG = {}

# ---- lesson 0 ----

WRONG["another_patient"] = [
    ('return pt.load_subject("mni:1")', "the subject itself"),
    ('return pt.load_subject("mni:1").on(grid).pet', "not one of its images"),
    ('return pt.load_subject("mni:1").on(pt.ImageGrid((1, 42, 39), (4.0, 5.0, 5.0)))', "on another grid"),
    ('subject = pt.load_subject("mni:0")\nreturn subject.on(grid)', "subject 0 again"),
    ('return pt.load_subject("mni:2").on(grid)', "is subject mni:2"),
    ('return pt.load_subject("mni:1").on(grid).with_lesions(seed=0)', "lesions in it"),
]

SHORT = "return pt.simulate(truth, X, counts={}, seed={})"
WRONG["short_scan"] = [
    (SHORT.format("trues / 1", 1), "all the counts"),
    (SHORT.format("trues * 10", 1), "ten times as many"),
    (SHORT.format("trues / 100", 1), "a hundredth"),
    (SHORT.format("trues - trues / 10", 1), "Nine tenths"),
    ("return pt.simulate(truth, X, seed=1)", "is missing"),
    (SHORT.format("5e5 / 10", 1), "usual scan"),
    (SHORT.format("trues / 5", 1), "Expected 30,000 trues"),
    (SHORT.format("trues / 10", 2), "other lines see them"),
    (SHORT.format("trues / 10", "1, psf_fwhm=0"), "other lines see them"),
    ("return pt.simulate(truth, X, counts=trues / 10, seed=1).prompts", "Return the whole scan"),
    (
        "from dataclasses import replace\nscan = pt.simulate(truth, X, counts=trues, seed=1)\n"
        "return replace(scan, trues=scan.trues / 10, prompts=scan.prompts / 10)",
        "not whole numbers",
    ),
]

# ---- lesson 1 ----

WRONG["coarse_contrast"] = [
    ("return pt.measures.contrast(image, labels == 3, labels == 2)", "exchanged"),
    ("return pt.measures.contrast(image, labels == 2, labels == 3) - 1", "relative difference"),
    ("return image[labels == 2].mean() - image[labels == 3].mean()", "difference of the means"),
    ("return image[labels == 2].sum() / image[labels == 3].sum()", "ratio of the sums"),
    ("return image[labels == 2].max() / image[labels == 3].max()", "maxima"),
    ("return image[labels == 1].mean() / image[labels == 2].mean()", "Label 1 is taken"),
    ("return image[labels == 2].mean() / image[labels != 2].mean()", "everything but grey matter"),
    ("return image[labels == 2].mean() / image.mean()", "whole image"),
    ("return image[labels == 2].mean()", "grey matter alone"),
    ("return np.median(image[labels == 2]) / np.median(image[labels == 3])", "medians"),
    ("return image[labels == 2] / 32", "it: expected shape"),
    ("return 3.1", "expected 2"),
]

WRONG["forgotten_marrow"] = [
    ("mu[labels == 11] = 0\nreturn mu", "`mu.copy\\(\\)`"),
    ("wrong[labels != 11] = 0\nreturn wrong", "other way round"),
    ("return labels == 11", "only a mask. Everywhere else"),
    ("return (labels != 11).astype(np.float32)", "only a mask. Everywhere but"),
    ("wrong[labels >= 11] = 0\nreturn wrong", "from 11 on"),
    ("wrong[labels <= 11] = 0\nreturn wrong", "up to 11"),
    ("wrong[labels == 11] = 0.096\nreturn wrong", "value of water"),
    ("wrong[labels == 10] = 0\nreturn wrong", "In the marrow"),
    ("wrong[(labels == 11) | (labels == 6)] = 0\nreturn wrong", r"label is \[6\]"),
    ("labels[labels == 11] = 0\nreturn wrong", "changes the labels"),
]

LESION = "return truth.with_lesions(lesions=[pt.Lesion({}, centre=({}))])"
PLACE = "0.0, -35.0, 22.0"
WRONG["cold_lesion"] = [
    (LESION.format('16, "hot", where="pet"', PLACE), "The lesion is hot"),
    (LESION.format('16, "cold"', PLACE), "seen in PET and MR"),
    (LESION.format('16, "cold", where="mr"', PLACE), "seen in MR only"),
    (LESION.format('8, "cold", where="pet"', PLACE), "8 mm is the radius"),
    (LESION.format('16, "cold", where="pet"', "22.0, -35.0, 0.0"), "not in the slice"),
    (LESION.format('16, "cold", where="pet"', "0.0, -80.0, 60.0"), "there is no brain"),
    ("return truth.with_lesions()", "got 4"),
    ("return pt.Lesion(16, 'cold', where='pet')", "got a Lesion"),
    (LESION.format('16, "cold", where="pet", value=60.0', PLACE), "less activity than white matter"),
]

# ---- lesson 2 ----

WRONG["point_trace"] = [
    ("return y0 * np.cos(phi) + x0 * np.sin(phi)", "exchanged"),
    ("return x0 * np.cos(phi) - y0 * np.sin(phi)", "sign of the second term"),
    ("return y0 * np.cos(phi) - x0 * np.sin(phi)", "along"),
    ("return x0 * np.cos(np.radians(phi)) + y0 * np.sin(np.radians(phi))", "no conversion[.]"),
    ("return abs(x0 * np.cos(phi) + y0 * np.sin(phi))", "s has a sign"),
    ("return np.hypot(x0, y0) + 0 * phi", "the same in all directions"),
    ("return x0 * np.cos(phi)", "term of y"),
    ("return y0 * np.sin(phi)", "term of x"),
    ("return x0 * np.cos(phi[0]) + y0 * np.sin(phi[0])", "the trace: expected shape"),
    ("return (x0 + y0) * np.cos(phi)", "This is not"),
]

ENDS = "np.isin(scanner.bin_crystals, np.arange(first, first + scanner.positions_per_block))"
WRONG["lost_bins"] = [
    (f"return {ENDS}.any(axis=-1)", "Gaps are counted"),
    (f"return {ENDS}.all(axis=-1) & scanner.live_bins", "though one is enough"),
    (f"return {ENDS}.all(axis=-1)", "both. ends in the block are marked. One"),
    (f"return {ENDS}[..., 0] & scanner.live_bins", "Only the first end"),
    (f"return {ENDS}[..., 1] & scanner.live_bins", "Only the second end"),
    (f"return ~{ENDS}.any(axis=-1) & scanner.live_bins", "that are left"),
    (f"return {ENDS}", "is `.any\\(axis=-1\\)` over the two ends missing|Is `.any"),
    (f"first += scanner.positions_per_block\nreturn {ENDS}.any(axis=-1) & scanner.live_bins", "the block after it"),
    ("return (scanner.bin_crystals // 4 == 5).any(axis=-1) & scanner.live_bins", "whatever was asked for"),
    ("dead = np.arange(first, first + scanner.positions_per_block + 1)\n"
     "return np.isin(scanner.bin_crystals, dead).any(axis=-1) & scanner.live_bins", "One position too many"),
    ("return scanner.live_bins", "all live bins"),
    ("return (scanner.bin_crystals == first).any(axis=-1)", "bins are lost. You found"),
]  # fmt: skip

WRONG["sensitivity"] = [
    ("return X(np.ones(X.in_shape, np.float32))", "so you projected"),
    ("return X.T(X(np.ones(X.in_shape, np.float32)))", "back projection of a projection"),
    ("back = X.T(np.ones(X.out_shape, np.float32))\nreturn back / back.max()", "over its maximum"),
    ("return X.T(np.ones(X.out_shape, np.float32)) / np.prod(X.out_shape)", "over the number of lines"),
    ("return np.ones(X.in_shape, np.float32)", "1 in every voxel"),
    ("return X.T(np.full(X.out_shape, 2.0, np.float32))", "Up to a factor"),
    ("return X.T(np.ones(X.in_shape, np.float32))", "stopped in line 2.*small data of its own"),
    ("ones = np.ones(X.out_shape, np.float32)\nones[:, ::2] = 0\nreturn X.T(ones)", "not the back projection"),
]
