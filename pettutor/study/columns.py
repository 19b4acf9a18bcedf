"""The table's columns of measures: what each means, and their values for one image."""

from pettutor import measures
from pettutor.arrays import to_numpy
from pettutor.reconstruction.poisson import log_likelihood
from pettutor.study.scenario import lesion_is_in_pet, region_masks

NORMALISER = "rms"

# name -> (unit, definition); {region} stands for grey_matter, lesion_1 ...
DEFINITIONS = {
    "study": ("", "name of the study"),
    "subject": ("", "whose head: see pettutor.load_subject"),
    "lesions": ("", "which lesions"),
    "counts": ("counts", "expected trues of the scan"),
    "realisation": (
        "",
        "number of the scan: same expected counts and scanner, other noise; the same scan for all methods",
    ),
    "method": ("", "name of the method in the study"),
    "algorithm": ("", "which algorithm that is"),
    "setting": ("", "values of the swept settings, in words; each has its own column too"),
    "iteration": ("", "passes over all data that led to the image"),
    "fwhm": ("mm", "width of the Gaussian filter after the reconstruction; 0 for none"),
    "log_likelihood": ("", "sum of y log ybar - ybar over the sinogram, of this image (filtered where it is filtered)"),
    "nrmse_head": ("fraction", "root-mean-square error over the head / root mean square of the truth there"),
    "nrmse_brain": ("fraction", "root-mean-square error over the brain / root mean square of the truth there"),
    "psnr_head": ("dB", "20 log10(maximum of the truth / root-mean-square error over the head)"),
    "ssim_head": ("", "structural similarity, mean over the head; data range: maximum of the truth"),
    "variation_white_matter": (
        "fraction",
        "standard deviation over the voxels of white matter / their mean (one image)",
    ),
    "mean_{region}": ("activity", "mean over the region"),
    "bias_{region}": ("fraction", "(mean over the region - that of the truth) / that of the truth"),
    "crc_{region}": ("", "contrast recovery: (region / white matter - 1) / (that of the truth - 1)"),
}


def define(name):
    """(unit, definition) of a column; swept settings are those of the methods."""
    if name in DEFINITIONS:
        return DEFINITIONS[name]
    stem = name.partition("_")[0]
    return DEFINITIONS.get(f"{stem}_{{region}}", ("", f"setting {name!r} of the method"))


def column(measure, region):
    """ "crc_grey_matter" ..."""
    return f"{measure}_{region.replace(' ', '_')}"


def measure(image, counts, scenario):
    """All measures of one image: name -> float, and the voxels of the white matter (float32), for the noise."""
    truth, pet = scenario.truth, scenario.truth.pet
    expected = scenario.A.expected(image)
    image = to_numpy(image)
    head, brain, peak = truth.regions["head"], truth.regions["brain"], float(pet.max())
    white = truth.regions["white matter"]
    values = {
        "log_likelihood": log_likelihood(counts, expected),
        "nrmse_head": measures.nrmse(image, pet, normaliser=NORMALISER, mask=head),
        "nrmse_brain": measures.nrmse(image, pet, normaliser=NORMALISER, mask=brain),
        "psnr_head": measures.psnr(image, pet, data_range=peak, mask=head),
        "ssim_head": measures.ssim(image, pet, data_range=peak, mask=head),
        "variation_white_matter": measures.spatial_variation(image, white),
    }
    for name, mask in region_masks(truth).items():
        if not mask.any():
            raise ValueError(f"{name}: expected at least one voxel of it in the image, got none")
        values[column("mean", name)] = measures.region_mean(image, mask)
        values[column("bias", name)] = measures.bias(image, pet, mask=mask)
        if name != "white matter" and (name == "grey matter" or lesion_is_in_pet(truth, name)):
            values[column("crc", name)] = measures.crc(image, pet, mask, white)
    return values, image[white]
