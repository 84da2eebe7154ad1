import { expect, test } from 'vitest';
import { liveLines } from './live-lines.ts';

/** A terminal that keeps what is written. */
function makeTerminal(columns: number, rows: number): { columns: number; rows: number; text: string; write: (text: string) => boolean } {
  return {
    columns,
    rows,
    text: '',
    write(text) {
      this.text += text;
      return true;
    },
  };
}

test('redraws its lines in place, and keeps what is printed above', () => {
  const terminal = makeTerminal(80, 24);
  const lines = liveLines(terminal);
  lines.draw(['one', 'two']);
  lines.print('said');
  lines.draw([]);
  expect(terminal.text).toBe('one\ntwo\n\r\u001B[2A\u001B[Jsaid\none\ntwo\n\r\u001B[2A\u001B[J');
});

test('writes nothing if its lines are as they were', () => {
  const terminal = makeTerminal(80, 24);
  const lines = liveLines(terminal);
  lines.draw(['one', 'two']);
  lines.draw(['one', 'two']);
  expect(terminal.text).toBe('one\ntwo\n');
  lines.draw(['one', '2']);
  expect(terminal.text).toBe('one\ntwo\n\r\u001B[2A\u001B[Jone\n2\n');
});

test('counts the rows that its lines take after a terminal has become narrower', () => {
  const terminal = makeTerminal(80, 24);
  const lines = liveLines(terminal);
  lines.draw(['x'.repeat(70)]);
  terminal.columns = 30;
  terminal.text = '';
  lines.draw(['y']);
  expect(terminal.text).toBe('\r\u001B[3A\u001B[Jy\n');
});

test('has room for a line on a terminal that reports no sensible size', () => {
  expect(liveLines(makeTerminal(0, 0)).width()).toBe(79);
  expect(liveLines(makeTerminal(0, 0)).height()).toBe(23);
  expect(liveLines(makeTerminal(1, 1)).width()).toBeGreaterThan(0);
  expect(liveLines(makeTerminal(1, 1)).height()).toBe(1);
});
