#include "thread-pool.h"

#include <chrono>
#include <utility>

namespace pm {
namespace {

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits for `ready` for about `microseconds`; false when it did not come.
template <class Ready>
bool spin(int microseconds, const Ready& ready) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(microseconds);
  do {
    for (int i = 0; i < 16; i++) {
      if (ready()) return true;
      pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  return ready();
}

// Microseconds. A worker waits for the next loop of the step; the caller for the last chunks of this one, which
// are longer than a wake-up.
constexpr int kWorkerSpin = 5;
constexpr int kCallerSpin = 20;

}  // namespace

ThreadPool::ThreadPool(int threads) : queues(new Queue[(size_t)threads]) {
  for (int worker = 1; worker < threads; worker++) workers.emplace_back([this, worker] { work(worker); });
}

ThreadPool::~ThreadPool() {
  stopping.store(true);
  epoch.fetch_add(1);
  epoch.notify_all();
  for (auto& worker : workers) worker.join();
}

void ThreadPool::share(int chunks, int count, const void* body, Call function) {
  context = body;
  call = function;
  total = chunks;
  done.store(0, std::memory_order_relaxed);
  for (int i = 0; i < count; i++) {
    const uint64_t first = (uint64_t)chunks * (uint64_t)i / (uint64_t)count, end = (uint64_t)chunks * (uint64_t)(i + 1) / (uint64_t)count;
    queues[(size_t)i].ticket.store(end << 32 | first, std::memory_order_release);
  }
  epoch.fetch_add(1, std::memory_order_release);
  epoch.notify_all();
  drain(0);
  const auto finished = [&] { return done.load(std::memory_order_acquire) == chunks; };
  if (!spin(kCallerSpin, finished)) sleepUntilDone(chunks);
  if (failed.exchange(false)) std::rethrow_exception(std::exchange(failure, nullptr));
}

void ThreadPool::sleepUntilDone(int chunks) {
  for (int seen = done.load(std::memory_order_acquire); seen != chunks; seen = done.load(std::memory_order_acquire))
    done.wait(seen, std::memory_order_acquire);
}

void ThreadPool::drain(int worker) {
  for (int i = worker; i < worker + threads(); i++) drain(queues[(size_t)(i % threads())], worker);
}

void ThreadPool::drain(Queue& queue, int worker) {
  for (;;) {
    const uint64_t drawn = queue.ticket.fetch_add(1, std::memory_order_acq_rel);
    const int chunk = (int)(uint32_t)drawn;
    if (chunk >= (int)(drawn >> 32)) return;
    const int last = total;
    try {
      call(context, chunk, worker);
    } catch (...) {
      if (!failed.exchange(true)) failure = std::current_exception();
    }
    if (done.fetch_add(1, std::memory_order_acq_rel) + 1 == last && worker != 0) done.notify_one();
  }
}

void ThreadPool::work(int worker) {
  uint32_t seen = 0;
  while (!stopping.load(std::memory_order_acquire)) {
    const auto called = [&] { return epoch.load(std::memory_order_acquire) != seen; };
    if (!spin(kWorkerSpin, called)) epoch.wait(seen, std::memory_order_acquire);
    seen = epoch.load(std::memory_order_acquire);
    drain(worker);
  }
}

}  // namespace pm
