import { randomInt } from 'node:crypto';
import { rmSync } from 'node:fs';
import { glob, mkdtemp } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { addToCorpus } from './corpus.ts';
import { rounds, Tally } from './tally.ts';
import { WatchedWorker } from './watched-worker.ts';
import type { Job, JobOutcome } from './worker-protocol.ts';

/*
 * Fuzzes all targets, or those that are named: scripts/fuzz.sh --help.
 */

const ROOT = fileURLToPath(new URL('../../../..', import.meta.url));
const SUFFIX = '.fuzz.ts';
const DEFAULT_INPUTS = 10_000;
/** What each target gets at a time, with a number of inputs in all: the last of them, too, is to have its turns before that is reached. */
const ROUND_MS = 10_000;
/** Of one target, in the corpus in the repository. */
const MAX_KEPT = 40;
const MAX_KEPT_BYTES = 400;

const USAGE = `usage: scripts/fuzz.sh [OPTION…] [TARGET…]

Without targets, all of them are fuzzed. Prints for each how many inputs it got. Ends with status 1 if a target failed: its input is then in
the corpus of the target, which the tests run.

  --inputs N     number of inputs for each target (${DEFAULT_INPUTS})
  --minutes N    time in all, in the place of a number of inputs
  --total N      number of inputs of all targets together: each gets ${ROUND_MS / 1000} s, over and over, in which fast ones have
                 more inputs, and goes on with what it has found, which does not count again
  --seed N       makes the same inputs again
  --jobs N       how many targets at once (as many as there are processors)
  --unguided     does not look at what is executed: makes inputs of the seeds and the corpus alone
  --keep         keeps in the corpus what reached something new
  --no-save      leaves the corpus as it is
  --list         prints the names of the targets`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    inputs: { type: 'string' },
    minutes: { type: 'string' },
    total: { type: 'string' },
    seed: { type: 'string' },
    jobs: { type: 'string' },
    unguided: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    'no-save': { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const targets = await findTargets();
if (values.help) console.log(USAGE);
else if (values.list) console.log([...targets.keys()].join('\n'));
else process.exitCode = await inTemporaryDirectory(fuzzAll);

/** The directory for temporary files of everything that runs, which targets do not clear. */
async function inTemporaryDirectory(work: () => Promise<number>): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), 'gantry-fuzz-'));
  const remove = (): void => rmSync(directory, { recursive: true, force: true });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => {
      remove();
      process.exit(1);
    });
  process.env['TMPDIR'] = directory;
  try {
    return await work();
  } finally {
    remove();
  }
}

/** By their names. */
async function findTargets(): Promise<ReadonlyMap<string, string>> {
  const files = await Array.fromAsync(glob(`{packages,apps}/*/test/fuzz/*${SUFFIX}`, { cwd: ROOT }));
  const found = new Map<string, string>();
  for (const file of files.toSorted((a, b) => (basename(a) < basename(b) ? -1 : 1))) {
    const name = basename(file, SUFFIX);
    const other = found.get(name);
    if (other !== undefined) throw new Error(`two targets have the name ${name}: ${other} and ${join(ROOT, file)}`);
    found.set(name, join(ROOT, file));
  }
  return found;
}

async function fuzzAll(): Promise<number> {
  const names = positionals.length === 0 ? [...targets.keys()] : positionals;
  const unknown = names.find((name) => !targets.has(name));
  if (unknown !== undefined) throw new Error(`there is no target ${unknown}: --list prints them`);
  const seed = numberOf('seed') ?? randomInt(2 ** 32);
  const jobs = Math.min(names.length, numberOf('jobs') ?? availableParallelism());
  console.log(`seed ${seed}, ${names.length} targets`);
  const tally = new Tally();
  const queue = jobsOf(names, { seed, jobs, tally });
  await Promise.all(
    Array.from({ length: jobs }, async () => {
      await using worker = new WatchedWorker();
      for (const job of queue) {
        const outcome = await worker.run(job);
        tally.add(outcome);
        await report(job, outcome);
      }
    }),
  );
  console.log(`${tally.inputs} inputs in all, ${tally.targets} targets, ${tally.failed} failed`);
  return tally.failed > 0 || tally.targets < names.length ? 1 : 0;
}

interface Progress {
  readonly seed: number;
  /** At once. */
  readonly jobs: number;
  /** Of those that ended. */
  readonly tally: Tally;
}

/** A job for each target; with a number of inputs in all, over and over until they are made, or something fails. */
function* jobsOf(names: readonly string[], { seed, jobs, tally }: Progress): Generator<Job, void, undefined> {
  const total = numberOf('total');
  const minutes = numberOf('minutes');
  const ms = minutes === undefined ? undefined : (minutes * 60_000 * jobs) / names.length;
  const inputs = numberOf('inputs') ?? (minutes === undefined ? DEFAULT_INPUTS : undefined);
  if (total === undefined) for (const name of names) yield jobOf(name, { seed, inputs, ms });
  else
    yield* rounds(names, { total, tally }, (name, { round, inputs, found }) => ({
      ...jobOf(name, { seed: seed + round, inputs, ms: ROUND_MS }),
      found,
    }));
}

function jobOf(name: string, limits: Pick<Job, 'seed' | 'inputs' | 'ms'>): Job {
  const path = targets.get(name) ?? '';
  const corpus = join(dirname(path), 'corpus', `${name}.txt`);
  return { ...limits, name, file: pathToFileURL(path).href, corpus, isGuided: !values.unguided };
}

async function report({ corpus, seed }: Job, { name, inputs, ms, kept, failures }: JobOutcome): Promise<void> {
  const perSecond = Math.round((inputs / Math.max(1, ms)) * 1000);
  console.log(
    `${name.padEnd(24)} ${String(inputs).padStart(9)} inputs ${String(perSecond).padStart(7)}/s ${String(kept.length).padStart(5)} kept`,
  );
  for (const { input, text } of failures) {
    console.log(
      `${name} FAILED with an input of ${input.length} bytes: ${JSON.stringify(Buffer.from(input.subarray(0, 400)).toString('latin1'))}\n${text}`,
    );
    if (!values['no-save']) await addToCorpus(corpus, [input], `failed with seed ${seed}: ${text.split('\n', 1)[0] ?? ''}`);
  }
  if (values.keep) await addToCorpus(corpus, kept.filter((input) => input.length <= MAX_KEPT_BYTES).slice(0, MAX_KEPT));
}

function numberOf(option: 'inputs' | 'minutes' | 'total' | 'seed' | 'jobs'): number | undefined {
  const text = values[option];
  if (text === undefined) return undefined;
  if (!/^\d{1,10}$/.test(text)) throw new Error(`--${option} needs a whole number, not ${text}`);
  return Number(text);
}
