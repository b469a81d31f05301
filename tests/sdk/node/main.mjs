// The cases of the Node SDK; started by ../run.py, which says where Weir and the mock are.
import { run } from './kit.mjs';
import './answers.mjs';
import './failures.mjs';
import './streams.mjs';

await run();
