#include "check.h"

namespace check {

using namespace pm::cuda;

void checkGemm() {
  struct Case { int n, k; };
  std::vector<Case> cases{{64, 64}, {200, 72}, {96, 1032}, {331, 192}, {130, 640}};
  std::vector<int> rowCounts{1, 5, 16, 17, 32, 33, 64, 65, 130};
  if (isFull()) {
    cases = {{4096, 4096}, {6144, 4096}, {28672, 4096}, {4096, 14336}, {1024, 3072}, {151936, 1024}, {331, 1032}};
    rowCounts = {1, 16, 17, 64, 65, 300};
  }
  for (const Case c : cases) {
    Array<uint16_t> w(randomBf16((size_t)c.n * c.k, 20));
    Array<float> bias(randomFloats((size_t)c.n, 21));
    Array<float> workspace(gemmWorkspace(c.n, c.k));
    Array<uint32_t> counters(std::vector<uint32_t>(kGemmCounters, 0));
    std::vector<float> firstRow;
    for (const int rows : rowCounts) {
      const bool accumulates = rows % 2 == 0, hasBias = rows % 3 != 0;
      // The first row is the same for every number of rows.
      Array<uint16_t> x(randomBf16((size_t)rows * c.k, 22));
      Array<float> y(randomFloats((size_t)rows * c.n, 23));
      const auto task = [&](bool host) {
        return GemmTask{host ? x.h() : x.d(), host ? w.h() : w.d(), hasBias ? (host ? bias.h() : bias.d()) : nullptr,
                        host ? y.h() : y.d(), rows, c.n, c.k, accumulates, workspace.d(), counters.d()};
      };
      const auto prepare = [&] {
        workspace.poison();
        if (accumulates) y.upload();
        else y.poison();
      };
      const bool repeats = isRepeatable(prepare, [&] { gemm(task(false), nullptr); }, [&] { return bytesOf(y.download()) + bytesOf(counters.download()); });
      // The twin takes minutes for the largest shapes: there, a sample of the outputs is enough.
      std::vector<float> found, expected;
      const auto all = y.download();
      const size_t step = std::max<size_t>(1, (size_t)rows * c.n * c.k / 200'000'000);
      for (size_t i = 0; i < all.size(); i += step) {
        const size_t row = i / (size_t)c.n, n = i % (size_t)c.n;
        GemmTask one = task(true);
        float value = y.host[i];
        one.x += row * (size_t)c.k;
        one.w += n * (size_t)c.k;
        if (one.bias) one.bias += n;
        one.y = &value;
        one.rows = one.n = 1;
        twin::gemm(one);
        found.push_back(all[i]);
        expected.push_back(value);
      }
      const std::string name = "gemm " + std::to_string(rows) + " x " + std::to_string(c.n) + " x " + std::to_string(c.k);
      report(name, differenceOf(found, expected), 2e-5, repeats);

      // Alone, without what depends on the number of rows: the same bits for the same row.
      GemmTask plain = task(false);
      plain.bias = nullptr;
      plain.accumulate = false;
      gemm(plain, nullptr);
      auto row = y.download();
      row.resize((size_t)c.n);
      if (firstRow.empty()) firstRow = row;
      report(name + ", first row as alone", bytesOf(firstRow) == bytesOf(row) ? 0 : 1, 0, true);
    }
  }
}

}  // namespace check
