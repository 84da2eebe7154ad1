export { Memory, MemoryStore } from './memory-store.ts';
