"""A prompt as the turns of a chat."""

from typing import TYPE_CHECKING

from jinja2 import TemplateError

from rec_gen.errors import PromptError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def as_chat(
    tokenizer: "PreTrainedTokenizerBase", text: str, system: str | None, *, parts: bool
) -> str:
    """A prompt as the user's turn, and the opening of the answer.

    Args:
        tokenizer: Its chat template is used; without one, its first token stands before the text.
        text: The user's turn.
        system: The system's turn, if there is one.
        parts: Whether turns are lists of parts, as templates of models that read images expect.

    Raises:
        PromptError: The chat template fails.
    """
    if not tokenizer.chat_template:
        return (tokenizer.bos_token or "") + text
    turns = [*([("system", system)] if system is not None else []), ("user", text)]
    messages = [
        {"role": role, "content": [{"type": "text", "text": said}] if parts else said}
        for role, said in turns
    ]
    try:
        return str(
            tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
        )
    except TemplateError as error:
        raise PromptError(f"the tokenizer's chat template fails: {error}") from error
