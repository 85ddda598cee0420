"""Kubernetes' protobuf bodies, as far as kubectl sends them for built-in kinds."""

from isthmus.apiserver.errors import ApiError
from isthmus.apiserver.jsonvalues import Json


def decode(body: bytes) -> Json:
    """Decode the envelope and the message within.

    Raises:
        ApiError: 415, this kind is not served in protobuf.
    """
    del body
    raise ApiError(415, "UnsupportedMediaType", "protobuf is not accepted here; send JSON")
