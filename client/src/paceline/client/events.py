"""``client.meta.events``: botocore's hooks around a call, for those who have registered any."""

from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from botocore.hooks import HierarchicalEmitter, first_non_none_response

from paceline.client.boto import errors, model
from paceline.client.boto import passthrough as raw
from paceline.types import Params, Result

_Emitter: Any = HierarchicalEmitter


class Events(_Emitter):  # type: ignore[misc]
    """``kinds``: the first words of all events with handlers; calls do not pay for the others."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: set[str] = set()

    def _register_section(self, event_name: str, *details: Any, **more: Any) -> Any:
        self.kinds.add(event_name.partition(".")[0])
        return super()._register_section(event_name, *details, **more)


class Hooks:
    """The events of one client: ``provide-client-params``, ``before-parameter-build``,
    ``before-call``, ``after-call`` and ``after-call-error``, each ``.dynamodb.Operation``.

    botocore's others are about HTTP, signatures and retries of its own, which are not here.
    """

    def __init__(self, endpoint: str) -> None:
        self.events = Events()
        self._endpoint = endpoint

    def before(self, operation: str, params: Params, context: dict[str, Any]) -> Params:
        """The parameters, as handlers want them."""
        told = {"model": _model(operation), "context": context}
        replies = self.events.emit(
            f"provide-client-params.dynamodb.{operation}", params=params, **told
        )
        changed: Params = first_non_none_response(replies, default=params)
        self.events.emit(f"before-parameter-build.dynamodb.{operation}", params=changed, **told)
        return changed

    def instead(self, operation: str, params: Params, context: dict[str, Any]) -> Result | None:
        """The answer of a handler that answers in the cluster's place, as botocore's ``Stubber``
        does.

        ``params``: validated. What handlers change in the HTTP request is not sent.
        """
        if "before-call" not in self.events.kinds:
            return None
        request = {**raw.http_request(operation, params), "context": context}
        _, response = self.events.emit_until_response(
            f"before-call.dynamodb.{operation}",
            model=_model(operation),
            params=request,
            request_signer=None,
            context=context,
        )
        if response is None:
            return None
        http, parsed = response
        if http.status_code >= 300:
            code = parsed.get("Error", {}).get("Code")
            raise errors.exceptions().from_code(code)(parsed, operation)
        result: Result = parsed
        return result

    def after(self, operation: str, result: Result, context: dict[str, Any]) -> None:
        metadata = result.get("ResponseMetadata", {})
        http = AWSResponse(
            self._endpoint,
            metadata.get("HTTPStatusCode", 200),
            metadata.get("HTTPHeaders", {}),
            None,
        )
        self.events.emit(
            f"after-call.dynamodb.{operation}",
            http_response=http,
            parsed=result,
            model=_model(operation),
            context=context,
        )

    def failed(self, operation: str, error: Exception, context: dict[str, Any]) -> None:
        if isinstance(error, ClientError):
            response: Any = error.response
            self.after(operation, response, context)
            return
        self.events.emit(f"after-call-error.dynamodb.{operation}", exception=error, context=context)


def _model(operation: str) -> Any:
    return model.service_model().operation_model(operation)
