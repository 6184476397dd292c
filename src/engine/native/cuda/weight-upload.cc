#include "weight-upload.h"

#include <algorithm>
#include <cstring>

#include "../numbers.h"
#include "fp8.h"

namespace pm::cuda {
namespace {

constexpr size_t kChunkBytes = size_t{32} << 20, kRowsAtOnce = 16;

}  // namespace

WeightUpload::WeightUpload(const pm_plan& plan, cudaStream_t stream) 
    : source(plan), quantizes(plan.weight_dtype == PM_F8_E4M3), stream(stream), pool(plan.threads) {}

Linear WeightUpload::stack(const std::vector<pm_role>& roles, int layer, int first, int count, const std::vector<size_t>& rows,
                           size_t columns, bool isFp8) {
  Linear result;
  for (const size_t each : rows) result.n += (int)each;
  result.k = (int)columns;
  const size_t rowBytes = isFp8 ? columns : columns * sizeof(uint16_t), all = (size_t)count * (size_t)result.n;
  result.w = DeviceMemory(all * rowBytes);
  std::vector<float> scales(isFp8 ? all : 0);
  size_t at = 0;
  for (int expert = first; expert < first + count; expert++)
    for (size_t i = 0; i < roles.size(); i++) {
      copyRows(source.find(roles[i], layer, expert, rows[i], columns), rows[i], columns, result.w.as<char>() + at * rowBytes,
               isFp8 ? scales.data() + at : nullptr);
      at += rows[i];
    }
  if (isFp8) result.scales = floats(scales.data(), scales.size());
  return result;
}

Linear WeightUpload::experts(const std::vector<pm_role>& roles, int layer, int count, const std::vector<size_t>& rows, size_t columns) {
  return stack(roles, layer, 0, count, rows, columns, quantizes);
}

Linear WeightUpload::router(int layer, int experts, size_t columns) {
  return stack({PM_ROUTER}, layer, -1, 1, {(size_t)experts}, columns, false);
}

Linear WeightUpload::linear(const std::vector<pm_role>& roles, const std::vector<pm_role>& biases, int layer,
                            const std::vector<size_t>& rows, size_t columns) {
  Linear result = stack(roles, layer, -1, 1, rows, columns, quantizes && layer >= 0);
  const auto isThere = [&](pm_role role) { return source.has(role, layer); };
  if (std::any_of(biases.begin(), biases.end(), isThere)) {
    std::vector<float> values;
    for (size_t i = 0; i < biases.size(); i++) {
      const size_t start = values.size();
      values.resize(start + rows[i], 0.0f);
      if (isThere(biases[i])) memcpy(values.data() + start, source.vector(biases[i], layer, rows[i]).as<float>(), rows[i] * sizeof(float));
    }
    result.bias = floats(values.data(), values.size());
  }
  return result;
}

void WeightUpload::copyRows(const WeightSource::Tensor& tensor, size_t rows, size_t columns, char* to, float* scales) {
  const size_t rowBytes = scales ? columns : columns * sizeof(uint16_t), each = std::max<size_t>(1, kChunkBytes / rowBytes);
  const bool isReady = !scales && tensor.data && tensor.dtype == PM_STORED_BF16 && tensor.interleavedHead == 0;
  std::vector<std::vector<float>> scratch((size_t)pool.threads(), std::vector<float>(isReady ? 0 : columns));
  size_t turn = 0;
  for (size_t first = 0; first < rows; first += each, turn++) {
    const size_t count = std::min(each, rows - first);
    PinnedMemory& chunk = chunks[turn % 2];
    if (turn % 2 == 0) PM_CUDA(cudaStreamSynchronize(stream));  // both chunks are free again
    if (chunk.bytes() < count * rowBytes) chunk = PinnedMemory(std::max(kChunkBytes, count * rowBytes));
    pool.run((int)((count + kRowsAtOnce - 1) / kRowsAtOnce), [&](int part, int worker) {
      for (size_t row = (size_t)part * kRowsAtOnce; row < std::min(count, ((size_t)part + 1) * kRowsAtOnce); row++) {
        char* out = chunk.as<char>() + row * rowBytes;
        if (isReady) {
          memcpy(out, static_cast<const char*>(tensor.data) + (first + row) * rowBytes, rowBytes);
          continue;
        }
        float* floats = scratch[(size_t)worker].data();
        WeightSource::readRow(tensor, first + row, columns, floats);
        if (scales) scales[first + row] = quantizeRow(floats, (int)columns, reinterpret_cast<uint8_t*>(out));
        else for (size_t i = 0; i < columns; i++) reinterpret_cast<uint16_t*>(out)[i] = toBf16(floats[i]);
      }
    });
    PM_CUDA(cudaMemcpyAsync(to + first * rowBytes, chunk.as<char>(), count * rowBytes, cudaMemcpyHostToDevice, stream));
  }
  PM_CUDA(cudaStreamSynchronize(stream));
}

DeviceMemory WeightUpload::norm(pm_role role, int layer, size_t length) {
  return floats(source.norm(role, layer, length).as<float>(), length);
}

DeviceMemory WeightUpload::floats(const float* values, size_t length) {
  DeviceMemory out(length * sizeof(float));
  PM_CUDA(cudaMemcpyAsync(out.as<float>(), values, out.bytes(), cudaMemcpyHostToDevice, stream));
  PM_CUDA(cudaStreamSynchronize(stream));
  return out;
}

}  // namespace pm::cuda
