"""Images from folders, manifests, arrays and built-ins, as sets that give normalised batches. Imports nothing heavy."""
