import { Buffer } from 'node:buffer';
import { ALL_VARIANTS } from '@gantry/testkit';
import type { PendingObject } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Loss } from './testing/disk.ts';
import { DiskDirectory, afterPowerCut } from './testing/disk.ts';
import { complete, contentsOf, digestOf, inChunks, pathsOn, put, storeOn } from './testing/objects.ts';

/*
 * The power is cut before every single step, and unsynced data is lost, kept, or lost in part: names without bytes, bytes without names.
 * In every case an object is complete and correct, or not visible, and what was acknowledged stays.
 */

interface Action {
  readonly kind: 'create' | 'replace' | 'remove' | 'resume' | 'salvage' | 'discard';
  readonly key: string;
  readonly bytes: number;
}

const LOSSES: Readonly<Record<string, Loss>> = {
  nothing: { name: () => false, bytes: () => false },
  everything: { name: () => true, bytes: () => true },
  'bytes but no names': { name: () => false, bytes: () => true },
  'names but no bytes': { name: () => true, bytes: () => false },
};

/** Loses a part of it, chosen only by the seed. */
function partOf(seed: number): Loss {
  const isLost = (path: string): boolean => (Buffer.from(path).reduce((sum, byte) => sum * 31 + byte, seed) & 8) === 0;
  return { name: isLost, bytes: (path) => isLost(`${path} bytes`) };
}

/** The possible contents of each key; undefined for no object. */
type Expected = ReadonlyMap<string, ReadonlySet<string | undefined>>;

interface Found {
  readonly step: string;
  readonly loss: string;
  readonly disk: DiskDirectory;
  readonly expected: Expected;
  /** The complete content of the current write, and how much of it the writer has reported as durable. */
  readonly writing: { readonly key: string; readonly content: Buffer; readonly durableBytes: number } | undefined;
}

/** Makes changes to a store, and records the disk as it would be after a power cut before each step. */
class Recording {
  readonly disk = new DiskDirectory();
  readonly found: Found[] = [];
  readonly store;
  readonly #losses: Readonly<Record<string, Loss>>;
  readonly #settled = new Map<string, string | undefined>();
  #possible: { readonly key: string; readonly content: string | undefined } | undefined;
  #writing: { readonly content: Buffer; readonly write: PendingObject } | undefined;

  constructor(losses: Readonly<Record<string, Loss>>, inOrder: boolean) {
    this.#losses = losses;
    this.store = storeOn(this.disk, { inOrder, before: ({ call, path }) => this.#cut(`${call} ${path}`) });
  }

  /** Checks all recorded disks, and the current one. */
  async check(): Promise<void> {
    this.#cut('the end');
    for (const each of this.found) await checkFound(each);
  }

  async run({ kind, key, bytes }: Action): Promise<void> {
    const content = Buffer.alloc(bytes, `${kind} ${key} ${bytes} `);
    if (kind === 'remove') return this.#changing(key, undefined, () => this.store.remove([key]));
    if (kind === 'discard') return this.#discard(key, content);
    if (kind === 'salvage') return this.#salvage(key, content.subarray(0, content.length / 2));
    await this.#changing(key, content.toString('latin1'), () =>
      kind === 'resume' ? this.#resume(key, content) : this.#write(kind, key, content),
    );
  }

  async #write(kind: 'create' | 'replace', key: string, content: Buffer): Promise<void> {
    await using write = await this.store.begin(key, { ifExists: kind === 'create' ? 'fail' : 'replace' });
    this.#writing = { content, write };
    await complete(write, content);
  }

  async #resume(key: string, content: Buffer): Promise<void> {
    const first = await this.store.begin(key, { ifExists: 'replace' });
    this.#writing = { content, write: first };
    await first.append(inChunks(content.subarray(0, content.length / 2), 300));
    await first.suspend();
    await using second = await this.store.resume(first.token);
    this.#writing = { content, write: second };
    await complete(second, content);
  }

  /** What was written of an object becomes the object. */
  async #salvage(key: string, content: Buffer): Promise<void> {
    if (content.length === 0) return;
    await this.#changing(key, content.toString('latin1'), async () => {
      const orphan = await this.store.begin(key);
      this.#writing = { content, write: orphan };
      await orphan.append(inChunks(content, 300));
      await orphan.suspend();
      const made = await this.store.salvage(orphan.token);
      if (made?.size !== content.length) throw new Error(`${made?.size ?? 'none'} of ${content.length} bytes were salvaged`);
    });
  }

  async #discard(key: string, content: Buffer): Promise<void> {
    await using write = await this.store.begin(key, { ifExists: 'replace' });
    this.#writing = { content, write };
    await write.append(inChunks(content, 500));
    this.#writing = undefined;
  }

  async #changing(key: string, content: string | undefined, work: () => Promise<void>): Promise<void> {
    this.#possible = { key, content };
    try {
      await work();
      this.#settled.set(key, content);
    } catch (error) {
      // The key exists: that is a definite result too.
      if (!isStoreError(error, 'exists')) throw error;
    } finally {
      this.#possible = undefined;
      this.#writing = undefined;
    }
  }

  #cut(step: string): void {
    const expected = new Map<string, Set<string | undefined>>();
    for (const [key, content] of this.#settled) expected.set(key, new Set([content]));
    if (this.#possible !== undefined) {
      const { key, content } = this.#possible;
      expected.set(key, (expected.get(key) ?? new Set([undefined])).add(content));
    }
    const { content, write } = this.#writing ?? {};
    const writing =
      content === undefined || write === undefined ? undefined : { key: write.key, content, durableBytes: write.durableBytes };
    for (const [loss, of] of Object.entries(this.#losses)) {
      this.found.push({ step, loss, disk: afterPowerCut(this.disk, of), expected, writing });
    }
  }
}

