#include "emulation.h"

#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulation {
namespace {

constexpr size_t kStackBytes = 256 << 10;
constexpr int kWarp = 32, kWarpgroup = 128, kMostThreads = 1024;
constexpr size_t kMostShared = 227 << 10;

enum class State { Ready, AtBarrier, AtOperation, AtWarpgroupOperation, Waiting, Done };

struct Copy { void* to; const void* from; bool valid; };
struct BulkCopy { void* to; const void* from; int bytes; void (*completed)(void*, int); void* at; };

// Who wrote 16 bytes of shared memory last, and how many fences it had done before; thread -1: a copy, or nobody.
struct Written { int thread = -1, fences = 0; };

struct Fiber {
  ucontext_t context;
  void* saved = nullptr;  // stack pointer while it rests
  char* stack = nullptr;
  State state = State::Done;
  Position place;
  std::vector<std::vector<Copy>> groups;  // committed, oldest first
  std::vector<Copy> open;
  void (*operation)(void* const*, int) = nullptr;
  void (*warpgroupOperation)(void* const*) = nullptr;
  void* operand = nullptr;
  bool (*isDone)(const void*, int) = nullptr;  // while it waits
  const void* waitsAt = nullptr;
  int waitArgument = 0;
  ProductQueue products;
  int fences = 0;
};

// Saves what the caller's function must find again, and goes on where `to` rests.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define PM_FAST_SWITCH
extern "C" void emulation_switch(void** from, void* to);
asm(R"(
.text
.globl emulation_switch
.type emulation_switch,@function
emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulation_switch,.-emulation_switch
)");
#endif

struct Machine {
  Schedule schedule;
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<int> order;
  const std::function<void()>* body = nullptr;
  Fiber* running = nullptr;
  ucontext_t home;
  void* homeSaved = nullptr;
  char* shared = nullptr;
  size_t sharedSize = 0;
  std::vector<Written> written;  // [sharedSize / 16]
  std::vector<char> known;       // what calls have written to shared memory
  std::vector<int> registers;    // of each warpgroup; empty: nobody has changed them
  std::vector<BulkCopy> bulkCopies;  // under way
  int threads = 0;
  uint32_t random = 12345;
#if defined(__SANITIZE_ADDRESS__)
  const void* homeStack = nullptr;
  size_t homeStackSize = 0;
  void* homeFake = nullptr;
  void* fiberFake[kMostThreads] = {};
#endif

  ~Machine() {
    for (auto& fiber : fibers) munmap(fiber->stack, kStackBytes);
    free(shared);
  }
};

thread_local Machine machine;

void enter();

void leaveTo(Fiber& fiber) {
  machine.running = &fiber;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&machine.homeFake, fiber.stack, kStackBytes);
#endif
#if defined(PM_FAST_SWITCH)
  emulation_switch(&machine.homeSaved, fiber.saved);
#else
  swapcontext(&machine.home, &fiber.context);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(machine.homeFake, nullptr, nullptr);
#endif
  machine.running = nullptr;
}

void returnHome() {
  Fiber& fiber = *machine.running;
#if defined(__SANITIZE_ADDRESS__)
  void** fake = fiber.state == State::Done ? nullptr : &machine.fiberFake[fiber.place.threadIdx.x];
  __sanitizer_start_switch_fiber(fake, machine.homeStack, machine.homeStackSize);
#endif
#if defined(PM_FAST_SWITCH)
  emulation_switch(&fiber.saved, machine.homeSaved);
#else
  swapcontext(&fiber.context, &machine.home);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(machine.fiberFake[fiber.place.threadIdx.x], &machine.homeStack, &machine.homeStackSize);
#endif
}

void enter() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &machine.homeStack, &machine.homeStackSize);
#endif
  (*machine.body)();
  if (!machine.running->products.batches.empty() || !machine.running->products.open.empty()) fail("a thread ends while its products run");
  machine.running->state = State::Done;
  returnHome();
  abort();
}

