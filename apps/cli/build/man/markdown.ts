import { bold, escape, heading, italic, listItem, literal, paragraph, subheading } from './roff.ts';

/**
 * The parts of a manual page for a part of our pages in `docs/`: paragraphs, lists, headings and code; tables as they are. Links lose
 * their targets, which an installed Gantry may lack.
 */
export function fromMarkdown(text: string): readonly string[] {
  const parts: string[] = [];
  const lines = text.replaceAll(/<!--[^]*?-->/g, '').split('\n');
  for (let at = 0; at < lines.length;) {
    const block = blockAt(lines, at);
    if (block.roff !== undefined) parts.push(block.roff);
    at = block.end;
  }
  return parts;
}

interface Block {
  readonly roff?: string;
  /** The line behind it. */
  readonly end: number;
}

function blockAt(lines: readonly string[], at: number): Block {
  const line = lines[at] ?? '';
  const fence = /^( *)```/.exec(line);
  if (fence !== null) {
    const indent = fence[1]?.length ?? 0;
    const end = endOf(lines, at + 1, (each) => !/^ *```/.test(each));
    return { roff: literal(lines.slice(at + 1, end).map((each) => each.slice(indent))), end: end + 1 };
  }
  const [, marks = '', words = ''] = /^(#+) (.*)$/.exec(line) ?? [];
  if (marks !== '') return { roff: marks.length <= 2 ? heading(plain(words).toUpperCase()) : subheading(plain(words)), end: at + 1 };
  if (line.startsWith('|')) {
    const end = endOf(lines, at, (each) => each.startsWith('|'));
    return { roff: literal(lines.slice(at, end).map(plain)), end };
  }
  if (line.trim() === '') return { end: at + 1 };
  const end = endOf(lines, at + 1, (each) => each.trim() !== '' && !/^ *(?:- |\d+\. |```|#)/.test(each));
  const [, mark = '', first = ''] = /^ *(?:(-|\d+\.) )?(.*)$/.exec(line) ?? [];
  const roff = inline([first, ...lines.slice(at + 1, end).map((each) => each.trim())].join(' '));
  return { roff: mark === '' ? paragraph(roff) : listItem(mark, roff), end };
}

function endOf(lines: readonly string[], from: number, belongs: (line: string) => boolean): number {
  const length = lines.slice(from).findIndex((line) => !belongs(line));
  return length === -1 ? lines.length : from + length;
}

/** Code, bold and italic text, and links. */
const SPAN = /`([^`]+)`|\*\*([^*]+)\*\*|\[((?:[^\][]|\[[^\]]*\])*)\]\([^)]*\)|<kbd>(.*?)<\/kbd>|\\([*_|\\])/;

function inline(text: string): string {
  const match = SPAN.exec(text);
  if (match === null) return escape(text);
  const [all, code, strong, linked, key, escaped] = match;
  const roff =
    code !== undefined || strong !== undefined
      ? bold(code ?? plain(strong ?? ''))
      : linked !== undefined
        ? inline(linked)
        : key !== undefined
          ? italic(key)
          : escape(escaped ?? '');
  return escape(text.slice(0, match.index)) + roff + inline(text.slice(match.index + all.length));
}

/** Text without marks. */
function plain(text: string): string {
  const match = SPAN.exec(text);
  if (match === null) return text;
  const [all, code, strong, linked, key, escaped] = match;
  return (
    text.slice(0, match.index) + (code ?? plain(strong ?? linked ?? key ?? escaped ?? '')) + plain(text.slice(match.index + all.length))
  );
}
