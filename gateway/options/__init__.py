"""Options, pure: which strike, what it is worth, how a chain looks."""
