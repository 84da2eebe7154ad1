import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FuzzTarget } from '@gantry/testkit';
import { textTarget } from '@gantry/testkit';
import { readPolicyRuns } from '../../src/index.ts';

let stateDirectory: Promise<string> | undefined;

async function makeState(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'gantry-fuzz-'));
  await mkdir(join(directory, 'policies', 'web'), { recursive: true });
  return directory;
}

const RUN = {
  format: 'gantry-policy-run',
  version: 1,
  policy: 'web',
  host: 'node1',
  tool: { name: 'gantry', version: '0.1.0' },
  process: { pid: 4_000_000, startTime: 1, bootId: 'b' },
  started: '2026-01-23T08:15:00.000Z',
  ended: '2026-01-23T08:16:00.000Z',
  outcome: 'partial',
  exitCode: 16,
  selection: 'all',
  instances: [
    {
      name: 'web1',
      source: 'cluster',
      state: 'exported',
      reference: 'web1@1',
      plainBytes: 5,
      storedBytes: 4,
      stores: [{ store: 'nightly', outcome: 'exported', reference: 'web1@1' }],
      problems: [{ what: 'a', code: 'BUSY', message: 'm', hint: 'h' }],
      warnings: ['w'],
    },
  ],
  stores: [{ store: 'nightly', role: 'exports', pruned: { removed: ['web1@0'], kept: 1, deletedBytes: 2, markedBytes: 3 } }],
  problems: [],
  warnings: [],
};

/** The record of a run of a policy, which a crash or another version may have left: it is read, or there is a warning. */
const target: FuzzTarget = textTarget({
  seeds: () => [JSON.stringify(RUN), JSON.stringify({ ...RUN, outcome: 'running', ended: undefined })],
  words: ['running', 'killed', 'exported', 'failed', '2026-11-23T08:15:00Z'],
  oneOf: 3,
  async run(text) {
    const state = await (stateDirectory ??= makeState());
    await writeFile(join(state, 'policies', 'web', '20260123T081500000Z-1.json'), text);
    const warnings: string[] = [];
    const runs = await readPolicyRuns('web', { stateDirectory: state, warn: (message) => warnings.push(message) });
    if (runs.length + warnings.length !== 1) throw new Error(`${runs.length} runs, ${warnings.length} warnings`);
    if (warnings.join('').length > 1000)
      throw new Error(`a warning of ${warnings.join('').length} characters: ${warnings.join('').slice(0, 300)}`);
  },
});

export default target;
