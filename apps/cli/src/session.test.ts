import { writeFile } from 'node:fs/promises';
import { makeTemporaryDirectory } from '@gantry/testkit';
import type { Rate } from '@gantry/transport';
import { expect, test } from 'vitest';
import type { CommonOptions } from './session.ts';
import { createSession } from './session.ts';

const nothing = (): void => undefined;
const output = {
  event: nothing,
  note: nothing,
  warn: nothing,
  ask: nothing,
  result: nothing,
  bytes: nothing,
  failure: nothing,
  close: nothing,
};

/** What it is now. */
function now(rate: Rate | undefined): number | undefined {
  return typeof rate === 'function' ? rate() : rate;
}

test('GANTRY_MAX_RATE is a rate that no option, variable or setting exceeds, nor a store without any', async () => {
  await using home = await makeTemporaryDirectory();
  const slow = "slow: { url: slow, limit-rate: { '00:00-12:00': 2K, default: 2K } }";
  await writeFile(home.file('gantry.yaml'), `stores: { fast: { url: fast, limit-rate: 9K }, ${slow}, free: { url: free } }\n`);
  const rateOf = async (store: string, env: NodeJS.ProcessEnv = {}, options: CommonOptions = {}): Promise<number | undefined> => {
    const { signal } = new AbortController();
    const given = { output, json: false, quiet: false, signal, cwd: home.path, configFile: home.file('gantry.yaml'), exitWith: nothing };
    return now(await createSession({ ...given, env: { GANTRY_MAX_RATE: '5K', ...env } }, options).rate({ store }));
  };
  expect([await rateOf('fast'), await rateOf('slow'), await rateOf('free')]).toEqual([5 * 1024, 2 * 1024, 5 * 1024]);
  expect([await rateOf('free', { GANTRY_LIMIT_RATE: '8K' }), await rateOf('free', { GANTRY_LIMIT_RATE: '3K' })]).toEqual([
    5 * 1024,
    3 * 1024,
  ]);
  expect([await rateOf('free', {}, { limitRate: 8192 }), await rateOf('free', {}, { limitRate: 1 })]).toEqual([5 * 1024, 1]);
  expect([await rateOf('fast', { GANTRY_MAX_RATE: '' }), await rateOf('free', { GANTRY_MAX_RATE: '' })]).toEqual([9 * 1024, undefined]);
});
