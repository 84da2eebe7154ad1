import { formatBytes } from '@gantry/programs';
import { limitedText } from '../queue/names.ts';
import type { LimitSettings, StoreLimit } from '../queue/store-tokens.ts';

/** The rate of a limit, to be put behind its number; empty if it has none. */
export function rateText({ bytesPerSecond }: Pick<LimitSettings, 'bytesPerSecond'>): string {
  return bytesPerSecond === undefined ? '' : `, ${formatBytes(bytesPerSecond)}/s together`;
}

/** How much of a limit is used. */
export function limitText({ store, held, atOnce, bytesPerSecond }: StoreLimit): string {
  return `${limitedText(store)}: ${held} of ${atOnce} exports at once${rateText({ bytesPerSecond })}`;
}
