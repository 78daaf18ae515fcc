"""From an image file to an array of one format."""
