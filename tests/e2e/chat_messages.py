"""The project's proto files as protoc and google.protobuf have them, as they are now.

The messages live in a descriptor pool of their own, so that nothing else in the process meets
them.
"""

import tempfile
from importlib import resources
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_tools import protoc

PROTO = Path(__file__).parents[2] / "proto"
CHAT_PROTO = "service/v1/service.proto"


def compile_proto(name: str) -> list[FileDescriptorProto]:
    """What protoc makes of a proto file: its imports, then itself."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "descriptors"
        exit_code = protoc.main(
            [
                "protoc",
                f"--proto_path={PROTO}",
                f"--proto_path={resources.files('grpc_tools') / '_proto'}",
                "--include_imports",
                f"--descriptor_set_out={output}",
                name,
            ]
        )
        if exit_code != 0:
            raise RuntimeError(f"protoc cannot read {name}: exit code {exit_code}")
        return list(FileDescriptorSet.FromString(output.read_bytes()).file)


_pool = DescriptorPool()
for _file in compile_proto(CHAT_PROTO):
    _pool.Add(_file)

ChatReq = GetMessageClass(_pool.FindMessageTypeByName("service.v1.ChatReq"))
ChatRsp = GetMessageClass(_pool.FindMessageTypeByName("service.v1.ChatRsp"))
