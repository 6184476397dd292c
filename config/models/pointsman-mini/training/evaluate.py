"""Greedy answers to questions that were never trained on, compared with the expected ones.

python evaluate.py [--model ..] [--limit N] [--show] [--prefix-tokens N] [--only questions|declined]

A held-out question counts as right when the answer equals the expected text, or when it overlaps with it (token F1 of at
least 0.8) and no other fact's answer is nearer. A declined one counts as right when the answer is one of the refusals.
"""
import argparse
import json
import random
import re
from collections import Counter, defaultdict
from pathlib import Path

import torch
from tokenizers import Tokenizer

import samples
from generate_data import DATA, DECLINES
from model import Model

FOLDER = Path(__file__).parent.parent


def words(text):
    return re.findall(r"\w+|[^\w\s]", text.lower())


def f1(a, b):
    common = sum((Counter(a) & Counter(b)).values())
    return 2 * common / (len(a) + len(b)) if common else 0.0


def chat(question, system=None):
    head = f"<|im_start|>system\n{system}<|im_end|>\n" if system is not None else ""
    return f"{head}<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"


def answers(model, tokenizer, prompts, size=64, max_tokens=176):
    """Greedy answers in the order of the prompts; prompts of one length share a batch."""
    encoded = [tokenizer.encode(p).ids for p in prompts]
    groups, out = defaultdict(list), [None] * len(prompts)
    for i, ids in enumerate(encoded):
        groups[len(ids)].append(i)
    for group in groups.values():
        for at in range(0, len(group), size):
            part = group[at:at + size]
            new = model.generate(torch.tensor([encoded[i] for i in part]), max_tokens, {0, 2})
            for i, tokens in zip(part, new):
                out[i] = tokenizer.decode(tokens)
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=str(FOLDER))
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="print the wrong ones")
    parser.add_argument("--prefix-tokens", type=int, default=0, help="put a long, unrelated system message before each question")
    parser.add_argument("--only", choices=["questions", "declined"])
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model, tokenizer = Model.load(args.model), Tokenizer.from_file(str(Path(args.model) / "tokenizer.json"))
    rows = lambda name: [json.loads(line) for line in open(DATA / name, encoding="utf-8")]
    facts = {f["id"]: f for f in rows("facts.jsonl")}
    texts = {(f["id"], k): words(f[k]) for f in facts.values() for k in ("answer", "short", "why") if k in f}
    held, declined = rows("questions.heldout.jsonl"), rows("declined.heldout.jsonl")
    rng = random.Random(5)
    if args.limit:
        held, declined = rng.sample(held, args.limit), rng.sample(declined, min(args.limit, len(declined)))
    if args.only:
        held, declined = ([], declined) if args.only == "declined" else (held, [])
    system = None
    if args.prefix_tokens:
        vocabulary = samples.Pool().vocabulary
        system = samples.tenant_text(rng, args.prefix_tokens, vocabulary)
        ids = tokenizer.encode(system).ids[:args.prefix_tokens]
        system = tokenizer.decode(ids)

    given = answers(model, tokenizer, [chat(r["question"], system) for r in held])
    right, total, exact = Counter(), Counter(), 0
    for row, text in zip(held, given):
        expected, got = facts[row["fact"]][row["use"]], words(text)
        best = max(texts, key=lambda k: f1(texts[k], got))
        same = text == expected
        ok = same or (best[0] == row["fact"] and f1(words(expected), got) >= 0.8)
        exact += same
        total[row["source"]] += 1
        right[row["source"]] += ok
        if args.show and not ok:
            print(f"WRONG [{row['fact']}] {row['question']!r} -> {text!r}")
    for source in sorted(total):
        print(f"held-out questions, {source}: {right[source]}/{total[source]} = {right[source] / total[source]:.1%}")
    if held:
        print(f"held-out questions, all: {sum(right.values())}/{len(held)} = {sum(right.values()) / len(held):.1%} (word for word {exact / len(held):.1%})")

    given = answers(model, tokenizer, [chat(r["question"], system) for r in declined])
    right, total = Counter(), Counter()
    for row, text in zip(declined, given):
        ok = text in DECLINES.values()
        total[row["source"]] += 1
        right[row["source"]] += ok
        if args.show and not ok:
            print(f"NOT DECLINED {row['question']!r} -> {text!r}")
    if declined:
        print(f"held-out out-of-domain prompts declined: {sum(right.values())}/{len(declined)} = {sum(right.values()) / len(declined):.1%}")


if __name__ == "__main__":
    main()
