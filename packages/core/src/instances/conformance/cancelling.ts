import type { Check, Fixture } from './fixture.ts';
import { expect, rejectionOf } from './fixture.ts';

/** Runs a call whose signal is aborted in one moment or another: it must reject with the signal's own reason. */
async function expectReason(
  { patienceMs }: Fixture,
  what: string,
  abort: (controller: AbortController) => void,
  call: (signal: AbortSignal) => Promise<unknown>,
): Promise<void> {
  const controller = new AbortController();
  abort(controller);
  const error = await rejectionOf(() => call(controller.signal), what, patienceMs);
  expect(error === controller.signal.reason, `${what}: rejected with ${String(error)}, not with the very reason of the signal`);
}

const abortNow = (controller: AbortController): void => controller.abort(new Error('cancelled by the suite'));

export const cancelling: readonly Check[] = [
  {
    title: 'list and describe with an aborted signal',
    check: async (fixture) => {
      const { source, summaries } = fixture;
      await expectReason(fixture, 'list', abortNow, (signal) => Array.fromAsync(source.list({ signal })));
      await expectReason(fixture, 'describe', abortNow, (signal) => source.describe(summaries[0]?.name ?? '', { signal }));
    },
  },
  {
    title: 'a list in its middle',
    check: async (fixture) => {
      const controller = new AbortController();
      const error = await rejectionOf(
        async () => {
          for await (const _summary of fixture.source.list({ signal: controller.signal })) abortNow(controller);
        },
        'list',
        fixture.patienceMs,
      );
      expect(error === controller.signal.reason, `list: rejected with ${String(error)}, not with the very reason of the signal`);
    },
  },
  {
    title: 'a source can be disposed twice',
    check: async ({ source }) => {
      await source[Symbol.asyncDispose]();
    },
  },
];
