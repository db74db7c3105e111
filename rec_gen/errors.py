"""The one error tree; the command line prints any of these as a single line.

RecGenError
├── ConfigError          a TOML file, an option or an argument is wrong (exit code 2)
├── DataError            an input table or a prepared data set is wrong
├── PromptError          a template or its rendering is wrong
├── SpellingError        a catalog cannot be spelled
├── RuleError            a business rule is wrong
├── DecodingError        a search cannot run
│   └── NoEligibleItemError   every item is filtered for a request
├── ModelError           a model cannot be found, loaded or trusted
├── GroundingError       an explanation cites what neither item nor history holds
├── BundleError          a bundle is incomplete or was changed
└── MissingPackageError  an optional package is not installed
"""


class RecGenError(Exception):
    """Base of all errors that a user can mend; the message names the place and the mend."""

    exit_code = 1


class ConfigError(RecGenError):
    """A configuration file, an override or an argument is wrong."""

    exit_code = 2


class DataError(RecGenError):
    """An input table or a prepared data set is wrong."""


class PromptError(RecGenError):
    """A template, or what it renders to, is wrong."""


class SpellingError(RecGenError):
    """A catalog cannot be spelled with the chosen scheme."""


class RuleError(RecGenError):
    """A business rule cannot be read, or does not fit the catalog."""


class DecodingError(RecGenError):
    """A constrained search cannot run."""


class NoEligibleItemError(DecodingError):
    """Every item of the catalog is filtered for a request.

    Attributes:
        request: The request's index.
    """

    def __init__(self, request: int) -> None:
        self.request = request
        super().__init__(f"request {request}: no item is left after the filters; loosen them")


class ModelError(RecGenError):
    """A model cannot be found, loaded or trusted."""


class GroundingError(RecGenError):
    """An explanation cites what neither its item nor the user's history holds."""


class BundleError(RecGenError):
    """A bundle is incomplete, was changed, or does not fit the request."""


class MissingPackageError(RecGenError):
    """An optional package is needed for this and is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"the package '{package}' is not installed: pip install 'rec_gen[{extra}]'"
        )


def first_line(error: BaseException) -> str:
    """What another library's error says, in one line."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
