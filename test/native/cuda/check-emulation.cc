// Does the emulation see what it claims to see? One small kernel, a product of two matrices of which one comes by plain
// writes and one by a bulk copy, right and with one fault at a time. Each runs in a process of its own, which a fault
// that is seen ends.
#include "check.h"

#if defined(PM_EMULATED)

#include <sys/wait.h>
#include <unistd.h>

#include <warpgroup.h>

namespace check {

using namespace pm::cuda;

namespace {

enum class Fault {
  None,
  BarrierNotFenced,
  WriteNotFenced,
  FencedTooEarly,
  WrittenPlainly,
  CopyOverWrite,
  NotBegun,
  NotCommitted,
  ReadTooEarly,
  TooManyRegisters,
};

struct Task {
  const char* from;  // [64 lines of 128 bytes], swizzled
  float* out;        // [128 threads, 32]
};

constexpr int kTile = 64 * kLine;

template <Fault FAULT>
void faultyKernel(Task t) {
  PM_SHARED(shared);
  char* a = shared + (-sharedAddress(shared) & (kAtomBytes - 1));
  char* b = a + kTile;
  auto* full = reinterpret_cast<SharedBarrier*>(b + kTile);
  if (FAULT == Fault::FencedTooEarly) fenceShared();
  const uint4 one{0x3f803f80u, 0x3f803f80u, 0x3f803f80u, 0x3f803f80u};
  for (int i = (int)threadIdx.x; i < kTile / 16; i += 128) {
    if (FAULT == Fault::WrittenPlainly) memcpy(a + i * 16, &one, sizeof one);
    else storeShared(a + i * 16, one);
    if (FAULT == Fault::CopyOverWrite) storeShared(b + i * 16, one);
  }
  constexpr bool fences = FAULT != Fault::WriteNotFenced && FAULT != Fault::CopyOverWrite && FAULT != Fault::FencedTooEarly;
  if (fences) fenceShared();
  if (threadIdx.x == 0) {
    initBarrier(full, 1);
    if (FAULT != Fault::BarrierNotFenced) fenceBarriers();
  }
  syncThreads();
  if (FAULT == Fault::TooManyRegisters) takeRegisters<255>();
  else takeRegisters<240>();
  if (threadIdx.x == 0) {
    arriveExpecting(full, kTile);
    copyBulk(b, t.from, kTile, full);
  }
  waitBarrier(full, 0);
  float c[32];
  if (FAULT != Fault::NotBegun) beginProducts();
  for (int step = 0; step < 4; step++)
    multiplyWarpgroup<64, false>(c, matrixDescriptor(sharedAddress(a + step * 32), 16, kAtomBytes),
                                 matrixDescriptor(sharedAddress(b + step * 32), 16, kAtomBytes), step > 0);
  if (FAULT != Fault::NotCommitted) endProducts();
  if (FAULT != Fault::ReadTooEarly) waitProducts<0>();
  for (int i = 0; i < 32; i++) t.out[threadIdx.x * 32 + (unsigned)i] = c[i];
  waitProducts<0>();
}

// What the process of a run leaves: its words, and 1 where it ended well with the right product.
struct Outcome {
  std::string words;
  bool isRight = false;
};

template <Fault FAULT>
Outcome outcomeOf() {
  int pipeEnds[2];
  fflush(stdout);
  if (pipe(pipeEnds) != 0) throw std::runtime_error("cuda-check: no pipe");
  const pid_t child = fork();
  if (child == 0) {
    dup2(pipeEnds[1], STDERR_FILENO);
    close(pipeEnds[0]);
    const std::vector<uint16_t> ones((size_t)kTile / 2, 0x3f80);
    std::vector<float> out(128 * 32, -1.0f);
    emulation::use({emulation::Order::Ascending, true, true});
    launch<faultyKernel<FAULT>>(dim3(1), 128, (size_t)(kAtomBytes + 2 * kTile + 64), nullptr,
                                Task{reinterpret_cast<const char*>(ones.data()), out.data()});
    // 64 products of 1 by 1.
    _exit(std::all_of(out.begin(), out.end(), [](float x) { return x == 64.0f; }) ? 0 : 1);
  }
  close(pipeEnds[1]);
  Outcome outcome;
  char buffer[256];
  for (ssize_t count = 0; (count = read(pipeEnds[0], buffer, sizeof buffer)) > 0;) outcome.words.append(buffer, (size_t)count);
  close(pipeEnds[0]);
  int status = 0;
  waitpid(child, &status, 0);
  outcome.isRight = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  return outcome;
}

// A fault is seen when the run ends with these words, or, without words, when the product is wrong.
template <Fault FAULT>
void expectSeen(const char* name, const char* words) {
  const Outcome outcome = outcomeOf<FAULT>();
  const bool isSeen = !outcome.isRight && outcome.words.find(words) != std::string::npos;
  report(std::string("emulation sees ") + name, isSeen ? 0 : 1, 0, true);
}

}  // namespace

void checkEmulation() {
  report("emulation runs a right product", outcomeOf<Fault::None>().isRight ? 0 : 1, 0, true);
  expectSeen<Fault::BarrierNotFenced>("a barrier that is not fenced", "before its setting up is fenced");
  expectSeen<Fault::WriteNotFenced>("a write that is not fenced before a product", "fenceShared() is missing");
  expectSeen<Fault::FencedTooEarly>("a write after its fence", "fenceShared() is missing");
  expectSeen<Fault::WrittenPlainly>("a plain write that a product reads", "not by storeShared()");
  expectSeen<Fault::CopyOverWrite>("a bulk copy over a write that is not fenced", "fenceShared() is missing");
  expectSeen<Fault::NotBegun>("products without a fence of registers", "without beginProducts()");
  expectSeen<Fault::NotCommitted>("products that are never closed", "ends while its products run");
  expectSeen<Fault::ReadTooEarly>("registers that are read while products run", "");
  expectSeen<Fault::TooManyRegisters>("a number of registers that there is not", "multiple of 8");
}

}  // namespace check

#else

namespace check {
void checkEmulation() {}
}  // namespace check

#endif
