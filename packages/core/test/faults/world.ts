import { createHash } from 'node:crypto';
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { generateX25519Identity, Identities, Recipients } from '@gantry/age';
import type { Store } from '@gantry/transport';
import { execa } from 'execa';
import { identityUnsealer } from '../../src/exports/identity-unsealer.ts';
import { initializeStore } from '../../src/exports/store-marker.ts';
import { withUnsealer } from '../../src/exports/unsealing.ts';
import type { OperationBench, OperationBenchOptions } from '../operation-bench.ts';
import { makeOperationBench } from '../operation-bench.ts';
import type { Medium, Place } from './place.ts';

const identities = Identities.parse(await generateX25519Identity());
const recipients = Recipients.of(await identities.recipients());

/** What the disks of an export held: the SHA-256 of each, by the export's reference. */
export type Disks = ReadonlyMap<string, readonly string[]>;

/** Two stores, and the exports of one instance that they hold. Attempts work on copies. */
export interface World extends AsyncDisposable {
  readonly bench: OperationBench;
  readonly places: readonly [Place, Place];
  /** Of all exports, oldest first. */
  readonly disks: Disks;
  /** For those exports that are sealed. */
  readonly recipients: Recipients;
  /** A key to sign with. */
  readonly signKey: string;
  /** The SHA-256 of each disk of the instance as it is now. */
  readonly now: readonly string[];
}

/** A lineage of four exports in the first store, the third of which is sealed; the second store is empty. */
export async function makeWorld(medium: Medium, disks: number, scripts?: OperationBenchOptions['scripts']): Promise<World> {
  await using scope = new AsyncDisposableStack();
  const bench = scope.use(await makeOperationBench({ disks, ...(scripts === undefined ? {} : { scripts }) }));
  const place = scope.use(await medium.place());
  const other = scope.use(await medium.place());
  for (const each of [place, other]) {
    await using store = await each.open();
    await initializeStore(store);
  }
  const known = new Map<string, readonly string[]>();
  for (const [day, sealed] of [false, false, true, false].entries()) {
    for (const path of pathsOf(bench)) {
      const bytes = await readFile(path);
      await writeFile(path, bytes.fill(day + 1, 100, 200));
    }
    await using store = await place.open();
    const { reference } = await bench.exportDisks({ store, incremental: true, ...(sealed ? { recipients } : {}) });
    known.set(reference, await digestsOf(pathsOf(bench)));
  }
  const signKey = bench.directory.file('key');
  await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', signKey]);
  const owned = scope.move();
  return {
    bench,
    places: [place, other],
    disks: known,
    recipients,
    signKey,
    now: await digestsOf(pathsOf(bench)),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** A store with the identity that opens what is sealed. */
export function opened(store: Store): Store {
  return withUnsealer(store, identityUnsealer(identities));
}

/** The paths of the instance's disks. */
export function pathsOf({ instance }: Pick<OperationBench, 'instance'>): readonly string[] {
  return instance.disks.map(({ path }) => path ?? '');
}

export function digestsOf(paths: readonly string[]): Promise<readonly string[]> {
  return Promise.all(paths.map(async (path) => sha256(await readFile(path))));
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The state directory of one attempt: what the world's has, in a place of its own. */
export async function copyState({ bench }: World, name: string): Promise<string> {
  const path = bench.directory.file(name);
  await rm(path, { recursive: true, force: true });
  await cp(bench.directory.file('state'), path, { recursive: true, preserveTimestamps: true });
  return path;
}
