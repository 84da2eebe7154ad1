/** What docs/reference/json-output.md says of one kind of line: by its heading, the fields as paths such as `disks[].disk`. */
export type DocumentedFields = ReadonlyMap<string, ReadonlySet<string>>;

/** Reads the headings (`### Event `plan``) and the names before the colon of each item beneath them. */
export function readDocumentedFields(page: string): DocumentedFields {
  const sections = page.split(/^### /m).slice(1);
  return new Map(
    sections.map((section) => {
      const [heading = '', ...lines] = section.split('\n');
      const items = lines.join('\n').matchAll(/^- ((?:`[^`]+`,?\s*)+):/gm);
      const names = [...items].flatMap(([, head = '']) => [...head.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name));
      return [heading.replaceAll('`', ''), new Set(names)];
    }),
  );
}

/**
 * The fields of a value as paths. It goes into a field as long as the page names none of just this path: what is documented as one thing,
 * such as a manifest, is one.
 */
export function fieldsOf(value: object, documented: ReadonlySet<string>, prefix = ''): readonly string[] {
  return Object.entries(value).flatMap(([key, field]: [string, unknown]) => {
    const path = `${prefix}${key}`;
    if (documented.has(path) || typeof field !== 'object' || field === null) return [path];
    if (!Array.isArray(field)) return fieldsOf(field, documented, `${path}.`);
    const objects = field.filter((item): item is object => typeof item === 'object' && item !== null);
    const emptyAndKnown = field.length === 0 && [...documented].some((name) => name.startsWith(`${path}[].`));
    return emptyAndKnown ? [] : objects.length === 0 ? [path] : objects.flatMap((item) => fieldsOf(item, documented, `${path}[].`));
  });
}