void prepare(Fiber& fiber) {
  if (!fiber.stack) {
    fiber.stack = static_cast<char*>(mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (fiber.stack == MAP_FAILED) fail("no memory for a thread's stack");
  }
  fiber.state = State::Ready;
  fiber.groups.clear();
  fiber.open.clear();
  fiber.products = {};
  fiber.fences = 0;
#if defined(PM_FAST_SWITCH)
  // Six registers, then the address that `ret` takes; the stack is as after a call.
  void** top = reinterpret_cast<void**>(fiber.stack + kStackBytes) - 2;
  *top = reinterpret_cast<void*>(&enter);
  fiber.saved = top - 6;
#else
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack;
  fiber.context.uc_stack.ss_size = kStackBytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, enter, 0);
#endif
}

// `thread`: that wrote them, or -1.
void note(const void* at, size_t bytes, int thread) {
  const size_t start = (size_t)(static_cast<const char*>(at) - machine.shared);
  memcpy(machine.known.data() + start, at, bytes);
  const Written written{thread, thread < 0 ? 0 : machine.fibers[(size_t)thread]->fences};
  for (size_t chunk = start / 16; chunk * 16 < start + bytes; chunk++) machine.written[chunk] = written;
}

void perform(const Copy& copy, int thread) {
  if (copy.valid) memcpy(copy.to, copy.from, 16);
  else memset(copy.to, 0, 16);
  note(copy.to, 16, thread);
}

void perform(const BulkCopy& copy) {
  memcpy(copy.to, copy.from, (size_t)copy.bytes);
  note(copy.to, (size_t)copy.bytes, -1);
  copy.completed(copy.at, copy.bytes);
}

uint32_t nextRandom() {
  machine.random = machine.random * 1664525u + 1013904223u;
  return machine.random >> 8;
}

void arrange(std::vector<int>& order, int count) {
  order.resize((size_t)count);
  for (int i = 0; i < count; i++) order[(size_t)i] = machine.schedule.order == Order::Descending ? count - 1 - i : i;
  if (machine.schedule.order != Order::Shuffled) return;
  for (size_t i = (size_t)count - 1; i > 0; i--) std::swap(order[i], order[nextRandom() % (i + 1)]);
}

// The operation of a warp all of whose lanes have arrived; false if some have not.
bool operate(int warp) {
  const int first = warp * kWarp, lanes = std::min(kWarp, machine.threads - first);
  void* operands[kWarp];
  for (int i = 0; i < lanes; i++) {
    const Fiber& fiber = *machine.fibers[(size_t)(first + i)];
    if (fiber.state != State::AtOperation) return false;
    operands[i] = fiber.operand;
  }
  const auto operation = machine.fibers[(size_t)first]->operation;
  for (int i = 0; i < lanes; i++)
    if (machine.fibers[(size_t)(first + i)]->operation != operation) fail("lanes of one warp meet at different operations");
  operation(operands, lanes);
  for (int i = 0; i < lanes; i++) machine.fibers[(size_t)(first + i)]->state = State::Ready;
  return true;
}

// The same of a warpgroup.
bool operateWarpgroup(int group) {
  const int first = group * kWarpgroup;
  if (first + kWarpgroup > machine.threads) return false;
  void* operands[kWarpgroup];
  const auto fiberOf = [&](int i) -> Fiber& { return *machine.fibers[(size_t)(first + i)]; };
  for (int i = 0; i < kWarpgroup; i++) {
    if (fiberOf(i).state != State::AtWarpgroupOperation) return false;
    if (fiberOf(i).warpgroupOperation != fiberOf(0).warpgroupOperation) fail("threads of one warpgroup meet at different operations");
    operands[i] = fiberOf(i).operand;
  }
  fiberOf(0).warpgroupOperation(operands);
  for (int i = 0; i < kWarpgroup; i++) fiberOf(i).state = State::Ready;
  return true;
}

bool operateAnyWarpgroup() {
  for (int group = 0; group < machine.threads / kWarpgroup; group++)
    if (operateWarpgroup(group)) return true;
  return false;
}

// One of the copies under way; false if there is none.
bool finishCopy() {
  auto& copies = machine.bulkCopies;
  if (copies.empty()) return false;
  const size_t i = machine.schedule.order == Order::Shuffled ? nextRandom() % copies.size() : 0;
  const BulkCopy copy = copies[i];
  copies.erase(copies.begin() + (ptrdiff_t)i);
  perform(copy);
  return true;
}

constexpr int kRegisters = 65536;

