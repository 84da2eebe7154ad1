import type { FuzzTarget } from '@gantry/testkit';
import { assertRefusal, textTarget } from '@gantry/testkit';
import { parseDrbdState } from '../../src/snapshots/drbd/drbd-state.ts';
import { parseFill } from '../../src/snapshots/lvm/fill.ts';
import { ExpectedSize } from '../../src/scripts/expected-size.ts';
import { StdoutText } from '../../src/scripts/stdout-text.ts';
import { createRedactor } from '../../src/report/redact.ts';
import { LineReader, MAX_LINE_CHARACTERS } from '../../src/system/line-reader.ts';
import { assertShowable } from './refusal.ts';

const SECRET = 'secret';
const EVENTS = `exists resource name:r0 role:Primary
exists device name:r0 volume:0 minor:1 disk:UpToDate
exists peer-device name:r0 conn-name:b volume:0 replication:Established`;
const SHOW = 'resource r0 { volume 0 { device minor 1; disk "/dev/vg/web1"; } }';

/** What programs and the scripts of OS definitions write: nothing of it breaks what it is shown in, and no secret comes through. */
const target: FuzzTarget = textTarget({
  seeds: () => [
    EVENTS,
    SHOW,
    '0 131072 snapshot 1600/16384 16',
    '0 131072 thin-pool 2 112/1024 40/1024 - rw',
    '1048576\n',
    'a line\r 50 %\r\nsecret\n',
  ],
  words: [SECRET, 'sec\u001B[0mret', '\r', 'minor:1', 'device minor 1;', 'Invalid', '/'],
  run(text) {
    checkLines(text);
    const stdout = new StdoutText();
    stdout.take(Buffer.from(text));
    assertShowable(stdout.lines(createRedactor([SECRET])));
    const size = new ExpectedSize();
    for (const byte of Buffer.from(text).subarray(0, 50)) size.write(Buffer.of(byte));
    size.end();
    if (size.bytes !== undefined && !Number.isSafeInteger(size.bytes)) throw new Error(`${size.bytes} bytes`);
    const fill = parseFill(text, 'web1');
    if ('share' in fill && !(fill.share >= 0)) throw new Error(`a share of ${fill.share}`);
    try {
      parseDrbdState(1, text, text);
    } catch (error) {
      assertRefusal(error, (each) => each instanceof Error && each.message.startsWith('DRBD does not have a device'));
    }
  },
});

export default target;

function checkLines(text: string): void {
  const lines: string[] = [];
  const reader = new LineReader(createRedactor([SECRET]), (line) => lines.push(line));
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += 13) reader.write(bytes.subarray(at, at + 13));
  reader.end();
  assertShowable(lines);
  for (const line of lines) {
    if (line.includes(SECRET)) throw new Error(`a secret in ${JSON.stringify(line)}`);
    if (line.length > MAX_LINE_CHARACTERS + 1) throw new Error(`a line of ${line.length} characters`);
  }
}
