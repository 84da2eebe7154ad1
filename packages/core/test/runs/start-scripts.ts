/*
 * A process for tests of kills: a run of which two scripts `create` start at once, as those of two disks do, on a disk
 * that takes for ever to make some line of the journal durable. Arguments: state directory, search path, name of the OS definition, the
 * first call of fdatasync that never ends. Says its process number first.
 */
import { open } from 'node:fs/promises';

import { createReporter } from '../../src/report/reporter.ts';
import { openRun } from '../../src/runs/journal.ts';
import { openStateDirectory } from '../../src/runs/state-directory.ts';
import { runCreateScript } from '../../src/scripts/script.ts';
import { selectOs } from '../../src/scripts/select.ts';
import { scriptHooks } from '../../src/flow/script-hooks.ts';
import { sampleInstance } from '../sample-instance.ts';

const [state, searchPath = '', name = '', firstThatWaits = ''] = process.argv.slice(2);
await delayDatasync(Number(firstThatWaits));
const instance = sampleInstance();
const run = await openRun({ stateDirectory: await openStateDirectory(state), operation: 'create', instance: instance.name });
const os = await selectOs(name, { searchPath: [searchPath] });
const reporter = createReporter('create', undefined);
const { signal } = new AbortController();
console.log(process.pid);
await Promise.all([1, 2].map(() => runCreateScript(os, { instance, ...scriptHooks('create', { run, reporter, signal, debug: false }) })));

async function delayDatasync(first: number): Promise<void> {
  await using anyFile = await open('/dev/null');
  const prototype: { datasync: (this: unknown) => Promise<void> } = Object.getPrototypeOf(anyFile);
  const { datasync } = prototype;
  let calls = 0;
  prototype.datasync = async function slowDatasync(): Promise<void> {
    calls += 1;
    if (calls >= first) await new Promise(() => {});
    await datasync.call(this);
  };
}
