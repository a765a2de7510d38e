"""A language model of random weights, to try COLT against real servers without downloading one.

    pip install gguf
    python benchmarks/random_model.py tiny.gguf            # 0.3 million parameters, 0.6 MB
    llama-server -m tiny.gguf -c 32768 --parallel 4 --port 8080

It has the architecture of Llama and a token for each byte: it can read anything and answers at random. A server that
enforces a JSON schema makes even these answers well-formed. It does not answer with bytes beyond ASCII, since most of
their sequences are not text.
"""

from __future__ import annotations

import argparse

import gguf
import numpy as np

CONTEXT = 131_072
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant: "
)


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", help="the .gguf file to write")
    parser.add_argument("--width", type=int, default=64, help="width of the embedding, a multiple of 32 (default: 64)")
    parser.add_argument("--layers", type=int, default=4, help="default: 4")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    given = parser.parse_args()
    write(given.path, given.width, given.layers, given.seed)


def write(path: str, width: int, layers: int, seed: int) -> None:
    """Write a model whose embedding has ``width`` entries to ``path``."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(f"random-{width}x{layers}")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(4 * width)
    writer.add_head_count(width // 32)
    writer.add_rope_dimension_count(32)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    vocabulary = _add_tokenizer(writer)
    for name, array in _weights(width, layers, vocabulary, np.random.default_rng(seed)):
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: gguf.GGUFWriter) -> int:
    """Add a token for each byte, and three marks; return the number of tokens."""
    marks = ["<unk>", "<s>", "</s>"]
    tokens = marks + [f"<0x{byte:02X}>" for byte in range(256)]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    kinds += [gguf.TokenType.BYTE if byte < 128 else gguf.TokenType.UNUSED for byte in range(256)]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(kinds)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(TEMPLATE)
    return len(tokens)


def _weights(width: int, layers: int, vocabulary: int, rng: np.random.Generator) -> list[tuple[str, np.ndarray]]:
    def matrix(rows: int, columns: int) -> np.ndarray:
        return (rng.standard_normal((rows, columns)) / np.sqrt(columns)).astype(np.float16)

    ones = np.ones(width, np.float32)
    found = [("token_embd.weight", matrix(vocabulary, width))]
    for layer in range(layers):
        here = f"blk.{layer}"
        found += [(f"{here}.{norm}_norm.weight", ones) for norm in ("attn", "ffn")]
        found += [(f"{here}.attn_{part}.weight", matrix(width, width)) for part in ("q", "k", "v", "output")]
        found += [(f"{here}.ffn_{part}.weight", matrix(4 * width, width)) for part in ("gate", "up")]
        found.append((f"{here}.ffn_down.weight", matrix(width, 4 * width)))
    return [*found, ("output_norm.weight", ones), ("output.weight", matrix(vocabulary, width))]


if __name__ == "__main__":
    main()
