import { StoreError } from '@gantry/transport';
import { Killed } from '../histories.ts';

/** What happens at one call. */
export type FaultKind =
  /** It fails, and has done nothing. */
  | 'fails'
  /** It is not allowed, this once. */
  | 'is denied'
  /** It has done its work, and its answer is lost. Of a listing: it breaks off after its first item. */
  | 'answer is lost'
  /** It has done its work, and its answer comes after others had their turn. */
  | 'answer is late'
  /** There is no answer, until the operation is cancelled. */
  | 'stalls'
  /** The process is killed: nothing that it does from then on reaches anything. */
  | 'killed'
  /** From then on, nothing may be written or removed. */
  | 'denied from then on'
  /** From then on, there is no space. */
  | 'full from then on'
  /** A bit of what is read is another, at a byte. */
  | 'a bit is flipped'
  /** What is read ends early, without an error. */
  | 'ends early'
  /** What is read or written breaks off at a byte. */
  | 'breaks off'
  /** What is read or written stalls at a byte, until the operation is cancelled. */
  | 'stalls at'
  /** The process is killed at a byte. */
  | 'killed at';

/** What a script does after some bytes. */
export type ScriptFault =
  | 'script fails'
  | 'script is killed'
  | 'script is terminated'
  | 'script never ends'
  | 'script closes its data and lives on'
  | 'script fails and leaves a process'
  | 'script says much and fails'
  | 'script succeeds early';

/** What a call does. */
export type Effect = 'reads' | 'adds' | 'removes';

/** One call, as it was when nothing failed. */
export interface Call {
  /** Such as `commit web1/20261123T081500Z/manifest.json`. */
  readonly name: string;
  readonly effect: Effect;
  /** Bytes that it read or wrote; undefined where it does neither. */
  bytes: number | undefined;
  /** It gave an answer, which can be lost or late. Of a listing: it had an item. */
  isAnswered: boolean;
}

export interface FaultPoint {
  /** The number of the call, from 1. */
  readonly call: number;
  readonly kind: FaultKind | ScriptFault;
  /** For the kinds that say so: how many bytes come before. */
  readonly byte?: number;
}

/** A call that has a fault. */
export interface Fault {
  readonly kind: FaultKind | ScriptFault;
  readonly byte: number;
}

const KINDS: Readonly<Record<Effect, readonly FaultKind[]>> = {
  reads: ['fails', 'is denied', 'answer is lost', 'answer is late', 'stalls', 'killed'],
  adds: ['fails', 'is denied', 'answer is lost', 'answer is late', 'stalls', 'killed', 'denied from then on', 'full from then on'],
  removes: ['fails', 'is denied', 'answer is lost', 'answer is late', 'stalls', 'killed', 'denied from then on'],
};

const BODY_KINDS: Readonly<Record<Effect, readonly FaultKind[]>> = {
  reads: ['a bit is flipped', 'ends early', 'breaks off', 'stalls at', 'killed at'],
  adds: ['breaks off', 'stalls at', 'killed at'],
  removes: [],
};

/** What can happen only to an answer: a call that failed by itself, or a listing without items, has none. */
const OF_ANSWERS: ReadonlySet<FaultKind> = new Set<FaultKind>(['answer is lost', 'answer is late']);

/** Every fault that there can be at these calls. */
export function pointsOf(calls: readonly Call[]): readonly FaultPoint[] {
  return calls.flatMap(({ effect, bytes, isAnswered }, index) => {
    const call = index + 1;
    const inBody = BODY_KINDS[effect].flatMap((kind) => placesIn(bytes ?? 0).map((byte) => ({ call, kind, byte })));
    const kinds = KINDS[effect].filter((kind) => isAnswered || !OF_ANSWERS.has(kind));
    return [...kinds.map((kind) => ({ call, kind })), ...inBody];
  });
}

/** Some bytes of a body: its edges, and what is between them. */
function placesIn(bytes: number): readonly number[] {
  if (bytes === 0) return [];
  const places = [0, 1, bytes / 4, bytes / 2, (3 * bytes) / 4, bytes - 1];
  return [...new Set(places.map((place) => Math.min(bytes - 1, Math.floor(place))))];
}

/** Whether a call fails in which, or before which, the kind began. */
function isSince(kind: Fault['kind'], effect: Effect): boolean {
  return (kind === 'denied from then on' && effect !== 'reads') || (kind === 'full from then on' && effect === 'adds');
}

/** What an operation is cancelled with when a call stalls. */
export const CANCELLED: Error = new Error('cancelled by the test');

/** Notes the calls of one process, and says which has the fault. */
export class Faults {
  readonly calls: Call[] = [];
  readonly point: FaultPoint | undefined;
  /** What the call was that the fault happened to: undefined as long as it was not reached. */
  hit: string | undefined;
  /** Calls that were not given any signal, and so could not be cancelled. */
  readonly withoutSignal: string[] = [];
  readonly #cancel = new AbortController();
  /** By what was given out: the name of the call that opened it. */
  readonly #open = new Map<object, string>();
  #killed = false;

  constructor(point?: FaultPoint) {
    this.point = point;
  }

  /** For the operation. Aborted when a call stalls. */
  get signal(): AbortSignal {
    return this.#cancel.signal;
  }

  get wasKilled(): boolean {
    return this.#killed;
  }

