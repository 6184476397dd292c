#include "../../../src/engine/native/cuda/fp8.h"
#include "check.h"

namespace check {

using namespace pm::cuda;

namespace {

bool hasWarpgroups() {
  cudaDeviceProp properties{};
  PM_CUDA(cudaGetDeviceProperties(&properties, 0));
  return properties.major == 9;
}

// Every code and every midpoint between codes, against the twin that tries all of them; and the bound of fp8.h.
void checkQuantization() {
  int wrong = 0;
  for (int code = 0; code < 0x7e; code++)
    for (int part = 0; part <= 16; part++)
      for (const float sign : {1.0f, -1.0f}) {
        const double low = twin::fromE4m3((uint8_t)code), high = twin::fromE4m3((uint8_t)(code + 1));
        const float x = sign * (float)(low + (high - low) * part / 16);
        wrong += toE4m3(x) != twin::toE4m3(x);
      }
  wrong += toE4m3(1000) != 0x7e || toE4m3(-449) != 0xfe || toE4m3(0) != 0;
  report("e4m3 to nearest", wrong, 0, true);

  double worst = 0;
  for (uint64_t row = 0; row < 200; row++) {
    std::vector<float> values(64);
    for (size_t i = 0; i < values.size(); i++)
      values[i] = (float)((pm::uniform(26 + row, i) * 2 - 1) * std::exp2(-12 * pm::uniform(27 + row, i)));
    std::vector<uint8_t> bytes(values.size());
    const float scale = quantizeRow(values.data(), (int)values.size(), bytes.data());
    for (size_t i = 0; i < values.size(); i++) {
      const double error = std::fabs(twin::fromE4m3(bytes[(size_t)fp8Place((int)i)]) * scale - values[i]);
      worst = std::max(worst, error / std::max(std::fabs((double)values[i]) / 16, scale * 0x1p-10));
    }
  }
  report("fp8 weights, error over its bound", worst, 1 + 1e-6, true);
}

// Weights of 8 bits of one matrix, and the checks that are theirs.
struct Fp8 {
  Array<uint8_t> bytes;
  Array<float> scales;
  Fp8(int n, int k) : bytes((size_t)n * (size_t)k), scales((size_t)n) {
    const std::vector<float> values = randomFloats((size_t)n * (size_t)k, 24);
    for (size_t row = 0; row < (size_t)n; row++) {
      std::vector<float> scaled(values.begin() + (ptrdiff_t)(row * (size_t)k), values.begin() + (ptrdiff_t)((row + 1) * (size_t)k));
      for (size_t i = 0; i < scaled.size(); i += 7) scaled[i] *= 0x1p-9f;  // subnormal ones, too
      scales.host[row] = quantizeRow(scaled.data(), k, bytes.h() + row * (size_t)k);
    }
    bytes.upload();
    scales.upload();
  }

  void checkExpansion(int n, int k) {
    Array<uint16_t> out((size_t)n * (size_t)k);
    const bool repeats = isRepeatable([&] { out.poison(); }, [&] { expandWeights({bytes.d(), scales.d(), out.d(), n, k}, nullptr); },
                                      [&] { return bytesOf(out.download()); });
    twin::expandWeights({bytes.h(), scales.h(), out.h(), n, k});
    // The product with the scale is rounded to float first, and so to bfloat16 twice.
    report("expand " + std::to_string(n) + " x " + std::to_string(k), differenceOf(asFloats(out.download()), asFloats(out.host)), 0x1p-8, repeats);
  }
};

enum class Form { Bf16, Fp8, Warpgroups };

void checkForm(Form form) {
  struct Case { int n, k; };
  std::vector<Case> cases{{64, 64}, {200, 72}, {96, 1032}, {331, 192}, {130, 640}};
  std::vector<int> rowCounts{1, 5, 16, 17, 32, 33, 64, 65, 130, 200};
  if (isFull()) {
    cases = {{4096, 4096}, {6144, 4096}, {28672, 4096}, {4096, 14336}, {1024, 3072}, {151936, 1024}, {331, 1032}};
    rowCounts = {1, 16, 17, 64, 65, 300};
  }
  for (const Case c : cases) {
    if (form == Form::Fp8 && c.k % 16 != 0) continue;
    Array<uint16_t> w(randomBf16((size_t)c.n * c.k, 20));
    Fp8 w8(form == Form::Fp8 ? c.n : 0, c.k);
    if (form == Form::Fp8) w8.checkExpansion(c.n, c.k);
    Array<float> bias(randomFloats((size_t)c.n, 21));
    Array<float> workspace(gemmWorkspace(c.n, c.k));
    Array<uint32_t> counters(std::vector<uint32_t>(kGemmCounters, 0));
    std::vector<float> firstRow;
    for (const int rows : rowCounts) {
      if (form == Form::Warpgroups && rows <= kSkinnyRows) continue;
      const bool accumulates = rows % 2 == 0, hasBias = rows % 3 != 0;
      // The first row is the same for every number of rows.
      Array<uint16_t> x(randomBf16((size_t)rows * c.k, 22));
      Array<float> y(randomFloats((size_t)rows * c.n, 23));
      const auto task = [&](bool host) {
        GemmTask t{host ? x.h() : x.d(), host ? w.h() : w.d(), hasBias ? (host ? bias.h() : bias.d()) : nullptr,
                        host ? y.h() : y.d(), rows, c.n, c.k, accumulates, workspace.d(), counters.d()};
        if (form == Form::Fp8) {
          t.w8 = host ? w8.bytes.h() : w8.bytes.d();
          t.scales = host ? w8.scales.h() : w8.scales.d();
        }
        return t;
      };
      const auto multiply = [&](const GemmTask& t) {
        if (form == Form::Warpgroups) gemmWarpgroups(t, nullptr);
        else gemm(t, nullptr);
      };
      const auto prepare = [&] {
        workspace.poison();
        if (accumulates) y.upload();
        else y.poison();
      };
      const bool repeats = isRepeatable(prepare, [&] { multiply(task(false)); }, [&] { return bytesOf(y.download()) + bytesOf(counters.download()); });
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
        if (one.w8) {
          one.w8 += n * (size_t)c.k;
          one.scales += n;
        }
        if (one.bias) one.bias += n;
        one.y = &value;
        one.rows = one.n = 1;
        twin::gemm(one);
        found.push_back(all[i]);
        expected.push_back(value);
      }
      const std::string name = std::string(form == Form::Fp8 ? "fp8 " : form == Form::Warpgroups ? "warpgroup " : "") + "gemm " + std::to_string(rows) + " x " + std::to_string(c.n) + " x " + std::to_string(c.k);
      // Tensor cores do not round what they add to the sum but cut it off: up to 2^-23 of it for each 16 of k.
      report(name, differenceOf(found, expected), std::min(2e-5, 1e-5 + c.k / 16 * 0x1p-23), repeats);

      // Alone, without what depends on the number of rows: the same bits for the same row.
      GemmTask plain = task(false);
      plain.bias = nullptr;
      plain.accumulate = false;
      multiply(plain);
      auto row = y.download();
      row.resize((size_t)c.n);
      if (firstRow.empty()) firstRow = row;
      report(name + ", first row as alone", bytesOf(firstRow) == bytesOf(row) ? 0 : 1, 0, true);
    }
  }
}

}  // namespace

void checkGemm() { checkForm(Form::Bf16); }
void checkGemmFp8() {
  checkQuantization();
  checkForm(Form::Fp8);
}
void checkGemmWarpgroups() {
  if (hasWarpgroups()) checkForm(Form::Warpgroups);
}

}  // namespace check
