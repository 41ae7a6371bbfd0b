"""`queuectl mcp`: the queue as tools for coding agents, by the Model Context Protocol over stdin and stdout."""
