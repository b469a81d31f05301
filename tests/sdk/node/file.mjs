// Node 18 has no global File; this is what the SDKs then ask for.
import { File } from 'node:buffer';

globalThis.File ??= File;
