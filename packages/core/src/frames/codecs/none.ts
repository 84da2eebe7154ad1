import type { DumpReader } from '../dump-reader.ts';
import { PLAIN_CODEC } from '../plain-codec.ts';
import type { CodecDefinition } from './codec.ts';

export const NONE: CodecDefinition<'none'> = {
  name: 'none',
  suffix: '.img',
  frames: () => PLAIN_CODEC,
  readForeign: readPlain,
};

async function* readPlain(reader: DumpReader): AsyncGenerator<Uint8Array, void, undefined> {
  for (let chunk = await reader.peek(); chunk !== undefined; chunk = await reader.peek()) {
    yield chunk;
    reader.consume(chunk.length);
  }
}
