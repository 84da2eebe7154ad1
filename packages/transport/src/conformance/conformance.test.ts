import { test } from 'vitest';
import { Memory, MemoryStore } from '../testing/index.ts';
import { storeConformance } from './index.ts';

const memory = new Memory();

for (const { title, run } of storeConformance(async () => new MemoryStore(memory))) {
  test(title, run);
}
