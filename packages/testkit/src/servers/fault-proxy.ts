import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Agent, createServer, request as sendRequest } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { PassThrough, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Fault } from './faults.ts';
import { CutError, cutAfter, flipBitAt, stallAfter, errorDocument, truncateAfter } from './faults.ts';

/** A request, for rules. */
export interface ProxiedRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Its number among all requests, from 1. */
  readonly number: number;
}

/** Injects a fault into requests for which `when` returns true: all of them, or the first `times`. */
export interface FaultRule {
  readonly when: (request: ProxiedRequest) => boolean;
  readonly fault: Fault | ((request: ProxiedRequest) => Fault | undefined);
  readonly times?: number;
}

export interface SeenRequest {
  readonly request: ProxiedRequest;
  readonly fault: string | undefined;
  /** How many bytes of the body of the server's answer have come so far. */
  readonly answerBytes: number;
}

/** An HTTP proxy in front of a real server that injects faults of networks and services into requests and responses. */
export interface FaultProxy extends AsyncDisposable {
  /** Such as `http://127.0.0.1:40001`. */
  readonly endpoint: string;
  /** Every request so far, in their order. */
  readonly seen: readonly SeenRequest[];
  /** Adds a rule. The newest matching rule applies. The returned function removes it. */
  inject(rule: FaultRule): () => void;
  /** Waits for the next request for which `when` returns true. */
  waitFor(when: (request: ProxiedRequest) => boolean): Promise<ProxiedRequest>;
}

/** Starts a proxy in front of `target`, such as `http://127.0.0.1:7480`, which gets the client's Host header (it is signed). */
export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const rules: { rule: FaultRule; left: number }[] = [];
  const seen: (SeenRequest & { answerBytes: number })[] = [];
  const waiting = new Set<(request: ProxiedRequest) => void>();
  const agent = new Agent({ keepAlive: true });
  const sockets = new Set<Socket>();
  const server = createServer((incoming, outgoing) => {
    const request = describe(incoming, seen.length + 1);
    const fault = pickFault(rules, request);
    const entry = { request, fault: fault?.kind, answerBytes: 0 };
    seen.push(entry);
    for (const listener of waiting) listener(request);
    forward({ target: new URL(target), agent, incoming, outgoing, fault, entry }).catch(() => outgoing.destroy());
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    endpoint: `http://127.0.0.1:${portOf(server.address())}`,
    seen,
    inject(rule) {
      const entry = { rule, left: rule.times ?? Infinity };
      rules.unshift(entry);
      return () => {
        entry.left = 0;
      };
    },
    waitFor: (when) =>
      new Promise((resolve) => {
        const listener = (request: ProxiedRequest): void => {
          if (!when(request)) return;
          waiting.delete(listener);
          resolve(request);
        };
        waiting.add(listener);
      }),
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
      agent.destroy();
      if (server.listening) await once(server, 'close');
    },
  };
}

function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
  return address.port;
}

function describe(incoming: IncomingMessage, number: number): ProxiedRequest {
  const url = new URL(incoming.url ?? '/', 'http://proxy');
  return { method: incoming.method ?? 'GET', path: url.pathname, query: url.searchParams, headers: incoming.headers, number };
}

function pickFault(rules: { rule: FaultRule; left: number }[], request: ProxiedRequest): Fault | undefined {
  for (const entry of rules) {
    if (entry.left <= 0 || !entry.rule.when(request)) continue;
    const fault = typeof entry.rule.fault === 'function' ? entry.rule.fault(request) : entry.rule.fault;
    if (fault === undefined) continue;
    entry.left -= 1;
    return fault;
  }
  return undefined;
}

interface Exchange {
  readonly target: URL;
  readonly agent: Agent;
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
  readonly fault: Fault | undefined;
  readonly entry: { answerBytes: number };
}

async function forward(exchange: Exchange): Promise<void> {
  const { target, agent, incoming, outgoing, fault } = exchange;
  if (fault?.kind === 'answer') {
    await answer(incoming, outgoing, fault);
    return;
  }
  if (fault?.kind === 'silence') {
    incoming.resume();
    return;
  }
  const request = sendRequest({
    host: target.hostname,
    port: target.port,
    method: incoming.method,
    path: incoming.url,
    headers: incoming.headers,
    agent,
  });
  outgoing.once('close', () => {
    if (!outgoing.writableFinished) request.destroy();
  });
  sendBody(exchange, request);
  // A response may come before the complete body was sent.
  const [answered]: IncomingMessage[] = await once(request, 'response');
  if (answered !== undefined) await sendAnswer(exchange, answered);
}

function sendBody({ incoming, outgoing, fault }: Exchange, request: ReturnType<typeof sendRequest>): void {
  const changed = changeOfRequest(fault);
  changed.once('error', (error) => {
    if (error instanceof CutError) outgoing.socket?.resetAndDestroy();
    request.destroy(error);
  });
  incoming.once('error', (error) => changed.destroy(error));
  incoming.pipe(changed).pipe(request);
}

function changeOfRequest(fault: Fault | undefined): Transform {
  if (fault?.kind === 'cut-request') return cutAfter(fault.bytes);
  if (fault?.kind === 'stall-request') return stallAfter(fault.bytes);
  if (fault?.kind === 'flip-request') return flipBitAt(fault.byte);
  return new PassThrough();
}

function changeOfResponse(fault: Fault | undefined): Transform {
  if (fault?.kind === 'cut-response') return cutAfter(fault.bytes);
  if (fault?.kind === 'stall-response') return stallAfter(fault.bytes);
  if (fault?.kind === 'truncate-response') return truncateAfter(fault.bytes);
  if (fault?.kind === 'flip-response') return flipBitAt(fault.byte);
  return new PassThrough();
}

async function sendAnswer({ outgoing, fault, entry }: Exchange, answered: IncomingMessage): Promise<void> {
  const headers = { ...answered.headers };
  if (fault?.kind === 'etag' && headers.etag !== undefined) headers.etag = 'value' in fault ? fault.value : fault.change(headers.etag);
  if (fault?.kind === 'lose-answer') {
    // The server has done its work: only its response is lost.
    answered.resume();
    await once(answered, 'end');
    outgoing.socket?.resetAndDestroy();
    return;
  }
  if (fault?.kind === 'rewrite') {
    const body = fault.change((await answered.toArray()).map(String).join(''));
    delete headers['transfer-encoding'];
    outgoing.writeHead(answered.statusCode ?? 502, { ...headers, 'content-length': Buffer.byteLength(body) }).end(body);
    return;
  }
  const { socket } = outgoing;
  outgoing.writeHead(answered.statusCode ?? 502, headers);
  try {
    await pipeline(answered, counted(entry), changeOfResponse(fault), outgoing);
  } catch (error) {
    if (error instanceof CutError) outgoing.socket?.resetAndDestroy();
    throw error;
  }
  // There are fewer bytes than announced: only closing the connection can end the response.
  if (fault?.kind === 'truncate-response') socket?.end();
}

function counted(entry: { answerBytes: number }): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, callback) {
      entry.answerBytes += chunk.length;
      callback(null, chunk);
    },
  });
}

async function answer(incoming: IncomingMessage, outgoing: ServerResponse, fault: Extract<Fault, { kind: 'answer' }>): Promise<void> {
  incoming.resume();
  await once(incoming, 'end');
  const body = fault.code === '' ? '' : errorDocument(fault.code, fault.fields);
  outgoing.writeHead(fault.status, { 'content-type': 'application/xml', 'content-length': Buffer.byteLength(body), ...fault.headers });
  outgoing.end(incoming.method === 'HEAD' ? undefined : body);
}
