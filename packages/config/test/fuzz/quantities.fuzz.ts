import type { FuzzTarget } from '@gantry/testkit';
import { textTarget } from '@gantry/testkit';
import { withoutPassword } from '../../src/file/explain.ts';
import {
  parseBudget,
  parseBytes,
  parseDuration,
  parseKeepCount,
  parseRate,
  parseTimeOfDayRange,
  parseWithin,
} from '../../src/quantities.ts';

/** Sizes, rates, durations and times of day, as options and the configuration write them: positive, and exact. */
const target: FuzzTarget = textTarget({
  seeds: () => ['500M', '20GiB', '5.5%', '1w2d12h30min5s', '1y6m14d12h', 'unlimited', '22:00-06:00', '999999999T', 'ssh://a:b@c/d'],
  words: ['K', 'MiB', '%', 'w', 'd', 'h', 'min', 's', 'y', ':', '-', '24:00', '@', '://'],
  maxBytes: 200,
  run(text) {
    for (const number of [parseBytes(text), parseRate(text), parseDuration(text)])
      if (number !== undefined && !(Number.isSafeInteger(number) && number > 0)) throw new Error(`${text} is ${number}`);
    const count = parseKeepCount(text);
    if (count !== undefined && !(count > 0)) throw new Error(`${text} is ${count}`);
    const budget = parseBudget(text);
    if (budget !== undefined && !('bytes' in budget ? budget.bytes > 0 : budget.percent > 0 && budget.percent <= 100))
      throw new Error(text);
    const within = parseWithin(text);
    if (within !== undefined && !Object.values(within).every((each) => Number.isSafeInteger(each) && each >= 0)) throw new Error(text);
    const range = parseTimeOfDayRange(text);
    if (range !== undefined && !(range.from !== range.to && range.from < 1440 && range.to < 1440))
      throw new Error(`${text}: ${range.from}-${range.to}`);
    withoutPassword(text);
  },
});

export default target;
