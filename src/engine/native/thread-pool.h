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
  void run(int chunks, const Body& body) { run(chunks, 1, body); }

  // The same, but neighbours go to one thread, as long as it has some: for chunks that read memory on from where the one
  // before has ended, which is asked for ahead of time. A thread that is done helps the others.
  template <class Body>
  void runNeighbours(int chunks, const Body& body) { run(chunks, threads(), body); }

 private:
  // The next chunk, and where they end: (end << 32 | next).
  struct alignas(64) Queue {
    std::atomic<uint64_t> ticket{0};
  };

  template <class Body>
  void run(int chunks, int queues, const Body& body) {
    if (chunks <= 0) return;
    if (chunks == 1 || workers.empty()) {
      for (int chunk = 0; chunk < chunks; chunk++) body(chunk, 0);
      return;
    }
    share(chunks, queues, &body, [](const void* context, int chunk, int worker) {
      (*static_cast<const Body*>(context))(chunk, worker);
    });
  }

  using Call = void (*)(const void* context, int chunk, int worker);

  void share(int chunks, int queues, const void* context, Call call);
  void sleepUntilDone(int chunks);
  void drain(int worker);
  void drain(Queue& queue, int worker);
  void work(int worker);

  // A thread owns a chunk when the ticket it drew is below the end; a loop ends only when all its chunks are done, so a
  // valid ticket always belongs to the current loop, and a worker that wakes late merely draws an invalid one.
  std::unique_ptr<Queue[]> queues;  // one per thread; a loop in order has all its chunks in the first one
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
