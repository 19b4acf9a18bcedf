// The projector on a GPU. One thread follows one line of response; neighbouring threads are neighbouring planes of the
// same (view, bin), so their voxels are neighbours along z and every load is coalesced. Memory: image (y, x, z), sinogram
// (view, bin, plane). The records of a line are those of footprints.py, in float32; lengths in mm.
//
// `trace` visits the voxels of a line with their weights once and for all: projecting sums, back projecting scatters,
// so the two are each other's adjoint by construction.

struct Grid {
    int nz, ny, nx;
    float dz, dy, dx;  // voxel size, mm
};

struct Sum {
    const float *image;
    float total;
    __device__ void operator()(long long voxel, float weight) { total += weight * image[voxel]; }
};

struct Scatter {
    float *image;
    float value;
    __device__ void operator()(long long voxel, float weight) { atomicAdd(image + voxel, weight * value); }
};

// Linear interpolation along z at the axial position `z` (voxels): zero outside, falling off over one voxel.
template <class Visit>
__device__ void axial_footprint(const Grid &g, long long pixel, float weight, float z, Visit &visit)
{
    const float whole = floorf(z);
    const int k = (int)whole;
    const float upper = z - whole;
    if (k >= 0 && k < g.nz) visit(pixel * g.nz + k, weight * (1.0f - upper));
    if (k + 1 >= 0 && k + 1 < g.nz) visit(pixel * g.nz + k + 1, weight * upper);
}

// Joseph's method: on every voxel plane across the dominant axis, bilinear interpolation. The weights are in units of
// the line's length per plane, which `trace` returns in mm.
template <class Visit>
__device__ void trace(const Grid &g, bool along_y, int first, int last, float cross, float cross_step, float fraction,
                      float fraction_step, float middle, float slope, bool steep, Visit &visit)
{
    const int count = along_y ? g.nx : g.ny;
    const int walk = along_y ? g.nx : 1;
    const int side = along_y ? 1 : g.nx;
    if (!steep) {
        for (int i = first; i < last; ++i) {
            const float position = cross + i * cross_step;
            const float whole = floorf(position);
            const int j = (int)whole;
            const float upper = position - whole;
            const float z = middle + (fraction + i * fraction_step - 0.5f) * slope;
            const long long pixel = (long long)i * walk + (long long)j * side;
            if (j >= 0 && j < count) axial_footprint(g, pixel, 1.0f - upper, z, visit);
            if (j + 1 >= 0 && j + 1 < count) axial_footprint(g, pixel + side, upper, z, visit);
        }
        return;
    }
    // more parallel to z than to x and y: walk along z instead
    for (int k = 0; k < g.nz; ++k) {
        const float t = 0.5f + (k - middle) / slope;
        if (t < 0.0f || t > 1.0f) continue;
        const float step = (t - fraction) / fraction_step;
        const float position = cross + step * cross_step;
        const float whole_i = floorf(step), whole_j = floorf(position);
        for (int corner = 0; corner < 4; ++corner) {
            const int di = corner & 1, dj = corner >> 1;
            const int i = (int)whole_i + di, j = (int)whole_j + dj;
            if (i < 0 || i >= (along_y ? g.ny : g.nx) || j < 0 || j >= count) continue;
            const float along = step - whole_i, across = position - whole_j;
            const float weight = (di ? along : 1.0f - along) * (dj ? across : 1.0f - across);
            visit(((long long)i * walk + (long long)j * side) * g.nz + k, weight);
        }
    }
}

#define LINE_ARGUMENTS                                                                                                 \
    int bins, int planes, int nz, int ny, int nx, float dz, float dy, float dx, const unsigned char *live,             \
        const unsigned char *along_y, const int *first, const int *last, const float *cross, const float *cross_step,  \
        const float *fraction, const float *fraction_step, const float *reach, const float *length,                    \
        const float *middle, const float *slope, const float *difference

// This thread's line: bin = blockIdx.y, view = blockIdx.z, planes across the threads of x.
#define THIS_LINE                                                                                                      \
    const int plane = blockIdx.x * blockDim.x + threadIdx.x;                                                           \
    if (plane >= planes) return;                                                                                       \
    const int line = blockIdx.z * bins + blockIdx.y;                                                                   \
    const long long place = (long long)line * planes + plane;                                                          \
    const Grid grid = {nz, ny, nx, dz, dy, dx};                                                                        \
    const float run = difference[plane];                                                                               \
    const bool steep = run > reach[line];                                                                              \
    /* length of the line per voxel plane: voxel / |cos| with respect to the axis it walks along */                    \
    const float extent = steep ? run : reach[line];                                                                    \
    const float voxel = steep ? dz : (along_y[line] ? dy : dx);                                                        \
    const float scale = voxel * sqrtf(length[line] * length[line] + run * run) / extent;

#define TRACE(visit)                                                                                                   \
    if (live[line])                                                                                                    \
        trace(grid, along_y[line] != 0, first[line], last[line], cross[line], cross_step[line], fraction[line],        \
              fraction_step[line], middle[plane], slope[plane], steep, visit);

extern "C" __global__ void forward(const float *image, float *sinogram, LINE_ARGUMENTS)
{
    THIS_LINE
    Sum sum = {image, 0.0f};
    TRACE(sum)
    sinogram[place] = scale * sum.total;
}

extern "C" __global__ void adjoint(const float *sinogram, float *image, LINE_ARGUMENTS)
{
    THIS_LINE
    Scatter scatter = {image, scale * sinogram[place]};
    TRACE(scatter)
}
