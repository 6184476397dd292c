// cuBLASLt, for products of many rows, where it can be found on the machine; it is never needed. Only what is called
// of it is declared here, by its documented binary interface (version 13).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <tuple>

#include "device-memory.h"
#include "kernels/kernels.h"

namespace pm::cuda {

class MatrixLibrary {
 public:
  // Null where there is none; `reason` says what was looked for.
  static std::unique_ptr<MatrixLibrary> find(std::string& reason);
  ~MatrixLibrary();

  // False when the library refuses this shape; nothing has run then.
  bool multiply(const GemmTask& task, cudaStream_t stream);
  const std::string& name() const { return path; }
  size_t bytes() const { return workspace.bytes(); }

 private:
  struct Calls;
  struct Product;
  MatrixLibrary();
  const Product* productFor(const GemmTask& task);

  std::string path;
  std::unique_ptr<Calls> calls;
  void* handle = nullptr;
  DeviceMemory workspace;
  std::map<std::tuple<int, int, int, bool, bool>, std::unique_ptr<Product>> products;  // rows, n, k, accumulate, bias
};

}  // namespace pm::cuda
