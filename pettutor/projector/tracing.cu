// What a line of response touches. *Rows*: on every plane of its walk (`Course`, the transaxial footprint) a few
// pixels; and of each of these pixels a few neighbouring voxels along z (`Axial`, the axial footprint).
//
// What a footprint consists of is fixed when this source is compiled (cuda.py, `loop_sizes`), so that loops unroll and
// small arrays stay in registers:
// - KIND: POINT, CHORD or TUBE.
// - PIXELS: a row touches so many at most. VOXELS: so many of each along z.
// - SHIFTS: axial rays of a line. PHASES: neighbouring planes of a segment are so many voxels apart.
// - PLANES: that a thread takes together, forward. ROWS: that a thread takes together, back.
// - TOF: 1 with time of flight, else 0.
//
// Lengths in mm, positions in voxels.

#define POINT 0
#define CHORD 1
#define TUBE 2

#if defined(__CUDACC__) && PIXELS * VOXELS <= 64
#define UNROLL _Pragma("unroll")
#else
#define UNROLL
#endif

struct alignas(16) Line {
    // across the walk axis, at the first plane (CHORD: where it begins), and the change a plane. Fixed point, 32 bits
    // after the point: whole part and remainder come exactly, however large the grid. POINT, TUBE: from the middle of
    // pixel 0; CHORD: from its lower border
    long long cross, cross_step;
    float along, along_step;  // at the first plane (CHORD: where it begins), from the line's middle, in line lengths
    float reach, length;      // along the walk axis, transaxially; mm
    float width, width_step;  // TUBE: between its edges, signed
    float enter, leave;       // CHORD: the line's part of its first and last plane
    int first, last, along_y, live;
};

// A segment of a sinogram; forward, one of its planes (size 1); in list mode the axial side of an event.
struct alignas(16) Segment {
    int whole;         // middle of the line (in the segment's first plane): whole + part
    float part;
    float slope;       // second end minus first end
    float difference;  // the same in mm, without its sign
    float inverse;     // POINT: 1 / slope. CHORD: 1 / |slope| / SHIFTS. TUBE: 1 / height
    int start, size, step;  // its planes in the sinogram: the first one, how many, how far apart
};

struct Model {
    int nz, ny, nx;
    float dz;                 // mm
    float half_height;        // TUBE
    float shift, shift_step;  // of the axial rays from the line's middle
    float most_difference;    // of all segments, mm
    int tof_bins;
    float tof_width, tof_scale;  // mm; 1 / (sqrt(2) sigma)
};

#define FRACTION 2.3283064365386963e-10f  // 2^-32
#define LEAST 9.5367431640625e-7f         // 2^-20 voxels: the width of what has none
#define TOF_LIMIT 2.1213203435596424f     // 3 / sqrt(2): the kernel ends at 3 sigma
#define TOF_HALF 0.5013536047795886f      // 0.5 / erf(TOF_LIMIT)

__device__ inline float clamped(float x, float limit) { return fminf(fmaxf(x, -limit), limit); }

// The whole number nearest to x, as a float and as an int, without a conversion; |x| < 2^22.
__device__ inline float nearest(float x, int &whole)
{
    const float shifted = x + 12582912.0f;
    whole = __float_as_int(shifted) - 0x4B400000;
    return shifted - 12582912.0f;
}

// What lies in the cell (voxel or pixel) at distance `offset` of a box of this half width.
__device__ inline float overlap(float offset, float half)
{
    return clamped(offset + 0.5f, half) - clamped(offset - 0.5f, half);
}

// The pixels that a line touches at one place of its walk. The weight of a voxel is that of the pixel times that of
// `Axial`; all weights of a line sum to 1.
struct Row {
    int plane, across;  // place of the first pixel along the walk axis and across it
    float weights[PIXELS];
    float along;   // its middle, from the line's middle, in line lengths
    float extent;  // CHORD: its length likewise
};

