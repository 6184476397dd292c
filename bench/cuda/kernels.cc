// cuda-bench [--tiny]: times every kernel over a grid of shapes and prints one table, in Markdown.
#include "timing.h"

#include <cmath>
#include <cstring>

#include "../../src/engine/native/cuda/kernels/kernels.h"
#include "../../src/engine/native/cuda/matrix-library.h"
#include "../../src/engine/native/cuda/step-plan.h"
#include "../../src/engine/native/numbers.h"

using namespace pm::cuda;

namespace timing {

Ceilings ceilings;

double medianInGraph(cudaStream_t stream, bool tiny, int count, const std::function<void(int)>& body) {
  body(0);  // sets kernels up outside of the recording
  PM_CUDA(cudaStreamSynchronize(stream));
  const Graph graph(stream, [&] {
    for (int i = 0; i < count; i++) body(i);
  });
  return medianMicroseconds(stream, tiny, [&](int) { graph.launch(stream); }) / count;
}

void row(const std::string& what, double microseconds, double bytes, double operations) {
  printf("| %s | %.1f |", what.c_str(), microseconds);
  if (bytes > 0) printf(" %.0f | %.1f %% |", bytes / microseconds / 1e3, 100 * bytes / microseconds / ceilings.bytesPerMicrosecond);
  else printf(" | |");
  if (operations > 0 && ceilings.operationsPerMicrosecond > 0)
    printf(" %.1f | %.1f %% |\n", operations / microseconds / 1e6, 100 * operations / microseconds / ceilings.operationsPerMicrosecond);
  else if (operations > 0) printf(" %.1f | |\n", operations / microseconds / 1e6);
  else printf(" | |\n");
  fflush(stdout);
}

DeviceMemory randomMemory(size_t bytes, cudaStream_t stream) {
  DeviceMemory memory(bytes);
  std::vector<uint16_t> block(std::min<size_t>(bytes / 2, size_t{1} << 20));
  for (size_t i = 0; i < block.size(); i++) {
    const uint64_t bits = pm::mix(i);
    block[i] = (uint16_t)((bits & 0x807f) | ((120 + (bits >> 16) % 8) << 7));
  }
  for (size_t at = 0; at < bytes; at += block.size() * 2)
    PM_CUDA(cudaMemcpyAsync(memory.as<char>() + at, block.data(), std::min(block.size() * 2, bytes - at), cudaMemcpyHostToDevice, stream));
  PM_CUDA(cudaStreamSynchronize(stream));
  return memory;
}

}  // namespace timing

using namespace timing;

