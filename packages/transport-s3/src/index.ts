import type { Transport } from '@gantry/transport';

import { openS3Store } from './open-s3-store.ts';

export { openS3Store } from './open-s3-store.ts';

const transport: Transport = { schemes: ['s3'], retries: true, open: openS3Store };

export default transport;
