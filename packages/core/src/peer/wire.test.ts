import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { GREETING, GreetingReader } from './greeting.ts';
import { parseControl } from './messages.ts';
import type { Incoming } from './wire.ts';
import { MAX_CONTROL_BYTES, MAX_DATA_BYTES, MessageSplitter, WireProblem, creditMessage, header } from './wire.ts';

const message = fc.oneof(
  fc.record({ type: fc.constant('data' as const), disk: fc.nat(999), bytes: fc.uint8Array({ minLength: 1, maxLength: 300 }) }),
  fc.record({ type: fc.constant('credit' as const), disk: fc.nat(999), bytes: fc.nat(2 ** 31) }),
  fc.record({ type: fc.constant('control' as const), text: fc.string({ minLength: 2, maxLength: 50, unit: 'grapheme' }) }),
  fc.record({ type: fc.constant('alive' as const) }),
);
type Message = typeof message extends fc.Arbitrary<infer T> ? T : never;

function encode(one: Message): Uint8Array {
  if (one.type === 'data') return Buffer.concat([header('data', one.disk, one.bytes.length), one.bytes]);
  if (one.type === 'credit') return creditMessage(one.disk, one.bytes);
  if (one.type === 'alive') return header('alive', 0, 0);
  const body = Buffer.from(one.text);
  return Buffer.concat([header('control', 0, body.length), body]);
}

/** Feeds bytes in pieces of the given sizes, over and over. */
function split(bytes: Uint8Array, sizes: readonly number[]): { readonly found: Incoming[]; readonly splitter: MessageSplitter } {
  const splitter = new MessageSplitter();
  const found: Incoming[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1;
    for (const one of splitter.push(bytes.subarray(at, at + size))) {
      const last = found.at(-1);
      // Parts of the data of one disk, joined again.
      if (one.type === 'data' && last?.type === 'data' && last.disk === one.disk)
        found[found.length - 1] = { ...last, bytes: Buffer.concat([last.bytes, one.bytes]) };
      else found.push(one.type === 'data' ? { ...one, bytes: Buffer.from(one.bytes) } : one);
    }
    at += size;
  }
  return { found, splitter };
}

const sizes = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 5 });

describe('the messages of a pipe', () => {
  test('come out as they went in, wherever they are cut on the way', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 12 }), sizes, (messages, cuts) => {
        const bytes = Buffer.concat(messages.map(encode));
        const whole = split(bytes, [bytes.length + 1]);
        const cut = split(bytes, cuts);
        expect(cut.found).toEqual(whole.found);
        expect(whole.found.filter(({ type }) => type !== 'data')).toEqual(messages.filter(({ type }) => type !== 'data'));
        const data = (all: readonly (Message | Incoming)[]): Buffer =>
          Buffer.concat(all.flatMap((one) => (one.type === 'data' ? [one.bytes] : [])));
        expect(data(cut.found)).toEqual(data(messages));
        expect(cut.splitter.heldBytes).toBe(0);
      }),
    );
  });

  test('are bounded: any other bytes are refused, or held in no more than one control message', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), sizes, (bytes, cuts) => {
        try {
          expect(split(bytes, cuts).splitter.heldBytes).toBeLessThanOrEqual(MAX_CONTROL_BYTES);
        } catch (error) {
          expect(error).toBeInstanceOf(WireProblem);
        }
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    ['data', MAX_DATA_BYTES + 1],
    ['data', 0],
    ['control', MAX_CONTROL_BYTES + 1],
    ['control', 2 ** 32 - 1],
    ['credit', 5],
    ['alive', 1],
  ] as const)('of the type %s have no %i bytes', (type, length) => {
    expect(() => [...new MessageSplitter().push(header(type, 0, length))]).toThrow(WireProblem);
  });
});

describe('a greeting', () => {
  test('is known wherever it is cut, and what follows is kept', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: GREETING.length }), (size) => {
        const reader = new GreetingReader();
        const bytes = Buffer.from(`${GREETING}xyz`);
        let rest = '';
        for (let at = 0; at < bytes.length; at += size) {
          const found = rest === '' ? reader.push(bytes.subarray(at, at + size)) : undefined;
          if (found?.kind === 'greeting') rest = `${Buffer.from(found.rest).toString()}${bytes.subarray(at + size).toString()}`;
          else expect(found === undefined || found.kind === 'waiting').toBe(true);
        }
        expect(rest).toBe('xyz');
      }),
    );
  });

  test('is distinguished from anything else within 80 bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 80, maxLength: 200 }), fc.boolean(), (bytes, prefixed) => {
        const sent = prefixed ? Buffer.concat([Buffer.from('gantry-pipe '), bytes]) : bytes;
        expect(new GreetingReader().push(sent).kind).not.toBe('waiting');
      }),
    );
  });
});

describe('a control message', () => {
  test('is one of those that there are, or none', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        expect(parseControl(text)).toBeUndefined();
      }),
    );
    expect(parseControl('{"kind":"commit"}')).toEqual({ kind: 'commit' });
    expect(parseControl('{"kind":"commit","more":1}')).toBeUndefined();
    expect(parseControl('['.repeat(100_000))).toBeUndefined();
    expect(parseControl('{"kind":"ready","instance":"../x","node":"n","window":1}')).toBeUndefined();
  });
});
