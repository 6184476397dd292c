#include "step-plan.h"

#include <algorithm>

namespace pm::cuda {
namespace {

int lengthOf(const AttentionItem& item) { return item.end - item.begin; }

void addDecode(AttentionItem item, StepPlan& plan) {
  const int split = splitTokens(item.end), parts = (item.end + split - 1) / split;
  if (parts == 1) {
    plan.decode.push_back(item);
    return;
  }
  plan.merges.push_back({item.row, item.queries, plan.partials, parts});
  const int end = item.end;
  for (int begin = 0; begin < end; begin += split) {
    item.begin = begin;
    item.end = std::min(end, begin + split);
    item.partial = plan.partials++;
    plan.decode.push_back(item);
  }
}

}  // namespace

void planStep(const pm_batch& batch, int group, int prefillRows, int tableColumns, StepPlan& plan) {
  plan.decode.clear();
  plan.prefill.clear();
  plan.merges.clear();
  plan.partials = 0;
  for (int s = 0; s < batch.sequences; s++) {
    const int row = batch.query_starts[s], queries = batch.query_starts[s + 1] - row, position = batch.positions[row];
    const int table = batch.table_rows[s] * tableColumns;
    const bool isDecode = queries <= decodeQueries(group);
    const int each = isDecode ? queries : prefillRows / group;
    for (int first = 0; first < queries; first += each) {
      const int count = std::min(each, queries - first);
      const AttentionItem item{row + first, count, position + first, table, 0, position + first + count, -1};
      if (isDecode) addDecode(item, plan);
      else plan.prefill.push_back(item);
    }
  }
  const auto longer = [](const AttentionItem& a, const AttentionItem& b) { return lengthOf(a) > lengthOf(b); };
  std::stable_sort(plan.decode.begin(), plan.decode.end(), longer);
  std::stable_sort(plan.prefill.begin(), plan.prefill.end(), longer);
}

}  // namespace pm::cuda
