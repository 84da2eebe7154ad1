/* A process for tests of recovery: opens a run, remembers the given records (JSON), says `remembered` and stays until it is killed. */
import { openRun } from '../../src/runs/journal.ts';
import { journalLineSchema } from '../../src/runs/run-record.ts';
import { openStateDirectory } from '../../src/runs/state-directory.ts';

const [state, text = '[]'] = process.argv.slice(2);
const run = await openRun({ stateDirectory: await openStateDirectory(state), operation: 'export', instance: 'web1' });
const records: unknown = JSON.parse(text);
for (const record of Array.isArray(records) ? records : []) {
  const line = journalLineSchema.parse({ remember: 1, record });
  if ('record' in line) await run.remember(line.record);
}
console.log('remembered');
setInterval(() => {}, 1_000_000);
