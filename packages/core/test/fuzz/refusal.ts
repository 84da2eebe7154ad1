import { assertRefusal } from '@gantry/testkit';
import type { GantryErrorCode } from '../../src/report/errors.ts';
import { GantryError } from '../../src/report/errors.ts';
import { terminalSafe, terminalSafeJson } from '../../src/report/terminal-text.ts';

/** What no terminal is to get, and no line of JSON: control characters, and what changes the direction of text. */
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const UNSAFE = /[\u0000-\u0008\u000A-\u001F\u007F-\u009F\u061C\u200E\u200F\u2028-\u202E\u2066-\u2069\uFEFF]|\p{Cs}/u;

/** More lines than a terminal shows below a message, characters. */
const MAX_DETAILS_LENGTH = 64 * 1024;

/** Passes over a refusal with one of these codes that can be shown; everything else is thrown again. */
export function assertRefused(error: unknown, ...codes: readonly GantryErrorCode[]): void {
  assertRefusal(error, (each) => each instanceof GantryError && codes.includes(each.code));
  if (!(error instanceof GantryError)) return;
  const { message, hint, details } = error;
  if (details.join('').length > MAX_DETAILS_LENGTH) throw new Error(`details of ${details.join('').length} characters`, { cause: error });
  assertShowable([message, hint ?? '', ...details]);
}

/** Whether texts come out safe where they are shown, and come back from JSON as they were. @throws Error if not */
export function assertShowable(texts: readonly string[]): void {
  for (const text of texts) if (UNSAFE.test(terminalSafe(text))) throw new Error(`shown unsafe: ${JSON.stringify(text)}`);
  const json = terminalSafeJson({ texts });
  if (UNSAFE.test(json)) throw new Error(`unsafe JSON: ${json}`);
  const back: unknown = JSON.parse(json);
  if (JSON.stringify(back) !== JSON.stringify({ texts })) throw new Error(`JSON has something else than ${JSON.stringify(texts)}`);
}
