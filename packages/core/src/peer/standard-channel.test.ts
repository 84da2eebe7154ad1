import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { expect, test } from 'vitest';

const ECHO = fileURLToPath(new URL('../../test/peer/echo.ts', import.meta.url));

test('a channel over standard input and output belongs to it alone: others that read or print there take and spoil nothing', async () => {
  const input = Buffer.alloc(3 * 1024 * 1024, 'every byte of it\n');
  const echoed = await execa(process.execPath, ['--conditions=@gantry/source', ECHO], { input, encoding: 'buffer', timeout: 90_000 });
  expect(Buffer.compare(echoed.stdout, input)).toBe(0);
});