namespace {

constexpr double kMebi = 1024 * 1024;

void measureCeilings(cudaStream_t stream, bool tiny, MatrixLibrary* library) {
  const size_t bytes = tiny ? 1 << 16 : size_t{4} << 30;
  const DeviceMemory from = randomMemory(bytes, stream), to(bytes);
  const double copy = medianMicroseconds(stream, tiny, [&](int) {
    PM_CUDA(cudaMemcpyAsync(to.as<char>(), from.as<char>(), bytes, cudaMemcpyDeviceToDevice, stream));
  });
  ceilings.bytesPerMicrosecond = 2.0 * (double)bytes / copy;
  if (library) {
    const int n = 8192;
    const DeviceMemory w = randomMemory((size_t)n * n * 2, stream), x = randomMemory((size_t)n * n * 2, stream), y((size_t)n * n * 4);
    const GemmTask task{x.as<Bf16>(), w.as<Bf16>(), nullptr, y.as<float>(), n, n, n, false, nullptr, nullptr};
    if (library->multiply(task, stream)) {
      const double time = medianMicroseconds(stream, tiny, [&](int) { library->multiply(task, stream); });
      ceilings.operationsPerMicrosecond = 2.0 * n * n * n / time;
      row("ceiling: product 8192^3, " + library->name(), time, 0, 2.0 * n * n * n);
    }
  }
  row("ceiling: device copy of " + std::to_string((int)((double)bytes / kMebi)) + " MiB", copy, 2.0 * (double)bytes, 0);
}

// One layer's attention for `batch` sequences of `context` tokens: the bytes are those of the cache.
void timeDecode(cudaStream_t stream, bool tiny, int heads, int kvHeads, int headDim, KvType type, int batch, int context) {
  const int padded = paddedHead(headDim), group = heads / kvHeads, pages = (context + 15) / 16;
  const size_t tile = tileBytes(padded, type), perSet = (size_t)batch * pages * kvHeads * tile;
  // As many sets of pages as it takes to be far larger than the cache of the chip; peers.py has as many.
  const int sets = std::max(1, std::min(tiny ? 2 : 128, (int)(512 * kMebi / (double)(2 * perSet))));
  const DeviceMemory keys = randomMemory(perSet * sets, stream), values = randomMemory(perSet * sets, stream);
  std::vector<std::vector<int32_t>> tables((size_t)sets);
  std::vector<int32_t> starts((size_t)batch + 1), positions((size_t)batch, context - 1), slots;
  for (int i = 0; i <= batch; i++) starts[(size_t)i] = i;  // also the rows of the tables
  StepPlan plan;
  std::vector<DeviceMemory> deviceTables;
  for (int set = 0; set < sets; set++) {
    std::vector<int32_t>& table = tables[(size_t)set];
    table.resize((size_t)batch * pages);
    for (size_t i = 0; i < table.size(); i++) table[i] = (int32_t)(i + (size_t)set * table.size());
    for (size_t i = table.size() - 1; i > 0; i--) std::swap(table[i], table[(size_t)(pm::uniform(7, i) * (double)(i + 1))]);
    pm_batch b{};
    b.tokens = b.sequences = batch;
    b.query_starts = starts.data();
    b.positions = positions.data();
    b.table_rows = starts.data();
    planStep(b, group, kPrefillRows, pages, plan);
    deviceTables.emplace_back(table.size() * 4);
    PM_CUDA(cudaMemcpyAsync(deviceTables.back().as<char>(), table.data(), table.size() * 4, cudaMemcpyHostToDevice, stream));
    PM_CUDA(cudaStreamSynchronize(stream));
  }
  const DeviceMemory q = randomMemory((size_t)batch * heads * padded * 2, stream), out((size_t)batch * heads * headDim * 2);
  const DeviceMemory items(plan.decode.size() * sizeof(AttentionItem)), merges(std::max<size_t>(1, plan.merges.size()) * sizeof(MergeItem));
  const DeviceMemory partials((size_t)std::max(1, plan.partials) * kvHeads * 16 * padded * 4), sums((size_t)std::max(1, plan.partials) * kvHeads * 16 * 4);
  PM_CUDA(cudaMemcpyAsync(items.as<char>(), plan.decode.data(), items.bytes(), cudaMemcpyHostToDevice, stream));
  if (!plan.merges.empty()) PM_CUDA(cudaMemcpyAsync(merges.as<char>(), plan.merges.data(), merges.bytes(), cudaMemcpyHostToDevice, stream));
  const double time = medianInGraph(stream, tiny, std::max(sets, tiny ? 1 : 4), [&](int turn) {
    AttentionTask t{q.as<Bf16>(), keys.as<void>(), values.as<void>(), type, deviceTables[(size_t)(turn % sets)].as<int32_t>(),
                    items.as<AttentionItem>(), (int)plan.decode.size(), out.as<Bf16>(), partials.as<float>(), sums.as<float>(), heads,
                    kvHeads, headDim, padded, 0, 1 / std::sqrt((float)headDim), 0};
    attendDecode(t, stream);
    mergePartials({merges.as<MergeItem>(), (int)plan.merges.size(), t.partials, t.partialSums, t.out, heads, kvHeads, headDim, padded}, stream);
  });
  const double bytes = 2.0 * (double)perSet;
  row("decode attention " + std::to_string(heads) + "/" + std::to_string(kvHeads) + "/" + std::to_string(headDim) +
          (type == KvType::Bf16 ? " bf16" : " e4m3") + ", batch " + std::to_string(batch) + ", context " + std::to_string(context),
      time, bytes, 0);
}

void timePrefill(cudaStream_t stream, bool tiny, int heads, int kvHeads, int headDim, int context, int queries) {
  const int padded = paddedHead(headDim), pages = (context + queries + 15) / 16;
  const size_t bytes = (size_t)pages * kvHeads * tileBytes(padded, KvType::Bf16);
  const DeviceMemory keys = randomMemory(bytes, stream), values = randomMemory(bytes, stream);
  const DeviceMemory q = randomMemory((size_t)queries * heads * padded * 2, stream), out((size_t)queries * heads * headDim * 2);
  std::vector<int32_t> table((size_t)pages), starts{0, queries}, positions((size_t)queries);
  for (int i = 0; i < pages; i++) table[(size_t)i] = pages - 1 - i;
  for (int i = 0; i < queries; i++) positions[(size_t)i] = context + i;
  pm_batch b{};
  b.tokens = queries;
  b.sequences = 1;
  b.query_starts = starts.data();
  b.positions = positions.data();
  b.table_rows = starts.data();
  const double pairs = (double)queries * context + (double)queries * (queries + 1) / 2;
  cudaDeviceProp properties{};
  PM_CUDA(cudaGetDeviceProperties(&properties, 0));
  for (const bool warpgroups : {false, true}) {
    if (warpgroups && properties.major != 9) continue;
    StepPlan plan;
    planStep(b, heads / kvHeads, warpgroups ? kWarpgroupRows : kPrefillRows, pages, plan);
    const DeviceMemory items(plan.prefill.size() * sizeof(AttentionItem)), tables(table.size() * 4);
    PM_CUDA(cudaMemcpyAsync(items.as<char>(), plan.prefill.data(), items.bytes(), cudaMemcpyHostToDevice, stream));
    PM_CUDA(cudaMemcpyAsync(tables.as<char>(), table.data(), tables.bytes(), cudaMemcpyHostToDevice, stream));
    const AttentionTask task{q.as<Bf16>(), keys.as<void>(), values.as<void>(), KvType::Bf16, tables.as<int32_t>(), items.as<AttentionItem>(),
                             (int)plan.prefill.size(), out.as<Bf16>(), nullptr, nullptr, heads, kvHeads, headDim, padded, 0,
                             1 / std::sqrt((float)headDim), 0};
    const double time = medianMicroseconds(stream, tiny, [&](int) {
      if (warpgroups) attendPrefillWarpgroups(task, stream);
      else attendPrefill(task, stream);
    });
    row(std::string(warpgroups ? "prefill attention, warpgroups, " : "prefill attention ") + std::to_string(heads) + "/" +
            std::to_string(kvHeads) + "/" + std::to_string(headDim) + ", " + std::to_string(queries) + " queries after " +
            std::to_string(context), time, 0, 4.0 * pairs * heads * headDim);
  }
}

void timeGemm(cudaStream_t stream, bool tiny, int rows, int n, int k, MatrixLibrary* library) {
  const size_t weight = (size_t)n * k * 2;
  const int sets = std::max(1, std::min(16, (int)(512 * kMebi / (double)weight)));
  const DeviceMemory w = randomMemory(weight * (size_t)(tiny ? 1 : sets), stream), x = randomMemory((size_t)rows * k * 2, stream);
  const DeviceMemory y((size_t)rows * n * 4), workspace(std::max<size_t>(1, gemmWorkspace(n, k)) * 4), counters(kGemmCounters * 4);
  PM_CUDA(cudaMemsetAsync(counters.as<void>(), 0, counters.bytes(), stream));
  const auto task = [&](int turn) {
    return GemmTask{x.as<Bf16>(), w.as<Bf16>() + (size_t)(tiny ? 0 : turn % sets) * (weight / 2), nullptr, y.as<float>(), rows, n, k, false,
                    workspace.as<float>(), counters.as<uint32_t>()};
  };
  const double bytes = (double)weight + (double)rows * k * 2 + (double)rows * n * 4, operations = 2.0 * rows * n * k;
  const std::string shape = std::to_string(rows) + " x " + std::to_string(n) + " x " + std::to_string(k);
  row("gemm " + shape, medianInGraph(stream, tiny, tiny ? 1 : sets, [&](int turn) { gemm(task(turn), stream); }), bytes, operations);
  // Times do not depend on what the bytes say.
  const DeviceMemory scales = randomMemory((size_t)n * 4, stream);
  const auto task8 = [&](int turn) {
    GemmTask t = task(turn);
    t.w8 = reinterpret_cast<const uint8_t*>(t.w);
    t.scales = scales.as<float>();
    return t;
  };
  if (k % 16 == 0)
    row("  with fp8 weights", medianInGraph(stream, tiny, tiny ? 1 : sets, [&](int turn) { gemm(task8(turn), stream); }),
        bytes - (double)weight / 2, operations);
  cudaDeviceProp properties{};
  PM_CUDA(cudaGetDeviceProperties(&properties, 0));
  if (rows > kSkinnyRows && properties.major == 9)
    row("  by warpgroups", medianInGraph(stream, tiny, tiny ? 1 : sets, [&](int turn) { gemmWarpgroups(task(turn), stream); }), bytes, operations);
  if (library && library->multiply(task(0), stream))
    row("  by cuBLASLt", medianInGraph(stream, tiny, tiny ? 1 : sets, [&](int turn) { library->multiply(task(turn), stream); }), bytes, operations);
}

void timeRows(cudaStream_t stream, bool tiny, int rows, int hidden, int inner, int vocab) {
  const DeviceMemory x = randomMemory((size_t)rows * hidden * 4, stream), weight = randomMemory((size_t)hidden * 4, stream);
  const DeviceMemory normed((size_t)rows * hidden * 2), gateUp = randomMemory((size_t)rows * inner * 8, stream), activated((size_t)rows * inner * 2);
  const std::string count = std::to_string(rows) + " rows";
  row("rms norm, " + count + " of " + std::to_string(hidden), medianInGraph(stream, tiny, tiny ? 1 : 20, [&](int) {
        rmsNorm({x.as<float>(), nullptr, nullptr, weight.as<float>(), normed.as<Bf16>(), rows, hidden, 1e-5f}, stream);
      }), (double)rows * hidden * 6, 0);
  row("silu gate, " + count + " of " + std::to_string(inner), medianInGraph(stream, tiny, tiny ? 1 : 20, [&](int) {
        gate({gateUp.as<float>(), activated.as<Bf16>(), rows, inner, false}, stream);
      }), (double)rows * inner * 10, 0);
  if (rows > 256) return;
  const DeviceMemory logits = randomMemory((size_t)rows * vocab * 4, stream), raw((size_t)rows * vocab * 4), marks((size_t)rows * vocab * 4);
  PM_CUDA(cudaMemsetAsync(marks.as<void>(), 0, marks.bytes(), stream));
  for (const bool greedy : {true, false}) {
    std::vector<float> floats;
    std::vector<int32_t> ints, bounds((size_t)rows + 1, 0), none((size_t)rows, -1);
    for (int r = 0; r < rows; r++) {
      for (const float f : {greedy ? 0.0f : 0.8f, greedy ? 1.0f : 0.95f, 0.0f, 1.0f, 0.0f, 0.0f}) floats.push_back(f);
      for (const int i : {greedy ? 0 : 40, r, 0, 1, -1, 0, 0, 0}) ints.push_back(i);
    }
    const auto put = [&](const void* from, size_t bytes) {
      DeviceMemory memory(bytes);
      PM_CUDA(cudaMemcpyAsync(memory.as<void>(), from, bytes, cudaMemcpyHostToDevice, stream));
      PM_CUDA(cudaStreamSynchronize(stream));
      return memory;
    };
    const DeviceMemory f = put(floats.data(), floats.size() * 4), i = put(ints.data(), ints.size() * 4), b = put(bounds.data(), bounds.size() * 4),
                       minus = put(none.data(), none.size() * 4), ids((size_t)rows * 4), ranks((size_t)rows * 4), logprobs((size_t)rows * 4), bad(4);
    row(std::string("sample ") + (greedy ? "greedily" : "top-k 40, top-p 0.95") + ", " + count + " of " + std::to_string(vocab),
        medianInGraph(stream, tiny, tiny ? 1 : 5, [&](int) {
          sample({logits.as<float>(), rows, vocab, 0, f.as<float>(), i.as<int32_t>(), nullptr, b.as<int32_t>(), minus.as<int32_t>(),
                  minus.as<int32_t>(), marks.as<int32_t>(), raw.as<float>(), false, ids.as<int32_t>(),
                  ranks.as<int32_t>(), logprobs.as<float>(), 0, nullptr, nullptr, bad.as<uint32_t>()}, stream);
        }), (double)rows * vocab * 4, 0);
  }
}

void run(bool tiny) {
  Stream stream;
  std::string reason;
  const auto library = MatrixLibrary::find(reason);
  cudaDeviceProp properties{};
  int driver = 0;
  PM_CUDA(cudaGetDeviceProperties(&properties, 0));
  PM_CUDA(cudaDriverGetVersion(&driver));
  printf("%s, %d multiprocessors, driver for CUDA %d.%d. cuBLASLt: %s.\n\n", properties.name, properties.multiProcessorCount, driver / 1000,
         driver % 1000 / 10, library ? library->name().c_str() : ("not found (" + reason + ")").c_str());
  printf("| what | µs, median | GB/s | of the copy | TFLOP/s | of the product |\n|---|--:|--:|--:|--:|--:|\n");
  measureCeilings(stream, tiny, library.get());
  if (tiny) {
    timeDecode(stream, tiny, 8, 2, 64, KvType::Bf16, 2, 300);
    timeDecode(stream, tiny, 8, 2, 128, KvType::E4m3, 1, 40);
    timePrefill(stream, tiny, 4, 2, 64, 20, 40);
    timeGemm(stream, tiny, 4, 128, 256, nullptr);
    timeGemm(stream, tiny, 70, 128, 256, nullptr);
    timeRows(stream, tiny, 2, 64, 128, 500);
    return;
  }
  for (const KvType type : {KvType::Bf16, KvType::E4m3})
    for (const int context : {512, 1024, 2048, 4096, 8192, 32768})
      for (const int batch : {1, 8, 32, 64, 128, 256})
        if ((double)batch * context <= 2.0 * kMebi) timeDecode(stream, tiny, 32, 8, 128, type, batch, context);
  for (const int batch : {64, 256}) timeDecode(stream, tiny, 16, 8, 128, KvType::Bf16, batch, 1024);
  for (const auto& [context, queries] : {std::pair{0, 512}, {0, 2048}, {0, 8192}, {8192, 2048}, {30720, 2048}})
    timePrefill(stream, tiny, 32, 8, 128, context, queries);
  for (const auto& [n, k] : {std::pair{6144, 4096}, {4096, 4096}, {28672, 4096}, {4096, 14336}, {128256, 4096}})
    for (const int rows : {1, 8, 16, 32, 64, 128, 512, 2048})
      if (n < 100000 || rows <= 256) timeGemm(stream, tiny, rows, n, k, library.get());
  for (const auto& [n, k] : {std::pair{4096, 1024}, {1024, 2048}, {6144, 1024}, {1024, 3072}, {151936, 1024}})
    for (const int rows : {1, 64, 256}) timeGemm(stream, tiny, rows, n, k, library.get());
  for (const int rows : {1, 64, 256, 2048}) timeRows(stream, tiny, rows, 4096, 14336, 128256);
}

}  // namespace

int main(int count, char** arguments) {
  int devices = 0;
  const cudaError_t found = cudaGetDeviceCount(&devices);
  if (found != cudaSuccess || devices == 0) {
    fprintf(stderr, "cuda-bench: no GPU to time: %s\n", cudaGetErrorString(found == cudaSuccess ? cudaErrorNoDevice : found));
    return 2;
  }
  try {
    run(count > 1 && strcmp(arguments[1], "--tiny") == 0);
    return 0;
  } catch (const std::exception& error) {
    fprintf(stderr, "cuda-bench: %s\n", error.what());
    return 1;
  }
}
