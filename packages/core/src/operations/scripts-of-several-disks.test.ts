import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { DISK_BYTES, makeOperationBench } from '../../test/operation-bench.ts';

describe('export scripts of one instance', () => {
  test('start in different seconds, since some name things after the date of a dump, and run side by side', async () => {
    await using bench = await makeOperationBench({
      disks: 3,
      scripts: { export: 'date +%s >>"$PWD/starts"; until [ "$(wc -l <"$PWD/starts")" = 3 ]; do sleep 0.05; done; cat "$EXPORT_DEVICE"' },
    });
    await bench.exportDisks();
    const starts = (await readFile(bench.directory.file('os', 'mine', 'starts'), 'utf8')).trim().split('\n');
    expect(new Set(starts).size).toBe(3);
  });

  test('that exit with 0 and write nothing are warned of, with the size of the disk', async () => {
    await using bench = await makeOperationBench({ scripts: { export: 'exit 0' } });
    const { warnings } = await bench.exportDisks();
    expect(warnings).toContain(
      `disk 0: the export script of mine succeeded but wrote nothing: the dump is empty, although the disk has ${DISK_BYTES} bytes`,
    );
  });
});

describe('an import script that fails', () => {
  const scripts = { import: 'cat >/dev/null; [ "$IMPORT_INDEX" = 0 ]' };

  test('beside others names --parallel 1', async () => {
    await using bench = await makeOperationBench({ disks: 2, scripts });
    const { reference } = await bench.exportDisks();
    await expect(bench.importDisks(reference)).rejects.toMatchObject({
      code: 'SCRIPT_FAILED',
      disk: 1,
      hint: expect.stringContaining('--parallel 1'),
    });
  });

  test('alone does not', async () => {
    await using bench = await makeOperationBench({ disks: 2, scripts });
    const { reference } = await bench.exportDisks();
    const withoutOneByOne = { code: 'SCRIPT_FAILED', disk: 1, hint: expect.not.stringContaining('--parallel') };
    await expect(bench.importDisks(reference, { parallel: 1 })).rejects.toMatchObject(withoutOneByOne);
    await expect(bench.importDisks(reference, { disks: [1] })).rejects.toMatchObject(withoutOneByOne);
  });
});
