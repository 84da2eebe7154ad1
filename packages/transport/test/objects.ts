import { createHash } from 'node:crypto';
import type { ByteSource, Store } from '../src/index.ts';

export async function* pieces(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

export async function put(store: Store, key: string, text: string): Promise<void> {
  await using pending = await store.begin(key);
  await pending.append(pieces(text));
  await pending.commit({ size: Buffer.byteLength(text), sha256: createHash('sha256').update(text).digest('hex') });
}

export async function textOf(source: ByteSource): Promise<string> {
  let text = '';
  for await (const chunk of source) text += Buffer.from(chunk).toString('latin1');
  return text;
}
