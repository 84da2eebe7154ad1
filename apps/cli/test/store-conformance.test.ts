import { readdir } from 'node:fs/promises';
import { mountReadOnly } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';
import { makeWorkbench } from './workbench.ts';

describe('gantry store conformance', () => {
  test('runs the conformance suite against a live store and leaves nothing in it', async () => {
    await using bench = await makeWorkbench();
    const outcome = await bench.gantry('store', 'conformance', bench.store);
    expect(outcome.exitCode, outcome.stderr).toBe(0);
    expect(outcome.stdout).toMatch(/keeps all \d\d+ promises/);
    expect(await readdir(bench.store)).toEqual(['gantry-store.json']);
  });

  test('lists the promises that a store breaks', async () => {
    await using bench = await makeWorkbench();
    await bench.gantry('store', 'init', bench.store);
    await using readOnly = await mountReadOnly(bench.store);
    const outcome = await bench.gantry('store', 'conformance', readOnly.path);
    expect(outcome.exitCode).toBe(8);
    expect(outcome.stderr).toMatch(/breaks \d+ of \d+ promises/);
  });
});
