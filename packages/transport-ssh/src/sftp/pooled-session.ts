import { closeOnFailure, orAbort } from '@gantry/transport';
import { performance } from 'node:perf_hooks';
import type { SshChannel, SshEngine } from '../engine/channel.ts';
import type { Handle } from './sftp-client.ts';
import { SftpClient } from './sftp-client.ts';

/** An SFTP session, with its latency and load. */
export interface PooledSession extends AsyncDisposable {
  readonly client: SftpClient;
  /** The time of one round trip, ms. */
  readonly roundTripMs: number;
  /** How many streams use it now. */
  transfers: number;
}

/** A file, opened over one session. */
export interface SessionFile {
  readonly client: SftpClient;
  readonly handle: Handle;
}

/** @throws PeerError; the signal's reason */
export async function openSession(engine: SshEngine, stallMs: number, signal: AbortSignal | undefined): Promise<PooledSession> {
  const channel = await engine.openChannel({ subsystem: 'sftp' }, { signal });
  return closeOnFailure(
    () => channel[Symbol.asyncDispose](),
    () => orAbort(startSession(channel, stallMs), signal),
  );
}

async function startSession(channel: SshChannel, stallMs: number): Promise<PooledSession> {
  const client = await SftpClient.start(channel, { stallMs });
  const before = performance.now();
  await client.realPath('.');
  const roundTripMs = performance.now() - before;
  return { client, roundTripMs, transfers: 0, [Symbol.asyncDispose]: () => client[Symbol.asyncDispose]() };
}
