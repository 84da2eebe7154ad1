import type { LocalContext } from '../../config/peer-settings.ts';
import { loadLaunch } from '../local-program.ts';
import { askProgram } from './ask-program.ts';
import { childEnvironment } from './child-environment.ts';

/** The first OpenSSH with every option used here: `SessionType`, `StdinNull`, `ForkAfterAuthentication` (see its release notes). */
const NEEDED = { major: 8, minor: 7 };

/** Time limit for `ssh -V`, ms. */
const PATIENCE_MS = 10_000;

/** Whether this machine has a recent enough OpenSSH client. */
export async function isSshUsable({ cwd, env }: Pick<LocalContext, 'cwd' | 'env'>): Promise<boolean> {
  const options = { cwd, env: childEnvironment(env), timeoutMs: PATIENCE_MS };
  const { stderr } = await askProgram(await loadLaunch(), 'ssh', ['-V'], options);
  const [, major, minor] = /^OpenSSH_(\d+)\.(\d+)/m.exec(stderr) ?? [];
  return Number(major) > NEEDED.major || (Number(major) === NEEDED.major && Number(minor) >= NEEDED.minor);
}
