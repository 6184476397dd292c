// The names of tensor roles, as native.ts spells them, in the order of pm_role.
#pragma once

#include "backend.h"

namespace pm {

inline constexpr const char* kRoleNames[PM_ROLES] = {
    "embed_tokens", "final_norm", "lm_head", "input_norm", "mlp_norm",  "q_proj",
    "k_proj",       "v_proj",     "o_proj",  "q_bias",     "k_bias",    "v_bias",
    "o_bias",       "q_norm",     "k_norm",  "gate_proj",  "up_proj",   "down_proj",
    "gate_bias",    "up_bias",    "down_bias", "attention_output_norm", "mlp_output_norm", "router"};

}  // namespace pm
