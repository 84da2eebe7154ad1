import { setImmediate } from 'node:timers/promises';
import { inspect } from 'node:util';
import { Coverage } from './coverage.ts';
import type { Failure } from './failure.ts';
import { failureOf } from './failure.ts';
import { minimize } from './minimize.ts';
import { Mutator } from './mutate.ts';
import { Random } from './random.ts';
import type { FuzzTarget } from './target.ts';

/** A usual input, bytes. */
const DEFAULT_MAX_BYTES = 4096;
/** What one input may take of a processor, ms: far more than any of them does. */
const MAX_INPUT_MS = 10_000;
/** What memory may grow by for one input, bytes. */
const MAX_GROWTH_BYTES = 512 * 1024 ** 2;
const MIN_BATCH = 16;
const MAX_BATCH = 4096;
/** Of a target; after that it is left. */
const MAX_FAILURES = 8;
/** The inputs from which others are made: the seeds, the corpus, and some that were kept, but not those of unusual length, which take long. */
const MAX_POOL = 5000;
/** Of those that were kept last, half of all others are made. */
const MAX_RECENT = 32;

export interface FuzzOptions {
  readonly seed: number;
  /** Ends after this number of inputs, or of ms, beside what the seeds and the corpus take. */
  readonly inputs?: number | undefined;
  readonly ms?: number | undefined;
  readonly corpus: readonly Uint8Array[];
  /** Inputs that reach something new are kept, and new ones are made of them. Costs time before it pays. */
  readonly isGuided: boolean;
  /** More memory for one input is a failure, bytes. */
  readonly maxGrowthBytes?: number | undefined;
  /** Called before each input is run. */
  readonly onInput?: ((input: Uint8Array) => void) | undefined;
  /** Takes what the target did besides, such as a rejected promise that it left behind; undefined if there is nothing. It may come a turn late. */
  readonly takeBesides?: (() => unknown) | undefined;
}

export interface FuzzOutcome {
  readonly inputs: number;
  /** How many of them were seeds, or in the corpus. */
  readonly known: number;
  readonly ms: number;
  /** What reached something new, in the order in which it was found. */
  readonly kept: readonly Uint8Array[];
  readonly failures: readonly Failure[];
}

/** Runs a target with its seeds, its corpus, and what mutations make of them. */
export async function fuzz(target: FuzzTarget, options: FuzzOptions): Promise<FuzzOutcome> {
  using run = new FuzzRun(target, options);
  return await run.run();
}

class FuzzRun implements Disposable {
  readonly #target: FuzzTarget;
  readonly #options: FuzzOptions;
  readonly #random: Random;
  readonly #mutator: Mutator;
  readonly #maxBytes: number;
  readonly #coverage: Coverage | undefined;
  readonly #pool: Uint8Array[] = [];
  readonly #kept: Uint8Array[] = [];
  /** The latest of them, of usual length. */
  #recent: readonly Uint8Array[] = [];
  readonly #failures = new Map<string, Failure>();
  readonly #started = performance.now();
  #inputs = 0;
  /** How many of them were seeds, or in the corpus, and when they had been run. */
  #known = 0;
  #knownEnd = 0;
  #batch = MIN_BATCH;

  constructor(target: FuzzTarget, options: FuzzOptions) {
    this.#target = target;
    this.#options = options;
    this.#random = new Random(options.seed);
    const { words = [], maxBytes = DEFAULT_MAX_BYTES } = target;
    this.#maxBytes = maxBytes;
    this.#mutator = new Mutator({ random: this.#random, words, maxBytes });
    this.#coverage = options.isGuided ? new Coverage() : undefined;
  }

