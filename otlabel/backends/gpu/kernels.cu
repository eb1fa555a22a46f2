// The kernels for CuPy, in CUDA C; docs/gpu.md says how each goes over the scores.
//
// Blocks are persistent: block p takes groups of rows p, p + P, p + 2P, ... and adds to column sums of its own, which
// `total` then adds in order. So no sum depends on which block runs when, and runs are bit-identical. The lists' column
// sums are integers, for which order does not matter.
//
// Compiled for one type of scores, SCORE: double, float, half or bfloat16; `sweep` also for one shape of the matrix.
// g is (k + 1) doubles with 1/epsilon behind the potentials. No header is included: NVRTC has none, and a header of the
// tests maps the rest to the host, where the same source runs on a CPU. That is also why it is one file of more than 300
// lines: without an include there is no second one.

typedef long long int64;
typedef unsigned long long uint64;

struct half { unsigned short bits; };
struct bfloat16 { unsigned short bits; };

#ifdef __CUDACC__
__device__ inline float float_of_half(unsigned short bits) {
  float number;
  asm("cvt.f32.f16 %0, %1;" : "=f"(number) : "h"(bits));
  return number;
}

// Two to the power of x, to two units in the last place; 0 where that is subnormal.
__device__ inline float power_of_two(float x) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
}

__device__ inline float log_to_two(float x) {
  float logarithm;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(logarithm) : "f"(x));
  return logarithm;
}
#endif

__device__ inline double number(double s) { return s; }
__device__ inline float number(float s) { return s; }
__device__ inline float number(half s) { return float_of_half(s.bits); }
__device__ inline float number(bfloat16 s) { return __uint_as_float((unsigned)s.bits << 16); }

constexpr double LOG2E = 1.4426950408889634, LN2 = 0.6931471805599453;

__device__ inline float exponential(float x) { return power_of_two((float)LOG2E * x); }
__device__ inline double exponential(double x) { return exp(x); }

constexpr int WARP = 32;
constexpr unsigned ALL = 0xffffffffu;
constexpr double UNIT = 2305843009213693952.0;  // 2**61: of the integers that stand for column sums, which stay below 4
#define NOTHING (-__int_as_float(0x7f800000))    // -infinity

// S/epsilon + g, rounded twice, as NumPy rounds it, so that ties stay ties.
__device__ inline double exactly(SCORE s, double scale, double g) { return __dadd_rn(__dmul_rn(number(s), scale), g); }

template <typename Real> __device__ inline Real warp_max(Real x) {
  for (int lane = WARP / 2; lane; lane /= 2) x = max(x, __shfl_xor_sync(ALL, x, lane));
  return x;
}

template <typename Real> __device__ inline Real warp_sum(Real x) {
  for (int lane = WARP / 2; lane; lane /= 2) x += __shfl_xor_sync(ALL, x, lane);
  return x;
}

#ifdef THREADS
// docs/algorithm.md eq. (1), a row in the registers of one block; partial (P, k+1) += c and sum_i a_i lse_i. A thread holds
// VECTORS times WIDTH neighbouring scores of each of ROWS rows; WIDTH divides k and stride. In float64 if PRECISE; else in
// float32, where exponents are logarithms to base 2, which the hardware takes powers of.
constexpr int WARPS = THREADS / WARP;
constexpr int STINT = 32;  // groups of rows that float32 adds up before float64 takes over

#if PRECISE
typedef double Real;
constexpr double BASE = 1.0, NATS = 1.0;
__device__ inline double power(double x) { return exp(x); }
__device__ inline double logarithm(double x) { return log(x); }
__device__ inline double ratio(double x, double y) { return x / y; }
#else
typedef float Real;
constexpr double BASE = LOG2E, NATS = LN2;
__device__ inline float power(float x) { return power_of_two(x); }
__device__ inline float logarithm(float x) { return log_to_two(x); }
__device__ inline float ratio(float x, float y) { return __fdividef(x, y); }
#endif

template <int BYTES> struct Raw;
template <> struct Raw<2> { typedef unsigned short type; };
template <> struct Raw<4> { typedef unsigned type; };
template <> struct Raw<8> { struct alignas(8) type { unsigned words[2]; }; };
template <> struct Raw<16> { struct alignas(16) type { unsigned words[4]; }; };

