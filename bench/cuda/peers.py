"""Times what PyTorch and transformers bring, on the shapes of cuda-bench and engine-main. Prints Markdown.

Attention: scaled_dot_product_attention on contiguous keys and values (a page table costs it nothing), varlen_attn, and
FlexAttention, compiled. Generation: transformers' `generate` with a static batch and one request after the other, and
its continuous batching, `generate_batch`; random weights. What is not installed or fails here is named in the table.
"""
import argparse
import importlib.util
import inspect
import statistics
import sys
import time


def median_us(torch, body, sets, repeats=30):
    """Of one call, over `sets` inputs in turn: recorded as one graph where the peer allows it, so that it is not the
    launching from Python that is timed."""
    for turn in range(5):
        body(turn % sets)
    torch.cuda.synchronize()
    calls = max(sets, 4)
    try:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for turn in range(calls):
                body(turn % sets)
        run = graph.replay
    except Exception:
        torch.cuda.synchronize()
        calls, run = 1, lambda: body(0)
    times = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(1000 * start.elapsed_time(end) / calls)
    return statistics.median(times)


def report(name, measure):
    """Prints a row of `measure()`, or why there is none: a peer that fails here is reported, not hidden."""
    try:
        print(f"| {name} | {measure()} |", flush=True)
    except Exception as error:
        print(f"| {name} | {type(error).__name__}: {' '.join(str(error).split())[:100]} | |", flush=True)


def varlen_options(varlen, causal, grouped):
    """Its keywords differ from version to version: those that this one takes. Raises where it lacks one."""
    known = inspect.signature(varlen).parameters
    options = {}
    if causal:
        options.update({"window_size": (-1, 0)} if "window_size" in known else {"is_causal": True})
    if grouped and "enable_gqa" in known:
        options["enable_gqa"] = True
    missing = set(options) - set(known)
    if missing:
        raise TypeError(f"varlen_attn takes no {', '.join(sorted(missing))}")
    return options


def varlen_run(torch, varlen, queries, tokens, batch):
    """A call of varlen_attn for `batch` sequences of equal length, over [rows, heads, 128]."""
    starts = lambda each: torch.arange(0, (batch + 1) * each, each, device="cuda", dtype=torch.int32)
    queries_at, keys_at = starts(queries), starts(tokens)
    options = varlen_options(varlen, queries > 1, True)
    return lambda q, k, v: varlen(q, k, v, queries_at, keys_at, queries, tokens, **options)


