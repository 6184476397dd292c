// cuda-check [--full] [--only PART] [--list]: one line per case, `ok` or `FAILED`, name, error, tolerance; the exit status says
// if all passed.
#include "check.h"

#include <algorithm>

#if defined(PM_EMULATED)
#include "emulation/emulation.h"
#endif

namespace check {

static int passed = 0, failed = 0;
static bool full = false;

std::vector<float> randomFloats(size_t n, uint64_t seed, float size) {
  std::vector<float> out(n);
  for (size_t i = 0; i < n; i++) out[i] = (float)(pm::uniform(seed, i) * 2 - 1) * size;
  return out;
}

std::vector<uint16_t> randomBf16(size_t n, uint64_t seed, float size) {
  std::vector<uint16_t> out(n);
  for (size_t i = 0; i < n; i++) out[i] = pm::toBf16((float)(pm::uniform(seed, i) * 2 - 1) * size);
  return out;
}

std::vector<float> asFloats(const std::vector<uint16_t>& halves) {
  std::vector<float> out(halves.size());
  for (size_t i = 0; i < halves.size(); i++) out[i] = pm::fromBf16(halves[i]);
  return out;
}

double differenceOf(const std::vector<float>& found, const std::vector<float>& expected) {
  double difference = 0, most = 1e-30;
  for (size_t i = 0; i < expected.size(); i++) {
    if (!std::isfinite(found[i]) && found[i] != expected[i]) return INFINITY;
    if (!std::isfinite(expected[i])) continue;
    difference = std::max(difference, std::fabs((double)found[i] - (double)expected[i]));
    most = std::max(most, std::fabs((double)expected[i]));
  }
  return difference / most;
}

bool isRepeatable(const std::function<void()>& prepare, const std::function<void()>& body,
                  const std::function<std::string()>& collect) {
  std::string first;
  for (int run = 0; run < 3; run++) {
#if defined(PM_EMULATED)
    using emulation::Order;
    constexpr emulation::Schedule schedules[] = {{Order::Descending, false, true}, {Order::Shuffled, true, true}, {Order::Ascending, true, false}};
    emulation::use(schedules[run]);
#endif
    prepare();
    body();
    const std::string bits = collect();
    if (run == 0) first = bits;
    else if (bits != first) return false;
  }
  return true;
}

void report(const std::string& name, double error, double tolerance, bool repeats) {
  const bool good = error <= tolerance && repeats;
  (good ? passed : failed)++;
  printf("%s %s: error %.2e, tolerance %.1e%s\n", good ? "ok" : "FAILED", name.c_str(), error, tolerance,
         repeats ? "" : ", differs from run to run");
}

bool isFull() { return full; }

}  // namespace check

namespace {

struct Part { const char* name; void (*run)(); };
constexpr Part kParts[] = {
    {"rows", check::checkRows},
    {"rope", check::checkRope},
    {"gemm", check::checkGemm},
    {"fp8-gemm", check::checkGemmFp8},
    {"warpgroup-gemm", check::checkGemmWarpgroups},
    {"experts", check::checkExperts},
    {"plan", check::checkPlan},
    {"decode", check::checkDecode},
    {"prefill", check::checkPrefill},
    {"warpgroup-prefill", check::checkPrefillWarpgroups},
    {"sample", check::checkSample},
    {"feed", check::checkFeed},
    {"emulation", check::checkEmulation},
};

}  // namespace

int main(int count, char** arguments) {
  const char* only = nullptr;
  for (int i = 1; i < count; i++) {
    check::full = check::full || strcmp(arguments[i], "--full") == 0;
    if (strcmp(arguments[i], "--only") == 0 && i + 1 < count) only = arguments[++i];
    if (strcmp(arguments[i], "--list") == 0) {
      for (const Part& part : kParts) printf("%s\n", part.name);
      return 0;
    }
  }
  setvbuf(stdout, nullptr, _IOLBF, 0);  // a part that hangs or ends early has said how far it came
  int devices = 0;
  const cudaError_t found = cudaGetDeviceCount(&devices);
  if (found != cudaSuccess || devices == 0) {
    fprintf(stderr, "cuda-check: no GPU to check: %s\n", cudaGetErrorString(found == cudaSuccess ? cudaErrorNoDevice : found));
    return 2;
  }
  bool isThere = false;
  try {
    for (const auto& [name, run] : kParts) {
      if (only && strcmp(only, name) != 0) continue;
      isThere = true;
      run();
    }
  } catch (const std::exception& error) {
    fprintf(stderr, "cuda-check: after %d passed and %d failed cases: %s\n", check::passed, check::failed, error.what());
    return 1;
  }
  if (!isThere) {
    fprintf(stderr, "cuda-check: there is no part %s; see --list\n", only);
    return 1;
  }
  printf("%d passed, %d failed\n", check::passed, check::failed);
  return check::failed > 0;
}
