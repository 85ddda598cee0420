"""The arguments that creating, updating and change sets share."""

from collections.abc import Mapping

from isthmus.api.meta import Json
from isthmus.core.stacks import NativeStack
from isthmus.drivers.aws import template
from isthmus.drivers.aws.session import Aws
from isthmus.errors import InvalidSpec


class Requests:
    """Builds requests as one Provider's settings say."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws

    async def of(self, stack: NativeStack, document: Json) -> Json:
        """Return parameters, capabilities, tags, template and service role."""
        return {
            "Parameters": [
                {"ParameterKey": k, "ParameterValue": v} for k, v in stack.parameters.items()
            ],
            "Capabilities": template.capabilities(document),
            "Tags": [{"Key": k, "Value": v} for k, v in present(stack.tags).items()],
            **await self._body(stack, document),
            **self.role(),
        }

    def role(self) -> Json:
        """Return the service role, where the Provider names one."""
        arn = self._aws.settings.service_role_arn
        return {"RoleARN": arn} if arn else {}

    async def _body(self, stack: NativeStack, document: Json) -> Json:
        """Return the template itself, or where a large one has been put."""
        text = template.body(document)
        size, bucket = len(text.encode()), self._aws.settings.template_bucket
        if size <= template.INLINE_BYTES:
            return {"TemplateBody": text}
        if not bucket:
            raise InvalidSpec(
                f"template: {size:,} bytes; CloudFormation takes {template.INLINE_BYTES:,} in a "
                "request. Name a bucket in the Provider's setting templateBucket."
            )
        key = f"isthmus/{stack.name}/{stack.digest or 'template'}.json"
        await self._aws.call("s3", "put_object", Bucket=bucket, Key=key, Body=text.encode())
        host = await self._aws.run(lambda: str(self._aws.client("s3").meta.endpoint_url))
        return {"TemplateURL": f"{host}/{bucket}/{key}"}


def present(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that have a value: CloudFormation refuses empty ones."""
    return {k: v for k, v in tags.items() if v}
