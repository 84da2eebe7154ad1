import { parentPort, workerData } from 'node:worker_threads';
import { readCorpus } from './corpus.ts';
import { failureOf } from './failure.ts';
import { fuzz } from './fuzz.ts';
import type { FuzzTarget } from './target.ts';
import type { Job, JobOutcome } from './worker-protocol.ts';
import { InputMirror } from './worker-protocol.ts';

/*
 * Fuzzes one target after the other. What it is doing is seen from outside: a reader that never ends, or takes all memory, takes this
 * thread along.
 */

const port = parentPort;
if (port === null) throw new TypeError('this is a worker thread');
const mirror = new InputMirror(sharedMemory(workerData));

port.on('message', (job: Job) => {
  void runJob(job).then(
    (outcome) => port.postMessage(outcome),
    (error: unknown) => port.postMessage({ name: job.name, inputs: 0, ms: 0, kept: [], failures: [failureOf(Buffer.of(), error)] }),
  );
});

/** What a reader leaves behind fails later: by then, it is about the current input, or one just before it. */
let rejected: unknown[] = [];
process.on('unhandledRejection', (error) => rejected.push(error));
process.on('uncaughtException', (error) => rejected.push(error));

async function runJob({ file, corpus, name, inputs, ...options }: Job): Promise<JobOutcome> {
  rejected = [];
  const target = await loadTarget(file);
  const found = await fuzz(
    {
      ...target,
      run: async (input) => {
        await target.run(input);
        if (rejected.length > 0) throw rejected.splice(0)[0];
      },
    },
    {
      ...options,
      inputs: inputs === undefined ? undefined : Math.ceil(inputs / (target.oneOf ?? 1)),
      corpus: await readCorpus(corpus),
      onInput: (input) => mirror.put(input),
    },
  );
  mirror.clear();
  return { name, ...found };
}

async function loadTarget(file: string): Promise<FuzzTarget> {
  const module: { readonly default: FuzzTarget } = await import(file);
  return module.default;
}

function sharedMemory(data: unknown): SharedArrayBuffer {
  if (data instanceof SharedArrayBuffer) return data;
  throw new TypeError('a worker without shared memory');
}
