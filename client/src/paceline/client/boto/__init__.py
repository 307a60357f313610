"""What comes from botocore and boto3.

``model``           the operations, their validation, paginators and waiters
``errors``          exceptions and response metadata
``passthrough``     requests that DAX's protocol has no place for, in the JSON of the HTTP API
``guarded_client``  a botocore client whose answers and repeats are looked at
``resource``        ``boto3.resource("dynamodb")`` on a cluster
"""

from paceline.errors import ConfigError

try:
    import botocore as _  # noqa: F401 - so that its lack is told once, for all of the modules here
except ImportError as error:  # pragma: no cover - depends on what is installed
    raise ConfigError(
        "the SDK needs botocore, for boto3's own errors and validation: pip install botocore"
    ) from error
