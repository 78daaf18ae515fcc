"""Files of every kind that the package reads, altered by chance, and what must become of them."""
