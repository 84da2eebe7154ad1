import type { HostProcess } from '@gantry/transport';
import { z } from 'zod';

/** A process of any host, as recorded in a claim or a move record. */
export const hostProcessSchema: z.ZodType<HostProcess> = z.object({
  host: z.string(),
  machine: z.string(),
  pidNamespace: z.string(),
  pid: z.int().min(1),
  startTime: z.int(),
  bootId: z.string(),
});