// At launch every thread has an equal share, in units of eight.
int equalShare() { return kRegisters / machine.threads / 8 * 8; }

void checkRegisters() {
  int all = 0;
  for (const int count : machine.registers) all += count * kWarpgroup;
  if (all > kRegisters) fail("warpgroups take more registers than there are");
}

void runBlock(dim3 grid, dim3 block, int threads) {
  if (machine.sharedSize) memset(machine.shared, 0xff, machine.sharedSize);
  machine.known.assign(machine.sharedSize, (char)0xff);
  machine.written.assign((machine.sharedSize + 15) / 16, Written{});
  machine.registers.clear();
  while ((int)machine.fibers.size() < threads) machine.fibers.push_back(std::make_unique<Fiber>());
  machine.threads = threads;
  for (int i = 0; i < threads; i++) {
    Fiber& fiber = *machine.fibers[(size_t)i];
    prepare(fiber);
    fiber.place = {dim3((unsigned)i), block, dim3((unsigned)threads), grid};
  }
  const int warps = (threads + kWarp - 1) / kWarp;
  std::vector<int> warpOrder, laneOrder;
  for (;;) {
    bool moved = false;
    arrange(warpOrder, warps);
    for (const int warp : warpOrder) {
      // A warp runs on until it rests at a barrier or ends.
      for (bool again = true; again;) {
        again = false;
        arrange(laneOrder, std::min(kWarp, threads - warp * kWarp));
        for (const int lane : laneOrder) {
          Fiber& fiber = *machine.fibers[(size_t)(warp * kWarp + lane)];
          if (fiber.state == State::Waiting && fiber.isDone(fiber.waitsAt, fiber.waitArgument)) fiber.state = State::Ready;
          if (fiber.state != State::Ready) continue;
          leaveTo(fiber);
          moved = true;
        }
        again = operate(warp);
      }
      if (!machine.schedule.lateProducts) moved = operateWarpgroup(warp * kWarp / kWarpgroup) || moved;
    }
    int done = 0, waiting = 0;
    for (int i = 0; i < threads; i++) {
      done += machine.fibers[(size_t)i]->state == State::Done;
      waiting += machine.fibers[(size_t)i]->state == State::AtBarrier;
    }
    if (done == threads) {
      if (!machine.bulkCopies.empty()) fail("a block ends while copies into it are under way");
      checkRegisters();
      return;
    }
    if (waiting == threads) {
      for (int i = 0; i < threads; i++) machine.fibers[(size_t)i]->state = State::Ready;
    } else if (!moved && !operateAnyWarpgroup() && !finishCopy()) {
      fail("threads of one block wait at different places: a barrier or warp operation is not reached by all");
    }
  }
}

}  // namespace

void fail(const char* what) {
  fprintf(stderr, "emulation: %s\n", what);
  if (machine.running) {
    const Position& at = machine.running->place;
    fprintf(stderr, "  in thread %u of block (%u, %u, %u)\n", at.threadIdx.x, at.blockIdx.x, at.blockIdx.y, at.blockIdx.z);
  }
  abort();
}

void use(Schedule schedule) { machine.schedule = schedule; }
Position& position() { return machine.running->place; }
char* sharedMemory() { return machine.shared; }
size_t sharedBytes() { return machine.sharedSize; }

void runGrid(dim3 grid, int threads, size_t sharedBytes, const std::function<void()>& body) {
  if (threads < 1 || threads > kMostThreads) fail("a block has 1 to 1024 threads");
  if (sharedBytes > kMostShared) fail("a block has at most 227 KiB of shared memory");
  if (grid.y > 65535 || grid.z > 65535) fail("y and z of a grid are at most 65535");
  free(machine.shared);
  machine.shared = sharedBytes ? static_cast<char*>(aligned_alloc(128, (sharedBytes + 127) / 128 * 128)) : nullptr;
  machine.sharedSize = sharedBytes;
  machine.body = &body;
  std::vector<int> order;
  const int blocks = (int)(grid.x * grid.y * grid.z);
  arrange(order, blocks);
  for (const int i : order) {
    const unsigned u = (unsigned)i;
    runBlock(grid, dim3(u % grid.x, u / grid.x % grid.y, u / grid.x / grid.y), threads);
  }
}

