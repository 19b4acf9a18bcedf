"""Checks of the exercises: each says whether an answer is right, and if not, which mistake it recognises.

``pt.course.check.em_update(my_mlem)`` takes the answer of an exercise and gives a `Verdict`, which is true only when
the answer is right. A check works offline, on small data of its own; it never raises because of an answer.

- lesson 0: `another_patient`, `short_scan`
- lesson 1: `coarse_contrast`, `forgotten_marrow`, `cold_lesion`
- lesson 2: `point_trace`, `lost_bins`, `sensitivity`
- lesson 3: `joseph_weights`, `enough_rays`, `unmatched_pair`, `matrix_memory`
- lesson 4: `water_attenuation`, `expected_counts`, `noise_equivalent_counts`
- lesson 5: `em_update`, `filter_search`, `osem_pass`
- lesson 6: `subset_order`, `bias_and_noise`, `equal_noise`, `filtered_pass`
- lesson 7: `stable_root`, `map_em_step`, `relative_difference`, `first_worse_shift`
- lesson 8: `kernel_em_update`, `matching_pursuit`, `noise_at_contrast`
- lesson 9: `ced_layers`, `split_by_subject`, `displaced_mr`
- lesson 10: `windowed_variance`, `diprecon_iteration`, `mean_of_last_third`
- lesson 11: `em_gradient`, `em_net_step`
- lesson 12: `map_em_derivatives`, `untrained_mapem_net`, `contrast_at_noise`
- lesson 13: `soft_threshold`, `overall_filter`, `bcd_layer`, `tuned_kappa`
- lesson 14: `paired_difference`, `noise_of_method`, `gain_at_equal_noise`
- lesson 15: `fbsem_loop`, `dual_correction`
- lesson 16: `decode_word`, `crystal_singles`, `bin_factor`

``pt.course.hint("em_update")`` gives a hint, ``pt.course.solution("em_update")`` the solution.
"""

from pettutor.course.check.after import dual_correction, fbsem_loop
from pettutor.course.check.bcd_net import bcd_layer, overall_filter, soft_threshold, tuned_kappa
from pettutor.course.check.ced import ced_layers, displaced_mr, split_by_subject
from pettutor.course.check.dip_recon import diprecon_iteration, mean_of_last_third, windowed_variance
from pettutor.course.check.em_net import em_gradient, em_net_step
from pettutor.course.check.kernel_dictionary import kernel_em_update, matching_pursuit, noise_at_contrast
from pettutor.course.check.map_priors import first_worse_shift, map_em_step, relative_difference, stable_root
from pettutor.course.check.mapem_net import contrast_at_noise, map_em_derivatives, untrained_mapem_net
from pettutor.course.check.mlem import em_update, filter_search, osem_pass
from pettutor.course.check.osem import bias_and_noise, equal_noise, filtered_pass, subset_order
from pettutor.course.check.phantom import coarse_contrast, cold_lesion, forgotten_marrow
from pettutor.course.check.projector import enough_rays, joseph_weights, matrix_memory, unmatched_pair
from pettutor.course.check.real_data import bin_factor, crystal_singles, decode_word
from pettutor.course.check.scanner import lost_bins, point_trace, sensitivity
from pettutor.course.check.side_by_side import gain_at_equal_noise, noise_of_method, paired_difference
from pettutor.course.check.simulation import expected_counts, noise_equivalent_counts, water_attenuation
from pettutor.course.check.start import another_patient, short_scan
from pettutor.course.check.verdict import Verdict

__all__ = [
    "Verdict",
    "another_patient",
    "bcd_layer",
    "bias_and_noise",
    "bin_factor",
    "ced_layers",
    "coarse_contrast",
    "cold_lesion",
    "contrast_at_noise",
    "crystal_singles",
    "decode_word",
    "diprecon_iteration",
    "displaced_mr",
    "dual_correction",
    "em_gradient",
    "em_net_step",
    "em_update",
    "enough_rays",
    "equal_noise",
    "expected_counts",
    "fbsem_loop",
    "filter_search",
    "filtered_pass",
    "first_worse_shift",
    "forgotten_marrow",
    "gain_at_equal_noise",
    "joseph_weights",
    "kernel_em_update",
    "lost_bins",
    "map_em_derivatives",
    "map_em_step",
    "matching_pursuit",
    "matrix_memory",
    "mean_of_last_third",
    "noise_at_contrast",
    "noise_equivalent_counts",
    "noise_of_method",
    "osem_pass",
    "overall_filter",
    "paired_difference",
    "point_trace",
    "relative_difference",
    "sensitivity",
    "short_scan",
    "soft_threshold",
    "split_by_subject",
    "stable_root",
    "subset_order",
    "tuned_kappa",
    "unmatched_pair",
    "untrained_mapem_net",
    "water_attenuation",
    "windowed_variance",
]
