import { describe, expect, test } from 'vitest';
import { makeOperationBench } from '../../test/operation-bench.ts';
import { sampleHeader, sampleInstance, writeExport } from '../../test/sample-export.ts';
import { verifyExport } from './verify.ts';

describe('an export that a host made whose clock was ahead', () => {
  const ID = '21990101T000000Z';
  const header = { ...sampleHeader, started: '2199-01-01T00:00:00.000Z' };
  const warning = expect.stringMatching(
    `^${sampleInstance.name}@${ID} is used as the newest; its start time, 2199-01-01T00:00:00Z, is in the future`,
  );

  test('is warned of where it is taken for the newest, and not where it is named', async () => {
    await using bench = await makeOperationBench({ scripts: {} });
    const { store } = bench;
    await writeExport(store, ['first'], header);
    const { reference } = await bench.exportDisks();
    const allowOtherOs = true;
    expect(await verifyExport({ store, export: sampleInstance.name })).toMatchObject({ warnings: [warning] });
    expect((await bench.importDisks(sampleInstance.name, { allowOtherOs })).warnings).toContainEqual(warning);
    expect(await verifyExport({ store, export: `${sampleInstance.name}@${ID}` })).toMatchObject({ warnings: [] });
    expect(await verifyExport({ store, export: reference })).toMatchObject({ warnings: [] });
  });
});