void barrier() {
  machine.running->state = State::AtBarrier;
  returnHome();
}

void together(void (*operation)(void* const*, int), void* operand) {
  Fiber& fiber = *machine.running;
  fiber.operation = operation;
  fiber.operand = operand;
  fiber.state = State::AtOperation;
  returnHome();
}

void togetherWarpgroup(void (*operation)(void* const*), void* operand) {
  Fiber& fiber = *machine.running;
  fiber.warpgroupOperation = operation;
  fiber.operand = operand;
  fiber.state = State::AtWarpgroupOperation;
  returnHome();
}

void waitUntil(bool (*isDone)(const void*, int), const void* at, int argument) {
  Fiber& fiber = *machine.running;
  fiber.isDone = isDone;
  fiber.waitsAt = at;
  fiber.waitArgument = argument;
  fiber.state = State::Waiting;
  returnHome();
}

void wroteShared(const void* at, size_t bytes) {
  const char* start = static_cast<const char*>(at);
  if (start < machine.shared || start + bytes > machine.shared + machine.sharedSize) fail("a thread writes outside of shared memory");
  note(at, bytes, (int)machine.running->place.threadIdx.x);
}

void fenceShared() { machine.running->fences++; }

bool isFenced(const void* at) {
  const Written& written = machine.written[(size_t)(static_cast<const char*>(at) - machine.shared) / 16];
  return written.thread < 0 || machine.fibers[(size_t)written.thread]->fences > written.fences;
}

void checkShared(const void* at, bool reads) {
  const size_t start = (size_t)(static_cast<const char*>(at) - machine.shared);
  if (!isFenced(at)) fail("a product or a bulk copy meets shared memory that its writer has not fenced: fenceShared() is missing");
  if (reads && memcmp(machine.known.data() + start, at, 16) != 0)
    fail("a product reads shared memory that was written plainly, not by storeShared()");
}

void setRegisters(int count) {
  if (count % 8 != 0 || count < 24 || count > 256) fail("a thread has 24 to 256 registers, a multiple of 8");
  if (machine.registers.empty()) machine.registers.assign((size_t)machine.threads / kWarpgroup, equalShare());
  machine.registers[machine.running->place.threadIdx.x / kWarpgroup] = count;
  togetherWarpgroup([](void* const*) {}, nullptr);
}

bool productsAreLate() { return machine.schedule.lateProducts; }
ProductQueue& products() { return machine.running->products; }

void copyBulk(void* to, const void* from, int bytes, void (*completed)(void*, int), void* at) {
  if ((uintptr_t)to % 16 != 0 || (uintptr_t)from % 16 != 0 || bytes % 16 != 0 || bytes <= 0)
    fail("a bulk copy is not of 16-byte units");
  if (to < machine.shared || static_cast<char*>(to) + bytes > machine.shared + machine.sharedSize) fail("a bulk copy goes outside of shared memory");
  for (int i = 0; i < bytes; i += 16) checkShared(static_cast<char*>(to) + i, false);
  const BulkCopy copy{to, from, bytes, completed, at};
  if (machine.schedule.lateCopies) machine.bulkCopies.push_back(copy);
  else perform(copy);
}

void copy16(void* to, const void* from, bool valid) {
  if ((uintptr_t)to % 16 != 0 || (valid && (uintptr_t)from % 16 != 0)) fail("an asynchronous copy is not aligned to 16 bytes");
  const char* at = static_cast<const char*>(to);
  if (at < machine.shared || at + 16 > machine.shared + machine.sharedSize) fail("an asynchronous copy goes outside of shared memory");
  const Copy copy{to, from, valid};
  if (machine.schedule.lateCopies) machine.running->open.push_back(copy);
  else perform(copy, (int)machine.running->place.threadIdx.x);
}

void commitCopies() {
  Fiber& fiber = *machine.running;
  fiber.groups.push_back(std::move(fiber.open));
  fiber.open.clear();
}

void waitCopies(int groups) {
  Fiber& fiber = *machine.running;
  while ((int)fiber.groups.size() > groups) {
    for (const Copy& copy : fiber.groups.front()) perform(copy, (int)fiber.place.threadIdx.x);
    fiber.groups.erase(fiber.groups.begin());
  }
}

}  // namespace emulation
