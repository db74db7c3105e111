"""What libraries say unasked."""

import logging
import warnings


def quiet() -> None:
    """Leave the libraries' notices out of what people read."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    logging.getLogger("flwr").setLevel(logging.ERROR)
    logging.getLogger("DeepSpeed").addFilter(lambda log: "Setting accelerator" not in log.msg)
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    warnings.filterwarnings("ignore", message="You are using 'rollout_func'")
    transformers_logging.disable_progress_bar()
