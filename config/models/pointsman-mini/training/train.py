"""Trains the model for a given time on the CPU; the learning rate falls to zero at the end of it.

python train.py --minutes 40 --out ..      writes config.json, generation_config.json, model.safetensors
"""
import argparse
import bisect
import os
import random
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from tokenizers import Tokenizer

import samples
from model import Model

FOLDER = Path(__file__).parent.parent


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal by five Newton-Schulz steps; for the matrices of the layers."""

    def __init__(self, params, lr, momentum=0.95, weight_decay=0.02):
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            by_shape = {}
            for p in group["params"]:
                by_shape.setdefault(p.shape, []).append(p)
            for shape, params in by_shape.items():
                updates = []
                for p in params:
                    buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
                    buffer.lerp_(p.grad, 1 - group["momentum"])
                    updates.append(p.grad.lerp(buffer, group["momentum"]))
                x = torch.stack(updates)
                # Each worker makes its share of the updates.
                whole, x = torch.zeros_like(x), x[dist.get_rank()::dist.get_world_size()]
                tall = shape[0] > shape[1]
                x = x.mT if tall else x
                x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
                for _ in range(5):
                    a = x @ x.mT
                    x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
                whole[dist.get_rank()::dist.get_world_size()] = x.mT if tall else x
                dist.all_reduce(whole)
                scale = max(1, shape[0] / shape[1]) ** 0.5
                for p, u in zip(params, whole):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).add_(u, alpha=-group["lr"] * scale)


def encode(tokenizer, parts):
    """Tokens of the joined text, each with the weight of the part it starts in."""
    text = "".join(t for t, _ in parts)
    ends, total = [], 0
    for t, _ in parts:
        total += len(t)
        ends.append(total)
    encoded = tokenizer.encode(text)
    return encoded.ids, [parts[min(bisect.bisect_right(ends, a), len(parts) - 1)][1] for a, _ in encoded.offsets]


def cut(rng, row, share, keep=6):
    """Often keeps only the start of a single answer: that is where the fact is chosen, the rest is soon known by heart."""
    ids, weight = row
    if weight.count(1.0) and rng.random() < share:
        first = weight.index(1.0)
        end = first + keep
        if 1.0 not in weight[weight.index(0.0, first):] if 0.0 in weight[first:] else True:
            return ids[:end], weight[:end]
    return row


def batch(rows):
    """Pads at the right, which a causal model never looks at."""
    width = max(len(ids) for ids, _ in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    weight = torch.zeros(len(rows), width)
    for i, (tokens, w) in enumerate(rows):
        ids[i, :len(tokens)] = torch.tensor(tokens)
        weight[i, :len(w)] = torch.tensor(w)
    return ids, weight


def batches(rng, pool, tokenizer, tokens, plan):
    """Endless; samples of like length go together, and now and then a batch has long prompts."""
    while True:
        drill, cut_share, long_share = plan()
        rows = [encode(tokenizer, samples.short(rng, pool, rng.random() < drill)) for _ in range(1000)]
        rows = sorted((cut(rng, row, cut_share) for row in rows), key=lambda r: len(r[0]))
        groups, group = [], []
        for row in rows:
            if group and (len(group) + 1) * len(row[0]) > tokens:
                groups.append(group)
                group = []
            group.append(row)
        groups.append(group)
        for _ in range(round(len(groups) * long_share)):
            words = rng.choice([80, 160, 250, 400, 600, 900, 1300, 1800])
            n = max(1, round(tokens / (words * 1.6)))
            rows = [encode(tokenizer, samples.long(rng, pool, words)) for _ in range(n)]
            groups.append([(ids[:4096], w[:4096]) for ids, w in rows])
        rng.shuffle(groups)
        yield from map(batch, groups)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--tokens", type=int, default=2048, help="tokens in a batch of one worker, about")
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--embed-lr", type=float, default=0.003)
    parser.add_argument("--out", default=str(FOLDER))
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--warmup", type=int, default=60, help="steps")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", help="folder of a checkpoint to go on from")
    parser.add_argument("--drill-until", type=float, default=0.7, help="share of the time")
    parser.add_argument("--cut", type=float, default=0.7, help="share of answers of which only the beginning is trained on, at first")
    parser.add_argument("--long", type=float, default=0.10, help="batches of long prompts for each other one, in the last part")
    parser.add_argument("--decay", type=float, default=0.6, help="share of the time in which the rate falls")
    parser.add_argument("--export-every", type=float, default=4, help="minutes between exports of averaged weights")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(work, (args, os.path.join(folder, "store")), nprocs=args.workers)


def work(rank, args, store):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=args.workers)
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed * 1000 + rank)
    pool, tokenizer = samples.Pool(), Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
    model = Model.load(args.start).train() if args.start else Model()
    say = (lambda text: print(text, flush=True)) if rank == 0 else (lambda text: None)
    say(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if p.ndim < 2 or "embed" in n]
    optimizers = [Muon(matrices, args.lr), torch.optim.AdamW(rest, args.embed_lr, betas=(0.9, 0.98), weight_decay=0.0)]
    parameters = list(model.parameters())
    rates = [args.lr, args.embed_lr]
    average = {k: v.clone() for k, v in model.state_dict().items()}

    begin = exported = time.time()
    progress = lambda: (time.time() - begin) / (60 * args.minutes)

    def plan():
        """(share of drills, share of cut answers, share of long batches): know the answers, choose the right one, all together."""
        done = progress()
        if not args.start and done < 0.25:
            return 0.5, 0.0, 0.0
        return (0.9, args.cut, 0.0) if done < args.drill_until else (0.4, args.cut / 2, args.long)

    source = batches(rng, pool, tokenizer, args.tokens, plan)
    seen, losses = 0, []
    for step, (ids, weight) in enumerate(source):
        # All workers stop after the same step.
        clock = torch.tensor(progress())
        dist.all_reduce(clock, dist.ReduceOp.MAX)
        done = clock.item()
        if done >= 1:
            break
        factor = min(1, (step + 1) / args.warmup) * min(1, (1 - done) / args.decay)
        for optimizer, rate in zip(optimizers, rates):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
        target, w = ids[:, 1:], weight[:, 1:]
        picked = w > 0
        hidden = model.hidden(ids[:, :-1])[picked]
        loss = F.cross_entropy(model.logits(hidden), target[picked], reduction="none")
        w = w[picked]
        loss = (loss * w).sum() / w.sum()
        loss.backward()
        flat = torch.cat([p.grad.flatten() for p in parameters])
        dist.all_reduce(flat)
        at = 0
        for p in parameters:
            p.grad.copy_(flat[at:at + p.numel()].view_as(p)).div_(args.workers)
            at += p.numel()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        model.zero_grad(set_to_none=True)
        keep = min(0.99, step / (step + 10))
        with torch.no_grad():
            for name, value in model.state_dict().items():
                average[name].lerp_(value, 1 - keep)
        seen += ids.numel() * args.workers
        losses.append(loss.item())
        if step % 10 == 0:
            elapsed = time.time() - begin
            say(f"step {step} min {elapsed / 60:.1f} tokens {seen:,} ({seen / elapsed:.0f}/s) loss {sum(losses) / len(losses):.4f} lr x{factor:.2f}")
            losses = []
        if rank == 0 and time.time() - exported > 60 * args.export_every:
            exported = time.time()
            model.save(args.out, average)
    if rank == 0:
        model.save(args.out, average)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
