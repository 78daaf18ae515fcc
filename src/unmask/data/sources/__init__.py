"""Where images come from: folders, manifests, arrays, shards, tables, built-in data."""
