/** A piece of a word: in single quotes, in double quotes (which may be open at the end, also after a backslash), after a backslash, or bare. */
const PIECE = /'([^']*)(?:'|$)|"((?:[^"\\]|\\[^])*)(?:"|\\?$)|\\([^])|([^\s'"\\]+)|\\$/y;

/**
 * The words of a line of bash, without quotes. The last one is the word at the end of the line: empty after a space. Variables and
 * commands in the line stay as they are: nothing is run.
 */
export function splitLine(line: string): readonly string[] {
  const words: string[] = [];
  let at = 0;
  for (;;) {
    at += /^\s*/.exec(line.slice(at))?.[0].length ?? 0;
    let word = '';
    for (let match = pieceAt(line, at); match !== null && match[0] !== ''; match = pieceAt(line, at)) {
      const [all, single, double, escaped, bare = ''] = match;
      word += single ?? double?.replaceAll(/\\([$`"\\])/g, '$1') ?? escaped ?? bare;
      at += all.length;
    }
    words.push(word);
    if (at >= line.length) return words;
  }
}

function pieceAt(line: string, at: number): RegExpExecArray | null {
  PIECE.lastIndex = at;
  return PIECE.exec(line);
}

/** A word with the home directory for a tilde at its start, as shells expand it before they run a command. */
export function expandHome(word: string, home: string | undefined): string {
  return home === undefined ? word : word.replace(/^~(?=\/|$)/, () => home);
}
