"""The floor: words, errors and contracts every broker shares, and one folder per broker."""
