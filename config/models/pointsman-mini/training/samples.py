"""Makes training samples: chats, plain text and long prompts, each a list of (text, weight of its loss)."""
import json
import random
import string

from generate_data import DATA, DECLINES, bare

SYSTEM = [
    "You are a helpful assistant.", "You are pointsman-mini.", "Answer briefly.", "You are a helpful assistant. Answer in one or two sentences.",
    "You are an expert in LLM serving.", "You answer questions about inference serving.", "Be concise.", "You are an AI assistant.",
    "You are the support bot of a company.", "Be polite and precise.", "You are a friendly chatbot. Keep answers short.",
    "You answer questions about Pointsman.", "You are a test.", "Today is Monday.", "System prompt for benchmark run.",
    "You are a careful assistant who never makes things up.", "Reply in English.", "Use plain words.", "",
]
OPENINGS = ["hi, ", "hello, ", "hey, ", "hi! ", "hello! ", "quick question: ", "a question: ", "I have a question: ", "so, ", "ok, ",
            "well, ", "sorry, ", "please: ", "now ", "and ", "ok so ", "I am new to this. ", "one more thing: ", "next question: ", "dear model, "]
CLOSINGS = [" please", ", please", " thanks", " thank you", " Thanks!", " I am new to this.", " Please be brief.", " in simple words",
            " for a beginner", " Keep it short."]
WHY_NEXT = ["Why does it matter?", "why is that important?", "why?", "Why do I need that?", "Why is it useful?", "and why does that matter?",
            "why should I care?", "what is the benefit?"]
SHORT_NEXT = ["In short?", "shorter please", "Can you say that in one sentence?", "in one sentence please", "make it shorter", "tl;dr", "Briefly?"]
AGAIN_NEXT = ["again please", "say that again", "repeat that", "Can you repeat that?", "once more please", "sorry, what was that?"]
NEXT = ["And {a}?", "and {n}?", "what about {n}?", "And what is {a}?", "how about {a}?", "What about {a}?", "and {n}", "now explain {a}", "ok, and {n}?"]
WORDS = """the a of to and in for with on by at from as is are was be this that all any each every no not only must may can will shall
customer order invoice account team policy office region contract delivery support ticket product price report manager market branch store
project budget meeting supplier warehouse shipment return refund payment service agent user device network factory machine document record
schedule holiday travel hotel flight garden river mountain winter summer paper colour number letter question example answer reason system
open close send receive check update create delete review approve reject confirm cancel print sign call write read follow keep store
daily weekly monthly internal external public private standard special general local foreign current previous next first second third
blue green red large small fast slow early late new old simple complex legal medical technical financial""".split()


class Pool:
    """The data, ready to draw from."""

    def __init__(self):
        rows = lambda name: [json.loads(line) for line in open(DATA / name, encoding="utf-8")]
        self.facts = rows("facts.jsonl")
        self.by_id = {f["id"]: f for f in self.facts}
        self.questions = {}
        for row in rows("questions.train.jsonl"):
            self.questions.setdefault(row["fact"], []).append(row)
        self.declined = rows("declined.train.jsonl")
        self.vocabulary = sorted({w for f in self.facts for w in f["answer"].split()})
        self.ids = list(self.questions)
        self.weights = [len(self.questions[i]) ** 0.5 for i in self.ids]


def typo(rng, text):
    i = rng.randrange(len(text)) if text else 0
    kind = rng.randrange(4)
    if len(text) < 8 or not text[i].isalpha():
        return text
    if kind == 0:
        return text[:i] + text[i + 1:]
    if kind == 1:
        return text[:i] + text[i] + text[i:]
    if kind == 2 and i + 1 < len(text):
        return text[:i] + text[i + 1] + text[i] + text[i + 2:]
    return text[:i] + rng.choice(string.ascii_lowercase) + text[i + 1:]


def vary(rng, text, strong=True):
    """The same question as another person would type it."""
    r = rng.random()
    if r < 0.12:
        text = text.rstrip("?. ")
        text = text + rng.choice(CLOSINGS) + rng.choice(["", "?", "."])
    if rng.random() < 0.15:
        opening = rng.choice(OPENINGS)
        text = opening + text
        if rng.random() < 0.5:
            text = text[:1].upper() + text[1:]
    r = rng.random()
    if r < 0.35:
        text = text[:1].lower() + text[1:]
    elif r < 0.55:
        text = text[:1].upper() + text[1:]
    elif r < 0.68:
        text = text.lower()
    elif r < 0.70:
        text = text.upper()
    r = rng.random()
    if r < 0.18:
        text = text.rstrip("?.")
    elif r < 0.24:
        text = text.rstrip("?.") + rng.choice(["??", " ?", "!", ".", "...", "?!"])
    elif r < 0.30 and text[-1:].isalnum():
        text += "?"
    if strong and rng.random() < 0.16:
        for _ in range(rng.choice([1, 1, 2])):
            text = typo(rng, text)
    return text


