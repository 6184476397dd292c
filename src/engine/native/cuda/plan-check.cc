#include "plan-check.h"

#include <stdexcept>

#include "kernels/kernels.h"

namespace pm::cuda {
namespace {

std::string refusal(const pm_plan& p) {
  const auto text = [](int n) { return std::to_string(n); };
  if (p.hidden_size <= 0 || p.layers <= 0 || p.heads <= 0 || p.kv_heads <= 0 || p.intermediate_size <= 0 || p.vocab_size <= 0 ||
      p.head_dim <= 0 || p.head_dim % 2 || p.blocks <= 0 || p.max_tokens <= 0 || p.max_samples <= 0 || p.threads <= 0 || p.max_sequences <= 0 || p.max_sequence_blocks <= 0 ||
      p.heads % p.kv_heads)
    return "sizes must be positive, headDim even and heads a multiple of kvHeads";
  if (p.block_size != PM_BLOCK_SIZE) return "blockSize must be 16";
  if (p.experts > kMaxExperts || p.experts_per_token > kMaxExpertsPerToken)
    return "its mixtures have at most " + text(kMaxExperts) + " experts, " + text(kMaxExpertsPerToken) + " per token";
  if (p.experts > 0 && (p.experts_per_token <= 0 || p.experts_per_token > p.experts || p.expert_size <= 0 || p.expert_size % 8))
    return "experts.perToken must be between 1 and experts.count, and experts.intermediateSize a multiple of 8";
  if (p.adapter_slots > 0) return "LoRA adapters do not run on it; leave out --enable-lora";
  if (p.weight_dtype != PM_DTYPE_AUTO && p.weight_dtype != PM_BF16 && p.weight_dtype != PM_F8_E4M3)
    return "it holds weights as bfloat16 or fp8; use --quantization fp8 or none, and --dtype auto or bfloat16";
  if (p.weight_dtype == PM_F8_E4M3 && (p.hidden_size % 16 || p.intermediate_size % 16 || p.heads * p.head_dim % 16 ||
                                       (p.experts > 0 && p.expert_size % 16)))
    return "with --quantization fp8 hiddenSize, intermediateSize of MLP and experts, and heads * headDim must be multiples of 16";
  if (p.kv_cache_dtype != PM_BF16 && p.kv_cache_dtype != PM_F8_E4M3) return "it holds the KV cache as bfloat16 or fp8; see --kv-cache-dtype";
  if (paddedHead(p.head_dim) == 0) return "heads of " + text(p.head_dim) + " channels are more than its 256";
  if (p.heads / p.kv_heads > 16) return text(p.heads / p.kv_heads) + " query heads per kv head are more than its 16";
  if (p.hidden_size % 8 || p.intermediate_size % 8 || p.heads * p.head_dim % 8)
    return "hiddenSize, intermediateSize and heads * headDim must be multiples of 8";
  if (const std::string kernels = kernelsOf(p); kernels != "best" && kernels != "own" && kernels != "plain")
    return "it has no kernels called " + kernels + ", but own and plain";
  if (p.rotary_dim <= 0 || p.rotary_dim % 2 || p.rotary_dim > p.head_dim) return "rotaryDim must be even and at most headDim";
  for (int i = 0; i < p.layers; i++)
    if (p.rope_of_layer[i] < 0 || p.rope_of_layer[i] >= p.rope_tables) return "ropeOfLayer names a table that is not there";
  return "";
}

}  // namespace

std::string kernelsOf(const pm_plan& p) { return p.isa && *p.isa ? p.isa : "best"; }

const pm_plan& checked(const pm_plan& plan) {
  const std::string problem = refusal(plan);
  if (!problem.empty()) throw std::runtime_error("the CUDA backend cannot run this model: " + problem + ", or use --device cpu");
  return plan;
}

}  // namespace pm::cuda
