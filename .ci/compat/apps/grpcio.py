"""HTTP clients: grpcio."""

import grpc


def use():
    with grpc.insecure_channel("127.0.0.1:1") as channel:
        try:
            channel.unary_unary("/a/b")(b"", timeout=0.5)
        except grpc.RpcError:
            return
    raise AssertionError("nobody listens on port 1")
