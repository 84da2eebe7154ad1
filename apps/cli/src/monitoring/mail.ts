import { randomUUID } from 'node:crypto';
import type { NotifySettings } from '@gantry/config';
import type { PolicyRun } from '@gantry/policies';
import { describeRun, headlineOf } from './describe-run.ts';

/** RFC 5322 allows lines of 998 bytes; a character has at most 4. */
const MAX_LINE_CHARACTERS = 240;

/** The mail about a run (RFC 5322), as sendmail takes it on its standard input; the mail system adds the sender if none is configured. */
export function mailOf(run: PolicyRun, { to, from }: NonNullable<NotifySettings['mail']>, now: Date = new Date()): string {
  const headers = [
    ...(from === undefined ? [] : [`From: ${from}`]),
    `To: ${to.join(', ')}`,
    `Subject: ${encodeSubject(`[gantry] ${headlineOf(run)}`)}`,
    `Date: ${now.toUTCString().replace(/GMT$/, '+0000')}`,
    `Message-ID: <${randomUUID()}@gantry.invalid>`,
    // So that nobody's absence notice answers it.
    'Auto-Submitted: auto-generated',
    'MIME-Version: 1.0',
    'Content-Type: text/plain; charset=utf-8',
    'Content-Transfer-Encoding: 8bit',
  ];
  const body = describeRun(run).flatMap((line) => line.match(new RegExp(`.{1,${MAX_LINE_CHARACTERS}}`, 'gu')) ?? ['']);
  return `${[...headers, '', ...body].join('\n')}\n`;
}

/** An encoded word of RFC 2047 where it is not ASCII. */
function encodeSubject(text: string): string {
  const short = text.slice(0, MAX_LINE_CHARACTERS);
  return /^[ -~]*$/.test(short) ? short : `=?utf-8?B?${Buffer.from(short).toString('base64')}?=`;
}
