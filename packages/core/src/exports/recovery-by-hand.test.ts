import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { MemoryStore } from '@gantry/transport/testing';
import { describe, expect, test } from 'vitest';
import { getBytes, keysOf } from '../../test/sample-export.ts';
import { SAMPLE_FRAME_BYTES as FRAME, SampleLineage } from '../../test/sample-lineage.ts';

const run = promisify(execFile);
const PAGE = fileURLToPath(new URL('../../../../docs/how-to/recover-without-gantry.md', import.meta.url));

/** The script of the page. */
async function documentedLoop(): Promise<string> {
  const [, indented = ''] = /^ *```bash\n([^]*?)^ *```$/m.exec(await readFile(PAGE, 'utf8')) ?? [];
  return indented.replaceAll(/^ {3}/gm, '');
}

/** Four days of a disk, in files. The third is what is recovered. */
async function middleOfLineage(path: (name: string) => string): Promise<{ readonly directory: string; readonly disk: Buffer }> {
  const store = new MemoryStore();
  const lineage = new SampleLineage(store);
  const line = (seed: number): Buffer => Buffer.from(`a line of text, number ${seed}\n`.repeat(FRAME / 8)).subarray(0, FRAME);
  const first = [
    Buffer.alloc(FRAME),
    ...Array.from({ length: 8 }, (_, seed) => Buffer.concat([randomBytes(FRAME / 2), line(seed).subarray(FRAME / 2)])),
  ];
  await lineage.full(first);
  const change = (frame: Uint8Array): Buffer => Buffer.concat([Buffer.from('changed'), frame.subarray(7)]);
  const second = first.map((frame, index) => (index === 2 ? change(frame) : index === 5 ? randomBytes(FRAME) : frame));
  await lineage.incremental(second, { codec: 'gzip' });
  const third = [
    ...second.slice(0, 3),
    change(second[3] ?? Buffer.of()),
    change(second[5] ?? Buffer.of()),
    ...second.slice(5),
    Buffer.alloc(3 * FRAME),
    line(9),
  ];
  const { reference, map } = await lineage.incremental(third, { patches: true });
  expect(new Set([...map].map(({ kind }) => kind))).toEqual(new Set(['zeros', 'frame', 'patch']));
  await lineage.incremental([...third.slice(0, 4), randomBytes(FRAME), ...third.slice(5)], { codec: 'none' });
  for (const key of await keysOf(store)) {
    await mkdir(dirname(path(key)), { recursive: true });
    await writeFile(path(key), await getBytes(store, key));
  }
  return { directory: path(reference.replace('@', '/')), disk: Buffer.concat(third) };
}

describe('an export from the middle of a lineage, with standard tools alone', () => {
  test('is checked with all packs that it needs, and its disk is read by the loop of the documentation', async () => {
    await using scratch = await makeTemporaryDirectory();
    const { directory: cwd, disk } = await middleOfLineage((name) => scratch.file(name));
    const { stdout: sums } = await run('sha256sum', ['-c', '--strict', 'SHA256SUMS'], { cwd });
    expect(sums).toBe(
      'disk0.pack.zst: OK\ndisk0.map: OK\nconfig.ini: OK\n../20261121T081500Z/disk0.zst: OK\n../20261122T081500Z/disk0.pack.gz: OK\n',
    );
    const script = scratch.file('map-to-disk.sh');
    await writeFile(script, await documentedLoop());
    const { stdout, stderr } = await run('bash', [script, 'disk0.map'], { cwd, encoding: 'buffer', maxBuffer: 64 * 1024 ** 2 });
    expect(stderr.toString()).toMatch(/^all \d+ frames are there, \d+ bytes\n$/);
    expect(stdout.equals(disk)).toBe(true);
  });

  test.each([
    ['a pack is gone', async (cwd: string) => rm(`${cwd}/../20261121T081500Z/disk0.zst`)],
    ['the map is cut short', async (cwd: string) => writeFile(`${cwd}/disk0.map`, (await readFile(`${cwd}/disk0.map`)).subarray(0, -60))],
    ['a pack is damaged', async (cwd: string) => writeFile(`${cwd}/../20261121T081500Z/disk0.zst`, randomBytes(1024 ** 2))],
  ])('fails if %s', async (_what, change) => {
    await using scratch = await makeTemporaryDirectory();
    const { directory: cwd } = await middleOfLineage((name) => scratch.file(name));
    await change(cwd);
    await expect(
      run('bash', ['-c', await documentedLoop(), 'map-to-disk.sh', 'disk0.map'], { cwd, encoding: 'buffer', maxBuffer: 64 * 1024 ** 2 }),
    ).rejects.toThrow();
    await expect(run('sha256sum', ['-c', '--strict', 'SHA256SUMS'], { cwd })).rejects.toThrow();
  });
});
