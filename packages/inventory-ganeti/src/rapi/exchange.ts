import type { IncomingMessage } from 'node:http';
import { request as httpRequest } from 'node:http';
import { isIP } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { connect } from 'node:tls';
import { RapiError } from './rapi-error.ts';
import type { RapiTrust } from './trust.ts';
import { isPinned, trustOptions } from './trust.ts';

export interface RapiServer {
  readonly host: string;
  readonly port: number;
  readonly trust: RapiTrust;
  /** ms that an answer may take. */
  readonly timeoutMs: number;
}

export interface RapiRequest {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  /** Encoded, with its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

export interface RapiAnswer {
  readonly status: number;
  readonly body: Buffer;
}

/** Bytes of an answer; a list of 10 000 instances has about half of it. */
export const MAX_ANSWER_BYTES: number = 64 * 1024 * 1024;

const CONNECT_TIMEOUT_MS = 20_000;

/**
 * One request over a connection of its own. Nothing is sent before the certificate was checked.
 *
 * @throws RapiError; the reason of the signal
 */
export async function exchange(server: RapiServer, request: RapiRequest, signal: AbortSignal | undefined): Promise<RapiAnswer> {
  const timeout = AbortSignal.timeout(server.timeoutMs);
  const stop = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
  const socket = await connectTo(server, signal);
  try {
    return await send(socket, server, request, stop);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof RapiError) throw error;
    const reason = timeout.aborted ? `no answer within ${server.timeoutMs / 1000} s` : `the connection broke off (${codeOf(error)})`;
    throw new RapiError('unavailable', {
      message: `RAPI at ${nameOf(server)}: ${reason}`,
      retry: timeout.aborted ? 'never' : 'read',
      cause: error,
    });
  } finally {
    socket.destroy();
  }
}

async function connectTo(server: RapiServer, signal: AbortSignal | undefined): Promise<TLSSocket> {
  signal?.throwIfAborted();
  const { host, port, trust } = server;
  const address = host.replace(/^\[(.*)\]$/, '$1');
  const socket = connect({
    host: address,
    port,
    ...(isIP(address) === 0 ? { servername: address } : {}),
    minVersion: 'TLSv1.2',
    ...trustOptions(trust),
  });
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const abort = (): void => reject(signal?.reason);
  signal?.addEventListener('abort', abort, { once: true });
  socket.on('error', reject);
  socket.once('close', () => reject(new Error('closed')));
  socket.setTimeout(CONNECT_TIMEOUT_MS, () => reject(Object.assign(new Error('timed out'), { code: 'ETIMEDOUT' })));
  socket.once('secureConnect', () => resolve(undefined));
  try {
    await promise;
    assertPinned(socket, server);
    socket.setTimeout(0);
    return socket;
  } catch (error) {
    socket.destroy();
    signal?.throwIfAborted();
    throw error instanceof RapiError ? error : connectFailure(error, server);
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

function assertPinned(socket: TLSSocket, server: RapiServer): void {
  const fingerprint = socket.getPeerX509Certificate()?.fingerprint256;
  if (isPinned(server.trust, fingerprint)) return;
  throw new RapiError('denied', {
    message: `the certificate of RAPI at ${nameOf(server)} is not one of those that are trusted: its SHA-256 is ${fingerprint ?? 'missing'}`,
    hint: 'If the cluster has a new certificate, add its fingerprint to the file of fingerprints: openssl x509 -in /var/lib/ganeti/rapi.pem -noout -fingerprint -sha256',
    retry: 'never',
  });
}

async function send(socket: TLSSocket, server: RapiServer, request: RapiRequest, signal: AbortSignal): Promise<RapiAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const { host, port } = server;
  const { method, path, headers, body } = request;
  const outgoing = httpRequest({ createConnection: () => socket, host, port, method, path, headers, signal }, resolve);
  outgoing.on('error', reject);
  outgoing.end(body);
  const incoming = await promise;
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of incoming) {
    if (!(chunk instanceof Buffer)) continue;
    length += chunk.length;
    if (length > MAX_ANSWER_BYTES) {
      const message = `RAPI at ${nameOf(server)}: the answer has more than ${MAX_ANSWER_BYTES} bytes`;
      throw new RapiError('failed', { message, retry: 'never' });
    }
    chunks.push(chunk);
  }
  return { status: incoming.statusCode ?? 0, body: Buffer.concat(chunks) };
}

function connectFailure(cause: unknown, server: RapiServer): RapiError {
  const code = codeOf(cause);
  const name = nameOf(server);
  const reason = UNREACHABLE[code];
  if (reason !== undefined) {
    const message = `cannot connect to RAPI at ${name}: ${reason}`;
    return new RapiError('unavailable', { message, retry: code === 'ENOTFOUND' ? 'never' : 'any', cause });
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return untrusted(
      name,
      `it is not valid for the name ${server.host}`,
      'Use a name that it has, or pin it with GANTRY_GANETI_FINGERPRINTS.',
      cause,
    );
  const verdict = VERDICTS[code];
  if (verdict !== undefined) return untrusted(name, verdict, PIN_HINT, cause);
  const message = `cannot connect to RAPI at ${name}: the TLS handshake failed (${code})`;
  return new RapiError('failed', { message, hint: 'Is RAPI what listens there? Its port is 5080, as a rule.', retry: 'never', cause });
}

function untrusted(name: string, reason: string, hint: string, cause: unknown): RapiError {
  return new RapiError('denied', { message: `the certificate of RAPI at ${name} is not trusted: ${reason}`, hint, retry: 'never', cause });
}

const PIN_HINT =
  'Name a file with the certificate or its authority in GANTRY_GANETI_CA, or one with its fingerprint in GANTRY_GANETI_FINGERPRINTS.';

/** What connecting can end with although all is configured well. */
const UNREACHABLE: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EHOSTUNREACH: 'no route to it',
  ENETUNREACH: 'its network cannot be reached',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'its name cannot be resolved now',
  ETIMEDOUT: 'no answer',
  EPIPE: 'connection reset',
  closed: 'the connection was closed',
};

/** What OpenSSL says of a certificate, by Node's names. */
const VERDICTS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'it has expired',
  CERT_NOT_YET_VALID: 'it is not valid yet',
  CERT_SIGNATURE_FAILURE: 'its signature is wrong',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'it is signed by itself, and not known here',
  INVALID_CA: 'its authority may not sign certificates',
  INVALID_PURPOSE: 'it is not for servers',
  SELF_SIGNED_CERT_IN_CHAIN: 'its authority is not known here',
  UNABLE_TO_GET_ISSUER_CERT: 'its authority is not known here',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its authority is not known here',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its authority is not known here',
};

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
}

/** `host:port`, for messages. */
export function nameOf({ host, port }: Pick<RapiServer, 'host' | 'port'>): string {
  return `${host}:${port}`;
}
