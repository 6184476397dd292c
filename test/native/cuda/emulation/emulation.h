// Runs CUDA kernels on the CPU, one block at a time, each thread of a block as a fiber of its own. A fiber runs until
// it meets a barrier or an operation of its whole warp; the operation happens when all lanes have arrived. So the
// kernels' own source, index by index, is what runs.
//
// Shared memory has two faces. What threads write there, plainly or by cp.async, bulk copies and products of warpgroups
// may see only after the writer has fenced it (fenceShared): who wrote each 16 bytes, and after how many fences, is
// kept, and a product, a copy or a barrier that meets a write without a fence after it is an error. So is one that
// meets bytes which no call here has written: plain writes of such memory go through storeShared.
//
// What a real device leaves open is chosen by an Order, and a correct kernel gives the same bits under every one:
// in which order threads and blocks run, and whether an asynchronous copy or product happens when it is issued or when
// it is waited for. Shared memory is filled with 0xff bytes and allocated at its exact size, so that an address checker
// (-fsanitize=address) sees what lies outside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

namespace emulation {

enum class Order { Ascending, Descending, Shuffled };

struct Schedule {
  Order order = Order::Ascending;
  bool lateCopies = true;    // asynchronous copies happen when they are waited for
  bool lateProducts = true;  // products of warpgroups do, and after all that other threads can do meanwhile
};

// Of the calling thread's next launches.
void use(Schedule schedule);

void runGrid(dim3 grid, int threads, size_t sharedBytes, const std::function<void()>& body);

// Of the running fiber.
struct Position {
  dim3 threadIdx, blockIdx, blockDim, gridDim;
};
Position& position();
char* sharedMemory();
size_t sharedBytes();

void barrier();
// Waits until every lane of the warp has called with the same operation, then runs it once over their operands.
void together(void (*operation)(void* const* operands, int lanes), void* operand);

// The same for the four warps of a warpgroup.
void togetherWarpgroup(void (*operation)(void* const* operands), void* operand);

// Rests until `isDone(at, argument)`.
void waitUntil(bool (*isDone)(const void* at, int argument), const void* at, int argument);

// A copy by the engine, at once or when no thread can go on; then `completed(at, bytes)`.
void copyBulk(void* to, const void* from, int bytes, void (*completed)(void* at, int bytes), void* at);

// Of this launch.
bool productsAreLate();

// The running thread has written these bytes of shared memory.
void wroteShared(const void* at, size_t bytes);
// What the running thread has written so far may be seen by copies and products.
void fenceShared();
bool isFenced(const void* at);
// Fails unless products and copies may see these 16 bytes. `reads`: their content, too, is looked at.
void checkShared(const void* at, bool reads);

// The running thread's warpgroup goes on with this many registers a thread.
void setRegisters(int count);

// c = a b or c += a b, as one thread of a warpgroup gives it. `a`: registers, or null: a matrix in shared memory.
struct WarpgroupProduct {
  float* c;
  const uint32_t* a;
  uint64_t aDescriptor, bDescriptor;
  int n;
  bool transposedB, adds;
};
// Registers that products write. While any runs they hold NaN, and here is what they will hold.
struct Accumulator {
  float* c;
  std::vector<float> value;
  int products;
};
struct ProductQueue {
  bool fenced = false;  // since the last batch was closed
  std::vector<WarpgroupProduct> open;
  std::vector<std::vector<WarpgroupProduct>> batches;  // oldest first
  std::vector<Accumulator> accumulators;
};
// Of the running thread.
ProductQueue& products();

void copy16(void* to, const void* from, bool valid);
void commitCopies();
void waitCopies(int groups);

[[noreturn]] void fail(const char* what);

}  // namespace emulation
