import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';

import { errnoName } from '../../system/errno-name.ts';
import type { GatedProcess, ProcessEnd } from '../../system/gated-process.ts';
import { spawnGated } from '../../system/gated-process.ts';
import { pause } from '../../system/pause.ts';
import type { ProcessGroup } from '../../system/process-group.ts';

/** As long as a client waits for its cluster. */
const START_TIMEOUT_MS = 60_000;
const START_PAUSE_MS = 20;
const KEPT_BYTES = 4096;

export interface ImageServerOptions {
  /** For the socket; made here, and removed with the snapshot. */
  readonly directory: string;
  readonly exportName: string;
  /** What QEMU opens, read only: a raw image, or `json:` with the format. */
  readonly uri: string;
  /** Remembers the process. It starts when this has resolved. */
  readonly started: (group: ProcessGroup) => Promise<void>;
  readonly signal: AbortSignal;
}

/** QEMU's NBD server for one image. */
export interface ImageServer {
  readonly socket: string;
  /** How it ended, if it did: one clause. */
  readonly whyEnded: () => string | undefined;
}

/** The path of its socket. */
export function socketIn(directory: string): string {
  return join(directory, 'nbd');
}

/**
 * Starts qemu-nbd(8) and waits until it answers. Ending its process group is the caller's.
 * @throws Error with its last lines; the signal's reason
 */
export async function startImageServer({ directory, exportName, uri, started, signal }: ImageServerOptions): Promise<ImageServer> {
  const socket = socketIn(directory);
  await mkdir(directory, { mode: 0o700 });
  const serving = ['--read-only', '--persistent', '--shared=8', `--export-name=${exportName}`, `--socket=${socket}`];
  const gated = await spawn(['qemu-nbd', ...serving, ...(uri.startsWith('json:') ? [] : ['--format=raw']), uri]);
  let [end, stderr]: [ProcessEnd | undefined, Buffer] = [undefined, Buffer.alloc(0)];
  gated.child.stderr?.on('data', (bytes: Buffer) => (stderr = Buffer.concat([stderr, bytes]).subarray(-KEPT_BYTES)));
  void gated.end.then((how) => (end = how));
  const whyEnded = (): string | undefined => (end === undefined ? undefined : describeEnd(end, stderr.toString()));
  await started(gated.group);
  await gated.open().catch(notRun);
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (!(await answers(socket))) {
    const ended = whyEnded();
    if (ended !== undefined) throw new Error(ended);
    if (performance.now() > deadline) throw new Error(`qemu-nbd did not answer within ${START_TIMEOUT_MS / 1000} s`);
    await pause(START_PAUSE_MS, signal);
  }
  return { socket, whyEnded };
}

function spawn(argv: readonly [string, ...string[]]): Promise<GatedProcess> {
  return spawnGated(argv, {
    cwd: '/',
    environment: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
}

function notRun(error: unknown): never {
  if (errnoName(error) !== 'ENOENT') throw error;
  throw new Error('qemu-nbd is not installed (Debian packages qemu-utils and qemu-block-extra)', { cause: error });
}

function describeEnd(end: ProcessEnd, stderr: string): string {
  const words = stderr.trim().split('\n').slice(-3).join(' / ');
  const how = 'status' in end ? `ended with status ${end.status}` : `was killed by ${end.signal}`;
  return `qemu-nbd, which reads the image, ${how}${words === '' ? '' : `: ${words}`}`;
}

async function answers(path: string): Promise<boolean> {
  const socket = connect({ path });
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
