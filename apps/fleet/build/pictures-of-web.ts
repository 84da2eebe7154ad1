/*
 * Makes the pictures of the pages of a fleet in the documentation, in Debian's Chromium, of a fleet that is made up.
 * To be run with `--conditions=@gantry/source`.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { readPasswordFile, writePasswordFile } from '../src/web/password.ts';
import { createWeb } from '../src/web/server.ts';
import { NOW, sampleFleet } from '../test/sample-fleet.ts';

const DOCS = fileURLToPath(new URL('../../../docs/', import.meta.url));
const PASSWORD = 'shown to nobody';

const directory = await mkdtemp(join(tmpdir(), 'gantry-pictures-'));
const file = join(directory, 'password');
await writePasswordFile(file, PASSWORD);
const web = createWeb({
  questions: sampleFleet(),
  maxAges: () => Promise.resolve(new Map([['nightly', 26 * 3_600_000]])),
  credential: () => readPasswordFile(file),
  note: (message) => void process.stderr.write(`${message}\n`),
  now: () => NOW,
});
const address = await web.listen({ host: '127.0.0.1', port: 0 });
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
try {
  const take = async (
    name: string,
    path: string,
    viewport: { readonly width: number; readonly height: number },
    colorScheme: 'light' | 'dark',
  ): Promise<void> => {
    const page = await browser.newPage({ viewport, colorScheme });
    await page.goto(address);
    await page.locator('#password').fill(PASSWORD);
    await page.keyboard.press('Enter');
    await page.waitForURL(`${address}/`);
    await page.goto(`${address}${path}`);
    await page.screenshot({ path: join(DOCS, name) });
  };
  await take('fleet-desktop.png', '/', { width: 1100, height: 1400 }, 'light');
  await take('fleet-phone.png', '/', { width: 360, height: 800 }, 'dark');
  await take('fleet-history.png', '/instances/web1.example.com', { width: 1100, height: 700 }, 'light');
} finally {
  await browser.close();
  await web.close();
  await rm(directory, { recursive: true });
}
