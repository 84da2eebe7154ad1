import { writeFile } from 'node:fs/promises';
import process from 'node:process';
import type { MountedFileSystem, TemporaryDirectory } from '@gantry/testkit';
import { makeSparseFile, makeTemporaryDirectory, makeTwoNodes, mountNewXfs, startSshServer } from '@gantry/testkit';
import { execa } from 'execa';
import { COMMAND } from './command.ts';

/* Moves a disk in rounds from one network namespace to another: what the benchmarks of live moves share. */

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;

export interface LiveMoveBench extends AsyncDisposable {
  readonly directory: TemporaryDirectory;
  /** An xfs with `here.img`, to be filled, and `there.img`. */
  readonly disks: MountedFileSystem;
  /** Moves the disk; how it is snapshotted and paused, `config` says. @throws if both sides differ afterwards */
  move(rounds: number, options: { readonly snapshot: string; readonly config: object }): Promise<LiveMoveResult>;
}

export interface LiveMoveResult {
  readonly rounds: readonly { readonly storedBytes: number; readonly durationMs: number }[];
  readonly downtimeMs: number;
  /** From the start of the command to its end. */
  readonly durationMs: number;
}

/** @param rate of the network, as `--limit-rate` takes it */
export async function openLiveMoveBench(diskBytes: number, rate: string): Promise<LiveMoveBench> {
  // What was mounted is unmounted when the process exits.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await makeTemporaryDirectory());
  // Before the server, which does not see later mounts.
  const disks = scope.use(await mountNewXfs(diskBytes * 3 + GIB));
  const nodes = scope.use(await makeTwoNodes());
  const server = scope.use(await startSshServer({ host: nodes.second.address, namespace: nodes.second.namespace }));
  const program = directory.file('gantry-there');
  await writeFile(program, `#!/bin/sh\nGANTRY_STATE_DIR=${directory.file('state-there')} exec ${COMMAND.join(' ')} "$@"\n`, {
    mode: 0o755,
  });
  for (const side of ['here', 'there']) {
    const yaml = `name: guest\nos: raw\nhypervisor: kvm\ndisks:\n  - path: ${disks.file(`${side}.img`)}\n`;
    await writeFile(directory.file(`${side}.yaml`), yaml);
  }
  await makeSparseFile(disks.file('there.img'), diskBytes);
  const owned = scope.move();
  return {
    directory,
    disks,
    async move(rounds, { snapshot, config }) {
      await writeFile(directory.file('snapshots.yaml'), JSON.stringify(config));
      const [enter = '', ...more] = nodes.first.enter;
      const options = ['--live-rounds', String(rounds), '--snapshot', snapshot, '--snapshot-config', directory.file('snapshots.yaml')];
      const peer = ['--peer-program', program, '--limit-rate', rate, '--yes', '--json'];
      const call = ['move', directory.file('here.yaml'), server.address(''), '--to', directory.file('there.yaml'), ...options, ...peer];
      const started = performance.now();
      const { stdout } = await execa(enter, [...more, ...COMMAND, ...call], { env: { GANTRY_STATE_DIR: directory.file('state') } });
      const durationMs = performance.now() - started;
      await execa('cmp', [disks.file('here.img'), disks.file('there.img')]);
      return { ...resultOf(JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '')), durationMs };
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Its cells in a table: what was sent in each round, and the downtime. */
export function cellsOf({ rounds, downtimeMs }: LiveMoveResult): readonly string[] {
  const sent = rounds.map(({ storedBytes, durationMs }) => `${Math.round(storedBytes / MIB)} MiB in ${seconds(durationMs)}`);
  return [String(rounds.length), sent.join('; '), seconds(downtimeMs)];
}

function resultOf(line: unknown): Omit<LiveMoveResult, 'durationMs'> {
  const { rounds, downtimeMs }: { readonly rounds?: unknown; readonly downtimeMs?: unknown } = Object(line);
  if (!Array.isArray(rounds) || typeof downtimeMs !== 'number') throw new Error(`not the result of a live move: ${JSON.stringify(line)}`);
  return { rounds, downtimeMs };
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
