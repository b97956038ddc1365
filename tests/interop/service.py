"""What the interop tests call, served by `chatify_stream.wire`."""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chatify_stream.errors import StatusError
from chatify_stream.wire import MethodHandler, Server, ServerStream, Status

from .messages.grpc import testing as pb
from .messages.xds.data.orca.v3 import OrcaLoadReport
from .messages.xds.service.orca.v3 import OpenRcaServiceBase, OrcaLoadReportRequest

__all__ = ["ECHO_INITIAL", "ECHO_TRAILING", "LOAD_REPORT", "serving"]

ECHO_INITIAL = "x-grpc-test-echo-initial"
ECHO_TRAILING = "x-grpc-test-echo-trailing-bin"
LOAD_REPORT = "endpoint-load-metrics-bin"


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Our server, with all that the cases call."""
    load_reports = LoadReports()
    server = Server([InteropService(load_reports), load_reports])
    await server.start("127.0.0.1", 0, ssl=tls)
    try:
        yield server
    finally:
        server.close()
        await server.wait_closed()


class LoadReports(OpenRcaServiceBase):
    """`xds.service.orca.v3.OpenRcaService`: each client gets the load, and each change of it."""

    def __init__(self) -> None:
        self._load = OrcaLoadReport()
        self._changed = asyncio.Condition()

    async def report(self, load: OrcaLoadReport) -> None:
        async with self._changed:
            self._load = load
            self._changed.notify_all()

    async def stream_core_metrics(
        self, message: OrcaLoadReportRequest
    ) -> AsyncIterator[OrcaLoadReport]:
        sent = None
        while True:
            async with self._changed:
                while self._load is sent:
                    await self._changed.wait()
            sent = self._load
            yield sent


class InteropService(pb.TestServiceBase):
    """`grpc.testing.TestService`, without `UnimplementedCall`.

    The generated base gives its methods the messages alone; these need the stream's metadata.
    """

    def __init__(self, load_reports: LoadReports) -> None:
        self._load_reports = load_reports
        self._server_id = str(uuid.uuid4())

    def __mapping__(self) -> dict[str, MethodHandler]:
        generated = super().__mapping__()
        return {
            f"/grpc.testing.TestService/{name}": generated[
                f"/grpc.testing.TestService/{name}"
            ]._replace(func=method)
            for name, method in {
                "EmptyCall": self._empty_call,
                "UnaryCall": self._unary_call,
                "CacheableUnaryCall": self._unary_call,
                "StreamingOutputCall": self._streaming_output_call,
                "StreamingInputCall": self._streaming_input_call,
                "FullDuplexCall": self._full_duplex_call,
                "HalfDuplexCall": self._half_duplex_call,
            }.items()
        }

    async def _empty_call(self, stream: ServerStream) -> None:
        await stream.recv_message()
        await stream.send_message(pb.Empty())

    async def _unary_call(self, stream: ServerStream) -> None:
        await echo_metadata(stream)
        request: pb.SimpleRequest = await stream.recv_message()
        raise_for(request.response_status)
        if request.orca_per_query_report is not None:
            stream.trailers[LOAD_REPORT] = bytes(load_of(request.orca_per_query_report))
        await stream.send_message(
            pb.SimpleResponse(
                payload=payload(request.response_type, request.response_size),
                server_id=self._server_id if request.fill_server_id else "",
            )
        )

    async def _streaming_output_call(self, stream: ServerStream) -> None:
        await echo_metadata(stream)
        await self._respond(stream, await stream.recv_message())

    async def _streaming_input_call(self, stream: ServerStream) -> None:
        size = 0
        async for request in stream:
            size += len(request.payload.body) if request.payload is not None else 0
        await stream.send_message(pb.StreamingInputCallResponse(aggregated_payload_size=size))

    async def _full_duplex_call(self, stream: ServerStream) -> None:
        await echo_metadata(stream)
        async for request in stream:
            await self._respond(stream, request)

    async def _half_duplex_call(self, stream: ServerStream) -> None:
        await echo_metadata(stream)
        for request in [request async for request in stream]:
            await self._respond(stream, request)

    async def _respond(self, stream: ServerStream, request: pb.StreamingOutputCallRequest) -> None:
        raise_for(request.response_status)
        if request.orca_oob_report is not None:
            await self._load_reports.report(load_of(request.orca_oob_report))
        for response in request.response_parameters:
            if response.interval_us > 0:
                await asyncio.sleep(response.interval_us / 1_000_000)
            await stream.send_message(
                pb.StreamingOutputCallResponse(
                    payload=payload(request.response_type, response.size)
                )
            )


async def echo_metadata(stream: ServerStream) -> None:
    """Sends back what the client wants to have again, at the call's begin and at its end."""
    assert stream.metadata is not None
    if (trailing := stream.metadata.get(ECHO_TRAILING)) is not None:
        stream.trailers[ECHO_TRAILING] = trailing
    if (initial := stream.metadata.get(ECHO_INITIAL)) is not None:
        await stream.send_initial_metadata(metadata={ECHO_INITIAL: initial})


def raise_for(status: pb.EchoStatus | None) -> None:
    """Ends the call with the status that the client asks for, if it does."""
    if status is not None and status.code != 0:
        raise StatusError(Status(status.code), status.message)


def payload(kind: pb.PayloadType, size: int) -> pb.Payload:
    if kind != pb.PayloadType.COMPRESSABLE or size < 0:
        raise StatusError(Status.INVALID_ARGUMENT, f"no payload is of type {kind}, {size} bytes")
    return pb.Payload(type=kind, body=bytes(size))


def load_of(report: pb.TestOrcaReport) -> OrcaLoadReport:
    return OrcaLoadReport(
        cpu_utilization=report.cpu_utilization,
        mem_utilization=report.memory_utilization,
        request_cost=report.request_cost,
        utilization=report.utilization,
    )
