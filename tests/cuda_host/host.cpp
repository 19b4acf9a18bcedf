// Builds the project's CUDA source for the host: every thread of every block runs in turn.
// KERNELS is the path of kernels.cu, given by the compiler's command line together with the sizes that it wants.
#include <algorithm>
#include <cmath>
#include <cstring>

struct Index {
    int x, y, z;
};
static Index blockIdx, blockDim, threadIdx, gridDim;

#define __global__
#define __device__

using std::max;
using std::min;

template <class T> static T __ldg(const T *address) { return *address; }

static int __float_as_int(float value)
{
    int bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

static long long touched_low, touched_high;  // range of image offsets that back projection wrote to
static float *base;

static void atomicAdd(float *address, float value)
{
    const long long offset = address - base;
    touched_low = min(touched_low, offset), touched_high = max(touched_high, offset);
    *address += value;
}

#include KERNELS

template <class Body> static void launch(const int *blocks, const int *threads, Body body)
{
    gridDim = {blocks[0], blocks[1], blocks[2]};
    blockDim = {threads[0], threads[1], 1};
    for (blockIdx.z = 0; blockIdx.z < gridDim.z; ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x)
                for (threadIdx.y = 0; threadIdx.y < blockDim.y; ++threadIdx.y)
                    for (threadIdx.x = 0; threadIdx.x < blockDim.x; ++threadIdx.x) body();
}

#define PASSED_MODEL                                                                                                   \
    nz, ny, nx, dz, half_height, shift, shift_step, most_difference, tof_bins, tof_width, tof_scale
#define PASSED_GEOMETRY lines, segments, rays, lors, segment_count, planes, PASSED_MODEL
#define PASSED_EVENTS lines, segments, tof_bin, events, PASSED_MODEL
#define LAUNCHED const int *blocks, const int *threads

extern "C" void host_forward(LAUNCHED, const float *image, float *sinogram, GEOMETRY)
{
    launch(blocks, threads, [&] { forward(image, sinogram, PASSED_GEOMETRY); });
}

extern "C" void host_forward_events(LAUNCHED, const float *image, float *values, EVENTS)
{
    launch(blocks, threads, [&] { forward_events(image, values, PASSED_EVENTS); });
}

static void watch(float *image) { base = image, touched_low = 0, touched_high = 0; }

extern "C" void host_adjoint(LAUNCHED, const float *sinogram, float *image, GEOMETRY)
{
    watch(image);
    launch(blocks, threads, [&] { adjoint(sinogram, image, PASSED_GEOMETRY); });
}

extern "C" void host_adjoint_events(LAUNCHED, const float *values, float *image, EVENTS)
{
    watch(image);
    launch(blocks, threads, [&] { adjoint_events(values, image, PASSED_EVENTS); });
}

// The lowest and the highest offset that the last back projection added to.
extern "C" void host_touched(long long *range) { range[0] = touched_low, range[1] = touched_high; }

// Sizes of the records, to be compared with those that Python lays out.
extern "C" int host_line_size() { return sizeof(Line); }
extern "C" int host_segment_size() { return sizeof(Segment); }
