import { mkdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import type { PageLook } from '@gantry/testkit';
import { LOOK_AT_PAGE, makeRandomFile } from '@gantry/testkit';
import { execa } from 'execa';
import type { Browser, Page } from 'playwright-core';
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Workbench } from './workbench.ts';
import { exportDirectory, lastLine, makeWorkbench } from './workbench.ts';

/*
 * The page is looked at in a real browser: Debian's Chromium.
 */

let bench: Workbench;
let page: string;
let browser: Browser;

beforeAll(async () => {
  bench = await makeWorkbench();
  const second = bench.file('second');
  const references: string[] = [];
  for (const name of ['web1.example.com', 'web2.example.com', 'db1.example.com']) {
    await makeRandomFile(bench.file(`${name}.img`), 300_000, name);
    const file = await bench.describeInstance(name, { disks: [bench.file(`${name}.img`)] });
    references.push(lastLine((await bench.gantry('export', file, bench.store)).stdout));
    references.push(lastLine((await bench.gantry('export', file, bench.store)).stdout));
  }
  const [verified = '', , damaged = '', , copied = ''] = references;
  await bench.gantry('verify', bench.store, verified);
  await bench.gantry('copy', bench.store, copied, second);
  await truncate(join(exportDirectory(bench, damaged), 'disk0.zst'), 5);
  await mkdir(join(bench.store, 'web3.example.com/20260101T000000Z'), { recursive: true });
  await writeFile(join(bench.store, 'web3.example.com/20260101T000000Z/SHA256SUMS'), '');
  page = bench.file('report.html');
  const made = await bench.gantry('report', bench.store, second, '--out', page);
  expect(made).toMatchObject({ exitCode: 0, stdout: page });
  browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-dev-shm-usage'] });
});

afterAll(async () => {
  await browser.close();
  await bench[Symbol.asyncDispose]();
});

const PHONE = { width: 360, height: 740 };
const DESKTOP = { width: 1280, height: 900 };

async function open(viewport: typeof PHONE, colorScheme: 'light' | 'dark'): Promise<Page> {
  const context = await browser.newContext({ viewport, colorScheme });
  const opened = await context.newPage();
  const problems: string[] = [];
  opened.on('console', (message) => problems.push(message.text()));
  opened.on('pageerror', (error) => problems.push(error.message));
  opened.on('request', (request) => {
    if (request.url() !== pathToFileURL(page).href) problems.push(`loads ${request.url()}`);
  });
  await opened.goto(pathToFileURL(page).href);
  expect(problems).toEqual([]);
  return opened;
}

describe.each([
  ['a phone', PHONE],
  ['a desktop', DESKTOP],
])('on %s', (_what, viewport) => {
  test.each(['light', 'dark'] as const)('the page fits and can be read in %s', async (scheme) => {
    const opened = await open(viewport, scheme);
    const { width, unreadable } = await opened.evaluate<PageLook>(LOOK_AT_PAGE);
    expect(width).toBeLessThanOrEqual(viewport.width);
    expect(unreadable).toEqual([]);
    expect(await opened.locator('figure:visible').count()).toBe(3);
    const box = await opened.locator('figure:visible svg').first().boundingBox();
    expect(box?.width).toBeGreaterThan(viewport.width * 0.7);
    expect(await opened.locator('figure:visible text').allTextContents()).toContain('web1 (exports)');
  });
});

test('says what is in the stores, in words', async () => {
  const opened = await open(DESKTOP, 'light');
  const row = opened.getByRole('row').filter({ hasText: 'web2.example.com' }).first();
  expect(await row.innerText()).toMatch(/1 damaged/);
  expect(await opened.getByRole('row').filter({ hasText: 'web3.example.com' }).first().innerText()).toMatch(/none/);
  expect(await opened.getByRole('row').filter({ hasText: 'db1.example.com' }).count()).toBe(2);
  expect(await opened.locator('dl.figures').innerText()).toMatch(/Instances\s+4\s+Exports\s+8/);
});

test('shows on a phone, without scrolling aside, how old the last export is and what is wrong', async () => {
  const opened = await open(PHONE, 'light');
  const row = opened.getByRole('row').filter({ hasText: 'web2.example.com' }).first();
  const [name, problem] = [await row.getByRole('rowheader').boundingBox(), await row.getByText('1 damaged').boundingBox()];
  expect((problem?.x ?? Infinity) + (problem?.width ?? 0)).toBeLessThanOrEqual(PHONE.width);
  // In two lines at most: a name breaks after its dots alone.
  expect(name?.height).toBeLessThan(60);
});

test('marks exports by their shape, so that colours are not needed', async () => {
  const opened = await open(DESKTOP, 'light');
  const legend = opened.locator('ul.legend').first();
  expect((await legend.locator('li').allInnerTexts()).map((text) => text.trim())).toEqual([
    'complete, verified',
    'complete, never verified',
    'damaged',
    'unfinished',
  ]);
  const shapes = await legend.locator('svg').evaluateAll((all) => all.map((svg) => svg.innerHTML.replaceAll(/var\([^)]*\)/g, '')));
  expect(new Set(shapes).size).toBe(4);
});

test('opens the list of exports by keyboard', async () => {
  const opened = await open(DESKTOP, 'light');
  await opened.keyboard.press('Tab');
  expect(await opened.evaluate('document.activeElement.textContent')).toBe('Skip the charts');
  await opened.keyboard.press('Enter');
  const first = opened.locator('details').first();
  await first.locator('summary').focus();
  await opened.keyboard.press('Enter');
  expect(await first.locator('tbody tr').first().isVisible()).toBe(true);
});

test('holds nothing that a name could turn into HTML', async () => {
  const text = await readFile(page, 'utf8');
  expect(text).not.toMatch(/<script|https?:\/\/(?!www\.w3\.org)/);
  expect((await stat(page)).mode & 0o777).toBe(0o666 & ~process.umask());
});

test('does not take the place of a device', async () => {
  const device = bench.file('full');
  await execa('mknod', [device, 'c', '1', '7']);
  const { exitCode, stderr } = await bench.gantry('report', bench.store, '--out', device);
  expect({ exitCode, isDevice: (await stat(device)).isCharacterDevice() }).toEqual({ exitCode: 11, isDevice: true });
  expect(stderr).toContain('there is something else than a regular file');
});

test('cannot be written where that is not possible, and says why', async () => {
  const { exitCode, stderr } = await bench.gantry('report', bench.store, '--out', bench.file('gone', 'report.html'));
  expect(exitCode).toBe(11);
  expect(stderr).toMatch(/cannot write .*gone\/report\.html: ENOENT/);
});

test('cannot take the place of a directory, which is found before any store is looked at', async () => {
  const { exitCode, stderr } = await bench.gantry('report', bench.file('no-store'), '--out', bench.path);
  expect({ exitCode, stderr }).toEqual({ exitCode: 11, stderr: expect.stringContaining('there is something else than a regular file') });
});
