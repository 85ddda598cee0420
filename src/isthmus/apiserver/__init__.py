"""The embedded Kubernetes-compatible API: a durable store, an HTTP face, and no kind of ours."""
