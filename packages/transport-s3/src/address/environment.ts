/** Environment variables. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The value of a variable, without the spaces and line ends around it (a secret read with `cat`, a file with CRLF). A variable that is
 * set but empty counts as not set: systemd and docker-compose produce such variables.
 */
export function variable(env: Environment, name: string): string | undefined {
  const value = env[name]?.trim();
  return value === '' ? undefined : value;
}

/**
 * Gives every `AWS_` variable the value that {@link variable} reads. For the environment of the process: the SDK reads about thirty
 * variables there itself, and takes an empty one for a setting.
 */
export function tidyAwsVariables(env: Record<string, string | undefined>): void {
  for (const name of Object.keys(env)) {
    if (!name.startsWith('AWS_')) continue;
    const value = variable(env, name);
    if (value === undefined) delete env[name];
    else if (value !== env[name]) env[name] = value;
  }
}
