/** `{name}`, or `{{` and `}}` for literal braces; any other brace is an error. */
const TOKEN = /\{\{|\}\}|\{([a-z]+)\}|[{}]/g;

/** The names of the placeholders in a template. @throws Error when a brace is neither doubled nor part of a placeholder */
export function placeholdersOf(template: string): readonly string[] {
  return [...template.matchAll(TOKEN)].flatMap(([token, name]) => {
    if (name !== undefined) return [name];
    if (token.length === 1) throw new Error(`a single ${token} in "${template}": double it, or write {name}`);
    return [];
  });
}

/** Replaces placeholders by values within one argument; placeholders in values are not replaced. */
export function expand(template: string, values: Readonly<Record<string, string | undefined>>): string {
  return template.replaceAll(TOKEN, (token: string, name: string | undefined) => {
    if (name === undefined) return token.charAt(0);
    const value = values[name];
    if (value === undefined) throw new Error(`{${name}} has no value`);
    return value;
  });
}
