"""Expands the hand-written facts into questions and sets some of them aside.

reads   data/facts.jsonl          one fact a line: names, answer, hand-written questions
        data/out-of-domain.jsonl  subjects and templates the model must decline
writes  data/questions.train.jsonl, data/questions.heldout.jsonl
        data/declined.train.jsonl,  data/declined.heldout.jsonl
"""
import json
import random
import zlib
from pathlib import Path

DATA = Path(__file__).parent / "data"

TERM = """What is {a}?|What's {a}?|what is {n}|What are {n}?|Explain {a}|Explain {a} to me|Can you explain {a}?
Could you explain what {a} is?|Define {a}|Definition of {n}|Tell me about {a}|Tell me what {a} is|{n}?|{n}
What does {n} mean?|What do you mean by {n}?|What is meant by {a}?|Please explain {a}|Describe {a}
What is {a} in LLM serving?|What is {a} in Pointsman?|can you explain what {n} means in LLM serving
I don't understand {a}|I have never heard of {a}|Give me a definition of {a}|What exactly is {a}?
What do you know about {a}?|I want to know more about {a}|How would you explain {a}?|{n} explained|{n} meaning
Do you know what {a} is?|What is the meaning of {n}?|Help me understand {a}|How does {a} work?
What is {a} for?|What is {a} used for?|In LLM serving, what is {a}?|What does {a} do?|Someone mentioned {a}, what is it?
Can you tell me what {a} is?|I read about {a}. What is that?|explain what {n} is|What can you tell me about {a}?"""
SHORT = """Explain {a} briefly|Explain {a} in one sentence|{n} in short|{n} in one sentence
What is {a}, in short?|Briefly, what is {a}?|In one sentence, what is {a}?|tl;dr {n}|short definition of {n}"""
WHY = """Why does {a} matter?|Why is {a} important?|Why do I need {a}?|Why do we need {a}?|Why {n}?
Why should I care about {a}?|What is the point of {a}?|Why is {a} useful?|What is the benefit of {a}?"""
HOWTO = """How do I {v}?|How can I {v}?|How to {v}?|how to {v}|What do I do to {v}?|What must I do to {v}?
I want to {v}|I want to {v}, how?|Show me how to {v}|Tell me how to {v}|Explain how to {v}|Can you help me {v}?
Is there a way to {v}?|What is the best way to {v}?|How would I {v}?|Steps to {v}|Help me {v}
Please tell me how to {v}|What is needed to {v}?|How does one {v}?|Can I {v}?|What is the easiest way to {v}?
I would like to {v}|I need to {v}|{v}|I am trying to {v}|Could you show me how to {v}?|Where do I start to {v}?"""
DIFF = """What is the difference between {x} and {y}?|difference between {x} and {y}|{x} vs {y}|{x} versus {y}
{x} or {y}?|Compare {x} and {y}|How does {x} differ from {y}?|How do {x} and {y} differ?
What distinguishes {x} from {y}?|{x} compared to {y}|Is {x} the same as {y}?|Explain the difference between {x} and {y}
Why is {x} different from {y}?|What's the difference between {x} and {y}?|Tell me the difference between {x} and {y}
{x} and {y}, what is the difference?|Are {x} and {y} the same?|When do I say {x} and when {y}?"""
OTHER = """{q}|Can you tell me: {q}|I would like to know: {q}|My question is: {q}|In Pointsman, {q}|Tell me: {q}"""

# Nothing here is known to the model; which sentence declines depends on the kind of request.
DECLINES = {
    "task": "I only know about inference serving and Pointsman, so I can't help with that.",
    "topic": "Sorry, that is outside what I know. I only answer questions about inference serving and Pointsman.",
    "unknown": "I don't know that. I am a tiny model that only knows inference serving and Pointsman.",
}
TASKS = ("write", "tell me a", "translate", "summarise", "let's", "how do i", "how can i", "give me", "recommend", "plan",
         "book", "play", "set ", "turn ", "send", "order", "call", "remind", "open", "buy", "roll", "flip", "pick", "fix",
         "debug", "solve", "sing", "do my", "help me", "convert", "correct", "spell", "prove", "act ", "pretend", "you are now",
         "forget", "ignore", "speak", "should i", "what should i", "surprise", "where can i")


def templates(text):
    return [t.strip() for line in text.split("\n") for t in line.split("|")]


def bare(name):
    for article in ("a ", "an ", "the "):
        if name.startswith(article):
            return name[len(article):]
    return name


def lower_first(text):
    head = text.split(" ", 1)[0]
    return text if sum(c.isupper() for c in head) > 1 or head in ("I", "I'm") else text[:1].lower() + text[1:]