  /** Notes a call. @returns it, and its fault */
  next(name: string, effect: Effect): { readonly call: Call; readonly fault: Fault | undefined } {
    const call: Call = { name, effect, bytes: undefined, isAnswered: false };
    this.calls.push(call);
    const { point } = this;
    const number = this.calls.length;
    if (this.#killed) return { call, fault: { kind: 'killed', byte: 0 } };
    if (point === undefined || number < point.call) return { call, fault: undefined };
    const { kind, byte = 0 } = point;
    if (number === point.call && kind === 'killed') this.kill();
    return { call, fault: number === point.call || isSince(kind, effect) ? { kind, byte } : undefined };
  }

  kill(): void {
    this.#killed = true;
  }

  /** The fault is happening, to the call with this name. */
  reached(name: string): void {
    this.hit ??= name;
  }

  /** Something was opened by a call with this name, and given out. @returns to be called when it is closed */
  opened(name: string): () => void {
    const key = {};
    this.#open.set(key, name);
    return () => void this.#open.delete(key);
  }

  /** The names of the calls that opened what is open. */
  get open(): readonly string[] {
    return [...this.#open.values()];
  }

  /** Cancels the operation. */
  cancel(): void {
    this.#cancel.abort(CANCELLED);
  }

  /** A call that gets no answer. @throws the reason of its signal; `unavailable` after a moment where that is not the operation's */
  async stall(name: string, signal: AbortSignal | undefined): Promise<never> {
    if (signal === undefined) this.withoutSignal.push(name);
    this.cancel();
    await othersTurns();
    signal?.throwIfAborted();
    throw unavailable(name);
  }
}

const TURNS = 20;

/** Lets other tasks go on. */
async function othersTurns(): Promise<void> {
  for (let turns = 0; turns < TURNS; turns += 1) await new Promise((resolve) => void setImmediate(resolve));
}

/** Does the work of a call that has no body, with its fault. */
export async function withFault<T>(
  faults: Faults,
  { name, effect, signal }: { readonly name: string; readonly effect: Effect; readonly signal?: AbortSignal | undefined },
  work: () => Promise<T>,
): Promise<T> {
  const { call, fault } = faults.next(name, effect);
  await beforeWork(faults, fault, { name, effect, signal });
  const result = await work();
  await afterWork(faults, call, fault);
  return result;
}

/** What happens to a call before it has done anything. */
const BEFORE_WORK: ReadonlySet<Fault['kind']> = new Set<Fault['kind']>(['killed', 'fails', 'is denied', 'stalls']);

/** @throws what a call rejects with that does nothing */
export async function beforeWork(
  faults: Faults,
  fault: Fault | undefined,
  { name, effect, signal }: { readonly name: string; readonly effect: Effect; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  if (fault === undefined) return;
  const { kind } = fault;
  if (BEFORE_WORK.has(kind) || isSince(kind, effect)) faults.reached(name);
  if (kind === 'killed') throw new Killed();
  if (kind === 'fails') throw unavailable(name);
  if (kind === 'is denied') throw new StoreError('denied', { message: `${name}: not allowed` });
  if (kind === 'stalls') await faults.stall(name, signal);
  if (!isSince(kind, effect)) return;
  if (kind === 'full from then on') throw new StoreError('full', { message: `${name}: there is no space` });
  throw new StoreError('denied', { message: `${name}: not allowed` });
}

/** A call has its answer. @throws where that is lost */
export async function afterWork(faults: Faults, call: Call, fault: Fault | undefined): Promise<void> {
  call.isAnswered = true;
  if (fault?.kind !== 'answer is lost' && fault?.kind !== 'answer is late') return;
  faults.reached(call.name);
  if (fault.kind === 'answer is lost') throw unavailable(call.name);
  await othersTurns();
}

function unavailable(name: string): StoreError {
  return new StoreError('unavailable', { message: `${name}: the connection was cut` });
}

/** A body with its fault. Counts its bytes. */
export async function* faultedBody(
  chunks: AsyncIterable<Uint8Array>,
  {
    faults,
    call,
    fault,
    signal,
  }: { readonly faults: Faults; readonly call: Call; readonly fault: Fault | undefined; readonly signal?: AbortSignal | undefined },
): AsyncGenerator<Uint8Array> {
  let passed = 0;
  for await (const chunk of chunks) {
    const at = fault !== undefined && fault.byte < passed + chunk.length ? fault.byte - passed : undefined;
    if (at !== undefined && at >= 0 && fault !== undefined && IN_BODY.has(fault.kind)) faults.reached(call.name);
    if (at === undefined || fault === undefined) yield chunk;
    else if (fault.kind === 'a bit is flipped') yield at < 0 ? chunk : flipped(chunk, at);
    else if (!BREAKING.has(fault.kind)) yield chunk;
    else {
      if (at > 0) yield chunk.subarray(0, at);
      if (fault.kind === 'ends early') return;
      if (fault.kind === 'stalls at') await faults.stall(call.name, signal);
      if (fault.kind === 'breaks off') throw unavailable(call.name);
      faults.kill();
      throw new Killed();
    }
    passed += chunk.length;
    call.bytes = passed;
  }
}

const BREAKING: ReadonlySet<Fault['kind']> = new Set<Fault['kind']>(['ends early', 'breaks off', 'stalls at', 'killed at']);

const IN_BODY: ReadonlySet<Fault['kind']> = BREAKING.union(new Set<Fault['kind']>(['a bit is flipped']));

function flipped(chunk: Uint8Array, at: number): Uint8Array {
  const copy = Buffer.from(chunk);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}
