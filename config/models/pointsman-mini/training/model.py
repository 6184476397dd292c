"""The Qwen3 shape in plain torch, with the parameter names of a Hugging Face checkpoint."""
import json
from pathlib import Path

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

CONFIG = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "vocab_size": 3072,
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "hidden_act": "silu",
    "max_position_embeddings": 4096,
    "initializer_range": 0.02,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
    "rope_scaling": None,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "use_sliding_window": False,
    "sliding_window": None,
    "max_window_layers": 6,
    "tie_word_embeddings": True,
    "use_cache": True,
    "bos_token_id": None,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "torch_dtype": "bfloat16",
}


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, hd = c["hidden_size"], c["head_dim"]
        self.heads, self.kv_heads, self.head_dim = c["num_attention_heads"], c["num_key_value_heads"], hd
        self.q_proj = nn.Linear(d, self.heads * hd, bias=False)
        self.k_proj = nn.Linear(d, self.kv_heads * hd, bias=False)
        self.v_proj = nn.Linear(d, self.kv_heads * hd, bias=False)
        self.o_proj = nn.Linear(self.heads * hd, d, bias=False)
        self.q_norm = nn.RMSNorm(hd, eps=c["rms_norm_eps"])
        self.k_norm = nn.RMSNorm(hd, eps=c["rms_norm_eps"])

    def forward(self, x, cos, sin, cache=None):
        b, t, _ = x.shape
        q = self.q_norm(self.q_proj(x).view(b, t, self.heads, self.head_dim)).transpose(1, 2)
        k = self.k_norm(self.k_proj(x).view(b, t, self.kv_heads, self.head_dim)).transpose(1, 2)
        v = self.v_proj(x).view(b, t, self.kv_heads, self.head_dim).transpose(1, 2)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if cache is not None:
            if cache:
                k, v = torch.cat((cache[0], k), 2), torch.cat((cache[1], v), 2)
            cache[:] = [k, v]
        y = F.scaled_dot_product_attention(q, k, v, is_causal=t > 1, enable_gqa=True)
        return self.o_proj(y.transpose(1, 2).reshape(b, t, -1))


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, m = c["hidden_size"], c["intermediate_size"]
        self.gate_proj = nn.Linear(d, m, bias=False)
        self.up_proj = nn.Linear(d, m, bias=False)
        self.down_proj = nn.Linear(m, d, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.input_layernorm = nn.RMSNorm(c["hidden_size"], eps=c["rms_norm_eps"])
        self.self_attn = Attention(c)
        self.post_attention_layernorm = nn.RMSNorm(c["hidden_size"], eps=c["rms_norm_eps"])
        self.mlp = Mlp(c)

    def forward(self, x, cos, sin, cache=None):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, cache)
        return x + self.mlp(self.post_attention_layernorm(x))


class Model(nn.Module):
    """`state_dict` keys equal those of Qwen3ForCausalLM without the tied lm_head."""

    def __init__(self, config=CONFIG):
        super().__init__()
        c = self.config = config
        self.model = nn.ModuleDict({
            "embed_tokens": nn.Embedding(c["vocab_size"], c["hidden_size"]),
            "layers": nn.ModuleList(Layer(c) for _ in range(c["num_hidden_layers"])),
            "norm": nn.RMSNorm(c["hidden_size"], eps=c["rms_norm_eps"]),
        })
        half = c["head_dim"] // 2
        angle = torch.outer(torch.arange(c["max_position_embeddings"]).float(),
                            c["rope_theta"] ** (-torch.arange(half).float() / half))
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        scale = (2 * c["num_hidden_layers"]) ** -0.5
        for name, p in self.named_parameters():
            if p.ndim == 2:
                nn.init.normal_(p, std=0.02 * (scale if name.endswith(("o_proj.weight", "down_proj.weight")) else 1))

    def hidden(self, ids, start=0, caches=None):
        x = self.model["embed_tokens"](ids)
        cos, sin = self.cos[start:start + ids.shape[1]], self.sin[start:start + ids.shape[1]]
        for i, layer in enumerate(self.model["layers"]):
            x = layer(x, cos, sin, None if caches is None else caches[i])
        return self.model["norm"](x)

    def logits(self, hidden):
        return F.linear(hidden, self.model["embed_tokens"].weight)

    @torch.no_grad()
    def generate(self, ids, max_tokens, stop):
        """Greedy; `ids` [batch, tokens] of equal lengths. Returns one list of new tokens per row, without the stop token."""
        caches = [[] for _ in self.model["layers"]]
        out, done, start = [[] for _ in ids], [False] * len(ids), 0
        for _ in range(max_tokens):
            nxt = self.logits(self.hidden(ids, start, caches)[:, -1]).argmax(-1)
            start += ids.shape[1]
            for row, token in enumerate(nxt.tolist()):
                if not done[row] and token in stop:
                    done[row] = True
                if not done[row]:
                    out[row].append(token)
            if all(done) or start + 1 >= self.config["max_position_embeddings"]:
                break
            ids = nxt[:, None]
        return out

    def save(self, folder, state=None):
        folder = Path(folder)
        state = {k: v.detach().to(torch.bfloat16).contiguous() for k, v in (state or self.state_dict()).items()}
        temporary = folder / "model.safetensors.tmp"
        save_file(state, str(temporary), metadata={"format": "pt"})
        temporary.replace(folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(self.config, indent=2) + "\n")
        (folder / "generation_config.json").write_text(json.dumps({
            "do_sample": True, "temperature": 0.2, "top_p": 0.9, "max_new_tokens": 192,
            "eos_token_id": [2, 0], "pad_token_id": 0,
        }, indent=2) + "\n")

    @classmethod
    def load(cls, folder):
        model = cls(json.loads((Path(folder) / "config.json").read_text()))
        model.load_state_dict({k: v.float() for k, v in load_file(str(Path(folder) / "model.safetensors")).items()})
        return model.eval()
