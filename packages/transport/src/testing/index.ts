export type { Fault, FaultyCall, FaultyStoreOptions } from './faulty-store.ts';
export { faultyStore } from './faulty-store.ts';
export { Memory, MemoryStore } from './memory-store.ts';
