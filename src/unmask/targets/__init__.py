"""What is reconstructed at hidden cells: pixels, per-cell normalised pixels, features of a teacher."""
