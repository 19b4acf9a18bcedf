"""Checks of the exercises: each says whether an answer is right, and if not, which mistake it recognises.

``pt.course.check.em_update(my_mlem)`` takes the answer of an exercise and gives a `Verdict`, which is true only when
the answer is right. A check works offline, on small data of its own; it never raises because of an answer.

- lesson 3: `joseph_weights`, `enough_rays`, `unmatched_pair`, `matrix_memory`
- lesson 4: `water_attenuation`, `expected_counts`, `noise_equivalent_counts`
- lesson 5: `em_update`, `filter_search`, `osem_pass`
- lesson 6: `subset_order`, `bias_and_noise`, `equal_noise`, `filtered_pass`
- lesson 7: `stable_root`, `map_em_step`, `relative_difference`, `first_worse_shift`
- lesson 8: `kernel_em_update`, `matching_pursuit`, `noise_at_contrast`

``pt.course.hint("em_update")`` gives a hint, ``pt.course.solution("em_update")`` the solution.
"""

from pettutor.course.check.kernel_dictionary import kernel_em_update, matching_pursuit, noise_at_contrast
from pettutor.course.check.map_priors import first_worse_shift, map_em_step, relative_difference, stable_root
from pettutor.course.check.mlem import em_update, filter_search, osem_pass
from pettutor.course.check.osem import bias_and_noise, equal_noise, filtered_pass, subset_order
from pettutor.course.check.projector import enough_rays, joseph_weights, matrix_memory, unmatched_pair
from pettutor.course.check.simulation import expected_counts, noise_equivalent_counts, water_attenuation
from pettutor.course.check.verdict import Verdict

__all__ = [
    "Verdict",
    "bias_and_noise",
    "em_update",
    "enough_rays",
    "equal_noise",
    "expected_counts",
    "filter_search",
    "filtered_pass",
    "first_worse_shift",
    "joseph_weights",
    "kernel_em_update",
    "map_em_step",
    "matching_pursuit",
    "matrix_memory",
    "noise_at_contrast",
    "noise_equivalent_counts",
    "osem_pass",
    "relative_difference",
    "stable_root",
    "subset_order",
    "unmatched_pair",
    "water_attenuation",
]
