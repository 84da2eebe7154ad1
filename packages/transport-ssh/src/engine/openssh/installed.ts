import { askSsh } from './ask-ssh.ts';
import { childEnvironment } from './child-environment.ts';

/** The first OpenSSH that has every option that is used here: `SessionType`, `StdinNull`, `ForkAfterAuthentication` (its release notes). */
const NEEDED = { major: 8, minor: 7 };

/** Whether this machine has an OpenSSH client that is new enough. */
export async function isSshUsable(env: Readonly<Record<string, string | undefined>>): Promise<boolean> {
  const { stderr } = await askSsh(['-V'], childEnvironment(env));
  const [, major, minor] = /^OpenSSH_(\d+)\.(\d+)/m.exec(stderr) ?? [];
  return Number(major) > NEEDED.major || (Number(major) === NEEDED.major && Number(minor) >= NEEDED.minor);
}
