import type { IncomingInstance, InstanceSource, InstanceTransfers, NewInstanceRequest, OutgoingInstance } from '../inventory.ts';
import { InventoryError } from '../inventory-error.ts';
import { memorySource } from './memory-inventory.ts';

/** What a source in memory does with disks, and how it fails. */
export interface MemoryTransferOptions {
  /** Data of the disks that it sends. */
  readonly disks?: readonly Uint8Array[];
  /** Throws what `complete` rejects with. */
  readonly onComplete?: () => void;
  readonly onDiscard?: () => void;
  /** Throws what `create` rejects with; the source makes the instance later, if at all. */
  readonly onCreate?: () => void;
}

export interface MemoryTransfers extends InstanceTransfers {
  readonly source: InstanceSource;
  /** Instances that were made and are still there, with the contents of their disks. */
  readonly made: Map<string, { readonly request: NewInstanceRequest; readonly disks: Buffer[]; isComplete: boolean }>;
  readonly listens: (string | undefined)[];
}

/** A source that moves disks, in memory. */
export function memoryTransfers({ disks = [], onCreate, onComplete, onDiscard }: MemoryTransferOptions = {}): MemoryTransfers {
  const made: MemoryTransfers['made'] = new Map();
  const listens: (string | undefined)[] = [];
  const transfers: InstanceTransfers = {
    create: async (request) => {
      const { name } = request.instance;
      await Promise.resolve(onCreate?.());
      if (made.has(name)) throw new InventoryError('exists', { message: `there is an instance ${name} already` });
      const entry = { request, disks: request.instance.disks.map(() => Buffer.alloc(0)), isComplete: false };
      made.set(name, entry);
      return await Promise.resolve({
        async write(disk, pieces) {
          const parts: Buffer[] = [];
          for await (const piece of pieces) parts.push(piece instanceof Uint8Array ? Buffer.from(piece) : Buffer.alloc(piece.zeros));
          entry.disks[disk] = Buffer.concat(parts);
        },
        async complete() {
          await Promise.resolve(onComplete?.());
          entry.isComplete = true;
          return name;
        },
        [Symbol.asyncDispose]: async () => undefined,
      } satisfies IncomingInstance);
    },
    discard: async (name, token) => {
      await Promise.resolve(onDiscard?.());
      const entry = made.get(name);
      if (entry?.request.token === token && !entry.isComplete && made.delete(name)) return 'removed';
      return onCreate === undefined ? 'nothing' : 'may-appear';
    },
    send: async (_name, { listen }) => {
      listens.push(listen);
      return await Promise.resolve({
        disks: disks.length,
        diskBytes: disks.map(() => undefined),
        async *read(disk) {
          const data = disks[disk] ?? new Uint8Array();
          for (let at = 0; at < data.length; at += 10_000) yield await Promise.resolve(data.subarray(at, at + 10_000));
        },
        complete: async () => await Promise.resolve(onComplete?.()),
        [Symbol.asyncDispose]: async () => undefined,
      } satisfies OutgoingInstance);
    },
  };
  return { ...transfers, made, listens, source: { ...memorySource(), transfers } };
}
