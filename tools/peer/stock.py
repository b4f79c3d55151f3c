"""An unmodified llama.cpp as a witness: the shared library of the xllamacpp wheel, called through its C interface.

    stock.py continue MODEL.gguf "text" [TOKENS]     greedy continuation of a text
    stock.py tokens   MODEL.gguf "text"              token ids as a JSON list
    stock.py load     MODEL.gguf                     exit status 0 when llama.cpp loads the file

As a module: Stock(path).tokens(text), .logits(ids), .hidden(ids), .embedding(ids), .greedy(ids, count), .text(ids).
Nothing here is part of the product.
"""

import ctypes as C
import glob
import json
import os
import sys

import numpy as np


class Params(C.Structure):
    """llama.cpp passes its parameter structs by value; a block larger than any version of them will do, since the
    library itself fills in the defaults and only the first fields are changed."""

    _fields_ = [("words", C.c_uint32 * 256)]


class Batch(C.Structure):
    _fields_ = [
        ("n_tokens", C.c_int32),
        ("token", C.POINTER(C.c_int32)),
        ("embd", C.POINTER(C.c_float)),
        ("pos", C.POINTER(C.c_int32)),
        ("n_seq_id", C.POINTER(C.c_int32)),
        ("seq_id", C.POINTER(C.POINTER(C.c_int32))),
        ("logits", C.POINTER(C.c_int8)),
    ]


POINTER, INT, FLOATS = C.c_void_p, C.c_int32, C.POINTER(C.c_float)
FUNCTIONS = {
    "llama_backend_init": (None, []),
    "llama_log_set": (None, [POINTER, POINTER]),
    "llama_model_default_params": (Params, []),
    "llama_context_default_params": (Params, []),
    "llama_model_load_from_file": (POINTER, [C.c_char_p, Params]),
    "llama_model_free": (None, [POINTER]),
    "llama_init_from_model": (POINTER, [POINTER, Params]),
    "llama_free": (None, [POINTER]),
    "llama_model_get_vocab": (POINTER, [POINTER]),
    "llama_vocab_n_tokens": (INT, [POINTER]),
    "llama_model_n_embd": (INT, [POINTER]),
    "llama_model_has_encoder": (C.c_bool, [POINTER]),
    "llama_tokenize": (INT, [POINTER, C.c_char_p, INT, C.POINTER(INT), INT, C.c_bool, C.c_bool]),
    "llama_detokenize": (INT, [POINTER, C.POINTER(INT), INT, C.c_char_p, INT, C.c_bool, C.c_bool]),
    "llama_batch_init": (Batch, [INT, INT, INT]),
    "llama_batch_free": (None, [Batch]),
    "llama_decode": (INT, [POINTER, Batch]),
    "llama_get_logits_ith": (FLOATS, [POINTER, INT]),
    "llama_get_embeddings_ith": (FLOATS, [POINTER, INT]),
    "llama_get_embeddings_seq": (FLOATS, [POINTER, INT]),
    "llama_get_memory": (POINTER, [POINTER]),
    "llama_memory_clear": (None, [POINTER, C.c_bool]),
    "llama_set_embeddings": (None, [POINTER, C.c_bool]),
    "llama_set_n_threads": (None, [POINTER, INT, INT]),
}
QUIET = C.CFUNCTYPE(None, C.c_int, C.c_char_p, POINTER)(lambda level, text, data: None)
_library = None


def library(verbose=False):
    global _library
    if _library is None:
        import xllamacpp

        folder = os.path.dirname(xllamacpp.__file__)
        _library = C.CDLL(sorted(glob.glob(os.path.join(folder, "*.so")))[0])
        for name, (result, arguments) in FUNCTIONS.items():
            function = getattr(_library, name)
            function.restype, function.argtypes = result, arguments
        if not verbose:
            _library.llama_log_set(C.cast(QUIET, POINTER), None)
        _library.llama_backend_init()
    return _library


class Refused(Exception):
    """llama.cpp does not take the file or the input."""


