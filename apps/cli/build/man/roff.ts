/*
 * The little of man(7) that our pages need. What is called roff is escaped; each sentence starts a line, as manual pages have it.
 */

/** What `mandoc -Tlint` takes without a remark, bytes. */
const LINE_BYTES = 78;

/** The title line. @param date of the page */
export function title(name: string, section: number, { date, version }: { readonly date: Date; readonly version: string }): string {
  const day = date.toISOString().slice(0, 10);
  return `.TH ${escape(name.toUpperCase())} ${section} ${day} "Gantry ${version}" "Gantry manual"`;
}

/** A page of its parts. A paragraph behind a heading needs no macro of its own. */
export function assemble(parts: readonly string[]): string {
  return `${parts.join('\n')}\n`.replaceAll(/^(\.S[HS] .*\n)\.PP\n/gm, '$1');
}

export function heading(text: string): string {
  return `.SH ${escape(text)}`;
}

export function subheading(text: string): string {
  return `.SS ${escape(text)}`;
}

export function paragraph(roff: string): string {
  return `.PP\n${fill(roff)}`;
}

/** An item of a list: its term, and below it, indented, the text. */
export function item(term: string, roff: string): string {
  return `.TP\n${safe(term)}\n${fill(roff)}`;
}

/** An item of a list with a bullet or a number. */
export function listItem(mark: string, roff: string): string {
  return mark === '-' ? `.IP \\(bu 2\n${fill(roff)}` : `.IP ${mark} 3\n${fill(roff)}`;
}

/** Lines as they are. */
export function literal(lines: readonly string[]): string {
  return ['.PP', '.in +4n', '.EX', ...lines.map((line) => safe(escape(line))), '.EE', '.in'].join('\n');
}

/** References to other pages, such as `gantry(1)`. */
export function references(pages: readonly string[]): string {
  return pages
    .map((page, index) =>
      page.replace(
        /^(.*)\((\d)\)$/,
        (_all, name: string, section) => `.BR ${escape(name)} (${section})${index < pages.length - 1 ? ',' : ''}`,
      ),
    )
    .join('\n');
}

export function bold(text: string): string {
  return text === '' ? '' : `\\fB${escape(text)}\\fR`;
}

export function italic(text: string): string {
  return text === '' ? '' : `\\fI${escape(text)}\\fR`;
}

/** Characters that roff would replace, some by others that look alike but cannot be copied into a shell. */
const ESCAPES: Readonly<Record<string, string>> = {
  '\\': String.raw`\e`,
  '-': String.raw`\-`,
  "'": String.raw`\(aq`,
  '`': String.raw`\(ga`,
  '^': String.raw`\(ha`,
  '~': String.raw`\(ti`,
};

/** Text as roff. */
export function escape(text: string): string {
  return text.replaceAll(/[\\\-'`^~]/g, (character) => ESCAPES[character] ?? character);
}

/** Running text in lines of a limited length. */
function fill(roff: string): string {
  return roff
    .split(/(?<=[.!?]\)?) +(?=[A-Z\\])/)
    .flatMap(wrap)
    .map(safe)
    .join('\n');
}

function wrap(sentence: string): readonly string[] {
  const lines: string[] = [];
  for (const word of sentence.trim().split(/\s+/)) {
    const last = lines.at(-1);
    if (last !== undefined && bytesOf(`${last} ${word}`) <= LINE_BYTES) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** How long preconv(1) makes a line, which escapes characters beyond ASCII. */
function bytesOf(line: string): number {
  return line.replaceAll(/[^ -~]/gu, String.raw`\[uXXXX]`).length;
}

/** A line that is not taken for a request. */
function safe(line: string): string {
  return /^[.']/.test(line) ? `\\&${line}` : line;
}
