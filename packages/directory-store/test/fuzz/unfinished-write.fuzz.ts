import { assertRefusal, textTarget } from '@gantry/testkit';
import type { FuzzTarget } from '@gantry/testkit';
import { assertKey, StoreError } from '@gantry/transport';
import type { Directory } from '../../src/file-system.ts';
import { describeOwner, stateOf } from '../../src/unfinished/owner-record.ts';
import { readRecord } from '../../src/unfinished/record.ts';
import { isToken, starterOf } from '../../src/unfinished/token.ts';

const owner = { host: 'node1', bootId: 'b', pid: 4711, startTime: '12', machine: 'm', pidNamespace: 'pid:[1]' };
const record = {
  key: 'web1/a',
  ifExists: 'fail',
  started: '2026-11-23T08:15:00.000Z',
  owner,
  data: `data-${'0'.repeat(16)}`,
  mark: `durable-${'0'.repeat(16)}`,
};

function directoryWith(text: string): Pick<Directory, 'readSmall'> {
  return { readSmall: async () => Buffer.from(text) };
}

/** The record of an unfinished write, and the name of its directory: others may write to the same store. */
const target: FuzzTarget = textTarget({
  seeds: () => [
    JSON.stringify(record),
    JSON.stringify({ ...record, owner: { ...owner, machine: undefined } }),
    `new-${'0'.repeat(32)}~1~2~ab~node1~ab~1`,
    `gone-${'0'.repeat(32)}`,
  ],
  words: ['data-', 'durable-', 'replace', '~', '%'],
  maxBytes: 1024,
  async run(text) {
    if (isToken(text) && /[/\0]|^\.\.?$/.test(text)) throw new Error(`${text} leads outside`);
    const starter = starterOf(text);
    if (starter !== undefined) await stateOf(starter);
    try {
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- nothing else of it is used
      const found = await readRecord(directoryWith(text) as Directory, 'token');
      assertKey(found.key);
      if (/\//.test(found.data + (found.mark ?? ''))) throw new Error('a file elsewhere');
      describeOwner(found.owner);
      await stateOf(found.owner);
    } catch (error) {
      assertRefusal(error, (each) => each instanceof StoreError && each.code === 'integrity');
    }
  },
});

export default target;
