import { readFileSync } from 'node:fs';
import { z } from 'zod';

/** The program that wrote a manifest, a claim or a store marker. */
export interface Tool {
  readonly name: string;
  readonly version: string;
}

const packageSchema = z.object({ version: z.string() });

/** The version of this Gantry: that of the package. */
export const VERSION: string = packageSchema.parse(
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')),
).version;

/** This Gantry, as it signs what it writes. */
export const TOOL: Tool = { name: 'gantry', version: VERSION };
