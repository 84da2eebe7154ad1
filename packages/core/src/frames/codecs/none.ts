import type { DumpReader } from '../dump-reader.ts';
import type { CodecDefinition } from './codec.ts';

export const NONE: CodecDefinition<'none'> = { name: 'none', suffix: '.img', readForeign: readPlain };

async function* readPlain(reader: DumpReader): AsyncGenerator<Uint8Array, void, undefined> {
  for (let chunk = await reader.peek(); chunk !== undefined; chunk = await reader.peek()) {
    yield chunk;
    reader.pass(chunk.length);
  }
}
