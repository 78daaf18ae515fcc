"""What is reconstructed at hidden cells: pixels, per-cell normalized pixels, features of a teacher."""