union Vector {
  Raw<WIDTH * sizeof(SCORE)>::type raw;  // one load
  SCORE scores[WIDTH];
};

__device__ inline void load(Vector (&to)[ROWS][VECTORS], const SCORE* scores, int64 stride, int64 first, int64 n, int k) {
#pragma unroll
  for (int r = 0; r < ROWS; r++)
#pragma unroll
    for (int v = 0; v < VECTORS; v++) {
      int column = (v * THREADS + threadIdx.x) * WIDTH;
      if (first + r < n && column < k)
        to[r][v].raw = *reinterpret_cast<const decltype(to[r][v].raw)*>(scores + (first + r) * stride + column);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
sweep(const SCORE* scores, int64 stride, const double* g, const double* a, double* lse, double* partial, int64 n, int k) {
  __shared__ Real tops[ROWS][WARPS], totals[ROWS][WARPS];
  const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
  const Real scale = BASE * g[k];
  double* own = partial + (int64)blockIdx.x * (k + 1);
  Real potential[VECTORS][WIDTH], c[VECTORS][WIDTH];
#pragma unroll
  for (int v = 0; v < VECTORS; v++)
#pragma unroll
    for (int e = 0; e < WIDTH; e++) {
      int column = (v * THREADS + threadIdx.x) * WIDTH + e;
      potential[v][e] = column < k ? (Real)(BASE * g[column]) : NOTHING;
      c[v][e] = 0;
    }
  double weighted = 0.0;
  Vector next[ROWS][VECTORS] = {};
  const int64 step = (int64)gridDim.x * ROWS;
  int64 first = (int64)blockIdx.x * ROWS;
  load(next, scores, stride, first, n, k);
  for (int group = 1; first < n; first += step, group++) {
    Real x[ROWS][VECTORS][WIDTH];
    double weight[ROWS];  // asked for early: it is needed behind two barriers
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
      weight[r] = first + r < n ? a[first + r] : 0.0;
      Real top = NOTHING;
#pragma unroll
      for (int v = 0; v < VECTORS; v++)
#pragma unroll
        for (int e = 0; e < WIDTH; e++) {
          x[r][v][e] = (Real)number(next[r][v].scores[e]) * scale + potential[v][e];
          top = max(top, x[r][v][e]);
        }
      top = warp_max(top);
      if (lane == 0) tops[r][warp] = top;
    }
    load(next, scores, stride, first + step, n, k);  // on its way while these rows are summed
    __syncthreads();
    Real top[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
      top[r] = tops[r][0];
      for (int w = 1; w < WARPS; w++) top[r] = max(top[r], tops[r][w]);
      Real total = 0;
#pragma unroll
      for (int v = 0; v < VECTORS; v++)
#pragma unroll
        for (int e = 0; e < WIDTH; e++) {
          x[r][v][e] = power(x[r][v][e] - top[r]);
          total += x[r][v][e];
        }
      total = warp_sum(total);
      if (lane == 0) totals[r][warp] = total;
    }
    __syncthreads();
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
      if (first + r >= n) break;
      Real total = 0;
      for (int w = 0; w < WARPS; w++) total += totals[r][w];
      if (threadIdx.x == 0) {
        double row_lse = NATS * ((double)top[r] + logarithm(total));
        lse[first + r] = row_lse;
        weighted += weight[r] * row_lse;
      }
      Real share = ratio((Real)weight[r], total);
#pragma unroll
      for (int v = 0; v < VECTORS; v++)
#pragma unroll
        for (int e = 0; e < WIDTH; e++) c[v][e] += share * x[r][v][e];
    }
    if (group % STINT == 0 || first + step >= n) {
#pragma unroll
      for (int v = 0; v < VECTORS; v++)
#pragma unroll
        for (int e = 0; e < WIDTH; e++) {
          int column = (v * THREADS + threadIdx.x) * WIDTH + e;
          if (column < k) own[column] += c[v][e];
          c[v][e] = 0;
        }
    }
  }
  if (threadIdx.x == 0) own[k] += weighted;
}

#else
// `sweep` for any k and in any precision: twice over the columns of GROUP rows, the second time from the cache.
constexpr int WIDE_THREADS = 256, WIDE_WARPS = WIDE_THREADS / WARP, GROUP = 4;