class Stock:
    def __init__(self, path, context=512, threads=2, verbose=False, pooled=True):
        self.lib = library(verbose)
        self.model = self.lib.llama_model_load_from_file(
            os.fsencode(path), self.lib.llama_model_default_params())
        if not self.model:
            raise Refused(f"llama.cpp does not load {path}")
        params = self.lib.llama_context_default_params()
        for field in range(3):  # n_ctx, n_batch, n_ubatch
            params.words[field] = context
        if not pooled:
            # The enums for rope scaling and pooling stand side by side, both "unspecified" (-1); no pooling is 0.
            unset = [i for i in range(40) if params.words[i] == params.words[i + 1] == 0xFFFFFFFF]
            params.words[unset[0] + 1] = 0
        self.context = self.lib.llama_init_from_model(self.model, params)
        if not self.context:
            raise Refused(f"llama.cpp gives no context for {path}")
        self.lib.llama_set_n_threads(self.context, threads, threads)
        self.vocabulary = self.lib.llama_model_get_vocab(self.model)
        self.position = 0

    def close(self):
        self.lib.llama_free(self.context)
        self.lib.llama_model_free(self.model)

    def clear(self):
        """Forgets everything that was run."""
        self.lib.llama_memory_clear(self.lib.llama_get_memory(self.context), True)
        self.position = 0

    def tokens(self, text):
        data = text.encode()
        ids = (INT * (len(data) + 16))()
        count = self.lib.llama_tokenize(self.vocabulary, data, len(data), ids, len(ids), True, True)
        if count < 0:
            raise Refused("llama.cpp does not tokenize the text")
        return list(ids[:count])

    def text(self, ids):
        room = C.create_string_buffer(64 * len(ids) + 64)
        array = (INT * len(ids))(*ids)
        count = self.lib.llama_detokenize(self.vocabulary, array, len(ids), room, len(room), False, True)
        return room.raw[:max(count, 0)].decode(errors="replace")

    def _run(self, ids):
        batch = self.lib.llama_batch_init(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for index, token in enumerate(ids):
            batch.token[index] = token
            batch.pos[index] = self.position + index
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = 0
            batch.logits[index] = 1
        status = self.lib.llama_decode(self.context, batch)
        self.lib.llama_batch_free(batch)
        if status != 0:
            raise Refused(f"llama.cpp decode status {status}")
        self.position += len(ids)

    def logits(self, ids):
        """float32 [tokens, vocabulary]."""
        self._run(ids)
        width = self.lib.llama_vocab_n_tokens(self.vocabulary)
        rows = np.empty((len(ids), width), np.float32)
        for i in range(len(ids)):
            rows[i] = np.ctypeslib.as_array(self.lib.llama_get_logits_ith(self.context, i), (width,))
        return rows

    def embedding(self, ids):
        """float32 [width], pooled as the file says."""
        self.lib.llama_set_embeddings(self.context, True)
        self._run(ids)
        pointer = self.lib.llama_get_embeddings_seq(self.context, 0)
        if not pointer:
            raise Refused("llama.cpp gives no pooled embedding: the file names no pooling")
        return np.ctypeslib.as_array(pointer, (self.lib.llama_model_n_embd(self.model),)).copy()

    def hidden(self, ids):
        """float32 [tokens, width], the last hidden state of each token; needs pooled=False."""
        self.lib.llama_set_embeddings(self.context, True)
        self._run(ids)
        width = self.lib.llama_model_n_embd(self.model)
        rows = [np.ctypeslib.as_array(self.lib.llama_get_embeddings_ith(self.context, i), (width,)).copy()
                for i in range(len(ids))]
        return np.stack(rows)

    def greedy(self, ids, count):
        produced = []
        step = list(ids)
        for _ in range(count):
            row = self.logits(step)[-1]
            step = [int(row.argmax())]
            produced += step
        return produced


def main(arguments):
    if len(arguments) < 2 or arguments[0] not in ("continue", "tokens", "load"):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        stock = Stock(arguments[1], verbose="--verbose" in arguments)
        if arguments[0] == "tokens":
            print(json.dumps(stock.tokens(arguments[2])))
        elif arguments[0] == "continue":
            ids = stock.tokens(arguments[2])
            print(arguments[2] + stock.text(stock.greedy(ids, int(arguments[3]) if len(arguments) > 3 else 24)))
    except Refused as error:
        print(f"stock.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