async function checkFound({ step, loss, disk, expected, writing }: Found): Promise<void> {
  const when = `power cut before "${step}", which lost ${loss}`;
  const store = storeOn(disk);
  const contents = await contentsOf(store);
  for (const [key, possible] of expected) expect(possible, `${key} after ${when}`).toContain(contents.get(key));
  for (const key of contents.keys()) expect([...expected.keys()], when).toContain(key);
  const left = await Array.fromAsync(store.pending(''));
  if (writing !== undefined && writing.durableBytes > 0) {
    const found = left.find(({ key }) => key === writing.key);
    const isCommitted = contents.get(writing.key) === writing.content.toString('latin1');
    if (!isCommitted || found !== undefined) await checkResuming(disk, found?.token, writing, when);
  }
  await store.clear(left.map(({ token }) => token));
  await store.clear([]);
  const objects = [...contents.keys()];
  const directories = objects.flatMap((key) => key.split('/').map((_, index, parts) => parts.slice(0, index).join('/')));
  expect(new Set(pathsOn(disk)), `what is left ${when}`).toEqual(new Set([...objects, ...directories].filter((path) => path !== '')));
}

async function checkResuming(
  disk: DiskDirectory,
  token: string | undefined,
  writing: NonNullable<Found['writing']>,
  when: string,
): Promise<void> {
  if (token === undefined)
    throw new Error(`${writing.key} cannot be resumed after a ${when}, though ${writing.durableBytes} bytes were durable`);
  const store = storeOn(afterPowerCut(disk, { name: () => false, bytes: () => false }));
  let resumed: PendingObject;
  try {
    resumed = await store.resume(token);
  } catch (error) {
    // Its writer had just committed it.
    if (isStoreError(error, 'not-found')) return;
    throw error;
  }
  await using write = resumed;
  expect(write.durableBytes, `durable ${when}`).toBeGreaterThanOrEqual(writing.durableBytes);
  await write.append(inChunks(writing.content.subarray(write.durableBytes), 700));
  await write.commit(digestOf(writing.content)).catch((error: unknown) => {
    if (!isStoreError(error, 'exists')) throw new Error(`the resumed object is wrong after a ${when}`, { cause: error });
  });
}

const ACTIONS: readonly Action[] = [
  { kind: 'create', key: 'a/b/c', bytes: 5000 },
  { kind: 'create', key: 'a/b/c', bytes: 10 },
  { kind: 'replace', key: 'a/b/c', bytes: 4000 },
  { kind: 'resume', key: 'a/d', bytes: 6000 },
  { kind: 'discard', key: 'a/e', bytes: 3000 },
  { kind: 'salvage', key: 'a/f', bytes: 7000 },
  { kind: 'remove', key: 'a/b/c', bytes: 0 },
  { kind: 'create', key: 'a/b/c', bytes: 0 },
];

describe.each([{ inOrder: true }, { inOrder: false }])('after a power cut, %o', ({ inOrder }) => {
  test('at every step of every kind of change, objects are complete and correct, or not visible', async () => {
    const recording = new Recording(LOSSES, inOrder);
    for (const action of ACTIONS) await recording.run(action);
    await recording.check();
    expect(recording.found.length).toBeGreaterThan(400);
  });

  test('the same is true for any changes in any order, and any lost part', { timeout: 300_000 }, async () => {
    const action = fc.record({
      kind: fc.constantFrom<Action['kind']>('create', 'replace', 'remove', 'resume', 'salvage', 'discard'),
      key: fc.constantFrom('a', 'b/c', 'b/d', 'b/e/f'),
      bytes: fc.constantFrom(0, 1, 999, 2500, 5000),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 1, maxLength: 6 }), fc.nat(), async (actions, seed) => {
        const recording = new Recording({ 'some of it': partOf(seed), 'other parts': partOf(seed + 17) }, inOrder);
        for (const each of actions) await recording.run(each);
        await recording.check();
      }),
      { numRuns: ALL_VARIANTS ? 25 : 10 },
    );
  });
});

test('an object that was acknowledged before survives', async () => {
  const disk = new DiskDirectory();
  await put(storeOn(disk), 'x/y', Buffer.from('content'));
  const left = afterPowerCut(disk, { name: () => true, bytes: () => true });
  expect(await contentsOf(storeOn(left))).toEqual(new Map([['x/y', 'content']]));
});
