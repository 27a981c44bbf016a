"""The contracts between nodes: protobuf messages and gRPC services of the package matchbit.v1."""
