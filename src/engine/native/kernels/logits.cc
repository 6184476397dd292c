// Maximum, sum of exponentials, counting and searching over one row of logits [n], n a multiple of 16.
// Sums are float within a block of 1024 and double between blocks. Parallelization: callers cut rows.
#include "logits.h"

#include "table.h"

namespace pm::PM_ISA {

float maxOf(const float* x, size_t n) {
  Vec top = set1(-__builtin_inff());
  for (size_t i = 0; i < n; i += kLanes) top = max(load(x + i), top);
  return reduceMax(top);
}

// Sum of e^(x - shift).
double sumExp(const float* x, size_t n, float shift) {
  double total = 0;
  const Vec s = set1(shift);
  for (size_t i = 0; i < n;) {
    const size_t end = n - i < kSumBlock ? n : i + kSumBlock;
    Vec sum = zero();
    for (; i < end; i += kLanes) sum = add(sum, exp(sub(load(x + i), s)));
    total += (double)reduceAdd(sum);
  }
  return total;
}

// out = e^(x - shift), blockSums [ceil(n / 1024)].
void expShifted(float* out, const float* x, size_t n, float shift, double* blockSums) {
  const Vec s = set1(shift);
  for (size_t i = 0; i < n;) {
    const size_t end = n - i < kSumBlock ? n : i + kSumBlock;
    Vec sum = zero();
    for (; i < end; i += kLanes) {
      const Vec e = exp(sub(load(x + i), s));
      store(out + i, e);
      sum = add(sum, e);
    }
    *blockSums++ = (double)reduceAdd(sum);
  }
}

// x = x / divisor
void divide(float* x, size_t n, float divisor) {
  const Vec d = set1(divisor);
  for (size_t i = 0; i < n; i += kLanes) store(x + i, div(load(x + i), d));
}

size_t countGreater(const float* x, size_t n, float limit) {
  const Vec l = set1(limit);
  size_t count = 0;
  for (size_t i = 0; i < n; i += kLanes) count += (size_t)__builtin_popcount(greaterMask(load(x + i), l));
  return count;
}

// x = -infinity where the bit of its index is 0.
void ban(float* x, const uint32_t* allowed, size_t n) {
  const Vec none = set1(-__builtin_inff());
  for (size_t i = 0; i < n; i += kLanes) {
    const unsigned lanes = allowed[i / 32] >> i % 32 & 0xffffu;
    if (lanes != 0xffffu) store(x + i, select(lanes, load(x + i), none));
  }
}

// First index >= from with x[index] > limit, or n.
size_t findGreater(const float* x, size_t from, size_t n, float limit) {
  const Vec l = set1(limit);
  size_t i = from / kLanes * kLanes;
  unsigned keep = 0xffffu << (from % kLanes) & 0xffffu;
  for (; i < n; i += kLanes, keep = 0xffffu) {
    const unsigned mask = greaterMask(load(x + i), l) & keep;
    if (mask) return i + (size_t)__builtin_ctz(mask);
  }
  return n;
}

// First index with x[index] == value, or n.
size_t findEqual(const float* x, size_t n, float value) {
  const Vec v = set1(value);
  for (size_t i = 0; i < n; i += kLanes) {
    const unsigned mask = equalMask(load(x + i), v);
    if (mask) return i + (size_t)__builtin_ctz(mask);
  }
  return n;
}

}  // namespace pm::PM_ISA
