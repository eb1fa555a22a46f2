// CUDA C on a CPU, for tests: the threads of a block are fibers that one host thread runs in turn.
//
// A barrier gives way to the next fiber until all of its group have come to it. Where some never come, because they
// returned or wait at another barrier, the run is aborted: on a GPU it would hang, or be undefined.

#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(...)

using std::max;

struct Index { unsigned x; };
static Index threadIdx, blockIdx, blockDim, gridDim;

namespace host {

constexpr unsigned WARP_SIZE = 32, MOST_THREADS = 1024;
constexpr size_t STACK = 1 << 16;

struct Fiber {
  ucontext_t start;
  jmp_buf place;
  bool started = false, done = false;
};

struct Barrier {
  unsigned size = 0, arrived = 0;
  long generation = 0;
};

static Fiber fibers[MOST_THREADS];
static Barrier block_barrier, warp_barriers[MOST_THREADS / WARP_SIZE];
static jmp_buf scheduler;
static std::function<void()> body;
static unsigned current, threads;
static bool moved;               // whether some thread returned or passed a barrier
static char slots[MOST_THREADS][8];  // what each thread shows to its warp

inline void fail(const char* what) {
  std::fprintf(stderr, "cuda_on_host: %s (block %u)\n", what, blockIdx.x);
  std::abort();
}

inline void run() {
  body();
  fibers[current].done = moved = true;
  _longjmp(scheduler, 1);
}

inline void wait(Barrier& barrier) {
  const long mine = barrier.generation;
  if (++barrier.arrived == barrier.size) {
    barrier.arrived = 0;
    barrier.generation++;
    moved = true;
  }
  while (barrier.generation == mine)
    if (!_setjmp(fibers[current].place)) _longjmp(scheduler, 1);
}

inline void resume() {
  Fiber& fiber = fibers[current];
  threadIdx.x = current;
  if (_setjmp(scheduler)) return;
  if (fiber.started) _longjmp(fiber.place, 1);
  fiber.started = true;
  setcontext(&fiber.start);
}

template <typename Value> Value from_lane(Value value, unsigned thread) {
  static_assert(sizeof(Value) <= 8);
  std::memcpy(slots[current], &value, sizeof(Value));
  wait(warp_barriers[current / WARP_SIZE]);
  std::memcpy(&value, slots[thread], sizeof(Value));
  wait(warp_barriers[current / WARP_SIZE]);  // before anyone shows the next
  return value;
}

inline void launch(unsigned blocks, unsigned block_threads, std::function<void()> kernel) {
  body = kernel;
  threads = blockDim.x = block_threads, gridDim.x = blocks;
  std::unique_ptr<char[]> stacks(new char[threads * STACK]);
  for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++) {
    block_barrier = {threads};
    for (auto& barrier : warp_barriers) barrier = {WARP_SIZE};
    for (unsigned t = 0; t < threads; t++) {
      fibers[t].started = fibers[t].done = false;
      getcontext(&fibers[t].start);
      fibers[t].start.uc_stack.ss_sp = &stacks[t * STACK];
      fibers[t].start.uc_stack.ss_size = STACK;
      makecontext(&fibers[t].start, run, 0);
    }
    for (unsigned left = threads; left > 0;) {
      moved = false;
      left = 0;
      for (current = 0; current < threads; current++) {
        if (!fibers[current].done) resume();
        left += !fibers[current].done;
      }
      if (!moved) fail("threads wait at a barrier to which others do not come");
    }
  }
}

}  // namespace host

inline void __syncthreads() { host::wait(host::block_barrier); }

template <typename Value> Value __shfl_xor_sync(unsigned, Value value, int lanes) {
  return host::from_lane(value, host::current ^ lanes);
}

inline unsigned __ballot_sync(unsigned, bool mine) {
  const unsigned first = host::current / 32 * 32;
  unsigned votes = 0;
  host::slots[host::current][0] = mine;
  host::wait(host::warp_barriers[first / 32]);
  for (unsigned lane = 0; lane < 32; lane++) votes |= (unsigned)host::slots[first + lane][0] << lane;
  host::wait(host::warp_barriers[first / 32]);
  return votes;
}

inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline unsigned long long atomicAdd(unsigned long long* sum, unsigned long long value) { return *sum += value, *sum - value; }
inline float power_of_two(float x) { return std::exp2(x); }
inline float log_to_two(float x) { return std::log2(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline double __dmul_rn(double x, double y) { volatile double product = x * y; return product; }
inline double __dadd_rn(double x, double y) { return x + y; }
inline float __uint_as_float(unsigned bits) { float x; std::memcpy(&x, &bits, 4); return x; }
inline float __int_as_float(int bits) { return __uint_as_float(bits); }
inline float float_of_half(unsigned short bits) { _Float16 x; std::memcpy(&x, &bits, 2); return (float)x; }
