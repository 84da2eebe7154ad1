import type { FuzzTarget } from '@gantry/testkit';
import { assertRefusal } from '@gantry/testkit';
import { GREETING, GreetingReader } from '../../src/peer/greeting.ts';
import type { Incoming } from '../../src/peer/wire.ts';
import { creditMessage, header, MAX_CONTROL_BYTES, MessageSplitter, WireProblem } from '../../src/peer/wire.ts';

/** All that was understood, until something was not; data of one message as one. */
function split(input: Uint8Array, chunk: number): { readonly messages: readonly Incoming[]; readonly isRefused: boolean } {
  const greeting = new GreetingReader();
  const splitter = new MessageSplitter();
  const messages: Incoming[] = [];
  let isGreeted = false;
  try {
    for (let at = 0; at < input.length; at += chunk) {
      let part = input.subarray(at, at + chunk);
      if (!isGreeted) {
        const found = greeting.push(part);
        if (found.kind === 'other') return { messages, isRefused: true };
        if (found.kind === 'waiting') continue;
        isGreeted = true;
        part = found.rest;
      }
      for (const message of splitter.push(part)) add(messages, message);
      if (splitter.heldBytes > MAX_CONTROL_BYTES) throw new Error(`it holds ${splitter.heldBytes} bytes`);
    }
    return { messages, isRefused: false };
  } catch (error) {
    assertRefusal(error, (each) => each instanceof WireProblem);
    return { messages, isRefused: true };
  }
}

function add(messages: Incoming[], message: Incoming): void {
  const last = messages.at(-1);
  if (message.type === 'data' && last?.type === 'data' && last.disk === message.disk)
    messages[messages.length - 1] = { ...last, bytes: Buffer.concat([last.bytes, message.bytes]) };
  else messages.push(message.type === 'data' ? { ...message, bytes: Buffer.from(message.bytes) } : message);
}

/** The bytes of a pipe between two hosts: the same in every division into chunks. */
const target: FuzzTarget = {
  seeds: () => {
    const control = Buffer.from('{"kind":"commit"}');
    const all = [header('control', 0, control.length), control, header('data', 1, 5), Buffer.from('hello'), creditMessage(1, 4096)];
    return [Buffer.concat([Buffer.from(GREETING), ...all, header('alive', 0, 0), header('working', 0, 0)]), Buffer.from(GREETING)];
  },
  words: ['gantry-pipe 3 0.1.0\n', 'gantry-pipe '],
  run(input) {
    const [whole, pieces] = [split(input, Math.max(1, input.length)), split(input, 7)];
    if (JSON.stringify(whole) !== JSON.stringify(pieces)) throw new Error('it depends on how it is divided');
  },
};

export default target;
