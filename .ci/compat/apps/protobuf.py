"""data: protobuf."""

from google.protobuf import json_format, struct_pb2


def use():
    message = struct_pb2.Struct()
    message.update({"a": 1, "b": ["x"]})
    assert json_format.MessageToDict(struct_pb2.Struct.FromString(message.SerializeToString())) == {"a": 1, "b": ["x"]}
