// Takes away each guard of data, one at a time, in a copy of the tree, and runs the tests that must notice: scripts/mutants.sh [WORD…]
import { availableParallelism } from 'node:os';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { copyTree } from './copy-tree.ts';
import { MUTANTS } from './mutants.ts';
import type { Outcome } from './try-mutant.ts';
import { Trier } from './try-mutant.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const words = process.argv.slice(2);
const chosen = MUTANTS.filter(
  (mutant) => words.length === 0 || words.some((word) => `${mutant.guard} ${mutant.file} ${mutant.tests.join(' ')}`.includes(word)),
);
if (chosen.length === 0) throw new Error(`no guard has one of these words in its name, file or test: ${words.join(' ')}`);
const jobs = Number(process.env['GANTRY_MUTANT_JOBS'] ?? availableParallelism());
const queue = [...chosen.entries()];
const sound = new Map<string, Promise<Outcome | undefined>>();
const counts: Record<Outcome['state'], number> = { caught: 0, survived: 0, unclear: 0, 'cannot be tried': 0 };

// Copies and tests under way are removed and ended at exit.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

async function work(): Promise<void> {
  await using tree = await copyTree(ROOT);
  const trier = new Trier(tree.path, sound);
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const [index, mutant] = next;
    const started = performance.now();
    const { state, by } = await trier.try(mutant);
    counts[state] += 1;
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.log(`${state.toUpperCase()} ${index + 1}/${chosen.length} ${mutant.guard} (${mutant.file}, ${seconds} s): ${by}`);
  }
}

await Promise.all(Array.from({ length: jobs }, work));
console.log(
  `${chosen.length} mutants: ${counts.caught} caught, ${counts.survived} survived, ${counts.unclear} unclear, ${counts['cannot be tried']} could not be tried`,
);
process.exitCode = counts.caught === chosen.length ? 0 : 1;
