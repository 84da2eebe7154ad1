import { expect, test } from 'vitest';
import { SharedResults } from './shared-results.ts';

/** Counts how often each name is made. */
function counting(results: SharedResults<string>): { readonly made: string[]; readonly get: (name: string) => Promise<string> } {
  const made: string[] = [];
  const make = async (name: string): Promise<string> => {
    made.push(name);
    return name;
  };
  return { made, get: (name) => results.get(name, () => make(name), {}) };
}

test('a result is made once, and the latest are kept, by their size', async () => {
  const results = new SharedResults<string>(6, (text) => text.length);
  const { made, get } = counting(results);
  expect(await Promise.all([get('aa'), get('aa'), get('bb')])).toEqual(['aa', 'aa', 'bb']);
  await get('cc');
  results.use('aa');
  expect(results.made()).toEqual(['bb', 'cc', 'aa'].map((name) => [name, name]));
  // Takes the place of what was not used for longest.
  await get('ddd');
  expect(results.made().map(([name]) => name)).toEqual(['aa', 'ddd']);
  // Larger than all that is kept: alone then.
  await get('longer than that');
  expect(results.made().map(([name]) => name)).toEqual(['longer than that']);
  await get('aa');
  expect(made).toEqual(['aa', 'bb', 'cc', 'ddd', 'longer than that', 'aa']);
});

test('a failure is that of all who wait for it, and is not kept', async () => {
  const results = new SharedResults<string>(6);
  const failing = (): Promise<string> => results.get('a', () => Promise.reject(new Error('it failed')), {});
  const failures = await Promise.allSettled([failing(), failing()]);
  expect(failures).toEqual(Array.from({ length: 2 }, () => ({ status: 'rejected', reason: new Error('it failed') })));
  expect(await counting(results).get('a')).toBe('a');
});

test('what another call started, which was aborted, is made anew; a call that is aborted itself has its own reason', async () => {
  const results = new SharedResults<string>(6);
  const [first, second] = [new AbortController(), new AbortController()];
  const untilAborted = ({ signal }: AbortController) =>
    new Promise<string>((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
    });
  const calls = Promise.allSettled([
    results.get('a', () => untilAborted(first), first),
    results.get('a', async () => 'made anew', {}),
    results.get('a', async () => 'made in vain', second),
  ]);
  second.abort(new Error('the second'));
  first.abort(new Error('the first'));
  expect(await calls).toEqual([
    { status: 'rejected', reason: new Error('the first') },
    { status: 'fulfilled', value: 'made anew' },
    { status: 'rejected', reason: new Error('the second') },
  ]);
});