template <typename Real>
__device__ void sweep_wide(const SCORE* scores, int64 stride, const double* g, const double* a, double* lse,
                           double* partial, int64 n, int k) {
  __shared__ Real tops[GROUP][WIDE_WARPS], totals[GROUP][WIDE_WARPS];
  const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
  const Real scale = g[k];
  double* own = partial + (int64)blockIdx.x * (k + 1);
  double weighted = 0.0;
  for (int64 first = (int64)blockIdx.x * GROUP; first < n; first += (int64)gridDim.x * GROUP) {
    const int there = n - first < GROUP ? n - first : GROUP;
    for (int r = 0; r < there; r++) {
      const SCORE* row = scores + (first + r) * stride;
      Real top = NOTHING, total = 0;
      for (int j = threadIdx.x; j < k; j += WIDE_THREADS) {
        Real x = (Real)number(row[j]) * scale + (Real)g[j];
        if (x > top) {
          total = total * exponential(top - x) + 1;
          top = x;
        } else if (x > NOTHING) {
          total += exponential(x - top);
        }
      }
      Real highest = warp_max(top);
      total = warp_sum(top > NOTHING ? total * exponential(top - highest) : (Real)0);
      if (lane == 0) tops[r][warp] = highest, totals[r][warp] = total;
    }
    __syncthreads();
    Real row_top[GROUP], weight[GROUP];
#pragma unroll
    for (int r = 0; r < GROUP; r++) {
      row_top[r] = weight[r] = 0;
      if (r >= there) continue;
      Real top = NOTHING, total = 0;
      for (int w = 0; w < WIDE_WARPS; w++) top = max(top, tops[r][w]);
      for (int w = 0; w < WIDE_WARPS; w++)
        if (tops[r][w] > NOTHING) total += totals[r][w] * exponential(tops[r][w] - top);
      row_top[r] = top;
      weight[r] = a[first + r] / total;
      if (threadIdx.x == 0) {
        lse[first + r] = (double)top + log((double)total);
        weighted += a[first + r] * lse[first + r];
      }
    }
    for (int j = threadIdx.x; j < k; j += WIDE_THREADS) {
      Real sum = 0;
      const Real potential = g[j];
#pragma unroll
      for (int r = 0; r < GROUP; r++)
        if (r < there)
          sum += weight[r] * exponential((Real)number(scores[(first + r) * stride + j]) * scale + potential - row_top[r]);
      own[j] += sum;
    }
    __syncthreads();  // before tops and totals are written again
  }
  if (threadIdx.x == 0) own[k] += weighted;
}

extern "C" __global__ void __launch_bounds__(WIDE_THREADS)
sweep_float32(const SCORE* scores, int64 stride, const double* g, const double* a, double* lse, double* partial, int64 n,
              int k) {
  sweep_wide<float>(scores, stride, g, a, lse, partial, n, k);
}

extern "C" __global__ void __launch_bounds__(WIDE_THREADS)
sweep_float64(const SCORE* scores, int64 stride, const double* g, const double* a, double* lse, double* partial, int64 n,
              int k) {
  sweep_wide<double>(scores, stride, g, a, lse, partial, n, k);
}

// out (length) += the rows of partial (programs, length), in an order that is always the same.
constexpr int TOTAL_WARPS = 8;

extern "C" __global__ void __launch_bounds__(TOTAL_WARPS * WARP)
total(const double* partial, double* out, int programs, int length) {
  __shared__ double sums[TOTAL_WARPS][WARP];
  const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, column = blockIdx.x * WARP + lane;
  double sum = 0.0;
  if (column < length)
    for (int program = warp; program < programs; program += TOTAL_WARPS) sum += partial[(int64)program * length + column];
  sums[warp][lane] = sum;
  __syncthreads();
  if (warp > 0 || column >= length) return;
  for (int w = 1; w < TOTAL_WARPS; w++) sum += sums[w][lane];
  out[column] += sum;
}

// From here on a warp takes a row.
constexpr int ROW_WARPS = 8;

__device__ inline int64 own_row() { return (int64)blockIdx.x * ROW_WARPS + threadIdx.x / WARP; }

