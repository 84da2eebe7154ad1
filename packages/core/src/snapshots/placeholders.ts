/** `{name}`, or `{{` and `}}` for the braces themselves; any other brace is a mistake. */
const TOKEN = /\{\{|\}\}|\{([a-z]+)\}|[{}]/g;

/** The names that stand in a template. @throws Error when a brace is neither doubled nor part of a placeholder */
export function placeholdersOf(template: string): readonly string[] {
  return [...template.matchAll(TOKEN)].flatMap(([token, name]) => {
    if (name !== undefined) return [name];
    if (token.length === 1) throw new Error(`a ${token} that stands alone in "${template}": write it twice, or a name between both`);
    return [];
  });
}

/** Puts values in the place of placeholders, within one argument; what a value contains is not looked at again. */
export function expand(template: string, values: Readonly<Record<string, string | undefined>>): string {
  return template.replaceAll(TOKEN, (token: string, name: string | undefined) => {
    if (name === undefined) return token.charAt(0);
    const value = values[name];
    if (value === undefined) throw new Error(`{${name}} has no value`);
    return value;
  });
}
