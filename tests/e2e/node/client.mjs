// Calls the chat service the way grpc-js clients do and prints, as JSON lines, every reply and
// the status the call ended with.
//
//   node client.mjs MODE --addr HOST:PORT --proto DIR [options] [--] [message ...]
//
// Exits 0 when the call ended OK, 1 when it ended with another status (or a reply was not the
// one due), 2 when it was called wrongly.

import { once } from "node:events";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

import * as grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const READY_WITHIN_MS = 20_000;
const CHANNEL_OPTIONS = { "grpc.enable_http_proxy": 0 };

function report(event, fields) {
  process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
}

function mismatch(message) {
  return Object.assign(new Error(message), { code: grpc.status.DATA_LOSS, details: message });
}

function load(protoDir, file) {
  const definition = protoLoader.loadSync(file, { includeDirs: [protoDir], enums: String });
  return grpc.loadPackageDefinition(definition);
}

function openChat(client, options) {
  const { requestSerialize, responseDeserialize } = client.definition;
  return client.stub.makeBidiStreamRequest(
    options.method,
    requestSerialize,
    responseDeserialize,
    new grpc.Metadata(),
    { deadline: options.deadline },
  );
}

// Yields each reply; grpc-js raises the status the stream ended with unless that was OK.
async function* repliesOf(stream) {
  for await (const { message } of stream) {
    yield message;
  }
}

async function reportAll(replies) {
  for await (const message of replies) {
    report("reply", { message });
  }
}

async function reportNext(replies) {
  const { value, done } = await replies.next();
  if (done) {
    throw mismatch("the stream ended OK with a reply still due");
  }
  report("reply", { message: value });
}

async function expectEnd(replies) {
  const { value, done } = await replies.next();
  if (!done) {
    throw mismatch(`a reply too many: ${JSON.stringify(value)}`);
  }
}

async function burst(client, options) {
  const stream = openChat(client, options);
  for (const name of options.names) {
    stream.write({ name });
  }
  stream.end();
  await reportAll(repliesOf(stream));
}

// Waits for each reply before the next message, and half-closes last.
async function converse(client, options, names) {
  const stream = openChat(client, options);
  const replies = repliesOf(stream);
  for await (const name of names) {
    stream.write({ name });
    await reportNext(replies);
  }
  stream.end();
  await expectEnd(replies);
}

const pingpong = (client, options) => converse(client, options, options.names);

// A pingpong of the lines of stdin, so that a test decides when the next one is sent.
const chat = (client, options) => converse(client, options, createInterface(process.stdin));

async function unary(client, options) {
  const { requestSerialize, responseDeserialize } = client.definition;
  const [name] = options.names;
  const { message } = await new Promise((resolve, reject) => {
    client.stub.makeUnaryRequest(
      options.method,
      requestSerialize,
      responseDeserialize,
      { name },
      new grpc.Metadata(),
      { deadline: options.deadline },
      (error, reply) => (error ? reject(error) : resolve(reply)),
    );
  });
  report("reply", { message });
}

async function cancel(client, options) {
  const stream = openChat(client, options);
  const replies = repliesOf(stream);
  stream.write({ name: options.names[0] });
  await reportNext(replies);
  stream.cancel();
  await expectEnd(replies);
}

// Never half-closes, so that only the deadline ends the stream.
async function deadline(client, options) {
  const stream = openChat(client, options);
  stream.write({ name: options.names[0] });
  await reportAll(repliesOf(stream));
}

async function sendAll(stream, names) {
  for (const name of names) {
    if (!stream.write({ name })) {
      await once(stream, "drain");
    }
  }
  stream.end();
}

// Sends and receives at the same time, checks each reply itself and reports their number.
async function many(client, options) {
  const stream = openChat(client, options);
  const receiveAll = async () => {
    const replies = repliesOf(stream);
    for (const [index, name] of options.names.entries()) {
      const { value, done } = await replies.next();
      if (done || value !== `Hello ${name}`) {
        throw mismatch(`reply ${index} is ${JSON.stringify(value)}, not to ${name}`);
      }
    }
    await expectEnd(replies);
  };
  await Promise.all([sendAll(stream, options.names), receiveAll()]);
  report("replies", { count: options.names.length });
}

function healthStub(options) {
  const { Health } = load(options.proto, "grpc/health/v1/health.proto").grpc.health.v1;
  return new Health(options.addr, grpc.credentials.createInsecure(), CHANNEL_OPTIONS);
}

async function check(_client, { service, deadline, ...options }) {
  const stub = healthStub(options);
  const { status } = await new Promise((resolve, reject) => {
    stub.check({ service }, { deadline }, (error, reply) =>
      error ? reject(error) : resolve(reply),
    );
  });
  report("health", { service, status });
}

// Reports each status until the server ends the watch.
async function watch(_client, { service, deadline, ...options }) {
  const call = healthStub(options).watch({ service }, { deadline });
  for await (const { status } of call) {
    report("health", { service, status });
  }
}

const MODES = { burst, chat, pingpong, unary, cancel, deadline, many, check, watch };

function namesFrom(values, positionals) {
  if (positionals.length > 0) {
    return positionals;
  }
  if (values.size !== undefined) {
    return ["x".repeat(Number(values.size))];
  }
  return Array.from({ length: Number(values.count) }, (_, index) => `Message ${index}`);
}

function parseOptions(args) {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      addr: { type: "string" },
      proto: { type: "string" },
      method: { type: "string", default: "/service.v1.Service/Chat" },
      service: { type: "string", default: "" },
      count: { type: "string", default: "5" },
      size: { type: "string" },
      compressor: { type: "string", default: "identity" },
      "timeout-ms": { type: "string", default: "30000" },
    },
  });
  return { ...values, names: namesFrom(values, positionals) };
}

async function connect(options) {
  const { Service } = load(options.proto, "service/v1/service.proto").service.v1;
  const stub = new Service(options.addr, grpc.credentials.createInsecure(), {
    ...CHANNEL_OPTIONS,
    "grpc.default_compression_algorithm": grpc.compressionAlgorithms[options.compressor],
  });
  await new Promise((resolve, reject) => {
    stub.waitForReady(Date.now() + READY_WITHIN_MS, (error) =>
      error ? reject(error) : resolve(),
    );
  });
  return { stub, definition: Service.service.Chat };
}

async function main([name, ...args]) {
  const mode = MODES[name];
  if (mode === undefined) {
    const known = Object.keys(MODES).join(", ");
    console.error(`usage: client.mjs MODE --addr HOST:PORT --proto DIR; the modes: ${known}`);
    return 2;
  }
  const options = parseOptions(args);
  try {
    const client = await connect(options);
    // The deadline counts from the time the connection is ready.
    await mode(client, { ...options, deadline: Date.now() + Number(options["timeout-ms"]) });
  } catch (error) {
    const code = grpc.status[error.code] ?? "UNKNOWN";
    report("end", { code, message: error.details ?? String(error) });
    return 1;
  }
  report("end", { code: "OK", message: "" });
  return 0;
}

// Open connections would keep the process alive, so its output is flushed and it is ended.
const exitCode = await main(process.argv.slice(2));
process.stdout.write("", () => process.exit(exitCode));
