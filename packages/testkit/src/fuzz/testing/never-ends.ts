import type { FuzzTarget } from '../target.ts';

/** Its first input is never done with. */
const target: FuzzTarget = {
  seeds: () => ['for ever'],
  run() {
    for (;;);
  },
};

export default target;