def expand(fact):
    """Yields (question, which answer, 'template' or 'hand')."""
    kind, names = fact["kind"], fact.get("names", [])
    if kind == "term":
        for name in names:
            for text, which in ((TERM, "answer"), (SHORT, "short"), (WHY, "why")):
                # A fact without a short form or a reason gives its answer.
                chosen = which if which in fact else "answer"
                if which == "why" and chosen == "answer":
                    continue
                for t in templates(text):
                    yield t.format(a=name, n=bare(name)), chosen, "template"
    elif kind == "howto":
        for name in names:
            for t in templates(HOWTO):
                yield t.format(v=name), "answer", "template"
    elif kind == "diff":
        x, y = names
        for first, second in ((x, y), (y, x), (bare(x), bare(y)), (bare(y), bare(x))):
            for t in templates(DIFF):
                yield t.format(x=first, y=second), "answer", "template"
    for q in fact["questions"]:
        yield q, "answer", "hand"
        if kind != "chat":
            for t in templates(OTHER)[1:]:
                yield t.format(q=lower_first(q)), "answer", "wrapped"


def decline(prompt, category):
    low = prompt.lower()
    if category == "nonsense" or "{x}" in low and low.replace("{x}", "").strip(" ?") == "":
        return "unknown"
    return "task" if low.startswith(TASKS) else "topic"


def nonsense(rng):
    syllable = lambda: rng.choice("b br c ch d dr f fl g gl h j k kr l m n p pl qu r s sh st t tr v w z".split()) + \
        rng.choice("a e i o u oo ee ai ou".split()) + rng.choice(["", "", "n", "r", "x", "mp", "sk", "t", "l", "ng"])
    if rng.random() < 0.25:
        return "".join(rng.choice("BCDFGHJMNQRVWXYZ") for _ in range(rng.randint(3, 5)))
    word = "".join(syllable() for _ in range(rng.randint(2, 3)))
    return rng.choice(["", "", "a ", "the "]) + word


def stable(text):
    return zlib.crc32(text.encode()) / 2**32


def write(name, rows):
    with open(DATA / name, "w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    print(f"{name}: {len(rows)}")


def main(per_fact=44, combinations=7500):
    rng = random.Random(7)
    facts = [json.loads(line) for line in open(DATA / "facts.jsonl", encoding="utf-8")]
    owner, train, held = {}, [], []
    for fact in facts:
        rows, seen = {"hand": [], "wrapped": [], "template": []}, set()
        for question, which, source in expand(fact):
            key = question.lower().rstrip("?. ")
            if key in seen or owner.setdefault(key, fact["id"]) != fact["id"]:
                continue
            seen.add(key)
            rows[source].append({"fact": fact["id"], "use": which, "question": question, "source": source})
        hand = sorted(rows["hand"], key=lambda r: stable(r["question"]))
        out = len(hand) // 9  # one hand-written question in nine is never trained on, nor its wrapped forms
        held_hand = {r["question"].lower() for r in hand[:out]}
        held += hand[:out]
        wrapped = [r for r in rows["wrapped"] if not any(r["question"].lower().endswith(h) for h in held_hand)]
        rng.shuffle(wrapped)
        template = rows["template"]
        rng.shuffle(template)
        template = template[:per_fact]
        out_t = round(len(template) * 0.08)
        held += template[:out_t]
        train += hand[out:] + wrapped[:14] + template[out_t:]
    write("questions.train.jsonl", train)
    write("questions.heldout.jsonl", held)

    groups = [json.loads(line) for line in open(DATA / "out-of-domain.jsonl", encoding="utf-8")]
    general = next(g for g in groups if g["category"] == "any")["templates"]
    fixed = next(g for g in groups if g["category"] == "fixed")["prompts"]
    dtrain, dheld = [], []
    for prompt in fixed:
        (dheld if stable("f" + prompt) < 0.12 else dtrain).append(
            {"question": prompt, "answer": decline(prompt, "fixed"), "source": "fixed"})
    pairs = {True: [], False: []}
    for group in groups:
        for subject in group.get("subjects", []):
            # A held-out subject is unseen in every template.
            unseen = stable("s" + subject) < 0.12
            for t in general + group["templates"] * 3:
                name = bare(subject) if rng.random() < 0.3 else subject
                pairs[unseen].append({"question": t.format(x=name), "answer": decline(t, group["category"]), "source": group["category"]})
    for _ in range(2400):
        t = rng.choice(general[:14])
        pairs[rng.random() < 0.04].append({"question": t.format(x=nonsense(rng)), "answer": "unknown", "source": "nonsense"})
    for unseen, limit, target in ((False, combinations, dtrain), (True, 360, dheld)):
        unique = list({r["question"].lower(): r for r in pairs[unseen]}.values())
        rng.shuffle(unique)
        target += unique[:limit]
    write("declined.train.jsonl", dtrain)
    write("declined.heldout.jsonl", dheld)


if __name__ == "__main__":
    main()
