#include "check.h"

namespace check {

using namespace pm::cuda;

namespace {

void checkDeltas() {
  const int rows = 40, columns = 33;
  std::vector<pm_table_delta> deltas;
  for (int row = 0; row < rows; row += 3) {
    // As a step has them: a row that is emptied first, then columns in order.
    if (row % 2) deltas.push_back({row, 0, -1});
    for (int column = row % 5; column < columns; column += 1 + row % 2) deltas.push_back({row, column, row * 1000 + column});
  }
  Array<pm_table_delta> given(deltas);
  Array<int32_t> tables((size_t)rows * columns);
  for (size_t i = 0; i < tables.size(); i++) tables.host[i] = (int32_t)i;
  const int count = (int)deltas.size();
  const bool repeats = isRepeatable([&] { tables.upload(); }, [&] { applyDeltas({given.d(), count, tables.d(), columns}, nullptr); },
                                    [&] { return bytesOf(tables.download()); });
  twin::applyDeltas({given.h(), count, tables.h(), columns});
  report("deltas of block tables", tables.download() != tables.host, 0, repeats);
}

void checkTokens() {
  const int count = 700;
  Array<int32_t> ids((size_t)count), chosen(std::vector<int32_t>{41, 0, 7, 150000, 3});
  for (int i = 0; i < count; i++) ids.host[(size_t)i] = i % 3 == 0 ? -1 - i % 5 : i;
  const bool repeats = isRepeatable([&] { ids.upload(); }, [&] { feedTokens({ids.d(), count, chosen.d()}, nullptr); },
                                    [&] { return bytesOf(ids.download()); });
  twin::feedTokens({ids.h(), count, chosen.h()});
  report("tokens of the step before", ids.download() != ids.host, 0, repeats);
}

}  // namespace

void checkFeed() {
  checkDeltas();
  checkTokens();
}

}  // namespace check
