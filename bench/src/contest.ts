import { mkdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import type { Contestant, Workspace } from './contestant.ts';
import { MIB } from './data-sets.ts';
import { CommandFailed, measure } from './measure.ts';
import type { Added, Sample, Summary } from './statistics.ts';
import { added, summarize } from './statistics.ts';

/** The result of one contestant. */
export interface Result {
  readonly name: string;
  readonly note: string | undefined;
  readonly export: Summary | undefined;
  readonly import: Summary | undefined;
  /** What it costs above another one. */
  readonly above?: { readonly name: string; readonly export: Added | undefined; readonly import: Added | undefined } | undefined;
  /** How many bytes its export takes on disk. */
  readonly storedBytes: number | undefined;
  /** Why there are no figures. */
  readonly failure: string | undefined;
}

export interface ContestOptions {
  readonly directory: string;
  readonly disk: string;
  readonly bytes: number;
  readonly runs: number;
  readonly withImports: boolean;
  readonly say: (line: string) => void;
}

interface Entry {
  readonly contestant: Contestant;
  readonly workspace: Workspace;
  readonly exports: Sample[];
  readonly imports: Sample[];
  storedBytes?: number;
  failure?: string;
}

/** Runs all contestants in turn, A B C A B C, so that other load on the machine affects all alike. */
export async function runContest(contestants: readonly Contestant[], options: ContestOptions): Promise<readonly Result[]> {
  const entries = contestants.map((contestant, index): Entry => {
    const own = join(options.directory, `contestant-${index}`);
    return {
      contestant,
      workspace: { disk: options.disk, bytes: options.bytes, own, target: join(options.directory, 'target') },
      exports: [],
      imports: [],
    };
  });
  for (let run = 1; run <= options.runs; run += 1) {
    for (const entry of entries) {
      if (entry.failure !== undefined || (run > 1 && entry.contestant.once === true)) continue;
      try {
        await runOnce(entry, options);
      } catch (error) {
        if (!(error instanceof CommandFailed)) throw error;
        entry.failure = error.message;
      }
      await rm(entry.workspace.own, { recursive: true, force: true });
      options.say(`${run}/${options.runs}  ${entry.contestant.name}: ${describe(entry)}`);
    }
  }
  await rm(join(options.directory, 'target'), { force: true });
  return entries.map((entry) => {
    const { contestant, exports, imports, storedBytes, failure } = entry;
    return {
      name: contestant.name,
      note: contestant.note,
      export: exports.length === 0 ? undefined : summarize(exports),
      import: imports.length === 0 ? undefined : summarize(imports),
      above: aboveOf(entry, entries),
      storedBytes,
      failure,
    };
  });
}

function aboveOf({ contestant, exports, imports }: Entry, entries: readonly Entry[]): Result['above'] {
  const other = entries.find((entry) => entry.contestant.name === contestant.above);
  if (other === undefined) return undefined;
  return { name: other.contestant.name, export: added(exports, other.exports), import: added(imports, other.imports) };
}

async function runOnce(entry: Entry, { withImports }: ContestOptions): Promise<void> {
  const { contestant, workspace } = entry;
  const place = { cwd: workspace.own, env: contestant.environment ?? {} };
  await rm(workspace.own, { recursive: true, force: true });
  await mkdir(workspace.own, { recursive: true, mode: 0o700 });
  if (contestant.prepare !== undefined) await measure(contestant.prepare(workspace), place);
  // Data that others have written must not be flushed in this one's time.
  await execa('sync');
  entry.exports.push(await measure(contestant.export(workspace), place));
  const kept = Number((await execa('du', ['-s', '--block-size=1', workspace.own])).stdout.split('\t')[0]);
  // Exports that are stored elsewhere leave almost nothing here.
  if (kept > MIB) entry.storedBytes ??= kept;
  if (!withImports || contestant.import === undefined) return;
  await makeTarget(workspace);
  await execa('sync');
  entry.imports.push(await measure(contestant.import(workspace), place));
  if (entry.imports.length === 1) await compare(workspace);
}

/** A new empty file for each import, as large as the disk. */
async function makeTarget({ target, bytes }: Workspace): Promise<void> {
  await rm(target, { force: true });
  await writeFile(target, '', { mode: 0o600 });
  await truncate(target, bytes);
}

async function compare({ disk, target }: Workspace): Promise<void> {
  const { exitCode, stderr, stdout } = await execa('cmp', [disk, target], { reject: false });
  if (exitCode !== 0 || (await stat(target)).size !== (await stat(disk)).size) {
    throw new CommandFailed(`the imported disk differs from the exported one: ${stdout}${stderr}`);
  }
}

function describe({ exports, imports, failure }: Entry): string {
  if (failure !== undefined) return `failed: ${failure}`;
  const seconds = (sample: Sample | undefined): string => (sample === undefined ? '' : `${sample.wall.toFixed(2)} s`);
  return `export ${seconds(exports.at(-1))}${imports.length === 0 ? '' : `, import ${seconds(imports.at(-1))}`}`;
}
