"""gRPC's standard health check, as a client asks it."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc


def health(address: str, timeout_s: float = 5.0) -> bool:
    """Whether the server as a whole says that it serves; False if it does not answer, too."""
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            found = stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout_s)
        except grpc.RpcError:
            return False
        return bool(found.status == health_pb2.HealthCheckResponse.SERVING)
