import type { FuzzTarget } from '../target.ts';

/** Leaves a rejected promise behind for every input but its seed. */
const target: FuzzTarget = {
  seeds: () => ['a'],
  run(input) {
    if (Buffer.from(input).toString() !== 'a') void Promise.reject(new Error('nobody waits'));
  },
};

export default target;
