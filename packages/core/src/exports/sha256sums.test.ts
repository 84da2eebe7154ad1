import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { expect, test } from 'vitest';
import { sha256 } from '../../test/sample-export.ts';
import { parseSha256Sums, renderSha256Sums } from './sha256sums.ts';

const sums = [
  { name: 'disk0.zst', sha256: sha256('first') },
  { name: 'config.ini', sha256: sha256('second') },
];

test('sha256sum -c holds, and finds a changed byte', async () => {
  await using scratch = await makeTemporaryDirectory();
  await writeFile(scratch.file('SHA256SUMS'), renderSha256Sums(sums));
  await writeFile(scratch.file('disk0.zst'), 'first');
  await writeFile(scratch.file('config.ini'), 'second');
  const check = (): string =>
    execFileSync('sha256sum', ['--check', '--strict', 'SHA256SUMS'], { cwd: scratch.path, encoding: 'utf8', stdio: 'pipe' });
  expect(check()).toBe('disk0.zst: OK\nconfig.ini: OK\n');
  await writeFile(scratch.file('disk0.zst'), 'First');
  expect(check).toThrow(/1 computed checksum did NOT match/);
});

test('what sha256sum writes is read, text and binary', async () => {
  await using scratch = await makeTemporaryDirectory();
  await writeFile(scratch.file('disk0.zst'), 'first');
  await writeFile(scratch.file('config.ini'), 'second');
  for (const mode of ['--text', '--binary']) {
    const text = execFileSync('sha256sum', [mode, 'disk0.zst', 'config.ini'], { cwd: scratch.path, encoding: 'utf8' });
    expect(parseSha256Sums(text, 'SHA256SUMS')).toEqual(sums);
  }
});

test('what is written is read', () => {
  expect(parseSha256Sums(renderSha256Sums(sums), 'SHA256SUMS')).toEqual(sums);
  expect(parseSha256Sums('', 'SHA256SUMS')).toEqual([]);
});

test.each([
  ['a line that is not one', 'disk0.zst\n', 'line 1 is not a digest and a file name'],
  ['a digest that is too short', `${'0'.repeat(63)}  disk0.zst\n`, 'line 1 is not'],
  ['a name that leads elsewhere', `${'0'.repeat(64)}  ../../etc/passwd\n`, 'line 1 does not name a file of an export'],
  ['an absolute name', `${'0'.repeat(64)}  /etc/passwd\n`, 'line 1 does not name'],
  ['a name given twice', `${'0'.repeat(64)}  a\n${'1'.repeat(64)}  a\n`, 'line 2 repeats a'],
  ['an empty line', `\n${'0'.repeat(64)}  a\n`, 'line 1 is not'],
])('%s is refused', (_title, text, message) => {
  expect(() => parseSha256Sums(text, 'SHA256SUMS of web1')).toThrow(`SHA256SUMS of web1 is damaged: ${message}`);
});
