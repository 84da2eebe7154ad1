import { makeTemporaryDirectory } from '@gantry/testkit';
import { expect, test } from 'vitest';

import type { FakeAgentOptions } from '../../../test/snapshots/fake-agent.ts';
import { startFakeAgent } from '../../../test/snapshots/fake-agent.ts';
import type { ProcessGroup } from '../../system/process-group.ts';
import { groupEnded } from '../../system/process-group.ts';
import type { FreezeRecord } from './agent-freeze.ts';
import { FreezeFailure, freezeGuest, thawGuest } from './agent-freeze.ts';

const { signal } = new AbortController();
const FREEZE = 'guest-fsfreeze-freeze';
const THAW = 'guest-fsfreeze-thaw';
const record = async (): Promise<void> => undefined;

async function failureOf(options: FakeAgentOptions): Promise<{ readonly failure: unknown; readonly heard: readonly string[] }> {
  await using own = await makeTemporaryDirectory();
  const socket = own.file('qga');
  await using agent = await startFakeAgent(socket, options);
  const failure = await freezeGuest({ socket, answerS: 1, frozenS: 1 }, record, signal).catch((error: unknown) => error);
  return { failure, heard: [...agent.heard] };
}

test('a guest is frozen until it is thawed; answers to somebody else before are passed over', async () => {
  await using own = await makeTemporaryDirectory();
  const socket = own.file('qga');
  await using agent = await startFakeAgent(socket, { noise: '{"return": 3}\n{"return": {"x"' });
  const frozen = await freezeGuest({ socket, answerS: 60, frozenS: 60 }, record, signal);
  expect(agent.isFrozen()).toBe(true);
  await frozen.thaw();
  expect(agent.heard).toEqual([FREEZE, THAW]);
  await frozen[Symbol.asyncDispose]();
});

test('a guest is thawed when the time is over, and that is said', async () => {
  await using own = await makeTemporaryDirectory();
  const socket = own.file('qga');
  await using agent = await startFakeAgent(socket);
  const frozen = await freezeGuest({ socket, answerS: 60, frozenS: 1 }, record, signal);
  await agent.hears(THAW);
  await expect(frozen.thaw()).rejects.toMatchObject({
    message: 'the guest was thawed after 1 s, before its snapshots were taken',
    mayBeFrozen: false,
  });
});

test('a guest is thawed at once when the operation is cancelled while it is being frozen', async () => {
  await using own = await makeTemporaryDirectory();
  const socket = own.file('qga');
  await using agent = await startFakeAgent(socket, { hangs: [FREEZE] });
  const cancelling = new AbortController();
  const freezing = freezeGuest({ socket, answerS: 600, frozenS: 600 }, record, cancelling.signal);
  await agent.hears(FREEZE);
  cancelling.abort(new Error('enough'));
  await expect(freezing).rejects.toThrow('enough');
  expect(agent.heard).toEqual([FREEZE, THAW]);
});

test.each<[string, FakeAgentOptions, string, boolean, readonly string[]]>([
  ['that does not answer', { hangs: ['guest-sync-delimited'] }, 'did not answer in time', false, ['guest-sync-delimited']],
  ['that refuses', { refuses: [FREEZE] }, 'refused guest-fsfreeze-freeze: not', false, [FREEZE]],
  ['that sends nonsense', { noise: 'x'.repeat(70_000) }, 'sent more than 65536 bytes without an end of line', false, []],
  ['that never ends freezing', { hangs: [FREEZE] }, 'did not freeze the guest within 1 s', false, [FREEZE, THAW]],
  ['that does not answer to the thaw either', { hangs: [FREEZE, THAW] }, 'did not answer in time', true, [FREEZE, THAW]],
])('an agent %s is said, and the guest is left thawed where that can be', async (_, options, message, mayBeFrozen, heard) => {
  const outcome = await failureOf(options);
  expect(outcome.failure).toBeInstanceOf(FreezeFailure);
  expect(outcome.failure).toMatchObject({ message: expect.stringContaining(message), mayBeFrozen });
  expect(String(outcome.failure)).not.toContain('\u001b');
  expect(outcome.heard).toEqual(heard);
});

test('a guest whose agent hangs while it freezes, and goes on after that was given up, is thawed', async () => {
  await using own = await makeTemporaryDirectory();
  const socket = own.file('qga');
  await using agent = await startFakeAgent(socket, { stopsAt: FREEZE });
  const records: FreezeRecord[] = [];
  const started = async (record: FreezeRecord): Promise<void> => void records.push(record);
  await expect(freezeGuest({ socket, answerS: 2, frozenS: 2 }, started, signal)).rejects.toMatchObject({ mayBeFrozen: true });
  const [record] = records;
  if (record === undefined) throw new Error('not started');
  await expect(thawGuest(record)).rejects.toThrow('does not answer, and a process goes on trying to thaw it');
  agent.goOn();
  await agent.hears(THAW);
  expect(agent.heard).toEqual([FREEZE, THAW]);
  expect(agent.isFrozen()).toBe(false);
  await thawGuest(record);
});

test('where nobody listens that is said, and there is nothing to thaw', async () => {
  await using own = await makeTemporaryDirectory();
  const agent = { socket: own.file('qga'), answerS: 60, frozenS: 60 };
  let process: ProcessGroup | undefined;
  const started = async (made: FreezeRecord): Promise<void> => {
    process = made.process;
  };
  await expect(freezeGuest(agent, started, signal)).rejects.toThrow(
    /^the guest agent at .*qga cannot be reached: No such file or directory$/,
  );
  if (process === undefined) throw new Error('not started');
  await thawGuest({ ...agent, process });
});

test('a guest is thawed by the next run if the process that was to do it was killed too', async () => {
  await using own = await makeTemporaryDirectory();
  const socket = own.file('qga');
  await using agent = await startFakeAgent(socket);
  let made: FreezeRecord | undefined;
  const frozen = await freezeGuest(
    { socket, answerS: 60, frozenS: 60 },
    async (record) => {
      made = record;
    },
    signal,
  );
  if (made === undefined) throw new Error('not started');
  process.kill(made.process.pgid, 'SIGKILL');
  await groupEnded(made.process, 60_000);
  await expect(frozen.thaw()).rejects.toMatchObject({ message: 'the process that was to thaw the guest was killed', mayBeFrozen: true });
  expect(agent.isFrozen()).toBe(true);
  await thawGuest(made);
  expect(agent.isFrozen()).toBe(false);
});
