// Threads that share the chunks of one loop at a time. The calling thread is worker 0; with one thread there
// are no others. Idle workers spin for a few microseconds, then sleep on a futex, so that a busy machine is
// not starved by waiting and the short loops of a decode step still find their workers awake.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

namespace pm {

class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return (int)workers.size() + 1; }

  // Calls body(chunk, worker) for every chunk in [0, chunks), each exactly once, and returns when all are done.
  // When a body throws, the other chunks still run, then the first exception continues here.
  template <class Body>
  void run(int chunks, const Body& body) {
    if (chunks <= 0) return;
    if (chunks == 1 || workers.empty()) {
      for (int chunk = 0; chunk < chunks; chunk++) body(chunk, 0);
      return;
    }
    share(chunks, &body, [](const void* context, int chunk, int worker) {
      (*static_cast<const Body*>(context))(chunk, worker);
    });
  }

 private:
  using Call = void (*)(const void* context, int chunk, int worker);

  void share(int chunks, const void* context, Call call);
  void sleepUntilDone(int chunks);
  void drain(int worker);
  void work(int worker);

  // A ticket is (chunks << 32 | next chunk). A thread owns a chunk when the ticket it drew is below the count;
  // a loop ends only when all its chunks are done, so a valid ticket always belongs to the current loop, and a
  // worker that wakes late merely draws an invalid one.
  alignas(64) std::atomic<uint64_t> ticket{0};
  alignas(64) std::atomic<int> done{0};
  alignas(64) std::atomic<uint32_t> epoch{0};
  std::atomic<bool> stopping{false};
  const void* context = nullptr;
  Call call = nullptr;
  int total = 0;
  std::atomic<bool> failed{false};
  std::exception_ptr failure;
  std::vector<std::thread> workers;
};

}  // namespace pm
