// The runtime's calls, and what tests set: how much memory and which device there seems to be.
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <set>

#include "cuda-api.h"

namespace {

constexpr size_t kTotal = size_t{1} << 30;
std::mutex guard;
std::map<void*, size_t> sizes, pinned;
size_t used = 0;
std::set<EmulatedStream*> streams;

bool isIn(const std::map<void*, size_t>& ranges, const void* at) {
  const std::lock_guard<std::mutex> lock(guard);
  const auto after = ranges.upper_bound(const_cast<void*>(at));
  if (after == ranges.begin()) return false;
  const auto& [start, bytes] = *std::prev(after);
  return (const char*)at < (const char*)start + bytes;
}

void finish(EmulatedStream* stream) {
  while (stream && !stream->pending.empty()) {
    const auto work = std::move(stream->pending.front());
    stream->pending.pop_front();
    work();
  }
}

// As freeing memory does on a device.
void finishAll() {
  std::set<EmulatedStream*> all;
  {
    const std::lock_guard<std::mutex> lock(guard);
    all = streams;
  }
  for (EmulatedStream* stream : all) finish(stream);
}

double now() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

void EmulatedStream::add(EmulatedStream* stream, std::function<void()> work) {
  if (!stream) work();
  else if (stream->capturing) stream->capturing->launches.push_back(std::move(work));
  else stream->pending.push_back(std::move(work));
}

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorInsufficientDriver: return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice: return "cudaErrorNoDevice";
    case cudaErrorInvalidConfiguration: return "cudaErrorInvalidConfiguration";
  }
  return "unknown";
}
const char* cudaGetErrorString(cudaError_t error) { return error == cudaErrorMemoryAllocation ? "out of memory" : cudaGetErrorName(error); }
cudaError_t cudaGetDeviceCount(int* count) { *count = 1; return cudaSuccess; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) {
  *p = {};
  strcpy(p->name, "emulated on the CPU");
  p->totalGlobalMem = kTotal;
  p->major = 9;
  p->multiProcessorCount = 132;
  p->l2CacheSize = 60 << 20;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) { *version = 13000; return cudaSuccess; }
cudaError_t cudaSetDevice(int) { return cudaSuccess; }

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  const std::lock_guard<std::mutex> lock(guard);
  if (used + bytes > kTotal) return cudaErrorMemoryAllocation;
  *pointer = aligned_alloc(256, (bytes + 255) / 256 * 256);
  memset(*pointer, 0xff, bytes);
  sizes[*pointer] = bytes;
  used += bytes;
  return cudaSuccess;
}
cudaError_t cudaFree(void* pointer) {
  if (pointer) finishAll();
  const std::lock_guard<std::mutex> lock(guard);
  if (!pointer) return cudaSuccess;
  const auto found = sizes.find(pointer);
  if (found == sizes.end()) return cudaErrorInvalidValue;
  used -= found->second;
  sizes.erase(found);
  free(pointer);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned) {
  *pointer = malloc(bytes);
  memset(*pointer, 0xff, bytes);
  const std::lock_guard<std::mutex> lock(guard);
  pinned[*pointer] = bytes;
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* pointer) {
  if (!pointer) return cudaSuccess;
  finishAll();
  const std::lock_guard<std::mutex> lock(guard);
  pinned.erase(pointer);
  free(pointer);
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  const std::lock_guard<std::mutex> lock(guard);
  *free = kTotal - used;
  *total = kTotal;
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  EmulatedStream::add(stream, [=] { if (bytes) memcpy(to, from, bytes); });
  const void* host = kind == cudaMemcpyHostToDevice ? from : kind == cudaMemcpyDeviceToHost ? to : nullptr;
  if (host && stream && !stream->capturing && !isIn(pinned, host)) finish(stream);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  EmulatedStream::add(stream, [=] { if (bytes) memset(to, value, bytes); });
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new EmulatedStream;
  const std::lock_guard<std::mutex> lock(guard);
  streams.insert(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  finish(stream);
  const std::lock_guard<std::mutex> lock(guard);
  streams.erase(stream);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (stream && stream->capturing) return cudaErrorInvalidValue;
  finish(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  stream->capturing = new EmulatedGraph;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = stream->capturing;
  stream->capturing = nullptr;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = new EmulatedGraph(*graph);
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  for (const auto& launch : executable->launches) EmulatedStream::add(stream, launch);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) { delete graph; return cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) { delete executable; return cudaSuccess; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { *event = new EmulatedEvent; return cudaSuccess; }
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->stream = stream;
  EmulatedStream::add(stream, [=] {
    event->time = now();
    event->stream = nullptr;
  });
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  while (EmulatedStream* stream = event->stream) {
    const auto work = std::move(stream->pending.front());
    stream->pending.pop_front();
    work();
  }
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  *milliseconds = (float)(to->time - from->time);
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) { delete event; return cudaSuccess; }
