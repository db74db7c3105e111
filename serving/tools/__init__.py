"""What agents can call: each tool once, for MCP and as a function of OpenAI's API."""
