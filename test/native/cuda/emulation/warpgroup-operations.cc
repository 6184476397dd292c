// Barriers in shared memory, bulk copies and products of a warpgroup, by the PTX ISA.
#include "warpgroup.h"

namespace pm::cuda {
namespace {

constexpr uint64_t kMagic = 0x5ba4;

// What the opaque 64 bits of an mbarrier hold here.
struct Barrier {
  uint64_t phase : 1, expected : 11, pending : 11;
  int64_t bytes : 25;
  uint64_t magic : 16;
};
static_assert(sizeof(Barrier) == sizeof(SharedBarrier));

Barrier& stateOf(void* barrier) {
  const char* at = static_cast<const char*>(barrier);
  if ((uintptr_t)at % 8 != 0 || at < emulation::sharedMemory() || at + 8 > emulation::sharedMemory() + emulation::sharedBytes())
    emulation::fail("a barrier is not in shared memory");
  Barrier& state = *reinterpret_cast<Barrier*>(barrier);
  if (state.magic != kMagic) emulation::fail("a barrier is used before it is set up");
  if (!emulation::isFenced(at)) emulation::fail("a barrier is used before its setting up is fenced: fenceBarriers() is missing");
  return state;
}

void count(Barrier& state, int arrivals, int bytes) {
  if ((int)state.pending < arrivals) emulation::fail("more threads arrive at a barrier than it waits for");
  state.pending -= (unsigned)arrivals;
  state.bytes += bytes;
  if (state.pending != 0 || state.bytes != 0) return;
  state.phase ^= 1;
  state.pending = state.expected;
}

// Where element (line, k) of a matrix of 16-bit elements lies.
const char* placeOf(uint64_t descriptor, bool transposed, int line, int k) {
  const auto field = [&](int shift) { return (uint32_t)(descriptor >> shift & 0x3fff) << 4; };
  const uint32_t start = field(0), leading = field(16), stride = field(32);
  if (descriptor >> 62 != 1) emulation::fail("a matrix has another swizzle than that of 128 bytes");
  if ((descriptor >> 49 & 7) != 0) emulation::fail("a matrix descriptor has a base offset");
  if (start % 1024 >= 128) emulation::fail("a matrix does not start at a line of 1024-byte aligned atoms");
  if (transposed && start % 128 != 0) emulation::fail("a transposed matrix starts inside of a line");
  uint32_t address = transposed ? start + (uint32_t)line / 64 * leading + (uint32_t)line % 64 * 2 + (uint32_t)k / 8 * stride + (uint32_t)k % 8 * 128
                                : start + (uint32_t)line / 8 * stride + (uint32_t)line % 8 * 128 + (uint32_t)k * 2;
  address ^= (address >> 7 & 7) << 4;
  const uint32_t offset = address - sharedAddress(emulation::sharedMemory());
  if (offset + 2 > emulation::sharedBytes()) emulation::fail("a product reads outside of shared memory");
  return emulation::sharedMemory() + offset;
}

float elementOf(uint64_t descriptor, bool transposed, int line, int k) {
  uint16_t half;
  memcpy(&half, placeOf(descriptor, transposed, line, k), 2);
  return fromBf16(half);
}

// Everything a product reads must be there, and be seen by it, when it is issued.
void checkMatrix(uint64_t descriptor, bool transposed, int lines) {
  for (int line = 0; line < lines; line += transposed ? 8 : 1)
    for (int k = 0; k < 16; k += transposed ? 1 : 8) emulation::checkShared(placeOf(descriptor, transposed, line, k), true);
}

// `all`: the product as each of the 128 threads gave it.
void multiply(const emulation::WarpgroupProduct* const* all) {
  const emulation::WarpgroupProduct& first = *all[0];
  float a[64][16];
  static thread_local float b[256][16];
  for (int i = 0; i < 128; i++) {
    const auto& lane = *all[i];
    if (lane.n != first.n || lane.aDescriptor != first.aDescriptor || lane.bDescriptor != first.bDescriptor || lane.adds != first.adds ||
        lane.transposedB != first.transposedB || (lane.a == nullptr) != (first.a == nullptr))
      emulation::fail("threads of a warpgroup meet at different products");
    if (!lane.a) continue;
    const int row = i / 32 * 16 + i % 32 / 4, column = i % 4 * 2;
    for (int e = 0; e < 2; e++)
      for (int r = 0; r < 4; r++) a[row + r % 2 * 8][column + r / 2 * 8 + e] = fromBf16((uint16_t)(lane.a[r] >> (16 * e)));
  }
  for (int k = 0; k < 16; k++) {
    for (int row = 0; row < 64 && !first.a; row++) a[row][k] = elementOf(first.aDescriptor, false, row, k);
    for (int n = 0; n < first.n; n++) b[n][k] = elementOf(first.bDescriptor, first.transposedB, n, k);
  }
  for (int i = 0; i < 128; i++)
    for (int e = 0; e < first.n / 2; e++) {
      const int row = i / 32 * 16 + i % 32 / 4 + e / 2 % 2 * 8, column = e / 4 * 8 + i % 4 * 2 + e % 2;
      float sum = 0;
      for (int k = 0; k < 16; k++) sum += a[row][k] * b[column][k];
      float& c = all[i]->c[e];
      c = first.adds ? c + sum : sum;
    }
}

// Only a product that runs sees what the registers will hold; the last one leaves it there.
void takeAccumulator(emulation::ProductQueue& queue, const emulation::WarpgroupProduct& product) {
  for (const auto& each : queue.accumulators)
    if (each.c == product.c) std::copy(each.value.begin(), each.value.end(), product.c);
}
void releaseAccumulator(emulation::ProductQueue& queue, const emulation::WarpgroupProduct& product) {
  const auto found = std::find_if(queue.accumulators.begin(), queue.accumulators.end(), [&](const auto& each) { return each.c == product.c; });
  if (--found->products == 0) {
    queue.accumulators.erase(found);
    return;
  }
  found->value.assign(product.c, product.c + product.n / 2);
  std::fill_n(product.c, product.n / 2, NAN);
}

struct Wait { emulation::ProductQueue* queue; size_t batches; };

}  // namespace

void initBarrier(SharedBarrier* barrier, int count) {
  emulation::wroteShared(barrier, sizeof *barrier);
  Barrier& state = *reinterpret_cast<Barrier*>(barrier);
  state.magic = kMagic;
  state.phase = 0;
  state.bytes = 0;
  state.expected = state.pending = (unsigned)count & 0x7ffu;
}
void arrive(SharedBarrier* barrier) { count(stateOf(barrier), 1, 0); }
void arriveExpecting(SharedBarrier* barrier, int bytes) { count(stateOf(barrier), 1, bytes); }

void waitBarrier(SharedBarrier* barrier, int parity) {
  stateOf(barrier);
  emulation::waitUntil([](const void* at, int parity) { return (int)static_cast<const Barrier*>(at)->phase != parity; }, barrier, parity);
}

void copyBulk(void* to, const void* from, int bytes, SharedBarrier* barrier) {
  stateOf(barrier);
  emulation::copyBulk(to, from, bytes, [](void* at, int bytes) { count(stateOf(at), 0, -bytes); }, barrier);
}

void startProduct(const emulation::WarpgroupProduct& product) {
  auto& queue = emulation::products();
  if (!queue.fenced) emulation::fail("a batch of products begins without beginProducts()");
  if (threadIdx.x % 128 == 0) {
    if (!product.a) checkMatrix(product.aDescriptor, false, 64);
    checkMatrix(product.bDescriptor, product.transposedB, product.n);
  }
  if (emulation::productsAreLate()) {
    auto& waiting = queue.accumulators;
    auto found = std::find_if(waiting.begin(), waiting.end(), [&](const auto& each) { return each.c == product.c; });
    if (found == waiting.end()) {
      found = waiting.insert(waiting.end(), {product.c, std::vector<float>(product.c, product.c + product.n / 2), 0});
      std::fill_n(product.c, product.n / 2, NAN);
    }
    found->products++;
    queue.open.push_back(product);
    return;
  }
  emulation::WarpgroupProduct mine = product;
  emulation::togetherWarpgroup([](void* const* all) { multiply(reinterpret_cast<const emulation::WarpgroupProduct* const*>(all)); }, &mine);
}

void endProducts() {
  auto& queue = emulation::products();
  queue.fenced = false;
  queue.batches.push_back(std::move(queue.open));
  queue.open.clear();
}

void waitForProducts(int batches) {
  Wait mine{&emulation::products(), (size_t)batches};
  emulation::togetherWarpgroup([](void* const* all) {
    const auto waitOf = [&](int i) { return static_cast<Wait*>(all[i]); };
    auto& first = waitOf(0)->queue->batches;
    for (int i = 0; i < 128; i++)
      if (waitOf(i)->batches != waitOf(0)->batches || waitOf(i)->queue->batches.size() != first.size())
        emulation::fail("threads of a warpgroup wait for different products");
    while (first.size() > waitOf(0)->batches) {
      for (size_t p = 0; p < first.front().size(); p++) {
        const emulation::WarpgroupProduct* products[128];
        for (int i = 0; i < 128; i++) {
          auto& batch = waitOf(i)->queue->batches.front();
          if (batch.size() != first.front().size()) emulation::fail("threads of a warpgroup wait for different products");
          takeAccumulator(*waitOf(i)->queue, batch[p]);
          products[i] = &batch[p];
        }
        multiply(products);
        for (int i = 0; i < 128; i++) releaseAccumulator(*waitOf(i)->queue, *products[i]);
      }
      for (int i = 0; i < 128; i++) waitOf(i)->queue->batches.erase(waitOf(i)->queue->batches.begin());
    }
  }, &mine);
}

}  // namespace pm::cuda
