"""Times what PyTorch and transformers bring, on the shapes of cuda-bench and engine-main. Prints Markdown.

Attention: scaled_dot_product_attention on contiguous keys and values (a page table costs it nothing), and FlexAttention,
compiled. Generation: transformers' `generate` with a static batch and one request after the other, random weights.
What is not installed is named and left out.
"""
import argparse
import importlib.util
import statistics
import sys
import time


def median_us(torch, body, sets, repeats=30):
    for turn in range(5):
        body(turn % sets)
    times = []
    for turn in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        body(turn % sets)
        end.record()
        end.synchronize()
        times.append(1000 * start.elapsed_time(end))
    return statistics.median(times)


def decode_attention(torch, flex):
    print("| decode attention 32/8/128 bf16 | µs, median | GB/s |\n|---|--:|--:|")
    sdpa = torch.nn.functional.scaled_dot_product_attention
    compiled = torch.compile(flex) if flex else None
    for context in (1024, 4096, 32768):
        for batch in (1, 64, 256):
            if batch * context > 2 * 2**20:
                continue
            size = 2 * batch * 8 * context * 128 * 2
            sets = max(1, min(8, (512 << 20) // size))
            make = lambda heads, tokens: torch.randn(batch, heads, tokens, 128, device="cuda", dtype=torch.bfloat16)
            q, k, v = make(32, 1), [make(8, context) for _ in range(sets)], [make(8, context) for _ in range(sets)]
            runs = {"SDPA": lambda i: sdpa(q, k[i], v[i], enable_gqa=True)}
            if compiled:
                runs["FlexAttention"] = lambda i: compiled(q, k[i], v[i], enable_gqa=True)
            for name, body in runs.items():
                try:
                    us = median_us(torch, body, sets)
                    print(f"| {name}, batch {batch}, context {context} | {us:.1f} | {size / us / 1e3:.0f} |", flush=True)
                except Exception as error:  # a peer that fails here is reported, not hidden
                    print(f"| {name}, batch {batch}, context {context} | {type(error).__name__}: {str(error)[:80]} | |")
            del q, k, v
    print()


def prefill_attention(torch):
    print("| prefill attention 32/8/128, causal | µs, median | TFLOP/s |\n|---|--:|--:|")
    sdpa = torch.nn.functional.scaled_dot_product_attention
    for tokens in (512, 2048, 8192):
        make = lambda heads: torch.randn(1, heads, tokens, 128, device="cuda", dtype=torch.bfloat16)
        q, k, v = make(32), make(8), make(8)
        us = median_us(torch, lambda i: sdpa(q, k, v, is_causal=True, enable_gqa=True), 1)
        print(f"| SDPA, {tokens} queries | {us:.1f} | {4 * tokens * (tokens + 1) / 2 * 32 * 128 / us / 1e6:.0f} |", flush=True)
    print()


def generate(torch, seconds_left):
    from transformers import AutoModelForCausalLM, Qwen3Config

    config = Qwen3Config(
        vocab_size=151936, hidden_size=1024, intermediate_size=3072, num_hidden_layers=28, num_attention_heads=16,
        num_key_value_heads=8, head_dim=128, tie_word_embeddings=True, max_position_embeddings=40960, eos_token_id=None,
        pad_token_id=0,
    )
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation="sdpa").cuda().eval()
    print("| transformers generate, Qwen3-0.6B shape, 256 + 256 tokens | tok/s |\n|---|--:|")
    for batch in (1, 16, 64, 256):
        if seconds_left() < 60:
            print(f"| batch {batch} | left out: no time |")
            continue
        ids = torch.randint(300, 150000, (batch, 256), device="cuda")
        kwargs = dict(attention_mask=torch.ones_like(ids), do_sample=False, min_new_tokens=256, max_new_tokens=256)
        with torch.inference_mode():
            model.generate(ids[:, :16], attention_mask=torch.ones_like(ids[:, :16]), do_sample=False, max_new_tokens=4)
            torch.cuda.synchronize()
            start = time.perf_counter()
            model.generate(ids, **kwargs)
            torch.cuda.synchronize()
        print(f"| batch {batch} | {batch * 256 / (time.perf_counter() - start):.0f} |", flush=True)
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=240, help="stop beginning new measurements after this long")
    end = time.monotonic() + parser.parse_args().seconds
    if importlib.util.find_spec("torch") is None:
        print("peers: PyTorch is not installed; nothing to compare with")
        return 0
    import torch

    if not torch.cuda.is_available():
        print(f"peers: PyTorch {torch.__version__} sees no GPU; nothing to compare with")
        return 0
    print(f"PyTorch {torch.__version__} on {torch.cuda.get_device_name()}.\n")
    try:
        from torch.nn.attention.flex_attention import flex_attention as flex
    except ImportError:
        flex = None
    decode_attention(torch, flex)
    prefill_attention(torch)
    if importlib.util.find_spec("transformers"):
        generate(torch, lambda: end - time.monotonic())
    else:
        print("peers: transformers is not installed; generate is left out")
    return 0


if __name__ == "__main__":
    sys.exit(main())
