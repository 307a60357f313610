"""DynamoDB's data operations in typed messages (proto/paceline/v1/data.proto): docs/grpc.md."""
