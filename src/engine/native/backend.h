/*
 * The C interface between the binding and a backend. The CPU backend is linked into the addon; a CUDA library
 * may export the same functions and be opened at run time. Plain C: pointers and counts, no exceptions, no
 * ownership passed except for pm_model. Functions that can fail return 0, or 1 with a message in `error`.
 *
 * A step is launched, then waited for. Steps run in the order of their launches; a second one may be launched before
 * the first is waited for, with tokens that the first is still choosing.
 *
 * A model belongs to one thread at a time. Different models may be used from different threads at once.
 */
#ifndef POINTSMAN_BACKEND_H
#define POINTSMAN_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PM_ABI_VERSION 4
#define PM_BLOCK_SIZE 16
#define PM_SAMPLING_FLOATS 6
#define PM_SAMPLING_INTS 8
/* Launched and not yet waited for, at most. */
#define PM_STEPS_IN_FLIGHT 2

typedef enum { PM_F32 = 0, PM_BF16 = 1, PM_F16 = 2, PM_DTYPE_AUTO = 3, PM_I8 = 4, PM_F8_E4M3 = 5 } pm_dtype;

/* Same order and meaning as TensorRole in native.ts. */
typedef enum {
  PM_EMBED_TOKENS,
  PM_FINAL_NORM,
  PM_LM_HEAD,
  PM_INPUT_NORM,
  PM_MLP_NORM,
  PM_Q_PROJ,
  PM_K_PROJ,
  PM_V_PROJ,
  PM_O_PROJ,
  PM_Q_BIAS,
  PM_K_BIAS,
  PM_V_BIAS,
  PM_O_BIAS,
  PM_Q_NORM,
  PM_K_NORM,
  PM_GATE_PROJ,
  PM_UP_PROJ,
  PM_DOWN_PROJ,
  PM_GATE_BIAS,
  PM_UP_BIAS,
  PM_DOWN_BIAS,
  PM_ATTENTION_OUTPUT_NORM,
  PM_MLP_OUTPUT_NORM,
  PM_ROUTER,
  PM_ROLES
} pm_role;

/* How a tensor is stored in its file: StoredDtype in native.ts. From Q4_0 on, ggml's quantized blocks. */
typedef enum {
  PM_STORED_F32,
  PM_STORED_BF16,
  PM_STORED_F16,
  PM_STORED_Q4_0,
  PM_STORED_Q4_1,
  PM_STORED_Q5_0,
  PM_STORED_Q5_1,
  PM_STORED_Q8_0,
  PM_STORED_Q4_K,
  PM_STORED_Q5_K,
  PM_STORED_Q6_K,
  PM_STORED_DTYPES
} pm_stored_dtype;

typedef struct {
  pm_role role;
  int32_t layer;  /* -1 outside the layers */
  int32_t expert; /* -1 outside the experts */
  int32_t file;
  uint64_t offset; /* bytes from the start of the file */
  pm_stored_dtype dtype;
  int32_t interleaved; /* 1: rows of each head are (0, d/2, 1, d/2 + 1, ...) */
  int32_t rank; /* 1 or 2 */
  int64_t shape[2];
} pm_tensor;

typedef enum { PM_SILU, PM_GELU_TANH } pm_activation;

typedef struct {
  int32_t hidden_size, layers, heads, kv_heads, head_dim, intermediate_size, vocab_size;
  float rms_norm_eps;
  int32_t rope_tables, rotary_dim;
  const float* rope_inverse_frequencies; /* [rope_tables, rotary_dim / 2] */
  const float* rope_attention_factors;   /* [rope_tables] */
  const int32_t* rope_of_layer;          /* [layers] */
  const int32_t* sliding_windows;        /* [layers], 0 = all */
  int32_t qk_norm, output_norms, tie_word_embeddings;
  float norm_offset;        /* added to every norm weight on load */
  float embedding_scale;
  float attention_scale;    /* on q . k */
  float attention_softcap;  /* 0 = none */
  float logit_softcap;      /* 0 = none */
  pm_activation activation;
  int32_t experts, experts_per_token, expert_size; /* 0 experts: every layer has one plain MLP */
  int32_t renormalize_experts;
  const int32_t* moe_layers; /* [layers], 1 = experts */
  const char* const* files;
  int32_t file_count;
  const pm_tensor* tensors;
  int32_t tensor_count;
  int32_t dummy; /* 1: random weights from dummy_seed, no files */
  uint64_t dummy_seed;
  pm_dtype weight_dtype;   /* PM_DTYPE_AUTO: as in the checkpoint; PM_I8: quantized on load, groups of 32 */
  /* CPU: PM_F32, PM_BF16, or PM_I8: a scale per token and kv head, of keys and of values. CUDA: PM_BF16, PM_F8_E4M3. */
  pm_dtype kv_cache_dtype;
  /* max_samples may be as large as max_tokens: logits are best computed some rows at a time. */
  int32_t block_size, blocks, threads, max_tokens, max_samples;
  int32_t max_sequences, max_sequence_blocks; /* rows and columns of the block tables */
  int32_t adapter_slots, max_adapter_rank; /* 0 slots: no adapters */
  /* Told the part of the weights that is loaded, 0 to 1, from the calling thread; may be null. */
  void (*progress)(void* context, double part);
  void* progress_context;
  const char* isa; /* kernels to use; null or "" = the best that the processor runs */
} pm_plan;

