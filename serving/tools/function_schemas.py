"""Tools as functions of OpenAI's API, in its strict mode.

Strict mode wants every field required, no other field, and nothing but a few keywords: a field that
may be left out is one that may be null. Limits of strings are left out, since not every model that
follows strict schemas takes them; they are checked when the tool is called.
"""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from serving.tools.offered import Tool


class StrictSchema(GenerateJsonSchema):
    """JSON schemas without what strict mode refuses."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        """Every field is."""
        return True

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """The schema of the value alone."""
        return self.generate_inner(schema["schema"])

    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        """Any string."""
        return {"type": "string"}


def function_schema(tool: Tool) -> dict[str, Any]:
    """A tool as an entry of `tools` in a request to OpenAI's chat completions."""
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.arguments.model_json_schema(schema_generator=StrictSchema),
            "strict": True,
        },
    }
