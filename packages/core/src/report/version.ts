import { readFileSync } from 'node:fs';
import { z } from 'zod';

/** What manifests and claims call the program that wrote them. */
export interface Tool {
  readonly name: string;
  readonly version: string;
}

const packageSchema = z.object({ version: z.string() });

/** This very Gantry: the version is the package's own. */
export const TOOL: Tool = {
  name: 'gantry',
  version: packageSchema.parse(JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))).version,
};
