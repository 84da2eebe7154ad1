import type { FuzzTarget } from '@gantry/testkit';
import { claimText, parseClaim } from '../../src/exports/claim.ts';
import { recordTarget } from './records.ts';
import { assertShowable } from './refusal.ts';

/** Who writes an export, as another program may have put it into the store. */
const target: FuzzTarget = recordTarget({
  seeds: () => [
    JSON.stringify({
      format: 'gantry-claim',
      version: 1,
      runId: 'gantry-20261123T081500Z-4711',
      tool: { name: 'gantry', version: '0.1.0' },
      started: '2026-11-23T08:15:00.000Z',
      process: { pid: 4711, startTime: 12, bootId: 'b', host: 'node1', machine: 'm', pidNamespace: 'pid:[1]' },
      dumps: ['disk0.zst'],
      parents: ['web1@20261122T081500Z'],
      recipients: ['age1q'],
      copies: 'ab',
    }),
  ],
  parse: parseClaim,
  use(claim) {
    assertShowable([claimText(claim, 'unknown')]);
    if (parseClaim(JSON.stringify(claim)) === undefined) throw new Error('it cannot be read again');
  },
});

export default target;
