// Builds the project's CUDA source for the host: every thread of every block runs in turn.
// KERNELS is the path of kernels.cu, given by the compiler's command line.
#include <cmath>
#include <cstdio>

struct Index {
    int x, y, z;
};
static Index blockIdx, blockDim, threadIdx, gridDim;

#define __global__
#define __device__

static long long touched_low, touched_high;  // range of image offsets that back projection wrote to
static float *base;

static void atomicAdd(float *address, float value)
{
    const long long offset = address - base;
    if (offset < touched_low) touched_low = offset;
    if (offset > touched_high) touched_high = offset;
    *address += value;
}

#include KERNELS

#define PASSED                                                                                                         \
    bins, planes, nz, ny, nx, dz, dy, dx, live, along_y, first, last, cross, cross_step, fraction, fraction_step, reach,     \
        length, middle, slope, difference

template <class Body> static void launch(const int *blocks, int threads, Body body)
{
    gridDim = {blocks[0], blocks[1], blocks[2]};
    blockDim = {threads, 1, 1};
    for (blockIdx.z = 0; blockIdx.z < gridDim.z; ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x)
                for (threadIdx.x = 0; threadIdx.x < blockDim.x; ++threadIdx.x) body();
}

extern "C" void host_forward(const int *blocks, int threads, const float *image, float *sinogram, LINE_ARGUMENTS)
{
    launch(blocks, threads, [&] { forward(image, sinogram, PASSED); });
}

extern "C" void host_adjoint(const int *blocks, int threads, const float *sinogram, float *image, LINE_ARGUMENTS,
                             long long *touched)
{
    base = image, touched_low = 0, touched_high = 0;
    launch(blocks, threads, [&] { adjoint(sinogram, image, PASSED); });
    touched[0] = touched_low, touched[1] = touched_high;
}
