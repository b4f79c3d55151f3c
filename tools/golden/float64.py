"""transformers in float64: how the golden values of the runtime are computed.

    model = load("GemmaForCausalLM", folder)
    with exact():
        result = model(ids)

transformers computes norms and softmax in float32 whatever a model's type; inside `exact()` these casts keep float64, and
an operation that gives float32 all the same is an error. Rotary angles are left as transformers computes them, in float32
(frequency, angle, cosine and sine): they are part of what a model is, since it was trained with them.
"""

import contextlib
import functools

import torch
import transformers
from torch.utils._python_dispatch import TorchDispatchMode

_double, _to, _softmax = torch.Tensor.double, torch.Tensor.to, torch.nn.functional.softmax
_float = torch.Tensor.float
_rotary = 0


class NothingInFloat32(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        for value in result if isinstance(result, (tuple, list)) else [result]:
            if not _rotary and isinstance(value, torch.Tensor) and value.dtype == torch.float32 and value.numel() > 1:
                raise AssertionError(f"{function} gave float32")
        return result


def _kept(tensor):
    return not _rotary and tensor.dtype == torch.float64


@contextlib.contextmanager
def exact():
    def to(tensor, *arguments, **keywords):
        if _kept(tensor) and (torch.float32 in arguments or keywords.get("dtype") == torch.float32):
            return tensor
        return _to(tensor, *arguments, **keywords)

    def softmax(tensor, *arguments, **keywords):
        if _kept(tensor):
            keywords.pop("dtype", None)
        return _softmax(tensor, *arguments, **keywords)

    torch.Tensor.float = lambda tensor: tensor if _kept(tensor) else _float(tensor)
    torch.Tensor.to, torch.nn.functional.softmax = to, softmax
    try:
        with torch.no_grad(), NothingInFloat32():
            yield
    finally:
        torch.Tensor.float, torch.Tensor.to, torch.nn.functional.softmax = _float, _to, _softmax


def _in_float32(forward):
    @functools.wraps(forward)
    def wrapped(*arguments, **keywords):
        global _rotary
        _rotary += 1
        try:
            return forward(*arguments, **keywords)
        finally:
            _rotary -= 1
    return wrapped


def load(cls, folder, dtype=torch.float64, **changes):
    """The checkpoint with eager attention. GELU of Gemma 1: see below. A tensor that is missing is an error."""
    config = transformers.AutoConfig.from_pretrained(folder)
    for key, value in changes.items():
        setattr(config, key, value)
    if config.model_type == "gemma":
        # Published configurations say hidden_act "gelu"; Gemma 1 was trained with the tanh form, which transformers 4 applied
        # whatever that field said (its pull request 29402) and llama.cpp applies. transformers 5 takes the field as it stands.
        config.hidden_act = "gelu_pytorch_tanh"
    model, info = getattr(transformers, cls).from_pretrained(
        folder, config=config, dtype=dtype, attn_implementation="eager", output_loading_info=True)
    if info["missing_keys"] or info["mismatched_keys"]:
        raise SystemExit(f"{folder}: {info['missing_keys']} {info['mismatched_keys']}")
    for module in model.modules():
        if type(module).__name__.endswith("RotaryEmbedding"):
            module.forward = _in_float32(module.forward)
    return model.eval()


def layers(model):
    """(first layer's list, final norm or None): where the stages of a hidden state are."""
    core = model
    for name in ("bert", "model", "language_model"):
        core = getattr(core, name, core)
    if hasattr(core, "encoder"):
        return core.encoder.layer, None
    return core.layers, core.norm


@contextlib.contextmanager
def stages(model):
    """Fills a list with hidden states [tokens, width]: what enters layer 0, what leaves each layer, what leaves the final
    norm (where there is one)."""
    found, handles = [], []
    blocks, norm = layers(model)

    def keep(value):
        found.append((value[0] if isinstance(value, tuple) else value)[0])

    handles.append(blocks[0].register_forward_pre_hook(
        lambda module, arguments, keywords: keep(arguments[0] if arguments else keywords["hidden_states"]),
        with_kwargs=True))
    for block in blocks:
        handles.append(block.register_forward_hook(lambda module, arguments, result: keep(result)))
    if norm is not None:
        handles.append(norm.register_forward_hook(lambda module, arguments, result: keep(result)))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
