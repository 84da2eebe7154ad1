import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { describeExport } from '@gantry/nbd';

import type { Server, ServerOptions } from '../start-server.ts';
import { startServer } from '../start-server.ts';

export interface ImageServerOptions extends Pick<ServerOptions, 'started' | 'signal'> {
  /** For the socket; made here, and removed with the snapshot. */
  readonly directory: string;
  readonly exportName: string;
  /** What QEMU opens, read only: a raw image, or `json:` with the format. */
  readonly uri: string;
}

/** QEMU's NBD server for one image. */
export interface ImageServer extends Server {
  readonly socket: string;
}

/** How long one connection waits for an answer. */
const ANSWER_MS = 10_000;

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
  const server = await startServer({
    argv: ['qemu-nbd', ...serving, ...(uri.startsWith('json:') ? [] : ['--format=raw']), uri],
    packages: 'Debian packages qemu-utils and qemu-block-extra',
    task: 'which reads the image',
    isReady: () => answers(socket, exportName, signal),
    started,
    signal,
  });
  return { ...server, socket };
}

/** qemu-nbd listens before it has opened the image, and complains about clients that only leave. */
async function answers(path: string, exportName: string, signal: AbortSignal): Promise<boolean> {
  return await describeExport({ address: { path }, exportName, timeoutMs: ANSWER_MS, signal }).then(
    () => true,
    () => false,
  );
}
