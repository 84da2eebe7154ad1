import { Memory, MemoryStore } from '@gantry/transport/testing';
import { VersionedStore, Versions } from '../versioned-store.ts';
import { faultedStore } from './faulted-store.ts';
import { pointsOf } from './faults.ts';
import type { Medium, Place } from './place.ts';

/** A store in memory, which keeps what is removed, with faults at each of its calls. */
export const MEMORY: Medium = {
  name: 'memory',
  place: async () => memoryPlace(new Memory(), new Versions()),
  points: pointsOf,
  [Symbol.asyncDispose]: async () => {},
};

function memoryPlace(memory: Memory, versions: Versions): Place {
  return {
    copy: async () => {
      const copy = new Memory();
      for (const [key, object] of memory.objects) copy.objects.set(key, object);
      // A copy is of a place that no process has open any more.
      for (const [token, unfinished] of memory.unfinished) copy.unfinished.set(token, { ...unfinished, holder: undefined });
      return memoryPlace(copy, versions.copy());
    },
    open: async () => new VersionedStore(new MemoryStore(memory), versions).store,
    openFaulted: async (faults) => faultedStore(new VersionedStore(new MemoryStore(memory), versions).store, faults),
    end: async () => {
      for (const unfinished of memory.unfinished.values()) unfinished.holder = undefined;
    },
    contents: async () => memory.objects,
    [Symbol.asyncDispose]: async () => {},
  };
}
