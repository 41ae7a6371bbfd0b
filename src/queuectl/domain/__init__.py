"""The rules, as pure functions: jobs, their lifecycle, retries and errors.

Nothing here reads a clock, draws a random number or does I/O; rules get every value as an argument.
"""