/* One adapted projection: A [rank, in] and B [out, rank] in one file; q, k, v, o, gate, up or down. */
typedef struct {
  pm_role role;
  int32_t layer;
  int32_t rank;
  int32_t file;
  uint64_t a_offset, b_offset;
  pm_stored_dtype dtype; /* F32, BF16 or F16 */
  float scale;
} pm_low_rank;

typedef struct {
  const char* const* files;
  int32_t file_count;
  const pm_low_rank* pairs;
  int32_t pair_count;
} pm_adapter;

/* The entry of a block table at (row, column) becomes `block`; block -1 at column 0 empties the row. */
typedef struct { int32_t row, column, block; } pm_table_delta;

/*
 * What a step reads, all of it during its launch. Shapes as in native.ts, StepInputs.
 *
 * A token id below 0, in token_ids and history, stands for the token that sample -1 - id of the step launched before
 * this one chooses.
 */
typedef struct {
  int32_t tokens, sequences, samples;
  const int32_t *token_ids, *positions, *slot_mapping, *query_starts;
  const int32_t* table_rows; /* [sequences] row of each sequence in the block tables, which the backend keeps */
  /* Done before the step. Those of a row are adjacent: the emptying, then columns ascending, without gaps at the end. */
  const pm_table_delta* table_deltas;
  int32_t table_delta_count;
  const int32_t* adapters; /* [sequences] slots, -1 = none; or null */
  const int32_t* sample_rows;
  const float* sampling_floats;
  const int32_t* sampling_ints;
  const int32_t* history;
  const int32_t *bias_starts, *bias_ids;
  const float* bias_values;
  const int32_t* forced_ids; /* [samples] a token that is taken as chosen, -1 = choose; or null */
  const int32_t* mask_of;    /* [samples] index of the row's mask, -1 = all tokens may come; or null */
  const uint32_t* masks;     /* [mask_count, ceil(vocab_size / 32)] bit set: the token may come */
  int32_t mask_count;
  int32_t top_stride;         /* top_ids and top_logprobs per sample of the results */
  int32_t keeps_logits;       /* 1: the results have logits */
  int32_t pooled;             /* samples + pooled is at most max_samples */
  const int32_t* pooled_rows; /* [pooled] token rows whose last hidden state is wanted */
} pm_batch;

/* Where the results of a step go, as the step's batch has it; memory of the caller. */
typedef struct {
  int32_t* sampled_ids;
  float* sampled_logprobs;
  int32_t* sampled_ranks;
  int32_t* top_ids; /* [samples, top_stride] */
  float* top_logprobs;
  float* logits;        /* [samples, vocab_size] if the batch keeps them */
  float* pooled_states; /* [pooled, hidden_size] after the final norm */
} pm_results;

typedef struct { uint64_t weights, kv_cache, scratch; } pm_memory_use;

typedef struct pm_model pm_model;

/* What a backend runs on. Bytes are 0 where the memory is the host's. */
typedef struct {
  char name[256];
  uint64_t memory_bytes, free_bytes;
  int32_t major, minor; /* compute capability */
  char libraries[256];  /* of others that it found and uses; may be empty */
} pm_device;

/* PM_ABI_VERSION of the header that the backend was built with. */
int pm_abi_version(void);
/* Finds the device, without taking memory. The reason for a failure is in `error`. */
int pm_probe(pm_device* device, char* error, size_t error_size);

int pm_open(const pm_plan* plan, pm_model** model, char* error, size_t error_size);
/*
 * Begins a step, or runs it. The batch may be gone afterwards. Trusts it: callers validate it first (step-check.h), and
 * launch no more than PM_STEPS_IN_FLIGHT.
 */
int pm_launch(pm_model* model, const pm_batch* batch, char* error, size_t error_size);
/* Waits for the earliest step that is in flight and writes what it found. A step that failed is over, too. */
int pm_wait(pm_model* model, const pm_results* results, char* error, size_t error_size);
/* Reads an adapter into a slot, in place of what was there. No step is in flight, here and in pm_unload_adapter. */
int pm_load_adapter(pm_model* model, int32_t slot, const pm_adapter* adapter, char* error, size_t error_size);
void pm_unload_adapter(pm_model* model, int32_t slot);
void pm_memory(const pm_model* model, pm_memory_use* use);
void pm_close(pm_model* model);

#ifdef __cplusplus
}
#endif
#endif
