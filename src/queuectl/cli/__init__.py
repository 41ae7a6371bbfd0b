"""The command line: parses words and prints answers. `Client` does the work."""
