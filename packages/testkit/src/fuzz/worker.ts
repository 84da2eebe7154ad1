import process from 'node:process';
import { readCorpus } from './corpus.ts';
import { failureOf } from './failure.ts';
import { fuzz } from './fuzz.ts';
import type { FuzzTarget } from './target.ts';
import type { Job, JobOutcome } from './worker-protocol.ts';
import { InputMirror } from './worker-protocol.ts';

/*
 * Fuzzes one target after the other. What it is doing is seen from outside: a reader that never ends, or takes all memory, takes this
 * process along.
 */

const [, , mirrorPath = ''] = process.argv;
const mirror = new InputMirror(mirrorPath);

process.on('message', (job: Job) => {
  void runJob(job).then(
    (outcome) => send(outcome),
    (error: unknown) => send({ name: job.name, inputs: 0, known: 0, ms: 0, kept: [], failures: [failureOf(Buffer.of(), error)] }),
  );
});

/** Nobody is there any more who wants to know. */
process.on('disconnect', () => process.exit());

function send(outcome: JobOutcome): void {
  process.send?.(outcome);
}

/** What a reader does besides: it leaves a promise behind that is rejected, or writes to the terminal. */
let besides: unknown[] = [];
process.on('unhandledRejection', (error) => besides.push(error ?? new Error('it left a promise behind that is rejected with nothing')));
process.on('uncaughtException', (error) => besides.push(error));
process.on('warning', (warning) => besides.push(new Error(`it gave a warning: ${warning.message}`, { cause: warning })));
for (const stream of [process.stdout, process.stderr])
  stream.write = (text: unknown) => {
    besides.push(new Error(`it wrote to the terminal: ${String(text)}`));
    return true;
  };

async function runJob({ file, corpus, found = [], name, inputs, ...options }: Job): Promise<JobOutcome> {
  const target = await loadTarget(file);
  besides = [];
  const outcome = await fuzz(target, {
    ...options,
    inputs: inputs === undefined ? undefined : Math.ceil(inputs / (target.oneOf ?? 1)),
    corpus: [...(await readCorpus(corpus)), ...found],
    onInput: (input) => mirror.put(input),
    takeBesides: () => besides.splice(0)[0],
  });
  mirror.clear();
  return { name, ...outcome };
}

async function loadTarget(file: string): Promise<FuzzTarget> {
  const module: { readonly default: FuzzTarget } = await import(file);
  return module.default;
}
