import { StoreError } from '@gantry/transport';
import { MemoryStore } from '@gantry/transport/testing';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { get, keysOf, put, sampleHeader } from '../../test/sample-export.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { claimExport } from './claim.ts';
import { HeldClaim } from './held-claim.ts';

const NAME = 'web1.example.com';
const TEXTS = { meanwhile: 'the export was made', hint: 'Export again.', other: 'another export' };
const denied = new StoreError('denied', { message: 'access denied' });

afterEach(() => void vi.restoreAllMocks());

/** A place with a dump, whose claim somebody took away. */
async function unclaimed() {
  const memory = new MemoryStore();
  const request = { instance: NAME, started: new Date(sampleHeader.started), runId: 'run', tool: sampleHeader.tool };
  const claim = await claimExport(memory, request, {});
  const warnings: string[] = [];
  const calls: string[] = [];
  const store = watchedStore(memory, { before: (call) => void calls.push(call) });
  const held = new HeldClaim(store, NAME, claim, (message) => void warnings.push(message), TEXTS);
  await put(memory, `${held.prefix}disk0.img`, 'dump');
  await memory.remove([`${held.prefix}export.claim`]);
  return { memory, held, claim, warnings, calls };
}

describe('what is given up, lost its claim and is not removed has a claim again', () => {
  test('where the removal takes too long', async () => {
    const { memory, held, claim, warnings } = await unclaimed();
    const late = new AbortController();
    const timeout = AbortSignal.timeout.bind(AbortSignal);
    vi.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => (ms === 60_000 ? late.signal : timeout(ms)));
    await held.giveUp((_claimed, signal) => {
      late.abort(new Error('too late'));
      signal.throwIfAborted();
      return Promise.resolve();
    });
    expect(warnings).toEqual([expect.stringContaining('too late')]);
    expect(await get(memory, `${held.prefix}export.claim`)).toBe(claim.text);
  });

  test("where this run's own unfinished writes cannot be removed", async () => {
    const { memory, held, claim, warnings } = await unclaimed();
    await held.giveUp(
      () => expect.unreachable(),
      () => Promise.reject(denied),
    );
    expect(warnings).toEqual([expect.stringContaining('access denied')]);
    expect(await get(memory, `${held.prefix}export.claim`)).toBe(claim.text);
  });
});

test.each(['export.claim', 'manifest.json', 'removed.json'])('no claim is written beside %s', async (name) => {
  const { memory, held, calls } = await unclaimed();
  await put(memory, `${held.prefix}${name}`, '{"another":"run"}');
  await held.giveUp(
    () => Promise.reject(denied),
    () => Promise.reject(denied),
  );
  expect(calls.filter((call) => call.startsWith('begin '))).toEqual([]);
  expect(await get(memory, `${held.prefix}${name}`)).toBe('{"another":"run"}');
});

test('nor where nothing is left', async () => {
  const { memory, held } = await unclaimed();
  await memory.remove([`${held.prefix}disk0.img`]);
  await held.giveUp(() => Promise.reject(denied));
  expect(await keysOf(memory)).toEqual([]);
});
