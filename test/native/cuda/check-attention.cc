#include <algorithm>
#include <memory>

#include "../../../src/engine/native/cuda/step-plan.h"
#include "check.h"

namespace check {

using namespace pm::cuda;

namespace {

struct Shape { int heads, kvHeads, headDim; };
struct Run { int context, queries; };  // tokens before the queries, and queries

// A cache with some sequences in scattered pages; slots that no sequence has hold NaN.
struct Cache {
  int kvHeads, headDim, padded;
  KvType type;
  std::vector<int32_t> tables, starts;
  std::unique_ptr<Array<uint8_t>> keys, values;
  std::unique_ptr<Array<int32_t>> deviceTables;

  Cache(const Shape& shape, KvType type, const std::vector<Run>& runs)
      : kvHeads(shape.kvHeads), headDim(shape.headDim), padded(paddedHead(shape.headDim)), type(type) {
    size_t pages = 0;
    for (const Run& run : runs) pages += (size_t)(run.context + run.queries + 15) / 16;
    std::vector<int32_t> order(pages + 3);
    for (size_t i = 0; i < order.size(); i++) order[i] = (int32_t)i;
    for (size_t i = order.size() - 1; i > 0; i--) std::swap(order[i], order[(size_t)(pm::uniform(30, i) * (double)(i + 1))]);
    const size_t bytes = order.size() * kvHeads * tileBytes(padded, type);
    keys = std::make_unique<Array<uint8_t>>(std::vector<uint8_t>(bytes, 0xff));
    values = std::make_unique<Array<uint8_t>>(std::vector<uint8_t>(bytes, 0xff));
    size_t next = 0;
    for (const Run& run : runs) {
      starts.push_back((int32_t)tables.size());
      for (int token = 0; token < run.context + run.queries; token++) {
        if (token % 16 == 0) tables.push_back(order[next++]);
        const size_t slot = (size_t)tables.back() * 16 + (size_t)(token % 16);
        for (int head = 0; head < kvHeads; head++)
          for (int i = 0; i < padded; i++)
            for (const bool isKey : {true, false}) {
              const uint64_t at = ((tables.size() * 16 + (size_t)token % 16) * (size_t)kvHeads + (size_t)head) * (size_t)padded + (size_t)i;
              const double value = i < headDim ? pm::uniform(isKey ? 31 : 32, at) * 4 - 2 : 0;
              twin::writePage((isKey ? keys : values)->h(), slot, head, i, kvHeads, padded, type, value);
            }
      }
    }
    keys->upload();
    values->upload();
    deviceTables = std::make_unique<Array<int32_t>>(tables);
  }
};

struct Kernel {
  const char* name;
  void (*attend)(const AttentionTask&, cudaStream_t);
  int rows;  // of an item
};
constexpr Kernel kDecode{"decode", attendDecode, 16}, kPrefill{"prefill", attendPrefill, 64};
constexpr Kernel kWarpgroups{"warpgroup prefill", attendPrefillWarpgroups, 128};

bool hasWarpgroups() {
  cudaDeviceProp properties{};
  PM_CUDA(cudaGetDeviceProperties(&properties, 0));
  return properties.major == 9;
}

// `chunk`: tokens of a part of a sequence when decoding.
void checkCase(const Kernel& kernel, const Shape& shape, KvType type, const std::vector<Run>& runs, int window, float softcap, int chunk = 0) {
  const int group = shape.heads / shape.kvHeads, padded = paddedHead(shape.headDim);
  const bool isDecode = chunk > 0;
  Cache cache(shape, type, runs);
  std::vector<AttentionItem> items;
  std::vector<MergeItem> merges;
  int rows = 0, partials = 0;
  for (size_t r = 0; r < runs.size(); r++) {
    const int end = runs[r].context + runs[r].queries, most = kernel.rows / group;
    for (int query = 0; query < runs[r].queries; query += most) {
      const int queries = std::min(most, runs[r].queries - query), position = runs[r].context + query, last = position + queries;
      const AttentionItem item{rows + query, queries, position, cache.starts[r], 0, last, -1};
      if (!isDecode || last <= chunk) {
        items.push_back(item);
        continue;
      }
      merges.push_back({item.row, queries, partials, (last + chunk - 1) / chunk});
      for (int begin = 0; begin < last; begin += chunk) {
        items.push_back(item);
        items.back().begin = begin;
        items.back().end = std::min(last, begin + chunk);
        items.back().partial = partials++;
      }
    }
    (void)end;
    rows += runs[r].queries;
  }
  items.push_back({});  // nothing to do
  merges.push_back({});
  Array<uint16_t> q(randomBf16((size_t)rows * shape.heads * padded, 33, 2)), out((size_t)rows * shape.heads * shape.headDim);
  for (int row = 0; row < rows * shape.heads; row++)
    for (int i = shape.headDim; i < padded; i++) q.host[(size_t)row * padded + i] = 0;
  q.upload();
  Array<AttentionItem> deviceItems(items);
  Array<MergeItem> deviceMerges(merges);
  Array<float> partialOut((size_t)std::max(1, partials) * shape.kvHeads * 16 * padded), partialSums((size_t)std::max(1, partials) * shape.kvHeads * 16);
  const auto task = [&](bool host) {
    AttentionTask t{};
    t.q = host ? q.h() : q.d();
    t.keys = host ? cache.keys->h() : cache.keys->d();
    t.values = host ? cache.values->h() : cache.values->d();
    t.type = type;
    t.tables = host ? cache.tables.data() : cache.deviceTables->d();
    t.items = host ? deviceItems.h() : deviceItems.d();
    t.itemCount = (int)items.size();
    t.out = host ? out.h() : out.d();
    t.partials = host ? partialOut.h() : partialOut.d();
    t.partialSums = host ? partialSums.h() : partialSums.d();
    t.heads = shape.heads; t.kvHeads = shape.kvHeads; t.headDim = shape.headDim; t.padded = padded;
    t.window = window;
    t.scale = 1 / std::sqrt((float)shape.headDim);
    t.softcap = softcap;
    return t;
  };
  const auto merge = [&](bool host) {
    return MergeTask{host ? deviceMerges.h() : deviceMerges.d(), (int)merges.size(), host ? partialOut.h() : partialOut.d(),
                     host ? partialSums.h() : partialSums.d(), host ? out.h() : out.d(), shape.heads, shape.kvHeads, shape.headDim, padded};
  };
  const bool repeats = isRepeatable([&] { out.poison(); partialOut.poison(); partialSums.poison(); },
                                    [&] {
                                      kernel.attend(task(false), nullptr);
                                      if (isDecode) mergePartials(merge(false), nullptr);
                                    },
                                    [&] { return bytesOf(out.download()); });
  twin::attend(task(true));
  if (isDecode) twin::mergePartials(merge(true));
  const std::string name = std::string(kernel.name) + " attention " + std::to_string(shape.heads) + "/" +
                           std::to_string(shape.kvHeads) + "/" + std::to_string(shape.headDim) + (type == KvType::Bf16 ? "" : " e4m3") +
                           " rows " + std::to_string(rows) + " context " + std::to_string(runs[0].context) +
                           (window ? " window " + std::to_string(window) : "") + (softcap > 0 ? " softcap" : "");
  // Probabilities are rounded to 16 bits before they meet the values.
  report(name, differenceOf(asFloats(out.download()), asFloats(out.host)), 1e-2, repeats);
}

constexpr Shape kLargeShape{32, 8, 128};

void checkShapes(const Kernel& kernel) {
  const bool isDecode = kernel.attend == attendDecode;
  const std::vector<Shape> shapes{{4, 1, 64}, {6, 2, 32}, {8, 2, 128}, {3, 3, 96}, {16, 1, 128}, {2, 1, 256}};
  const int scale = isFull() ? 2 : 1;
  for (const KvType type : {KvType::Bf16, KvType::E4m3})
    for (const Shape& shape : shapes)
      for (const auto& [window, softcap] : {std::pair{0, 0.0f}, {37, 0.0f}, {0, 5.0f}}) {
        if (softcap > 0 && shape.headDim != 256 && !isFull()) continue;
        if (kernel.attend == attendPrefillWarpgroups && type != KvType::Bf16) continue;
        const std::vector<Run> tokens{{200 * scale, 1}, {0, 1}, {15, 1}, {16, 1}, {95 * scale, 16 / (shape.heads / shape.kvHeads)}};
        const std::vector<Run> prompts{{0, 70 * scale}, {0, 1}, {130 * scale, 33}, {17, 3}, {560, 20}};
        checkCase(kernel, shape, type, isDecode ? tokens : prompts, window, softcap, isDecode ? 64 * scale : 0);
      }
  if (!isFull()) return;
  if (isDecode) checkCase(kernel, kLargeShape, KvType::Bf16, {{4096, 1}, {8191, 1}, {1000, 4}}, 0, 0, 256);
  else checkCase(kernel, kLargeShape, KvType::Bf16, {{2048, 200}, {0, 129}, {4000, 257}}, 0, 0);
}

}  // namespace

// Every query attends to each of its tokens in exactly one item, whatever the mix of lengths; parts of one sequence are
// merged once.
void checkPlan() {
  int wrong = 0;
  for (int group = 1; group <= 16; group++)
    for (uint64_t seed = 0; seed < 20; seed++) {
      const int prefillRows = seed % 2 ? kPrefillRows : kWarpgroupRows;
      std::vector<int32_t> starts{0}, positions, rows;
      std::vector<int> ends;
      const int sequences = 1 + (int)(pm::uniform(70, seed) * 6), stride = 5000;
      for (int s = 0; s < sequences; s++) {
        const double pick = pm::uniform(71 + seed, (uint64_t)s);
        const int position = (int)(pm::uniform(72 + seed, (uint64_t)s) * (pick < 0.5 ? 900 : 70000)), queries = pick < 0.6 ? 1 + (int)(pick * 6) : (int)(pick * 300);
        for (int q = 0; q < queries; q++) {
          positions.push_back(position + q);
          ends.push_back(position + q + 1);
        }
        starts.push_back((int32_t)positions.size());
        rows.push_back(sequences - 1 - s);
      }
      pm_batch batch{};
      batch.tokens = (int32_t)positions.size();
      batch.sequences = sequences;
      batch.query_starts = starts.data();
      batch.positions = positions.data();
      batch.table_rows = rows.data();
      StepPlan plan;
      planStep(batch, group, prefillRows, stride, plan);
      std::vector<int64_t> seen(positions.size(), 0);
      std::vector<int> parts((size_t)plan.partials, 0), results(positions.size(), 0);
      for (const auto* items : {&plan.decode, &plan.prefill})
        for (const AttentionItem& item : *items) {
          wrong += item.begin % 16 != 0 || item.end <= item.begin || item.queries * group > (items == &plan.decode ? 16 : prefillRows);
          wrong += items == &plan.prefill && item.partial >= 0;
          if (item.partial >= 0) parts[(size_t)item.partial]++;
          for (int q = 0; q < item.queries; q++) {
            const int end = ends[(size_t)(item.row + q)];
            wrong += positions[(size_t)(item.row + q)] != item.position + q;
            seen[(size_t)(item.row + q)] += std::max(0, std::min(end, item.end) - item.begin);
            if (item.partial < 0) results[(size_t)(item.row + q)]++;
            int s = 0;
            while (starts[(size_t)s + 1] <= item.row) s++;
            wrong += item.table != rows[(size_t)s] * stride;
          }
        }
      for (const MergeItem& merge : plan.merges) {
        for (int i = 0; i < merge.count; i++) parts[(size_t)(merge.first + i)]++;
        for (int q = 0; q < merge.queries; q++) results[(size_t)(merge.row + q)]++;
      }
      for (size_t i = 0; i < seen.size(); i++) wrong += seen[i] != ends[i] || results[i] != 1;
      for (const int part : parts) wrong += part != 2;  // once computed, once merged
    }
  report("plan of a step", wrong, 0, true);
}

void checkDecode() { checkShapes(kDecode); }
void checkPrefill() { checkShapes(kPrefill); }
void checkPrefillWarpgroups() {
  if (hasWarpgroups()) checkShapes(kWarpgroups);
}

}  // namespace check