// The best S/epsilon + g of each row, its first label, and how many lie within width of it, if count is not null.
extern "C" __global__ void __launch_bounds__(ROW_WARPS * WARP)
scan(const SCORE* scores, int64 stride, const double* g, const double* width, double* best, int64* label, int* count,
     int64 n, int k) {
  const int64 i = own_row();
  const int lane = threadIdx.x % WARP;
  if (i >= n) return;
  const SCORE* row = scores + i * stride;
  const double scale = g[k];
  double top = NOTHING;
  int which = k;
  for (int j = lane; j < k; j += WARP) {
    double x = exactly(row[j], scale, g[j]);
    if (x > top) top = x, which = j;
  }
  for (int other = WARP / 2; other; other /= 2) {
    double its_top = __shfl_xor_sync(ALL, top, other);
    int its_which = __shfl_xor_sync(ALL, which, other);
    if (its_top > top || (its_top == top && its_which < which)) top = its_top, which = its_which;
  }
  if (lane == 0) best[i] = top, label[i] = which;
  if (count == nullptr) return;
  int near = 0;
  for (int j = lane; j < k; j += WARP) {
    double x = exactly(row[j], scale, g[j]);
    near += x >= top - *width && x > NOTHING;
  }
  near = warp_sum(near);
  if (lane == 0) count[i] = near;
}

// Write what `scan` counted, row by row and ascending: its labels and scores, from indptr[i] on.
extern "C" __global__ void __launch_bounds__(ROW_WARPS * WARP)
fill(const SCORE* scores, int64 stride, const double* g, const double* width, const double* best, const int64* indptr,
     int* label, SCORE* score, int64 n, int k) {
  const int64 i = own_row();
  const int lane = threadIdx.x % WARP;
  if (i >= n) return;
  const SCORE* row = scores + i * stride;
  const double scale = g[k], bar = best[i] - *width;
  int64 place = indptr[i];
  for (int first = 0; first < k; first += WARP) {
    const int j = first + lane;
    double x = j < k ? exactly(row[j], scale, g[j]) : NOTHING;
    bool near = x >= bar && x > NOTHING;
    unsigned listed = __ballot_sync(ALL, near);
    if (near) {
      int64 at = place + __popc(listed & ((1u << lane) - 1));
      label[at] = j;
      score[at] = row[j];
    }
    place += __popc(listed);
  }
}

// The share of a listed entry relative to the row's lse.
__device__ inline double listed(const int* label, const SCORE* score, const double* g, double scale, double lse, int64 e) {
  return exp(number(score[e]) * scale - lse + g[label[e]]);
}

// F and c of listed entries alone, in float64: column_sums (k) += c in units of 1/UNIT, and partial (one a block) the sum
// of a_i (logsumexp_i - lse_i) over its rows. A row's first entries, all that most have, are looked at once.
extern "C" __global__ void __launch_bounds__(ROW_WARPS * WARP)
sweep_listed(const int64* indptr, const int* label, const SCORE* score, const double* g, const double* lse,
             const double* a, uint64* column_sums, double* partial, int64 m, int k) {
  __shared__ double sums[ROW_WARPS];
  const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
  const double scale = g[k];
  double weighted = 0.0;
  for (int64 i = own_row(); i < m; i += (int64)gridDim.x * ROW_WARPS) {
    const int64 first = indptr[i] + lane, end = indptr[i + 1];
    const double own = first < end ? listed(label, score, g, scale, lse[i], first) : 0.0;
    double total = own;
#pragma unroll 1
    for (int64 e = first + WARP; e < end; e += WARP) total += listed(label, score, g, scale, lse[i], e);
    total = warp_sum(total);
    weighted += a[i] * log(total);
    const double weight = a[i] * UNIT / total;
    if (first < end) atomicAdd(column_sums + label[first], (uint64)(own * weight));
#pragma unroll 1
    for (int64 e = first + WARP; e < end; e += WARP)
      atomicAdd(column_sums + label[e], (uint64)(listed(label, score, g, scale, lse[i], e) * weight));
  }
  if (lane == 0) sums[warp] = weighted;
  __syncthreads();
  if (threadIdx.x > 0) return;
  for (int other = 1; other < ROW_WARPS; other++) weighted += sums[other];
  partial[blockIdx.x] = weighted;
}
#endif
