"""Parameters of the ready scanners (lengths in mm, angles in radians)."""

import math

# A small ring of 32 flat blocks: bins of 2 mm, a field of view of 258 mm, and the mMR's kind of gaps.
_SMALL_RING = {
    "ring_pitch": 4.0,
    "blocks": 32,
    "crystals_per_block": 8,
    "gaps_per_block": 1,
    "crystal_pitch": 4.0,
    "inner_radius": 176.0,
    "depth_of_interaction": 6.7,
    "first_block_angle": math.pi / 2 - math.pi / 32,
    "bins": 144,
}

PRESETS = {
    "slab": {
        "name": "slab",
        **_SMALL_RING,
        "rings": 1,
        "span": 1,
        "max_ring_difference": 0,
        "image_shape": (1, 128, 128),
        "image_voxel_size": (4.0, 2.0, 2.0),
    },
    "mini": {
        "name": "mini",
        **_SMALL_RING,
        "rings": 16,
        "span": 3,
        "max_ring_difference": 13,
        "image_shape": (31, 128, 128),
        "image_voxel_size": (2.0, 2.0, 2.0),
    },
    # Siemens Biograph mMR: a 56-gon of blocks with faces of 32.09 mm; the values agree between NiftyPET and STIR but
    # for the depth of interaction, where STIR has 7.0 mm.
    "mmr": {
        "name": "mmr",
        "rings": 64,
        "ring_pitch": 4.0625,
        "blocks": 56,
        "crystals_per_block": 8,
        "gaps_per_block": 1,
        "crystal_pitch": 32.09 / 8,
        "inner_radius": 328.0,
        "depth_of_interaction": 6.7,
        "first_block_angle": math.pi / 2 - math.pi / 56 - 0.001,
        "bins": 344,
        "span": 11,
        "max_ring_difference": 60,
        "image_shape": (127, 344, 344),
        "image_voxel_size": (2.03125, 2.08626, 2.08626),
    },
}
