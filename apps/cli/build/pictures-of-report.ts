/*
 * Makes the pictures of `gantry report` in the documentation, in Debian's Chromium, of instances and exports that are made up here.
 * With a directory as its argument, it puts pictures of the whole page there instead, of a phone and a desktop, light and dark: for a look at
 * it after a change. To be run with `--conditions=@gantry/source`.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { ListedExport } from '@gantry/core';
import { chromium } from 'playwright-core';
import { renderPage } from '../src/report-page/page.ts';

const DOCS = fileURLToPath(new URL('../../../docs/', import.meta.url));
const DAY_MS = 24 * 3_600_000;
const GIB = 1024 ** 3;
const NOW = Date.UTC(2026, 10, 27, 7);

interface Nights {
  readonly instance: string;
  readonly nights: number;
  /** GiB */
  readonly plain: number;
  /** The night whose export is damaged, counted from now; 0 for none. */
  readonly skip: number;
}

/** One a night, the first of them full; the same in each run. */
function exportsOf({ instance, nights, plain, skip }: Nights, { isLocked }: { readonly isLocked: boolean }): ListedExport[] {
  return Array.from({ length: nights }, (_, index): ListedExport => {
    const night = nights - index;
    const started = new Date(NOW - night * DAY_MS + 18 * 3_600_000 + (index % 7) * 600_000);
    const id = `${started.toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`;
    const storedBytes = Math.round(plain * GIB * (index === 0 ? 0.4 : 0.01 + 0.004 * ((index * 7) % 5)));
    const isDamaged = skip > 0 && night === skip;
    const verified =
      night > 2 && night % 3 !== 0 ? { at: new Date(NOW - DAY_MS), depth: 'stored' as const, result: 'sound' as const } : undefined;
    return {
      reference: `${instance}@${id}`,
      instance,
      id,
      origin: 'gantry',
      state: isDamaged ? 'damaged' : 'complete',
      ...(isDamaged ? { reason: 'disk0.zst: SHA-256 mismatch', code: 'DUMP_DAMAGED' as const } : {}),
      started,
      disks: 1,
      plainBytes: plain * GIB,
      storedBytes,
      ownBytes: storedBytes,
      ...(isLocked ? { protectedUntil: new Date(started.getTime() + 14 * DAY_MS) } : {}),
      ...(verified === undefined || isDamaged ? {} : { verified }),
    };
  });
}

const INSTANCES: readonly Nights[] = [
  { instance: 'db1.example.com', nights: 28, plain: 80, skip: 5 },
  { instance: 'mail.example.com', nights: 28, plain: 120, skip: 0 },
  { instance: 'web1.example.com', nights: 28, plain: 20, skip: 0 },
  { instance: 'web2.example.com', nights: 12, plain: 20, skip: 0 },
];
const nightly = INSTANCES.flatMap((each) => exportsOf(each, { isLocked: true }));
const shelf = INSTANCES.flatMap((each) => exportsOf(each, { isLocked: false })).filter(
  ({ state }, index) => state === 'complete' && index % 7 === 0,
);
const page = renderPage({
  stores: [
    { name: 'nightly', address: 's3://backups/node1', exports: nightly },
    { name: 'shelf', address: 'ssh://backup@shelf/srv/exports', exports: shelf },
  ],
  host: 'node1',
  now: new Date(NOW),
});

const directory = await mkdtemp(join(tmpdir(), 'gantry-pictures-'));
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
try {
  const file = join(directory, 'report.html');
  await writeFile(file, page);
  const take = async (
    path: string,
    { width, height = 800 }: { readonly width: number; readonly height?: number },
    colorScheme: 'light' | 'dark',
    fullPage = false,
  ): Promise<void> => {
    const opened = await browser.newPage({ viewport: { width, height }, colorScheme });
    await opened.goto(pathToFileURL(file).href);
    if (fullPage) await opened.locator('details').first().locator('summary').click();
    await opened.screenshot({ path, fullPage });
  };
  const [into] = process.argv.slice(2);
  if (into === undefined) {
    await take(join(DOCS, 'report-desktop.png'), { width: 1100, height: 1400 }, 'light');
    await take(join(DOCS, 'report-phone.png'), { width: 360 }, 'dark');
  } else {
    await mkdir(into, { recursive: true });
    for (const scheme of ['light', 'dark'] as const) {
      await take(join(into, `desktop-${scheme}.png`), { width: 1100 }, scheme, true);
      await take(join(into, `phone-${scheme}.png`), { width: 360 }, scheme, true);
    }
  }
} finally {
  await browser.close();
  await rm(directory, { recursive: true });
}