// The transaxial footprint of a line on the planes [begin, end), counted from its first.
struct Course {
    const Line &line;
    const float share;  // of a plane
    const int count;    // pixels across
    long long cross;
    int n;
    const int end;
    // CHORD: place in the plane, where the next border is met, from one border to the next, this pixel
    float t, border, inverse;
    int j;

    __device__ Course(const Line &line, const Model &model, int begin, int end)
        : line(line), share(fabsf(line.along_step)), count(line.along_y ? model.nx : model.ny),
          cross(line.cross + begin * line.cross_step), n(begin), end(end)
    {
        if (KIND != CHORD) return;
        inverse = line.cross_step ? 1.0f / fabsf((float)line.cross_step * FRACTION) : 3e38f;
        to_plane(begin == 0 ? line.enter : 0.0f);
    }

    __device__ void to_plane(float place)
    {
        const unsigned part = (unsigned)cross;
        t = place;
        j = (int)(cross >> 32);
        border = (line.cross_step < 0 ? (float)part : (float)~part + 1.0f) * FRACTION * inverse;
    }

    // The next row that touches the grid; false after the last.
#if KIND == CHORD
    __device__ bool next(Row &row)
    {
        while (n < end) {
            const float until = line.first + n == line.last - 1 ? line.leave : 1.0f;
            const float stop = fminf(border, until);
            const bool met = stop > t && (unsigned)j < (unsigned)count;
            if (met) {
                row.plane = line.first + n;
                row.across = j;
                row.weights[0] = 1.0f;  // `Axial` knows the chord
                row.along = line.along + (n + 0.5f * (t + stop)) * line.along_step;
                row.extent = share * (stop - t);
            }
            if (border < until) {
                t = fmaxf(t, border);
                border += inverse;
                j += line.cross_step < 0 ? -1 : 1;
            } else {
                ++n;
                cross += line.cross_step;
                to_plane(0.0f);
            }
            if (met) return true;
        }
        return false;
    }
#else
    __device__ bool next(Row &row)
    {
        while (n < end) {
            const float part = (float)(unsigned)cross * FRACTION;
            row.plane = line.first + n;
            row.across = (int)(cross >> 32);
            row.along = line.along + n * line.along_step;
#if KIND == POINT
            row.weights[0] = share * (1.0f - part);
            row.weights[1] = share * part;
#else
            const float half = 0.5f * (fabsf(line.width + n * line.width_step) + LEAST);
            int lowest;
            const float offset = nearest(part - half, lowest) - part;
            const float per_pixel = 0.5f * share / half;
            row.across += lowest;
            UNROLL
            for (int p = 0; p < PIXELS; ++p) row.weights[p] = per_pixel * overlap(offset + p, half);
#endif
            cross += line.cross_step;
            ++n;
            if (row.across < count && row.across + PIXELS > 0) return true;
        }
        return false;
    }
#endif
};

// The axial footprint of a row: weights of the voxels first, first + 1 ... of a segment's first plane.
struct Axial {
    int first;
    float offset;  // of voxel `first` from the (first) ray; POINT: of the ray from voxel `first`
    float half, per_voxel;
    const float shift_step;

    __device__ Axial(const Row &row, const Segment &segment, const Model &model) : shift_step(model.shift_step)
    {
        const float at = segment.part + row.along * segment.slope;
        if (KIND == POINT) {
            offset = at - nearest(at - 0.5f, first);
        } else {
            const float ray = at + model.shift;
            half = model.half_height, per_voxel = segment.inverse;
            if (KIND == CHORD) {
                half = 0.5f * fmaxf(row.extent * fabsf(segment.slope), LEAST);
                per_voxel = fminf(segment.inverse, row.extent * (1.0f / LEAST / SHIFTS));
            }
            offset = nearest(ray - half, first) - ray;
        }
        first += segment.whole;
    }

    __device__ float weight(int t) const
    {
        if (KIND == POINT) return t == 0 ? 1.0f - offset : offset;
        float sum = 0.0f;
        UNROLL
        for (int s = 0; s < SHIFTS; ++s) sum += overlap(offset + t - s * shift_step, half);
        return per_voxel * sum;
    }

