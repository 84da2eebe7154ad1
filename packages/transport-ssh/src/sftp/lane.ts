import { orAbort } from '@gantry/transport';
import { performance } from 'node:perf_hooks';
import type { SshChannel, SshEngine } from '../engine/channel.ts';
import type { Handle } from './sftp-client.ts';
import { SftpClient } from './sftp-client.ts';

/** One SFTP session, and what is known of it. */
export interface Lane extends AsyncDisposable {
  readonly client: SftpClient;
  /** How long an answer takes at least, ms. */
  readonly roundTripMs: number;
  /** How many streams of bytes go over it now. */
  transfers: number;
}

/** A file, opened over one lane. */
export interface LaneFile {
  readonly client: SftpClient;
  readonly handle: Handle;
}

/** @throws PeerError; the signal's reason */
export async function openLane(engine: SshEngine, stallMs: number, signal: AbortSignal | undefined): Promise<Lane> {
  const channel = await engine.openChannel({ subsystem: 'sftp' }, { signal });
  try {
    return await orAbort(startLane(channel, stallMs), signal);
  } catch (error) {
    await channel[Symbol.asyncDispose]();
    throw error;
  }
}

async function startLane(channel: SshChannel, stallMs: number): Promise<Lane> {
  const client = await SftpClient.start(channel, { stallMs });
  const before = performance.now();
  await client.realPath('.');
  const roundTripMs = performance.now() - before;
  return { client, roundTripMs, transfers: 0, [Symbol.asyncDispose]: () => client[Symbol.asyncDispose]() };
}
