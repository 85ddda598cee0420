"""One file a kind: what to do when an object is not as it should be."""
