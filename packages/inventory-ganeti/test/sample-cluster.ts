import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Answer } from './fake-rapi.ts';
import { json } from './fake-rapi.ts';
import { sample } from './samples.ts';

export const INST2 = 'inst2.example.com';

/** What a resource answers in place of the sample, by its path. */
export type Replacements = Readonly<Record<string, (request: IncomingMessage, response: ServerResponse) => void>>;

/** Answers as the cluster of the samples did, with some resources replaced. */
export async function sampleAnswers(replacements: Replacements = {}): Promise<Answer> {
  const summary = await sample('instance.inst2.json');
  const resources: Readonly<Record<string, unknown>> = {
    '/2/instances': [{ id: INST2, uri: `/2/instances/${INST2}` }],
    '/2/instances?bulk=1': [summary],
    [`/2/instances/${INST2}`]: summary,
    [`/2/instances/${INST2}/info`]: 19,
    '/2/info': await sample('info.json'),
    '/2/jobs/19': await sample('info-job.inst2.json'),
  };
  return (request, response) => {
    const path = request.url ?? '';
    const replacement = replacements[path];
    if (replacement !== undefined) replacement(request, response);
    else if (Object.hasOwn(resources, path)) json(response, 200, resources[path]);
    else json(response, 404, { code: 404, message: 'Not Found' });
  };
}
