"""Images from folders, manifests, arrays and built-ins, as sets that give normalized batches. Imports nothing heavy."""
