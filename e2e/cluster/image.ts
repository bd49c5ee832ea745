/**
 * Container images without an engine: a docker-archive (manifest.json, a config, one layer) put together from a list of files,
 * for `ctr images import`.
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, type WriteStream } from 'node:fs';
import { lstat, readFile, readdir, readlink, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { finished } from 'node:stream/promises';
import { type TarEntry, tarEnd, tarHeader, tarPadding, writeAll } from './tar.ts';

interface Owned {
  /** In the image, absolute. */
  readonly path: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

export type ImageEntry =
  | (Owned & { readonly kind: 'file'; readonly content: string })
  /** A file of this machine; symbolic links are followed. */
  | (Owned & { readonly kind: 'copy'; readonly from: string })
  | (Owned & { readonly kind: 'directory' })
  | (Owned & { readonly kind: 'link'; readonly target: string });

export interface Image {
  /** With a tag, e.g. `sidewarden.test/agent:e2e`. */
  readonly name: string;
  /** Of equal paths the first counts. Folders above an entry come by themselves, mode 0755, of root. */
  readonly entries: readonly ImageEntry[];
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** `UID` or `UID:GID`; root when not given. */
  readonly user?: string;
  readonly workdir?: string;
}

/** Writes the archive. */
export async function writeImage(image: Image, file: string): Promise<void> {
  const layerFile = `${file}.layer`;
  try {
    const layer = await writeLayer(image.entries, layerFile);
    const config = JSON.stringify(imageConfig(image, layer.digest));
    const configName = `${createHash('sha256').update(config).digest('hex')}.json`;
    const manifest = [{ Config: configName, RepoTags: [image.name], Layers: ['layer.tar'] }];
    const out = createWriteStream(file);
    await addText(out, 'manifest.json', JSON.stringify(manifest));
    await addText(out, configName, config);
    await writeAll(out, tarHeader(plain('layer.tar', layer.size)));
    // Without an encoding a file's chunks are buffers, which the stream's own type does not say.
    const chunks = createReadStream(layerFile, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>;
    for await (const chunk of chunks) await writeAll(out, chunk);
    await writeAll(out, Buffer.concat([tarPadding(layer.size), tarEnd]));
    out.end();
    await finished(out);
  } finally {
    await rm(layerFile, { force: true });
  }
}

/** A folder of this machine with all that is in it, as entries under `path`. */
export async function folderEntries(from: string, path: string): Promise<ImageEntry[]> {
  const entries: ImageEntry[] = [{ kind: 'directory', path }];
  for (const name of await readdir(from)) {
    const source = join(from, name);
    const target = join(path, name);
    const about = await lstat(source);
    if (about.isDirectory()) entries.push(...(await folderEntries(source, target)));
    else if (about.isSymbolicLink())
      entries.push({ kind: 'link', path: target, target: await readlink(source) });
    else entries.push({ kind: 'copy', path: target, from: source });
  }
  return entries;
}

function imageConfig(image: Image, layer: string): unknown {
  const { entrypoint, command, env = {}, user, workdir } = image;
  return {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: {
      Env: Object.entries({ PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', ...env }).map(
        ([name, value]) => `${name}=${value}`,
      ),
      ...(entrypoint ? { Entrypoint: entrypoint } : {}),
      ...(command ? { Cmd: command } : {}),
      ...(user === undefined ? {} : { User: user }),
      ...(workdir === undefined ? {} : { WorkingDir: workdir }),
    },
    rootfs: { type: 'layers', diff_ids: [`sha256:${layer}`] },
    history: [{ created_by: 'sidewarden e2e' }],
  };
}

async function writeLayer(
  entries: readonly ImageEntry[],
  file: string,
): Promise<{ readonly digest: string; readonly size: number }> {
  const hash = createHash('sha256');
  const out = createWriteStream(file);
  let size = 0;
  const write = async (bytes: Buffer) => {
    hash.update(bytes);
    size += bytes.length;
    await writeAll(out, bytes);
  };
  for (const entry of ordered(entries)) {
    const content = await contentOf(entry);
    await write(tarHeader(await tarEntry(entry, content?.length ?? 0)));
    if (content) await write(Buffer.concat([content, tarPadding(content.length)]));
  }
  await write(tarEnd);
  out.end();
  await finished(out);
  return { digest: hash.digest('hex'), size };
}

/** Folders before what is in them, each path once. */
function ordered(entries: readonly ImageEntry[]): ImageEntry[] {
  const byPath = new Map<string, ImageEntry>();
  for (const entry of entries) if (!byPath.has(entry.path)) byPath.set(entry.path, entry);
  for (const path of byPath.keys()) {
    for (let above = dirname(path); above !== '/'; above = dirname(above))
      if (!byPath.has(above)) byPath.set(above, { kind: 'directory', path: above });
  }
  return [...byPath.values()].sort((one, other) => (one.path < other.path ? -1 : 1));
}

async function contentOf(entry: ImageEntry): Promise<Buffer | undefined> {
  switch (entry.kind) {
    case 'file':
      return Buffer.from(entry.content);
    case 'copy':
      return readFile(entry.from);
    case 'directory':
    case 'link':
      return undefined;
  }
}

async function tarEntry(entry: ImageEntry, size: number): Promise<TarEntry> {
  const { uid = 0, gid = 0 } = entry;
  const path = entry.path.slice(1);
  switch (entry.kind) {
    case 'file':
      return { ...plain(path, size), uid, gid, mode: entry.mode ?? 0o644 };
    case 'copy':
      return { ...plain(path, size), uid, gid, mode: entry.mode ?? (await stat(entry.from)).mode & 0o7777 };
    case 'directory':
      return { path: `${path}/`, kind: 'directory', uid, gid, size: 0, mode: entry.mode ?? 0o755 };
    case 'link':
      return { path, kind: 'link', uid, gid, size: 0, mode: 0o777, target: entry.target };
  }
}

function plain(path: string, size: number): TarEntry {
  return { path, kind: 'file', mode: 0o644, uid: 0, gid: 0, size };
}

async function addText(out: WriteStream, path: string, text: string): Promise<void> {
  const bytes = Buffer.from(text);
  const header = tarHeader(plain(path, bytes.length));
  await writeAll(out, Buffer.concat([header, bytes, tarPadding(bytes.length)]));
}
