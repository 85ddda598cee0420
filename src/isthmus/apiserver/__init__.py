"""The embedded Kubernetes-compatible API: a durable store and an HTTP face. Knows no kind of ours."""
