import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PolicyRun } from '@gantry/policies';

/** A run of a policy on this host: two instances exported, one failed, and damage found afterwards. */
export function policyRun(more: Partial<PolicyRun> = {}): PolicyRun {
  const instance = { source: '/etc/gantry/instances', problems: [], warnings: [] };
  const times = { started: '2026-11-27T01:00:05.000Z', ended: '2026-11-27T01:00:35.500Z' };
  const exported = (name: string) => ({
    ...instance,
    ...times,
    name,
    state: 'exported' as const,
    reference: `${name}@20261127T010005Z`,
    plainBytes: 4096,
    storedBytes: 1024,
    stores: [{ store: 'nightly', outcome: 'exported' as const, reference: `${name}@20261127T010005Z` }],
  });
  return {
    format: 'gantry-policy-run',
    version: 1,
    policy: 'web',
    host: 'node1',
    tool: { name: 'gantry', version: '0.1.0' },
    process: { pid: 1, startTime: 1, bootId: 'boot' },
    started: '2026-11-27T01:00:00.000Z',
    ended: '2026-11-27T01:01:00.000Z',
    outcome: 'partial',
    exitCode: 16,
    instances: [
      exported('web1'),
      exported('wéb2 "x"\\'),
      {
        ...instance,
        ...times,
        name: 'db1',
        state: 'failed',
        problems: [
          { what: 'export of db1 into nightly', code: 'STORE_FULL', message: 'no space left in /srv/exports', hint: 'Make space.' },
        ],
        stores: [{ store: 'nightly', outcome: 'failed', code: 'STORE_FULL', reason: 'no space left in /srv/exports' }],
      },
    ],
    stores: [],
    problems: [
      { what: 'verification of web1@20261126T010005Z in nightly', code: 'DUMP_DAMAGED', message: 'SHA-256 mismatch', hint: 'Restore it.' },
    ],
    warnings: [],
    ...more,
  };
}

/** The same with nothing to complain about. */
export function goodRun(more: Partial<PolicyRun> = {}): PolicyRun {
  const { instances } = policyRun();
  return policyRun({ outcome: 'done', exitCode: 0, instances: instances.slice(0, 2), problems: [], ...more });
}

/** Puts the record of a run where the state directory has it. */
export async function recordRun(stateDirectory: string, run: PolicyRun): Promise<void> {
  const directory = join(stateDirectory, 'policies', run.policy);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeFile(join(directory, `${run.started.replaceAll(/[-:.]/g, '')}-${run.process.pid}.json`), JSON.stringify(run));
}
