"""The rules, pure: jobs, their life, their retries, and what can go wrong.

Nothing here reads a clock, draws a random number or touches the outside world; every
value a rule needs arrives as an argument.
"""
