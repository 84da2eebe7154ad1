import { expect, test } from 'vitest';
import { z } from 'zod';
import { errorText } from './error-text.ts';

test('the text of a document that a schema refuses is one clause, with the first place', () => {
  const schema = z.object({ disks: z.array(z.object({ size: z.int() })) });
  const refusal = schema.safeParse({ disks: [{ size: 'a' }, { size: 'b' }] }).error;
  expect(errorText(refusal)).toMatch(/^it is not what was expected: disks\.0\.size: [^\n]+$/);
  expect(errorText(schema.safeParse(null).error)).toMatch(/^it is not what was expected: [^\n]+$/);
});

test('of another error it is its message, and of what is not an error the value', () => {
  expect([errorText(new Error('no')), errorText('text')]).toEqual(['no', 'text']);
});
