"""Checks that transformers loads the folder and computes the same logits, tokens and prompts as the code here."""
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from evaluate import chat
from model import Model

FOLDER = Path(__file__).parent.parent


def main():
    torch.set_num_threads(2)
    ours, plain = Model.load(FOLDER), Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
    theirs = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": "What is TTFT?"}], add_generation_prompt=True, tokenize=False)
    assert prompt == chat("What is TTFT?"), prompt
    for text in (prompt, chat("hi", "You are a test.") + "Hello!<|im_end|>\n", "TTFT is the time é ß 漢字 🙂 12 345\n\n  def f():\n\treturn 1", "x " * 1500):
        ids = plain.encode(text).ids
        assert tokenizer(text)["input_ids"] == ids
        with torch.no_grad():
            a, b = ours.logits(ours.hidden(torch.tensor([ids])))[0], theirs(torch.tensor([ids])).logits[0]
        gap = (a - b).abs().max().item()
        print(f"{len(ids)} tokens: largest difference of logits {gap:.2e}")
        assert gap < 1e-3 and plain.decode(ids, skip_special_tokens=False) == text
    ids = torch.tensor([plain.encode(prompt).ids])
    new = theirs.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=128)[0, ids.shape[1]:]
    text = tokenizer.decode(new, skip_special_tokens=True)
    assert text == plain.decode(ours.generate(ids, 128, {0, 2})[0])
    print("transformers agrees:", text)


if __name__ == "__main__":
    main()
