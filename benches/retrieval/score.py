"""Embeds, searches and scores: the README beside this file has the command."""

import argparse
import collections
import hashlib
import json
import pathlib
import shlex
import subprocess
import sys

import numpy as np

from model import Model

HERE = pathlib.Path(__file__).parent
TOP = 5
BUDGET = 4000  # characters
SPLITTERS = ("prose", "markdown", "table", "code")


class Text:
    """A document's text as bytes, and how many visible characters lie before each of them."""

    def __init__(self, row):
        self.file, self.splitter, text = row["file"], row["splitter"], row["text"]
        self.bytes = text.encode()
        visible = np.zeros(len(self.bytes) + 1, np.int32)
        at = 0
        for character in text:
            visible[at + 1] = not character.isspace()
            at += len(character.encode())
        self.before = np.cumsum(visible)
        # The text without white space, and where each of its characters came from.
        self.places = [at for at in range(len(self.bytes)) if self.before[at + 1] > self.before[at]]
        self.squeezed = "".join(text.split())

    def find(self, excerpt):
        """The byte range of an excerpt, whose white space does not matter; it must occur once."""
        wanted = "".join(excerpt.split())
        at = self.squeezed.find(wanted)
        assert at >= 0, f"{self.file} has no {excerpt!r}"
        assert self.squeezed.find(wanted, at + 1) < 0, f"{self.file} has more than one {excerpt!r}"
        return self.places[at], self.places[at + len(wanted) - 1] + 1

    def visible(self, start, end):
        return int(self.before[end] - self.before[start])


def cut(program, folder, sizes):
    """Texts by file, and chunks by `size/overlap`."""
    texts, chunks = {}, collections.defaultdict(list)
    with subprocess.Popen([*program, str(folder), *sizes], stdout=subprocess.PIPE, encoding="utf-8") as running:
        for line in running.stdout:
            row = json.loads(line)
            if "text" in row:
                texts[row["file"]] = Text(row)
            else:
                chunks[row["cut"]].append(row)
    assert running.returncode == 0
    return texts, chunks


def recursive(texts, size, overlap, count):
    """What LangChain's splitter makes, its sizes in the embedding model's own tokens."""
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    splitter = RecursiveCharacterTextSplitter(chunk_size=size, chunk_overlap=overlap, length_function=count)
    for text in texts.values():
        written, at = text.bytes.decode(), -1
        for content in splitter.split_text(written):
            # Its own `add_start_index` takes the overlap for characters, and loses the place where it is tokens.
            at = written.index(content, at + 1)
            start = len(written[:at].encode())
            end = start + len(content.encode())
            yield {"file": text.file, "start": start, "end": end, "content": content, "embedded": content}


class Cut:
    """All chunks of one configuration with their vectors."""

    def __init__(self, chunks, texts, model, prefix="none"):
        whole = [chunk["embedded" if prefix == "title" else "content"] for chunk in chunks]
        self.chunks = [(texts[chunk["file"]], chunk["start"], chunk["end"], chunk["content"]) for chunk in chunks]
        self.splitters = np.array([text.splitter for text, *_ in self.chunks])
        self.tokens = np.array(model.counts(whole))
        self.vectors = model.passages(whole)

    def only(self, splitters):
        """The chunks of some splitters."""
        chosen = np.isin(self.splitters, splitters)
        part = object.__new__(Cut)
        part.chunks = [chunk for chunk, taken in zip(self.chunks, chosen) if taken]
        part.splitters, part.tokens, part.vectors = self.splitters[chosen], self.tokens[chosen], self.vectors[chosen]
        return part

    def __add__(self, other):
        both = object.__new__(Cut)
        both.chunks = self.chunks + other.chunks
        for name in ("splitters", "tokens", "vectors"):
            setattr(both, name, np.concatenate([getattr(self, name), getattr(other, name)]))
        return both


def union(spans):
    """Spans without overlaps, in order."""
    merged = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(end, merged[-1][1])
        else:
            merged.append([start, end])
    return merged


def covered(question, taken):
    """Visible characters of the answer in the chunks taken."""
    text, gold = question["text"], question["gold"]
    spans = union((start, end) for found, start, end in taken if found is text)
    pairs = ((max(a, c), min(b, d)) for a, b in gold for c, d in spans)
    return sum(text.visible(start, end) for start, end in pairs if start < end)


def within_budget(ranked):
    """The first characters of the chunks, the last chunk cut off."""
    left = BUDGET
    for text, start, end, content in ranked:
        if left <= 0:
            return
        # What is put before the slice, a table's header, is paid for as well.
        ahead = len(content) - len(text.bytes[start:end].decode())
        kept = content[ahead : max(ahead, min(len(content), left))]
        yield text, start, start + len(kept.encode())
        left -= len(content)


def search(cut, questions, queries):
    """Four figures a question: recall, precision and IoU in five chunks, recall in the first characters."""
    figures = np.zeros((len(questions), 4))
    order = np.argsort(-(queries @ cut.vectors.T), axis=1, kind="stable")[:, :400]
    for at, question in enumerate(questions):
        ranked = [cut.chunks[place] for place in order[at]]
        top = [chunk[:3] for chunk in ranked[:TOP]]
        found, asked = covered(question, top), question["visible"]
        shown = sum(len("".join(content.split())) for *_, content in ranked[:TOP])
        in_budget = covered(question, within_budget(ranked))
        figures[at] = found / asked, found / shown, found / (shown + asked - found), in_budget / asked
    return figures


def error(values, seed=1):
    """One standard error of the mean, by bootstrap over documents' questions."""
    random = np.random.default_rng(seed)
    return values[random.integers(0, len(values), (2000, len(values)))].mean(axis=1).std()


