import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { failureOf } from './failure.ts';
import type { Job, JobOutcome } from './worker-protocol.ts';
import { readMirror, removeMirror } from './worker-protocol.ts';

const WORKER = fileURLToPath(new URL('worker.ts', import.meta.url));
/** An input that takes longer does not end, ms. */
const MAX_STUCK_MS = 120_000;
const LOOK_MS = 500;
/** Of JavaScript's own values, MiB. */
const MAX_HEAP_MIB = 768;

/** A process that fuzzes, and is replaced when a target takes it along. */
export class WatchedWorker implements AsyncDisposable {
  readonly #maxStuckMs: number;
  readonly #mirror = join(tmpdir(), `gantry-fuzz-input-${randomUUID()}`);
  #worker: ChildProcess | undefined;

  constructor(maxStuckMs: number = MAX_STUCK_MS) {
    this.#maxStuckMs = maxStuckMs;
    writeFileSync(this.#mirror, '', { mode: 0o600 });
  }

  /** Fuzzes one target. An input that does not end, or takes all memory, is a failure, and ends it. */
  async run(job: Job): Promise<JobOutcome> {
    const started = performance.now();
    const first = this.#worker === undefined ? 0 : readMirror(this.#mirror).count;
    const worker = (this.#worker ??= this.#start());
    const { promise, resolve } = Promise.withResolvers<JobOutcome | Error>();
    const onMessage = (outcome: JobOutcome): void => resolve(outcome);
    const onEnd = (code: number | null, signal: string | null): void =>
      resolve(
        new Error(`it ended the process (${signal ?? `status ${code}`}): it needs more than ${MAX_HEAP_MIB} MiB of values, or has crashed`),
      );
    worker.once('message', onMessage).once('error', resolve).once('exit', onEnd);
    const timer = this.#watch(() => resolve(new Error(`an input does not end within ${this.#maxStuckMs / 1000} s`)));
    worker.send(job);
    try {
      const outcome = await promise;
      if (!(outcome instanceof Error)) return outcome;
      await this.#end();
      const { count, input } = readMirror(this.#mirror);
      const failures = [failureOf(input ?? new Uint8Array(0), outcome)];
      return { name: job.name, inputs: count - first, known: 0, ms: performance.now() - started, kept: [], failures };
    } finally {
      clearInterval(timer);
      worker.off('message', onMessage).off('error', resolve).off('exit', onEnd);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
    removeMirror(this.#mirror);
  }

  #start(): ChildProcess {
    const worker = fork(WORKER, [this.#mirror], {
      execArgv: ['--conditions=@gantry/source', '--no-warnings', `--max-old-space-size=${MAX_HEAP_MIB}`],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    // In an input that does not end, it does not notice that nobody is there any more.
    const kill = (): void => void worker.kill('SIGKILL');
    process.once('exit', kill);
    worker.once('exit', () => process.off('exit', kill));
    return worker;
  }

  async #end(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    if (worker === undefined || worker.exitCode !== null || worker.signalCode !== null) return;
    const ended = once(worker, 'exit');
    worker.kill('SIGKILL');
    await ended;
  }

  #watch(onStuck: () => void): NodeJS.Timeout {
    let last = readMirror(this.#mirror).count;
    // Looks, and not the time: both processes may have been stopped for any time.
    let looks = 0;
    return setInterval(() => {
      const { count, input } = readMirror(this.#mirror);
      looks = count === last && input !== undefined ? looks + 1 : 0;
      last = count;
      if (looks * LOOK_MS > this.#maxStuckMs) onStuck();
    }, LOOK_MS);
  }
}
