import { readFile } from 'node:fs/promises';
import { Ajv } from 'ajv';
import { parse } from 'yaml';
import { describe, expect, test } from 'vitest';
import { checkConfiguration, configurationJsonSchema } from './schema.ts';

const PAGE = new URL('../../../../docs/reference/configuration.md', import.meta.url);
const validate = new Ajv({ strict: false }).compile(configurationJsonSchema());

/** What an editor finds wrong: it reads numbers, true and false as such. */
function problems(text: string): readonly string[] {
  return validate(parse(text)) ? [] : (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message ?? ''}`);
}

function policy(fields: string): string {
  return `policies: { p: { instances: ./x.yaml, stores: /s, ${fields} } }`;
}

/** What Gantry itself takes: every scalar as text. */
async function isAccepted(text: string): Promise<boolean> {
  return (await checkConfiguration(parse(text, { schema: 'failsafe' }))).success;
}

test('the example of the page is valid', async () => {
  const [, example = ''] = /```yaml\n([^]*?)```/.exec(await readFile(PAGE, 'utf8')) ?? [];
  expect(example).toContain('stores:');
  expect(problems(example)).toEqual([]);
});

describe('editors and Gantry agree', () => {
  test.each([
    'defaults: { level: 6, incremental: true, parallel-disks: "2" }',
    'defaults: { limit-rate: 5000000 }',
    'defaults: { limit-rate: 5MiB }',
    'defaults: { limit-rate: unlimited }',
    'defaults: { limit-rate: { default: 5M, 08:00-18:00: 1000000, "18:00-24:00": unlimited } }',
    'defaults: { snapshot-size: 20%, tags: [a, b] }',
    policy('max-age: 1d12h, nice: 19, io: idle'),
    policy('retention: { last: 3, daily: unlimited, within: 1y6m, tags: [a, "b,c"] }'),
    policy('verify: { depth: stored, budget: 5% }'),
    policy('window: 22:00-06:00, at-window-end: stop'),
    policy('copies: [{ to: /t, retention: { monthly: 12 } }]'),
    'policies: { p: { instances: [{ source: "ganeti:", names: web*, except: [a, b], tags: x }, ./y.yaml], stores: [a, b] } }',
    'notify: { on: always, mail: { to: root }, command: [/bin/true] }',
  ])('%s is right', async (text) => {
    expect({ problems: problems(text), isAccepted: await isAccepted(text) }).toEqual({ problems: [], isAccepted: true });
  });

  test.each([
    'stores: { 1x: { url: /a } }',
    'stores: { a: {} }',
    'stores: { a: { url: /a, ulr: /a } }',
    'defaults: { level: 0 }',
    'defaults: { level: high }',
    'defaults: { incremental: perhaps }',
    'defaults: { codec: rar }',
    'defaults: { limit-rate: fast }',
    'defaults: { limit-rate: { noon: 5M } }',
    'defaults: { limit-rate: { 8:00-9:00: 5M } }',
    'defaults: { tags: ["a b"] }',
    policy('max-age: 3'),
    policy('max-age: ""'),
    policy('nice: 20'),
    policy('window: 22-06'),
    policy('retention: { daily: 0 }'),
    policy('retention: { within: soon }'),
    policy('verify: { budget: all }'),
    'policies: { p: { instances: [], stores: a } }',
    'policies: { p: { instances: ./x.yaml } }',
    'notify: { command: [] }',
  ])('%s is wrong', async (text) => {
    expect({ isRefused: problems(text).length > 0, isAccepted: await isAccepted(text) }).toEqual({ isRefused: true, isAccepted: false });
  });
});

test('every field has a description', () => {
  const without: string[] = [];
  const look = (schema: unknown, path: string): void => {
    if (typeof schema !== 'object' || schema === null) return;
    for (const [key, value] of Object.entries(schema)) {
      if (key === 'properties' && !Array.isArray(schema)) {
        for (const [name, field] of Object.entries(Object(value))) {
          if (typeof field === 'object' && field !== null && !('description' in field)) without.push(`${path}.${name}`);
        }
      }
      look(value, /^(properties|additionalProperties|patternProperties|anyOf|items|\d+)$/.test(key) ? path : `${path}.${key}`);
    }
  };
  look(configurationJsonSchema(), '');
  expect(without.filter((path) => !path.endsWith('.default'))).toEqual([]);
});
