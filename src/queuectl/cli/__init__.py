"""The command line: words in, words out. All it does goes through `Client`."""
