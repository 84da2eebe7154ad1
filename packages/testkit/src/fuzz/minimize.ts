import type { Failure } from './failure.ts';
import { failureOf } from './failure.ts';
import type { FuzzTarget } from './target.ts';

const MAX_TRIES = 400;
const MAX_MS = 20_000;

/** A shorter input with the same failure: parts are left out as long as it stays. */
export async function minimize(target: FuzzTarget, failure: Failure): Promise<Uint8Array> {
  let input = failure.input;
  let tries = 0;
  const end = performance.now() + MAX_MS;
  for (let part = Math.ceil(input.length / 2); part > 0; part = part === 1 ? 0 : Math.ceil(part / 2)) {
    for (let at = 0; at < input.length;) {
      if ((tries += 1) > MAX_TRIES || performance.now() > end) return input;
      const shorter = Buffer.concat([input.subarray(0, at), input.subarray(at + part)]);
      if (await failsWith(target, shorter, failure.key)) input = shorter;
      else at += part;
    }
  }
  return input;
}

async function failsWith(target: FuzzTarget, input: Uint8Array, key: string): Promise<boolean> {
  try {
    await target.run(input);
    return false;
  } catch (error) {
    return failureOf(input, error).key === key;
  }
}
