#include "matrix-library.h"

#include <dlfcn.h>

#include <vector>

namespace pm::cuda {
namespace {

constexpr size_t kWorkspaceBytes = size_t{32} << 20;

// Values of cublasLt.h and library_types.h.
constexpr int kFloat = 0, kBfloat16 = 14, kCompute32F = 68, kTransposed = 1, kEpilogueBias = 4;
constexpr int kDescTransA = 3, kDescEpilogue = 7, kDescBiasPointer = 8, kPreferenceWorkspace = 1;

struct Heuristic {
  uint64_t algorithm[8];
  size_t workspaceSize;
  int state;
  float waves;
  int reserved[4];
};

}  // namespace

struct MatrixLibrary::Calls {
  int (*create)(void**);
  int (*destroy)(void*);
  int (*descCreate)(void**, int, int);
  int (*descSet)(void*, int, const void*, size_t);
  int (*descDestroy)(void*);
  int (*layoutCreate)(void**, int, uint64_t, uint64_t, int64_t);
  int (*layoutDestroy)(void*);
  int (*preferenceCreate)(void**);
  int (*preferenceSet)(void*, int, const void*, size_t);
  int (*preferenceDestroy)(void*);
  int (*heuristic)(void*, void*, void*, void*, void*, void*, void*, int, Heuristic*, int*);
  int (*matmul)(void*, void*, const void*, const void*, void*, const void*, void*, const void*, const void*, void*, void*, void*,
                const void*, void*, size_t, cudaStream_t);

  bool load(void* library) {
    bool complete = true;
    const auto find = [&](auto& call, const char* name) {
      call = reinterpret_cast<std::remove_reference_t<decltype(call)>>(dlsym(library, name));
      complete = complete && call;
    };
    find(create, "cublasLtCreate");
    find(destroy, "cublasLtDestroy");
    find(descCreate, "cublasLtMatmulDescCreate");
    find(descSet, "cublasLtMatmulDescSetAttribute");
    find(descDestroy, "cublasLtMatmulDescDestroy");
    find(layoutCreate, "cublasLtMatrixLayoutCreate");
    find(layoutDestroy, "cublasLtMatrixLayoutDestroy");
    find(preferenceCreate, "cublasLtMatmulPreferenceCreate");
    find(preferenceSet, "cublasLtMatmulPreferenceSetAttribute");
    find(preferenceDestroy, "cublasLtMatmulPreferenceDestroy");
    find(heuristic, "cublasLtMatmulAlgoGetHeuristic");
    find(matmul, "cublasLtMatmul");
    return complete;
  }
};

// A product of one shape with the algorithm chosen for it. In the library's columns: y^T [n, rows] = w [n, k] x^T.
struct MatrixLibrary::Product {
  const Calls& calls;
  void *desc = nullptr, *w = nullptr, *x = nullptr, *y = nullptr;
  Heuristic best{};
  bool usable = false;

  explicit Product(const Calls& calls) : calls(calls) {}
  Product(const Product&) = delete;
  ~Product() {
    if (y) calls.layoutDestroy(y);
    if (x) calls.layoutDestroy(x);
    if (w) calls.layoutDestroy(w);
    if (desc) calls.descDestroy(desc);
  }
};

MatrixLibrary::MatrixLibrary() : calls(std::make_unique<Calls>()) {}

std::unique_ptr<MatrixLibrary> MatrixLibrary::find(std::string& reason) {
  std::unique_ptr<MatrixLibrary> found(new MatrixLibrary);
  for (const char* name : {"libcublasLt.so.13", "/usr/local/cuda/lib64/libcublasLt.so.13", "libcublasLt.so"}) {
    void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
      reason = dlerror();
      continue;
    }
    if (!found->calls->load(library) || found->calls->create(&found->handle) != 0) {
      reason = std::string(name) + " lacks a function or does not start";
      continue;
    }
    found->path = name;
    found->workspace = DeviceMemory(kWorkspaceBytes);
    return found;
  }
  return nullptr;
}

MatrixLibrary::~MatrixLibrary() {
  products.clear();
  if (handle) calls->destroy(handle);
}

const MatrixLibrary::Product* MatrixLibrary::productFor(const GemmTask& t) {
  auto& slot = products[{t.rows, t.n, t.k, t.accumulate, t.bias != nullptr}];
  if (slot) return slot.get();
  slot = std::make_unique<Product>(*calls);
  Product& p = *slot;
  const int transposed = kTransposed, epilogue = kEpilogueBias;
  const uint64_t n = (uint64_t)t.n, k = (uint64_t)t.k, rows = (uint64_t)t.rows;
  if (calls->descCreate(&p.desc, kCompute32F, kFloat) || calls->descSet(p.desc, kDescTransA, &transposed, sizeof transposed) ||
      calls->layoutCreate(&p.w, kBfloat16, k, n, t.k) || calls->layoutCreate(&p.x, kBfloat16, k, rows, t.k) ||
      calls->layoutCreate(&p.y, kFloat, n, rows, t.n))
    return &p;
  if (t.bias && (calls->descSet(p.desc, kDescEpilogue, &epilogue, sizeof epilogue) ||
                 calls->descSet(p.desc, kDescBiasPointer, &t.bias, sizeof t.bias)))
    return &p;
  void* preference = nullptr;
  const size_t most = kWorkspaceBytes;
  int count = 0;
  if (calls->preferenceCreate(&preference)) return &p;
  p.usable = calls->preferenceSet(preference, kPreferenceWorkspace, &most, sizeof most) == 0 &&
             calls->heuristic(handle, p.desc, p.w, p.x, p.y, p.y, preference, 1, &p.best, &count) == 0 && count > 0;
  calls->preferenceDestroy(preference);
  return &p;
}

bool MatrixLibrary::multiply(const GemmTask& t, cudaStream_t stream) {
  // Prompts of every length would each leave a plan behind.
  if (products.size() > 4096) products.clear();
  const Product* p = productFor(t);
  if (!p->usable) return false;
  if (t.bias && calls->descSet(p->desc, kDescBiasPointer, &t.bias, sizeof t.bias)) return false;
  const float one = 1, beta = t.accumulate ? 1 : 0;
  const int result = calls->matmul(handle, p->desc, &one, t.w, p->w, t.x, p->x, &beta, t.y, p->y, t.y, p->y, p->best.algorithm,
                                   workspace.as<void>(), workspace.bytes(), stream);
  if (result != 0) throw std::runtime_error("CUDA: cublasLtMatmul of " + path + " failed with status " + std::to_string(result));
  return true;
}

}  // namespace pm::cuda
