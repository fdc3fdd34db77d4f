"""Embeds passages with Python's ONNX Runtime and tokenizers, and with the package fastembed, from the same model's file.

    bench_embed.py MODEL_DIR PASSAGES THREADS

PASSAGES holds a JSON string a line. Prints the median of five runs for each way, in passages a second.
"""

import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy
import onnxruntime
from tokenizers import Tokenizer

ROUNDS = 5
MAX_TOKENS = 256


def session(model: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def plain(directory: Path, threads: int, batch: int):
    """Tokenised, embedded and pooled as one would write it by hand, so many texts a call."""
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.enable_padding()
    model = session(directory / "model.onnx", threads)

    def embed(texts: list[str]) -> list:
        vectors = []
        for start in range(0, len(texts), batch):
            encoded = tokenizer.encode_batch(texts[start : start + batch])
            ids = numpy.array([text.ids for text in encoded], dtype=numpy.int64)
            mask = numpy.array([text.attention_mask for text in encoded], dtype=numpy.int64)
            inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": numpy.zeros_like(ids)}
            (hidden,) = model.run(None, inputs)[:1]
            weights = mask[:, :, None].astype(numpy.float32)
            pooled = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
            vectors.extend(pooled / numpy.linalg.norm(pooled, axis=1, keepdims=True))
        return vectors

    return embed


def packaged(directory: Path, threads: int):
    """The package fastembed with its own defaults, on a copy of the files that is laid out as it wants them."""
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    laid_out = Path(tempfile.mkdtemp())
    shutil.copytree(directory, laid_out, dirs_exist_ok=True)
    TextEmbedding.add_custom_model(
        model="metachat/bench",
        pooling=PoolingType.MEAN,
        normalization=True,
        sources=ModelSource(hf="metachat/bench"),
        dim=384,
        model_file="model.onnx",
    )
    model = TextEmbedding("metachat/bench", specific_model_path=str(laid_out), threads=threads)
    return lambda texts: list(model.embed(texts))


def main() -> None:
    directory, passages, threads = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    texts = [json.loads(line) for line in passages.read_text().splitlines()]
    ways = {f"plain, {batch} a call": plain(directory, threads, batch) for batch in (1, 16, 256)}
    ways["the package fastembed"] = packaged(directory, threads)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, embed in ways.items():
            started = time.monotonic()
            assert len(embed(texts)) == len(texts)
            rates[name].append(len(texts) / (time.monotonic() - started))
    print(f"\nPython, {len(texts)} passages, {threads} thread; passages a second, median of {ROUNDS}")
    for name, runs in rates.items():
        print(f"  {name:<34} {statistics.median(runs):8.1f}")


if __name__ == "__main__":
    main()