    // How many voxels there are, where VOXELS is no bound.
    __device__ int voxels() const
    {
        return KIND == POINT ? 2 : (int)ceilf(half - offset + (SHIFTS - 1) * shift_step + 0.5f);
    }
};

// Where a row's pixel p is in the (y, x) plane; -1 outside the grid and for a pixel that it does not touch.
__device__ inline int pixel_of(const Row &row, int p, const Line &line, const Model &model)
{
    const int across = row.across + p, count = line.along_y ? model.nx : model.ny;
    if ((unsigned)across >= (unsigned)count || row.weights[p] == 0.0f) return -1;
    return line.along_y ? row.plane * model.nx + across : across * model.nx + row.plane;
}

__device__ inline float full_length(const Line &line, float difference)
{
    return sqrtf(line.length * line.length + difference * difference);
}

// The part of what comes from `distance` (mm from the line's middle) that is measured in TOF bin `bin`.
__device__ inline float tof_weight(const Model &model, int bin, float distance)
{
    const float lower = (bin - 0.5f * model.tof_bins) * model.tof_width - distance;
    return TOF_HALF * (erff(clamped((lower + model.tof_width) * model.tof_scale, TOF_LIMIT)) -
                       erff(clamped(lower * model.tof_scale, TOF_LIMIT)));
}

// The planes of a line (counted from its first) that a TOF bin can see, in any segment: not many fewer than that.
__device__ inline void tof_range(const Line &line, const Model &model, int bin, int &begin, int &end)
{
    const float shortest = line.length, longest = full_length(line, model.most_difference);
    const float centre = (bin + 0.5f - 0.5f * model.tof_bins) * model.tof_width;
    const float beside = 0.5f * model.tof_width + TOF_LIMIT / model.tof_scale;
    const float low = (centre - beside) / (centre > beside ? longest : shortest);
    const float high = (centre + beside) / (centre > -beside ? shortest : longest);
    const float one = (low - line.along) / line.along_step, other = (high - line.along) / line.along_step;
    begin = max(begin, (int)fmaxf(floorf(fminf(one, other)) - 1.0f, -1e9f));
    end = min(end, (int)fminf(ceilf(fmaxf(one, other)) + 2.0f, 1e9f));
}

__device__ inline Course course_of(const Line &line, const Model &model, int bin)
{
    int begin = 0, end = line.last - line.first;
    if (TOF && end > 0) tof_range(line, model, bin, begin, end);
    return Course(line, model, begin, end);
}

// Joseph's method walks along the axis that the line is most parallel to; here z.
__device__ inline bool is_steep(const Line &line, const Segment &segment)
{
    return KIND == POINT && segment.difference > line.reach;
}

// Visits the (at most four) voxels of such a line in layer k, with their weights, mm.
template <class Visit>
__device__ void steep_layer(const Line &line, const Segment &segment, int whole, const Model &model, int k, int bin,
                             Visit visit)
{
    const float along = ((float)(k - whole) - segment.part) * segment.inverse;
    if (fabsf(along) > 0.5f || !line.live) return;
    const float length = full_length(line, segment.difference);
    const float step = (along - line.along) / line.along_step;
    const float down = floorf(step), beside = step - down;
    const long long cross = line.cross + (long long)down * line.cross_step;
    const float across = (float)(unsigned)cross * FRACTION + beside * ((float)line.cross_step * FRACTION);
    const float left = floorf(across), right = across - left;
    float scale = model.dz * length / segment.difference;
    if (TOF) scale *= tof_weight(model, bin, along * length);
    for (int corner = 0; corner < 4; ++corner) {
        const int di = corner & 1, dj = corner >> 1;
        const int i = line.first + (int)down + di, j = (int)(cross >> 32) + (int)left + dj;
        const int y = line.along_y ? i : j, x = line.along_y ? j : i;
        if (y < 0 || y >= model.ny || x < 0 || x >= model.nx) continue;
        visit(((long long)y * model.nx + x) * model.nz + k,
              scale * (di ? beside : 1.0f - beside) * (dj ? right : 1.0f - right));
    }
}