def decode_attention(torch, flex, varlen, seconds_left):
    print("| decode attention 32/8/128 bf16 | µs, median | GB/s |\n|---|--:|--:|")
    sdpa = torch.nn.functional.scaled_dot_product_attention
    compiled = torch.compile(flex) if flex else None
    for context in (1024, 4096, 32768):
        for batch in (1, 64, 256):
            if batch * context > 2 * 2**20:
                continue
            size = 2 * batch * 8 * context * 128 * 2
            sets = max(1, min(128, (512 << 20) // size))  # as in cuda-bench
            make = lambda heads, tokens: torch.randn(batch, heads, tokens, 128, device="cuda", dtype=torch.bfloat16)
            q, k, v = make(32, 1), [make(8, context) for _ in range(sets)], [make(8, context) for _ in range(sets)]
            def by_varlen():
                flat = lambda x: x.transpose(1, 2).reshape(-1, x.shape[1], 128)
                attend = varlen_run(torch, varlen, 1, context, batch)
                flat_q, flat_k, flat_v = flat(q), [flat(x) for x in k], [flat(x) for x in v]
                return lambda i: attend(flat_q, flat_k[i], flat_v[i])

            runs = {"SDPA": lambda: lambda i: sdpa(q, k[i], v[i], enable_gqa=True)}
            if compiled and seconds_left() > 140:  # compiling takes its time; generation comes after it
                torch._dynamo.reset()
                runs["FlexAttention"] = lambda: lambda i: compiled(q, k[i], v[i], enable_gqa=True)
            if varlen:
                runs["varlen_attn"] = by_varlen
            for name, make_body in runs.items():
                def measure():
                    us = median_us(torch, make_body(), sets)
                    return f"{us:.1f} | {size / us / 1e3:.0f}"

                report(f"{name}, batch {batch}, context {context}", measure)
            del q, k, v
    print()


def prefill_attention(torch, varlen):
    print("| prefill attention 32/8/128, causal | µs, median | TFLOP/s |\n|---|--:|--:|")
    sdpa = torch.nn.functional.scaled_dot_product_attention
    for tokens in (512, 2048, 8192):
        make = lambda heads: torch.randn(1, heads, tokens, 128, device="cuda", dtype=torch.bfloat16)
        q, k, v = make(32), make(8), make(8)
        def by_varlen():
            attend = varlen_run(torch, varlen, tokens, tokens, 1)
            flat = [x[0].transpose(0, 1).contiguous() for x in (q, k, v)]
            return lambda i: attend(*flat)

        runs = {"SDPA": lambda: lambda i: sdpa(q, k, v, is_causal=True, enable_gqa=True)}
        if varlen:
            runs["varlen_attn"] = by_varlen
        for name, make_body in runs.items():
            def measure():
                us = median_us(torch, make_body(), 1)
                return f"{us:.1f} | {4 * tokens * (tokens + 1) / 2 * 32 * 128 / us / 1e6:.0f}"

            report(f"{name}, {tokens} queries", measure)
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

        def measure():
            ids = torch.randint(300, 150000, (batch, 256), device="cuda")
            kwargs = dict(attention_mask=torch.ones_like(ids), do_sample=False, min_new_tokens=256, max_new_tokens=256)
            with torch.inference_mode():
                model.generate(ids[:, :16], attention_mask=torch.ones_like(ids[:, :16]), do_sample=False, max_new_tokens=4)
                torch.cuda.synchronize()
                start = time.perf_counter()
                model.generate(ids, **kwargs)
                torch.cuda.synchronize()
            return f"{batch * 256 / (time.perf_counter() - start):.0f}"

        report(f"batch {batch}", measure)
    print()
    generate_batch(torch, model, seconds_left)


def generate_batch(torch, model, seconds_left):
    """Continuous batching, without flash-attn: all keys and values of a batch gathered, one dense mask."""
    print("| transformers generate_batch, same shape, 256 + 256 tokens | tok/s |\n|---|--:|")
    for requests in (64, 256):
        if seconds_left() < 60:
            print(f"| {requests} requests | left out: no time |")
            continue

        def measure():
            from transformers import GenerationConfig

            model.set_attn_implementation("paged|sdpa")
            prompts = torch.randint(300, 150000, (requests, 256)).tolist()
            config = GenerationConfig(max_new_tokens=256, do_sample=False, eos_token_id=-1, pad_token_id=0)
            known = inspect.signature(model.generate_batch).parameters
            quiet = {"progress_bar": False} if "progress_bar" in known else {}
            torch.cuda.synchronize()
            start = time.perf_counter()
            results = model.generate_batch(inputs=prompts, generation_config=config, **quiet)
            torch.cuda.synchronize()
            seconds = time.perf_counter() - start
            tokens = sum(len(result.generated_tokens) for result in results.values())
            if tokens != requests * 256:
                raise RuntimeError(f"{tokens} tokens came, {requests * 256} were asked for")
            return f"{tokens / seconds:.0f}"

        report(f"{requests} requests", measure)
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
    try:
        from torch.nn.attention.varlen import varlen_attn as varlen
    except ImportError:
        varlen = None
        print("peers: this PyTorch has no torch.nn.attention.varlen; it is left out\n")
    seconds_left = lambda: end - time.monotonic()
    decode_attention(torch, flex, varlen, seconds_left)
    prefill_attention(torch, varlen)
    if importlib.util.find_spec("transformers"):
        generate(torch, seconds_left)
    else:
        print("peers: transformers is not installed; generate is left out")
    return 0


if __name__ == "__main__":
    sys.exit(main())