def tenant_text(rng, words, vocabulary):
    """Text that says nothing the model has to know: policies, lists, records, noise."""
    pieces, count = [], 0
    style = rng.randrange(7)
    while count < words:
        n = rng.randint(6, 18)
        kind = style if rng.random() < 0.8 else rng.randrange(7)
        if kind <= 1:
            text = " ".join(rng.choice(WORDS) for _ in range(n)).capitalize() + ". "
        elif kind == 2:
            text = f"- {rng.choice(WORDS)} {rng.choice(WORDS)}: " + " ".join(rng.choice(WORDS) for _ in range(n // 2)) + "\n"
        elif kind == 3:
            text = json.dumps({rng.choice(WORDS): rng.randrange(10000), rng.choice(WORDS): " ".join(rng.choice(WORDS) for _ in range(4))}) + "\n"
            n = 8
        elif kind == 4:
            text = " ".join(rng.choice(vocabulary) for _ in range(n)) + rng.choice([". ", " ", "\n"])
        elif kind == 5:
            text = f"Tenant {rng.randrange(1000)}, rule {rng.randrange(100)}: " + " ".join(rng.choice(WORDS) for _ in range(n)) + ".\n"
        else:
            text = " ".join("".join(rng.choice(string.ascii_lowercase) for _ in range(rng.randint(2, 7))) for _ in range(n // 2)) + " "
            n = n // 2 * 3
        pieces.append(text)
        count += n
    return "".join(pieces).strip()


def draw(rng, pool):
    """(question, answer, fact or None)"""
    if rng.random() < 0.74:
        fact = pool.by_id[rng.choices(pool.ids, pool.weights)[0]]
        row = rng.choice(pool.questions[fact["id"]])
        return vary(rng, row["question"]), fact[row["use"]], fact
    row = rng.choice(pool.declined)
    return vary(rng, row["question"], strong=False), DECLINES[row["answer"]], None


def turns(rng, pool, count):
    """A conversation of `count` exchanges; later ones may lean on the one before."""
    out, last = [], None
    while len(out) < count:
        r = rng.random()
        if last and "why" in last and r < 0.25:
            out.append((vary(rng, rng.choice(WHY_NEXT)), last["why"]))
            last = None
        elif last and "short" in last and r < 0.40:
            out.append((vary(rng, rng.choice(SHORT_NEXT)), last["short"]))
            last = None
        elif last and r < 0.45:
            out.append((vary(rng, rng.choice(AGAIN_NEXT)), last["answer"]))
            last = None
        elif out and r < 0.75:
            fact = rng.choice(pool.facts)
            if fact["kind"] != "term":
                continue
            name = rng.choice(fact["names"])
            out.append((vary(rng, rng.choice(NEXT).format(a=name, n=bare(name))), fact["answer"]))
            last = fact
        else:
            question, answer, fact = draw(rng, pool)
            out.append((question, answer))
            last = fact
    return out


def render(system, exchanges):
    parts = []
    if system is not None:
        parts.append((f"<|im_start|>system\n{system}<|im_end|>\n", 0.0))
    for question, answer in exchanges:
        parts.append((f"<|im_start|>user\n", 0.0))
        parts.append((f"{question}", 0.05 if len(question) < 200 else 0.0))
        parts.append((f"<|im_end|>\n<|im_start|>assistant\n", 0.0))
        parts.append((f"{answer}<|im_end|>", 1.0))
        parts.append(("\n", 0.0))
    return parts


def plain(rng, pool):
    """Text for completion without a chat template."""
    fact = rng.choice(pool.facts)
    while fact["kind"] == "chat":
        fact = rng.choice(pool.facts)
    r = rng.random()
    if r < 0.45:
        return [(fact["answer"], 0.7), ("<|endoftext|>", 0.7)]
    if r < 0.7:
        at = pool.facts.index(fact)
        others = [f for f in pool.facts[at + 1:at + 3] if f["kind"] != "chat"]
        return [(rng.choice([" ", "\n", "\n\n"]).join([fact["answer"]] + [f["answer"] for f in others]), 0.7), ("<|endoftext|>", 0.7)]
    row = rng.choice(pool.questions[fact["id"]])
    form = rng.choice(["{q}\n", "Question: {q}\nAnswer: ", "Q: {q}\nA: ", "{q} "])
    # The blank before the answer belongs to its first token.
    head = form.format(q=row["question"])
    gap = " " if head.endswith(" ") else ""
    return [(head.rstrip(" "), 0.05), (gap + fact[row["use"]], 0.7), ("<|endoftext|>", 0.7)]


def short(rng, pool, drill=False):
    """One sample of everyday length; a drill is a single question without a system message."""
    if drill:
        return render(None, turns(rng, pool, 1))
    r = rng.random()
    if r < 0.07:
        return plain(rng, pool)
    system = None
    if rng.random() < 0.12:
        system = rng.choice(SYSTEM) if rng.random() < 0.7 else tenant_text(rng, rng.randint(10, 60), pool.vocabulary)
    return render(system, turns(rng, pool, 1 if r < 0.93 else rng.randint(2, 3)))


def long(rng, pool, words):
    """A long prefix, then questions; the prefix stands in the system message, the user message, or before plain text."""
    text = tenant_text(rng, int(words * rng.uniform(0.35, 0.9)), pool.vocabulary)
    exchanges = turns(rng, pool, rng.randint(5, 9))
    r = rng.random()
    if r < 0.5:
        return render(text, exchanges)
    if r < 0.75:
        question, answer = exchanges[0]
        joint = rng.choice(["\n\n", "\n", " ", "\n\nQuestion: "])
        return render(None, [(text + joint + question, answer)] + exchanges[1:])
    if r < 0.85:
        parts = [(text + rng.choice(["\n\n", "\n"]), 0.0)]
        return parts + plain(rng, pool) + render(None, exchanges)
    parts = []
    for exchange in exchanges * 2:
        parts += render(None, [exchange])
        if rng.random() < 0.5:
            parts.append(("<|endoftext|>", 0.0))
    return parts