  async run(): Promise<FuzzOutcome> {
    const seeds = (await this.#target.seeds()).map((seed) => (typeof seed === 'string' ? Buffer.from(seed) : seed));
    if (seeds.length === 0) throw new RangeError('a target without seeds');
    const known = [...seeds, ...this.#options.corpus];
    this.#pool.push(...seeds, ...this.#options.corpus.filter((input) => this.#isUsual(input)));
    await this.#runAll(known);
    this.#known = this.#inputs;
    this.#knownEnd = performance.now();
    this.#coverage?.add(this.#coverage.take());
    while (!this.#isOver()) {
      const started = performance.now();
      const inputs = Array.from({ length: Math.min(this.#batch, this.#left()) }, () => this.#newInput());
      await this.#runAll(inputs);
      await this.#keepNew(inputs, performance.now() - started);
    }
    return {
      inputs: this.#inputs,
      known: this.#known,
      ms: performance.now() - this.#started,
      kept: this.#kept,
      failures: [...this.#failures.values()],
    };
  }

  [Symbol.dispose](): void {
    this.#coverage?.[Symbol.dispose]();
  }

  #isUsual({ length }: Uint8Array): boolean {
    return length <= this.#maxBytes;
  }

  #left(): number {
    return (this.#options.inputs ?? Infinity) - (this.#inputs - this.#known);
  }

  #isOver(): boolean {
    const ms = performance.now() - this.#knownEnd;
    return this.#left() <= 0 || ms >= (this.#options.ms ?? Infinity) || this.#failures.size >= MAX_FAILURES;
  }

  #newInput(): Uint8Array {
    // Of what was found last, the most can be expected.
    const isRecent = this.#recent.length > 0 && this.#random.oneIn(2);
    const from = this.#random.pick(isRecent ? this.#recent : this.#pool);
    return this.#mutator.mutate(from, this.#random.pick(this.#pool));
  }

  async #runAll(inputs: readonly Uint8Array[]): Promise<void> {
    const { maxGrowthBytes = MAX_GROWTH_BYTES } = this.#options;
    const before = process.memoryUsage.rss();
    for (const input of inputs) await this.#runOne(input);
    this.#inputs += inputs.length;
    // A reader that never waits would keep this process from seeing what it left behind, and that it is to end.
    await setImmediate();
    const besides = this.#options.takeBesides?.();
    if (besides !== undefined) await this.#findBesides(inputs, besides);
    if (process.memoryUsage.rss() - before <= maxGrowthBytes) return;
    for (const input of inputs) {
      const start = process.memoryUsage.rss();
      await this.#runOne(input);
      const growth = process.memoryUsage.rss() - start;
      if (growth > maxGrowthBytes) await this.#add(input, new Error(`it took ${Math.floor(growth / 1024 ** 2)} MiB of memory`));
    }
  }

  /** Which inputs of a batch made the target do something besides: each is run again, and waited for. */
  async #findBesides(inputs: readonly Uint8Array[], first: unknown): Promise<void> {
    const target = this.#waiting();
    let isFound = false;
    for (const input of inputs) {
      const error = await errorOf(target, input);
      if (error === undefined) continue;
      isFound = true;
      await this.#add(input, error, target);
    }
    const [input] = inputs.slice(-1);
    if (isFound || input === undefined) return;
    await this.#add(
      input,
      new Error(`after one of ${inputs.length} inputs, of which this is the last: ${inspect(first)}`, { cause: first }),
    );
  }

  /** The target, which fails with what it does besides. */
  #waiting(): FuzzTarget {
    const { takeBesides } = this.#options;
    return {
      ...this.#target,
      run: async (input) => {
        await this.#target.run(input);
        await setImmediate();
        const besides = takeBesides?.();
        if (besides !== undefined) throw besides;
      },
    };
  }

  async #runOne(input: Uint8Array): Promise<void> {
    this.#options.onInput?.(input);
    const started = performance.now();
    try {
      const running = this.#target.run(input);
      if (running !== undefined) await running;
    } catch (error) {
      return await this.#add(input, error, this.#target);
    }
    // On a busy machine, time passes while nothing is done.
    if (performance.now() - started > MAX_INPUT_MS && (await this.#processorMs(input)) > MAX_INPUT_MS)
      await this.#add(input, new Error(`it took more than ${MAX_INPUT_MS / 1000} s`));
  }

  async #processorMs(input: Uint8Array): Promise<number> {
    const before = process.cpuUsage();
    await this.#target.run(input);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  }

  /** @param target what fails with shorter inputs too, if that can be tried */
  async #add(input: Uint8Array, error: unknown, target?: FuzzTarget): Promise<void> {
    const failure = failureOf(input, error);
    if (this.#failures.has(failure.key) || this.#failures.size >= MAX_FAILURES) return;
    this.#failures.set(failure.key, failure);
    if (target !== undefined) this.#failures.set(failure.key, { ...failure, input: await minimize(target, failure) });
  }

  async #keepNew(inputs: readonly Uint8Array[], runMs: number): Promise<void> {
    if (this.#coverage === undefined) return;
    const started = performance.now();
    const taken = this.#coverage.take();
    const takeMs = performance.now() - started;
    // Asking is to take a tenth of the time.
    if (takeMs * 10 > runMs) this.#batch = Math.min(MAX_BATCH, this.#batch * 2);
    else if (takeMs * 40 < runMs) this.#batch = Math.max(MIN_BATCH, Math.floor(this.#batch / 2));
    if (this.#coverage.isNew(taken)) await this.#locate(this.#coverage, inputs);
    // What came about without any input alone, such as by what was optimized meanwhile.
    this.#coverage.add(taken);
  }

  /** Finds those that reach something new, by halves. */
  async #locate(coverage: Coverage, inputs: readonly Uint8Array[]): Promise<void> {
    coverage.take();
    for (const input of inputs) await this.#runOne(input);
    const taken = coverage.take();
    if (!coverage.isNew(taken)) return;
    const [only] = inputs;
    if (only === undefined || inputs.length > 1) {
      const middle = Math.ceil(inputs.length / 2);
      await this.#locate(coverage, inputs.slice(0, middle));
      await this.#locate(coverage, inputs.slice(middle));
      return;
    }
    coverage.add(taken);
    this.#kept.push(only);
    if (!this.#isUsual(only)) return;
    this.#recent = [...this.#recent, only].slice(-MAX_RECENT);
    // Where there is no more room, another one makes way.
    if (this.#pool.length < MAX_POOL) this.#pool.push(only);
    else this.#pool[this.#random.below(this.#pool.length)] = only;
  }
}

async function errorOf(target: FuzzTarget, input: Uint8Array): Promise<unknown> {
  try {
    await target.run(input);
    return undefined;
  } catch (error) {
    return error;
  }
}
