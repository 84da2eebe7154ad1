import process from 'node:process';

/**
 * Whether tests also do what differs little from what they do anyway, or takes long and seldom breaks, with `GANTRY_ALL_VARIANTS=1`:
 * `scripts/variants.sh` runs all of that.
 */
export const ALL_VARIANTS: boolean = process.env['GANTRY_ALL_VARIANTS'] === '1';
