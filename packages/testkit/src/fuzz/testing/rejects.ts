import type { FuzzTarget } from '../target.ts';

/** Leaves a rejected promise behind for what has a `Z`, without waiting for it. */
const target: FuzzTarget = {
  seeds: () => ['aaaa'],
  words: ['Z'],
  run(input) {
    if (input.includes(0x5a)) void Promise.reject(new Error('nobody waits'));
  },
};

export default target;
