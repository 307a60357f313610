.PHONY: proto
proto: ## regenerate the gRPC stubs
	.venv/bin/python -m grpc_tools.protoc -I proto --python_out=client/src --grpc_python_out=client/src --pyi_out=client/src proto/paceline/v1/*.proto
	touch client/src/paceline/v1/__init__.py