def read_questions(texts):
    questions = [json.loads(line) for line in (HERE / "questions.jsonl").read_text(encoding="utf-8").splitlines()]
    for question in questions:
        text = question["text"] = texts[question["file"]]
        question["gold"] = union(text.find(excerpt) for excerpt in question["excerpts"])
        question["visible"] = sum(text.visible(*span) for span in question["gold"])
        question["tuning"] = hashlib.sha256(question["file"].encode()).digest()[0] % 2 == 0
    return questions


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path, help="where fetch.py put the documents; vectors are kept there too")
    parser.add_argument("--program", default="cargo bench --quiet --bench retrieval --", help="what cuts")
    parser.add_argument("--model", choices=("minilm", "e5"), default="minilm")
    parser.add_argument("--only-embed", action="store_true", help="fill the cache and stop")
    parser.add_argument("configurations", nargs="*", help="SIZE/OVERLAP/PREFIX, naive:SIZE/OVERLAP, recursive:SIZE/OVERLAP; "
                        "several joined by + as SPLITTER=…: one for each splitter")
    options = parser.parse_intermixed_args()
    model = Model(options.model, options.folder)
    parts = [dict(part.rpartition("=")[::2] for part in name.split("+")) for name in options.configurations]
    wanted = sorted({part for by_splitter in parts for part in by_splitter.values()})
    sizes = sorted({part if ":" in part else part.rpartition("/")[0] for part in wanted if not part.startswith("recursive")})
    texts, chunks = cut(shlex.split(options.program), options.folder / "documents", sizes)
    megabytes = sum(len(text.bytes) for text in texts.values()) / 1e6
    cuts = {}

    def made(name):
        if name not in cuts:
            kind, _, size = name.rpartition(":")
            if kind == "recursive":
                most, overlap = map(int, size.split("/"))
                cuts[name] = Cut(list(recursive(texts, most, overlap, model.count)), texts, model)
            elif kind:
                cuts[name] = Cut(chunks[name], texts, model)
            else:
                size, _, prefix = name.rpartition("/")
                cuts[name] = Cut(chunks[size], texts, model, prefix)
        return cuts[name]

    if options.only_embed:
        for name in options.configurations:
            print(name, len(made(name).chunks), int(made(name).tokens.sum()), flush=True)
            del cuts[name]
        return
    questions = read_questions(texts)
    queries = model.queries([question["question"] for question in questions])
    rows = []
    for name, by_splitter in zip(options.configurations, parts):
        whole = None
        for splitter, part in by_splitter.items():
            piece = made(part).only([splitter]) if splitter else made(part)
            whole = piece if whole is None else whole + piece
        tokens = float(whole.tokens.sum())
        rows.append((name, len(whole.chunks) / megabytes, tokens / megabytes, search(whole, questions, queries)))
        print(f"searched {name}", file=sys.stderr, flush=True)
    show(rows, questions)


def near_best(rows, chosen):
    """The rows whose score, the mean of both recalls, is within one standard error of the best one's."""
    scores = [figures[chosen][:, [0, 3]].mean(axis=1) for *_, figures in rows]
    top = max(scores, key=np.mean)
    return [row for row, score in zip(rows, scores) if (top - score).mean() <= error(top - score)]


def show(rows, questions):
    """Two tables: all questions by half, and all questions by splitter."""
    tuning = np.array([question["tuning"] for question in questions])
    taken = {name for name, *_ in near_best(rows, tuning)}
    print(f"\n{tuning.sum()} questions for tuning, {(~tuning).sum()} held out\n")
    print("| chunks | rows/MB | ktokens/MB | five chunks | 4,000 characters | precision | held out: five | 4,000 | precision | near best |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, count, tokens, figures in rows:
        cells = [name, f"{count:.0f}", f"{tokens / 1000:.0f}"]
        for chosen in (tuning, ~tuning):
            recall, precision, _, budget = figures[chosen].mean(axis=0)
            cells += [f"{recall:.3f} ± {error(figures[chosen, 0]):.3f}", f"{budget:.3f}", f"{precision:.3f}"]
        print("| " + " | ".join([*cells, "yes" if name in taken else ""]) + " |")
    groups = {splitter: np.array([q["text"].splitter == splitter for q in questions]) for splitter in SPLITTERS}
    heads = [f"{splitter} ({mine.sum()})" for splitter, mine in groups.items()]
    print(f"\n| five chunks / 4,000 characters | {' | '.join(heads)} |\n|---|" + "---|" * len(heads))
    for name, _, _, figures in rows:
        means = (figures[mine].mean(axis=0) for mine in groups.values())
        print(f"| {name} | " + " | ".join(f"{mean[0]:.3f} / {mean[3]:.3f}" for mean in means) + " |")
    print("\nNear best by the questions for tuning, those with the fewest rows first:\n")
    ours = [row for row in rows if not set(":=") & set(row[0])]
    for splitter, mine in groups.items():
        names = [row[0] for row in sorted(near_best(ours, mine & tuning), key=lambda row: row[1])]
        print(f"- {splitter} ({(mine & tuning).sum()}): {', '.join(names)}")
    print("\nWhat the prefix adds to five chunks and to 4,000 characters, all questions:\n")
    by_name = {name: figures for name, *_, figures in rows}
    for name, figures in by_name.items():
        plain = by_name.get(f"{name.rpartition('/')[0]}/none")
        if plain is not None and plain is not figures:
            more = (figures - plain)[:, [0, 3]]
            cells = (f"{more[:, at].mean():+.3f} ± {error(more[:, at]):.3f}" for at in (0, 1))
            print(f"- {name}: {', '.join(cells)}")


if __name__ == "__main__":
    main()
