// The projector on a GPU: what tracing.cu finds is summed up (forward) or scattered (back). Both directions take their
// weights from there, so they are each other's adjoint by construction.
//
// Sinograms: forward, neighbouring threads are neighbouring planes of one (view, bin); back, neighbouring threads are
// neighbouring voxels along z. Their rows are then the same, and loads and atomic sums run over contiguous memory:
// image (y, x, z), sinogram (view, bin[, tof], plane). Back, a row collects what all planes give to a voxel before it
// is added to the image: one atomic sum a pixel of a row, not one a plane. List mode: one thread an event.

#include "tracing.cu"

#define MODEL                                                                                                          \
    int nz, int ny, int nx, float dz, float half_height, float shift, float shift_step, float most_difference,         \
        int tof_bins, float tof_width, float tof_scale
#define THE_MODEL                                                                                                      \
    {nz, ny, nx, dz, half_height, shift, shift_step, most_difference, tof_bins, tof_width, tof_scale}

// lines: (ray, view and bin); segments: forward, all planes. Threads: (plane or voxel, line of response). Blocks: (lines
// of response, planes or voxels, TOF bins).
#define GEOMETRY                                                                                                       \
    const Line *__restrict__ lines, const Segment *__restrict__ segments, int rays, int lors, int segment_count,       \
        int planes, MODEL

extern "C" __global__ void forward(const float *__restrict__ image, float *__restrict__ sinogram, GEOMETRY)
{
    const Model model = THE_MODEL;
    const int lor = blockIdx.x * blockDim.y + threadIdx.y, bin = blockIdx.z;
    const int first = blockIdx.y * blockDim.x * PLANES + threadIdx.x;
    if (lor >= lors || first >= segment_count) return;
    Segment mine[PLANES];
    float totals[PLANES];
    UNROLL
    for (int n = 0; n < PLANES; ++n) {
        mine[n] = segments[min(first + n * (int)blockDim.x, segment_count - 1)];
        totals[n] = 0.0f;
    }
    for (int ray = 0; ray < rays; ++ray) {
        const Line line = lines[(long long)ray * lors + lor];
        float lengths[PLANES], sums[PLANES];
        UNROLL
        for (int n = 0; n < PLANES; ++n) lengths[n] = full_length(line, mine[n].difference), sums[n] = 0.0f;
        Course course = course_of(line, model, bin);
        Row row;
        while (course.next(row)) {
            const float *pixels[PIXELS];
            UNROLL
            for (int p = 0; p < PIXELS; ++p) {
                const int pixel = pixel_of(row, p, line, model);
                pixels[p] = pixel < 0 ? nullptr : image + (long long)pixel * nz;
            }
            UNROLL
            for (int n = 0; n < PLANES; ++n) {
                const Axial axial(row, mine[n], model);
                float sum = 0.0f;
                UNROLL
                for (int t = 0; t < VOXELS; ++t) {
                    const int k = axial.first + t;
                    const float weight = axial.weight(t);
                    const bool inside = (unsigned)k < (unsigned)nz && (KIND == POINT || weight != 0.0f);
                    float mixed = 0.0f;
                    UNROLL
                    for (int p = 0; p < PIXELS; ++p)
                        if (inside && pixels[p]) mixed += row.weights[p] * __ldg(pixels[p] + k);
                    sum += weight * mixed;
                }
                sums[n] += TOF ? sum * tof_weight(model, bin, row.along * lengths[n]) : sum;
            }
        }
        UNROLL
        for (int n = 0; n < PLANES; ++n) {
            if (is_steep(line, mine[n])) {
                float sum = 0.0f;
                for (int k = 0; k < nz; ++k)
                    steep_layer(line, mine[n], mine[n].whole, model, k, bin,
                                [&](long long voxel, float weight) { sum += weight * image[voxel]; });
                totals[n] += sum;
            } else {
                totals[n] += lengths[n] * sums[n];
            }
        }
    }
    float *values = sinogram + ((long long)lor * (TOF ? tof_bins : 1) + bin) * planes;
    UNROLL
    for (int n = 0; n < PLANES; ++n)
        if (first + n * (int)blockDim.x < planes) values[first + n * (int)blockDim.x] = totals[n] / rays;
}

