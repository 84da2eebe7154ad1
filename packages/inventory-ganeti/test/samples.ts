import { readFile } from 'node:fs/promises';
import { z } from 'zod';

/** What a cluster of Ganeti 3.0.2 said of its instances, as it came; its users, addresses and secrets are made up. */
export async function sample(name: string): Promise<Record<string, unknown>> {
  const text = await readFile(new URL(`samples/${name}`, import.meta.url), 'utf8');
  return z.record(z.string(), z.unknown()).parse(JSON.parse(text));
}

const job = z.looseObject({ opresult: z.tuple([z.record(z.string(), z.looseObject({ nics: z.array(z.array(z.unknown())) }))]) });

/** What the job that describes inst2.example.com answered, with some fields of its result altered. */
export async function sampleJob(alter: (details: { readonly nics: readonly unknown[][] }) => object): Promise<{ opresult: [object] }> {
  const answer = job.parse(await sample('info-job.inst2.json'));
  return {
    ...answer,
    opresult: [Object.fromEntries(Object.entries(answer.opresult[0]).map(([name, details]) => [name, { ...details, ...alter(details) }]))],
  };
}
