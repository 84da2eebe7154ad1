import { writeFileSync } from 'node:fs';
import process from 'node:process';
import type { FuzzTarget } from '../target.ts';

/** Its first input is never done with. Writes the id of its process to `FUZZ_STUCK_FILE` before that, if there is one. */
const target: FuzzTarget = {
  seeds: () => ['for ever'],
  run() {
    const file = process.env['FUZZ_STUCK_FILE'];
    if (file !== undefined) writeFileSync(file, String(process.pid));
    for (;;);
  },
};

export default target;
