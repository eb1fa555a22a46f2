// CUDA C on a CPU, for tests: the threads of a block are fibers that one host thread runs in turn.
//
// A barrier gives way to the next fiber until all of its group have come to it. Where some never come, because they
// returned or wait at another barrier, the run is aborted: on a GPU it would hang or be undefined.

#include <ucontext.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(...)

using std::max;

struct Index { unsigned x; };
static Index threadIdx, blockIdx, blockDim, gridDim;

namespace host {

constexpr int WARP_SIZE = 32;
constexpr size_t STACK = 1 << 16;

struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  bool done = false;
  long block_barriers = 0, warp_barriers = 0;  // come to so far
};

static std::vector<Fiber> fibers;
static ucontext_t scheduler;
static std::function<void()> body;
static unsigned current;
static char slots[1024][8];  // what each thread shows to its warp

inline void fail(const char* what) {
  std::fprintf(stderr, "cuda_on_host: %s (block %u, thread %u)\n", what, blockIdx.x, current);
  std::abort();
}

inline void give_way() { swapcontext(&fibers[current].context, &scheduler); }

inline void run() {
  body();
  fibers[current].done = true;
  give_way();
}

// Whether every fiber from `first` to `last` has come to as many barriers as this one.
template <typename Count> void wait(unsigned first, unsigned last, Count count) {
  const long mine = ++(fibers[current].*count);
  for (;;) {
    bool all = true;
    for (unsigned t = first; t < last; t++) {
      if (fibers[t].*count >= mine) continue;
      if (fibers[t].done) fail("a thread returned while others wait for it at a barrier");
      all = false;
    }
    if (all) return;
    give_way();
  }
}

inline void wait_for_warp() {
  unsigned first = current / WARP_SIZE * WARP_SIZE;
  wait(first, std::min<unsigned>(first + WARP_SIZE, fibers.size()), &Fiber::warp_barriers);
}

template <typename Value> Value from_lane(Value value, unsigned thread) {
  static_assert(sizeof(Value) <= 8);
  std::memcpy(slots[current], &value, sizeof(Value));
  wait_for_warp();
  std::memcpy(&value, slots[thread], sizeof(Value));
  wait_for_warp();  // before anyone shows the next
  return value;
}

inline void launch(unsigned blocks, unsigned threads, std::function<void()> kernel) {
  body = kernel;
  blockDim.x = threads, gridDim.x = blocks;
  for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++) {
    fibers = std::vector<Fiber>(threads);
    for (auto& fiber : fibers) {
      fiber.stack.reset(new char[STACK]);
      getcontext(&fiber.context);
      fiber.context.uc_stack.ss_sp = fiber.stack.get();
      fiber.context.uc_stack.ss_size = STACK;
      makecontext(&fiber.context, run, 0);
    }
    for (long waits = 0, left = threads; left > 0;) {
      left = 0;
      for (current = 0; current < threads; current++) {
        if (fibers[current].done) continue;
        threadIdx.x = current;
        swapcontext(&scheduler, &fibers[current].context);
        left += !fibers[current].done;
      }
      if (++waits > 100000000) fail("threads wait for each other forever");
    }
  }
}

}  // namespace host

inline void __syncthreads() { host::wait(0, host::fibers.size(), &host::Fiber::block_barriers); }

template <typename Value> Value __shfl_xor_sync(unsigned, Value value, int lanes) {
  return host::from_lane(value, host::current ^ lanes);
}

inline unsigned __ballot_sync(unsigned, bool mine) {
  unsigned first = host::current / 32 * 32, votes = 0;
  std::memcpy(host::slots[host::current], &mine, 1);
  host::wait_for_warp();
  for (unsigned lane = 0; lane < 32 && first + lane < host::fibers.size(); lane++)
    votes |= (unsigned)(host::slots[first + lane][0] & 1) << lane;
  host::wait_for_warp();
  return votes;
}

inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline unsigned long long atomicAdd(unsigned long long* sum, unsigned long long value) { return *sum += value, *sum - value; }
inline float __expf(float x) { return std::exp(x); }
inline double __dmul_rn(double x, double y) { volatile double product = x * y; return product; }
inline double __dadd_rn(double x, double y) { return x + y; }
inline float __uint_as_float(unsigned bits) { float x; std::memcpy(&x, &bits, 4); return x; }
inline float __int_as_float(int bits) { return __uint_as_float(bits); }
inline float float_of_half(unsigned short bits) { _Float16 x; std::memcpy(&x, &bits, 2); return (float)x; }
