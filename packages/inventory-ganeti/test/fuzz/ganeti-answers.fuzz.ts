import { InventoryError } from '@gantry/core/inventory';
import type { FuzzTarget } from '@gantry/testkit';
import { assertRefusal, textTarget } from '@gantry/testkit';
import { parseDetails, parseHypervisorParameters, parseNames, parseSummaries, parseSummary } from '../../src/describe/answers.ts';
import { describeInstance } from '../../src/describe/describe-instance.ts';
import { parseJob } from '../../src/jobs/job.ts';
import { NotJsonError, readJson } from '../../src/read-json.ts';
import { sample } from '../samples.ts';
import { INST2 } from '../sample-cluster.ts';

/** What RAPI and LUXI answer, as JSON. */
const target: FuzzTarget = textTarget({
  seeds: async () => {
    const names = ['instance.inst2.json', 'info.json', 'info-job.inst2.json'];
    return (await Promise.all(names.map(sample))).map((value) => JSON.stringify(value));
  },
  words: [INST2, 'drbd', 'plain', 'file', 'sharedfile', 'logical_id', 'pstatus', 'children', 'opresult', 'oplog', 'success'],
  maxBytes: 32_768,
  async run(text) {
    let value: unknown;
    try {
      value = readJson(text);
    } catch (error) {
      return assertRefusal(error, (each) => each instanceof NotJsonError);
    }
    const summary = await refusing(() => parseSummary(value, 'RAPI'));
    await refusing(() => parseSummaries([value], 'RAPI'));
    await refusing(() => parseNames(value, 'RAPI'));
    await refusing(() => parseHypervisorParameters(value, 'kvm', 'RAPI'));
    const job = await refusing(() => parseJob(value, 'RAPI'));
    if (job === undefined) return;
    await refusing(() => {
      const { raw, details } = parseDetails(job.results, INST2, 'RAPI');
      const answers = {
        summary: summary ?? { name: INST2 },
        details,
        raw,
        clusterHypervisorParameters: {},
        privateParameters: {},
        here: 'node1',
      };
      const { instance } = describeInstance(answers);
      if (Object.values(instance.hvparams ?? {}).some((each) => typeof each !== 'string')) throw new Error('a parameter that is not text');
    });
  },
});

export default target;

async function refusing<T>(work: () => T): Promise<T | undefined> {
  try {
    return work();
  } catch (error) {
    assertRefusal(error, (each) => each instanceof InventoryError);
    return undefined;
  }
}