extern "C" __global__ void adjoint(const float *__restrict__ sinogram, float *__restrict__ image, GEOMETRY)
{
    const Model model = THE_MODEL;
    const int lor = blockIdx.x * blockDim.y + threadIdx.y, bin = blockIdx.z;
    const int k = blockIdx.y * blockDim.x + threadIdx.x;
    if (lor >= lors || k >= nz) return;
    const float *values = sinogram + ((long long)lor * (TOF ? tof_bins : 1) + bin) * planes;
    const float per_ray = 1.0f / rays;
    for (int ray = 0; ray < rays; ++ray) {
        const Line line = lines[(long long)ray * lors + lor];
        Course course = course_of(line, model, bin);
        Row rows[ROWS] = {};
        for (;;) {
            // several rows share what depends on a segment alone
            int found = 0;
            UNROLL
            for (int r = 0; r < ROWS; ++r) found += course.next(rows[r]);
            if (found == 0) break;
            float totals[ROWS] = {};
            for (int s = 0; s < segment_count; ++s) {
                const Segment segment = segments[s];
                if (is_steep(line, segment)) continue;
                const float length = full_length(line, segment.difference);
                UNROLL
                for (int r = 0; r < ROWS; ++r) {
                    const Axial axial(rows[r], segment, model);
                    // voxel k is number t = k - first - m * PHASES of plane m: of so many planes as there are t >= 0
                    const int after = k - axial.first;
                    const int highest = (after < 0 ? after - (PHASES - 1) : after) / PHASES;  // rounded down
                    float sum = 0.0f;
                    UNROLL
                    for (int n = 0; n * PHASES < VOXELS; ++n) {
                        const int m = highest - n, t = after - m * PHASES;
                        const float weight = axial.weight(t);
                        if ((unsigned)m < (unsigned)segment.size && t < VOXELS && (KIND == POINT || weight != 0.0f))
                            sum += weight * __ldg(values + segment.start + m * segment.step);
                    }
                    totals[r] += (TOF ? length * tof_weight(model, bin, rows[r].along * length) : length) * sum;
                }
            }
            UNROLL
            for (int r = 0; r < ROWS; ++r) {
                if (r >= found || totals[r] == 0.0f) continue;
                const float value = totals[r] * per_ray;
                UNROLL
                for (int p = 0; p < PIXELS; ++p) {
                    const int pixel = pixel_of(rows[r], p, line, model);
                    if (pixel >= 0) atomicAdd(image + (long long)pixel * nz + k, rows[r].weights[p] * value);
                }
            }
        }
        for (int s = 0; s < segment_count; ++s) {
            const Segment segment = segments[s];
            if (!is_steep(line, segment)) continue;
            for (int m = 0; m < segment.size; ++m)
                steep_layer(line, segment, segment.whole + m * PHASES, model, k, bin,
                            [&](long long voxel, float weight) {
                                atomicAdd(image + voxel, weight * values[segment.start + m * segment.step]);
                            });
        }
    }
}

// List mode: every event has a line and a segment (size 1) of its own, and with time of flight a bin.
#define EVENTS                                                                                                         \
    const Line *__restrict__ lines, const Segment *__restrict__ segments, const int *__restrict__ tof_bin, int events, \
        MODEL

// Visits every voxel that a line touches, with its weight, mm.
template <class Visit>
__device__ void trace(const Line &line, const Segment &segment, int bin, const Model &model, Visit visit)
{
    if (is_steep(line, segment)) {
        for (int k = 0; k < model.nz; ++k) steep_layer(line, segment, segment.whole, model, k, bin, visit);
        return;
    }
    const float length = full_length(line, segment.difference);
    Course course = course_of(line, model, bin);
    Row row;
    while (course.next(row)) {
        const Axial axial(row, segment, model);
        const float scale = TOF ? length * tof_weight(model, bin, row.along * length) : length;
        const int begin = max(0, -axial.first), end = min(axial.voxels(), model.nz - axial.first);
        for (int t = begin; t < end; ++t) {
            const float weight = scale * axial.weight(t);
            UNROLL
            for (int p = 0; p < PIXELS; ++p) {
                const long long pixel = pixel_of(row, p, line, model);
                if (pixel >= 0) visit(pixel * model.nz + axial.first + t, weight * row.weights[p]);
            }
        }
    }
}

extern "C" __global__ void forward_events(const float *__restrict__ image, float *__restrict__ values, EVENTS)
{
    const Model model = THE_MODEL;
    const int event = blockIdx.x * blockDim.x + threadIdx.x;
    if (event >= events) return;
    float sum = 0.0f;
    trace(lines[event], segments[event], TOF ? tof_bin[event] : 0, model,
          [&](long long voxel, float weight) { sum += weight * __ldg(image + voxel); });
    values[event] = sum;
}

extern "C" __global__ void adjoint_events(const float *__restrict__ values, float *__restrict__ image, EVENTS)
{
    const Model model = THE_MODEL;
    const int event = blockIdx.x * blockDim.x + threadIdx.x;
    if (event >= events) return;
    const float value = values[event];
    if (value == 0.0f) return;
    trace(lines[event], segments[event], TOF ? tof_bin[event] : 0, model,
          [&](long long voxel, float weight) { atomicAdd(image + voxel, weight * value); });
}
