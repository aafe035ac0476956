"""A home's env files: written fresh, or taken over from OpenAlgo."""
