import { createHash } from 'node:crypto';
import type { CallOptions, ObjectInfo, Store } from '@gantry/transport';
import { StoreError } from '@gantry/transport';
import type { Memory } from '@gantry/transport/testing';
import { MemoryStore } from '@gantry/transport/testing';
import { watchedStore } from './watched-store.ts';

/*
 * Several processes with one store, whose calls meet in an order that a test decides, and any of which may be killed between two calls.
 */

/** Thrown by every call of a process that was killed. */
export class Killed extends Error {
  override readonly name = 'Killed';
}

/** How a store lists: keys in their order, one after the other, or directory by directory, each in an order of its own. */
export type Listing = 'keys' | 'directories';

interface Waiting {
  readonly actor: number;
  readonly go: (error?: Error) => void;
}

/** Lets one call of a store happen at a time. */
export class Stage {
  readonly #waiting: Waiting[] = [];
  readonly #killed = new Set<number>();
  readonly #running = new Set<number>();
  /** Calls that happened. */
  steps = 0;

  /** Starts a process; its calls wait until they are picked. What it rejects with is given to `failed`. */
  start(actor: number, work: () => Promise<unknown>, failed: (error: unknown) => void): void {
    this.#running.add(actor);
    void work()
      .catch(failed)
      .finally(() => this.#running.delete(actor));
  }

  /** Resolves when the actor may make its call. */
  turn(actor: number): Promise<void> {
    if (this.#killed.has(actor)) return Promise.reject(new Killed());
    return new Promise((resolve, reject) => {
      this.#waiting.push({ actor, go: (error) => (error === undefined ? resolve() : reject(error)) });
    });
  }

  wasKilled(actor: number): boolean {
    return this.#killed.has(actor);
  }

  kill(actor: number): void {
    this.#killed.add(actor);
    for (const waiting of this.#waiting.splice(0)) {
      if (waiting.actor === actor) waiting.go(new Killed());
      else this.#waiting.push(waiting);
    }
  }

  /** Lets calls happen until all processes have ended: `pick` says which is next, by the processes whose calls wait. */
  async play(pick: (actors: readonly number[]) => number): Promise<void> {
    for (;;) {
      await this.#settle();
      if (this.#running.size === 0) return;
      const [next] = this.#waiting.splice(pick(this.#waiting.map(({ actor }) => actor)), 1);
      this.steps += 1;
      next?.go();
    }
  }

  /** What the last call set off has come to its next call, or to its end: so a history can be played again. */
  async #settle(): Promise<void> {
    do await new Promise((resolve) => void setImmediate(resolve));
    while ([...this.#running].some((actor) => !this.#waiting.some((waiting) => waiting.actor === actor)));
  }
}

/** The store of one process. `after` is called when a call has changed something. */
export function stagedStore(
  memory: Memory,
  {
    stage,
    actor,
    listing,
    isFull,
    isDenied,
    after,
  }: {
    readonly stage: Stage;
    readonly actor: number;
    readonly listing: Listing;
    /** Whether there is no space for another object. */
    readonly isFull: () => boolean;
    /** Whether it has no right to make this call. */
    readonly isDenied: (call: string) => boolean;
    readonly after: (call: string) => void;
  },
): Store {
  const store = watchedStore(new MemoryStore(memory), {
    before: async (call) => {
      await stage.turn(actor);
      if (isDenied(call)) throw new StoreError('denied', { message: 'not allowed' });
      if (call.startsWith('commit') && isFull()) throw new StoreError('full', { message: 'there is no space' });
    },
    after: (call) => after(call),
  });
  const turn = (): Promise<void> => stage.turn(actor);
  return {
    ...store,
    list: (prefix, options) =>
      listing === 'keys' ? listKeys(memory, prefix, turn, options) : listDirectories(memory, prefix, turn, options),
  };
}

/** Some keys at a time, as a service does with its pages. */
async function* listKeys(memory: Memory, prefix: string, turn: () => Promise<void>, options: CallOptions = {}): AsyncGenerator<ObjectInfo> {
  const page = 3;
  let last = '';
  for (;;) {
    await turn();
    options.signal?.throwIfAborted();
    const keys = [...memory.objects.keys()].filter((key) => key.startsWith(prefix) && key > last).toSorted();
    for (const key of keys.slice(0, page)) yield* infoOf(memory, key);
    if (keys.length <= page) return;
    last = keys[page - 1] ?? '';
  }
}

/** Directory by directory; each entry is looked at by itself, in an order that has nothing to do with names. */
async function* listDirectories(
  memory: Memory,
  prefix: string,
  turn: () => Promise<void>,
  options: CallOptions = {},
): AsyncGenerator<ObjectInfo> {
  const directories = new Set([...memory.objects.keys()].filter((key) => key.startsWith(prefix)).map(directoryOf));
  for (const directory of [...directories].toSorted()) {
    const found: ObjectInfo[] = [];
    let last = '';
    for (;;) {
      await turn();
      options.signal?.throwIfAborted();
      const [next] = [...memory.objects.keys()]
        .filter((key) => directoryOf(key) === directory)
        .map((key) => ({ key, order: createHash('sha256').update(key).digest('hex') }))
        .filter(({ order }) => order > last)
        .toSorted((a, b) => (a.order < b.order ? -1 : 1));
      if (next === undefined) break;
      last = next.order;
      found.push(...infoOf(memory, next.key));
    }
    yield* found.toSorted((a, b) => (a.key < b.key ? -1 : 1));
  }
}

function directoryOf(key: string): string {
  return key.slice(0, key.lastIndexOf('/') + 1);
}

function* infoOf(memory: Memory, key: string): Generator<ObjectInfo> {
  const found = memory.objects.get(key);
  if (found !== undefined) yield { key, size: found.bytes.length, modified: found.modified };
}
