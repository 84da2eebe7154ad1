/** What Python's `str` makes of a value, as Ganeti's scripts get it: `True`, `None`. */
export function pythonText(value: unknown): string {
  if (value === true) return 'True';
  if (value === false) return 'False';
  if (value === null || value === undefined) return 'None';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** Parameters as scripts get them. */
export function pythonTexts(parameters: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name, pythonText(value)]));
}
