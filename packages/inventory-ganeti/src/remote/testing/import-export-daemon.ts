import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PATIENTLY, killTree } from '@gantry/testkit';
import { expect } from 'vitest';
import type { Identity } from '../identity.ts';

const DAEMON = '/usr/lib/ganeti/import-export';

export interface DaemonFiles {
  /** A directory of its own. */
  readonly directory: string;
  readonly identity: Identity;
  /** PEM. */
  readonly peer: string;
  readonly magic: string;
}

/** Ganeti's own daemon at its end of the line, as its node daemon starts it. It dies with this process. */
export interface ImportExportDaemon extends AsyncDisposable {
  /** Of an importer: the port where it listens. */
  port(): Promise<number>;
  /** What it came to: its exit status, and what it wrote into its status file. */
  outcome(): Promise<{ readonly status: number | null; readonly said: string }>;
}

/** Receives one disk into `file`. */
export function startImporter(files: DaemonFiles, file: string): Promise<ImportExportDaemon> {
  return start(files, 'import', ['--bind=127.0.0.1', '--connect-timeout=120', `--cmd-suffix=> '${file}'`]);
}

/** Sends what a shell command writes. */
export function startExporter(files: DaemonFiles, port: number, command: string): Promise<ImportExportDaemon> {
  return start(files, 'export', [
    '--host=127.0.0.1',
    `--port=${port}`,
    '--connect-timeout=20',
    '--connect-retries=2',
    `--cmd-prefix=${command} |`,
  ]);
}

async function start(
  { directory, identity, peer, magic }: DaemonFiles,
  mode: string,
  options: readonly string[],
): Promise<ImportExportDaemon> {
  const file = (name: string): string => join(directory, `${mode}-${name}`);
  await writeFile(file('key'), identity.key, { mode: 0o600 });
  await writeFile(file('cert'), identity.certificate);
  await writeFile(file('ca'), peer);
  const keys = [`--key=${file('key')}`, `--cert=${file('cert')}`, `--ca=${file('ca')}`];
  const args = [DAEMON, file('status'), mode, ...keys, '--ipv4', '--compress=none', `--magic=${magic}`, ...options];
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', ...args], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  const status = async (): Promise<string> => await readFile(file('status'), 'utf8').catch(() => '{}');
  return {
    port: async () =>
      await expect
        .poll(async () => portOf(await status()), { ...PATIENTLY, interval: 20 })
        .toBeGreaterThan(0)
        .then(async () => portOf(await status())),
    outcome: async () => {
      const [code]: unknown[] = await ended;
      return { status: typeof code === 'number' ? code : null, said: await status() };
    },
    async [Symbol.asyncDispose]() {
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
      // Its shell and socat too, which have a session of their own.
      await killTree(child.pid);
      await ended;
    },
  };
}

function portOf(status: string): number {
  const port: unknown = /"listen_port":\s*([0-9]+)/.exec(status)?.[1];
  return Number(port ?? 0);
}
