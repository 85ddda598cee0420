"""The embedded Kubernetes-compatible API server: a durable store and an HTTP face. Knows no kind of Isthmus."""
