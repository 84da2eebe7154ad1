import type { Extent } from '../extents.ts';
import type { ServedExport } from '../server/served-export.ts';
import { ALLOCATION } from '../wire/protocol.ts';

const CELL_BYTES = 4096;

/** An export of bytes in memory, with holes where whole cells of 4 KiB are zero. */
export function memoryExport(name: string, content: Buffer, description?: string): ServedExport {
  return {
    name,
    ...(description === undefined ? {} : { description }),
    size: content.length,
    async read(offset, into) {
      content.copy(into, 0, offset);
    },
    *extents(offset, length): Generator<Extent> {
      for (let at = offset; at < offset + length;) {
        const end = Math.min(at - (at % CELL_BYTES) + CELL_BYTES, content.length);
        const isZero = content.subarray(at, end).every((byte) => byte === 0);
        yield { offset: at, length: end - at, flags: isZero ? ALLOCATION.HOLE | ALLOCATION.ZERO : 0 };
        at = end;
      }
    },
  };
}
