/** Lets rows and COPY data out under the masks of a session, and gives the recording what the client saw. */
import { type DetectorSet, compileDetectors } from '../mask/detectors.ts';
import type { MaskKeys } from '../mask/keys.ts';
import type { MaskRules } from '../mask/mask.ts';
import type { RecordingEvent } from '../record/event.ts';
import type { CatalogQuery } from './catalog/relation.ts';
import type { Outlet } from './outlet.ts';
import { binaryText, plainText } from './parameters.ts';
import { type CopyMasker, compileCopyMasker } from './rows/copy-masker.ts';
import { type MaskRefused, compileRowMasker } from './rows/row-masker.ts';
import { builtinTypes } from './rows/builtin-types.ts';
import { TypeCatalog } from './rows/type-catalog.ts';
import type { TypeLookup } from './rows/type-shape.ts';
import type { Layout, Run } from './run.ts';
import type { CopyOptions } from './sql/statement.ts';
import { Body } from './wire/body.ts';
import type { FieldDescription } from './wire/backend.ts';
import type { Frame } from './wire/frame.ts';

export interface MaskingParts {
  readonly rules: () => MaskRules;
  readonly keys: MaskKeys;
  readonly types: TypeCatalog;
  readonly query: CatalogQuery;
  /** Of the catalog that the types belong to; undefined while this session has changed it and others do not see that yet. */
  readonly version: () => number | undefined;
}

type Record = (event: RecordingEvent) => void;

/** Types made of types made of types. */
const MAX_TYPE_ROUNDS = 16;

export class Masking {
  readonly #parts: MaskingParts;
  #rules: MaskRules | undefined;
  #detectors: DetectorSet | undefined;

  constructor(parts: MaskingParts) {
    this.#parts = parts;
  }

  /** How rows of these fields are let out for this run. A promise when a type must be looked up first. */
  layout(run: Run, fields: readonly FieldDescription[]): Layout | Promise<Layout> {
    const detectors = this.#detectorSet();
    if (run.masks === undefined && detectors === undefined) return { kind: 'clear', fields };
    const lookup = this.#lookup();
    if (lookup === builtinTypes) return this.#compile(run, fields, lookup);
    const missing = this.#parts.types.missing(fields.map(({ typeOid }) => typeOid));
    return missing.length === 0
      ? this.#compile(run, fields, lookup)
      : this.#loadTypes(fields).then(() => this.#compile(run, fields, lookup));
  }

  /** What a type of the user's is made of is as unknown as the catalog: such values are then hidden, or refused. */
  #lookup(): TypeLookup {
    const { types, version } = this.#parts;
    const now = version();
    if (now === undefined) return builtinTypes;
    types.follow(now);
    return types.lookup;
  }

  #detectorSet(): DetectorSet | undefined {
    const rules = this.#parts.rules();
    if (rules !== this.#rules) {
      this.#rules = rules;
      this.#detectors = compileDetectors(rules.detectors);
    }
    return this.#detectors;
  }

  /** Types that stay unknown are opaque to the masker, which hides or refuses them. */
  async #loadTypes(fields: readonly FieldDescription[]): Promise<void> {
    const { types, query } = this.#parts;
    for (let round = 0; round < MAX_TYPE_ROUNDS; round++) {
      const missing = types.missing(fields.map(({ typeOid }) => typeOid));
      if (missing.length === 0) return;
      const { version } = types;
      const rows = await query(TypeCatalog.query(missing));
      // What was read before a change says nothing of what is after it.
      if (types.version === version) types.add(missing, rows);
    }
  }

  #compile(run: Run, fields: readonly FieldDescription[], lookup: TypeLookup): Layout {
    const masker = compileRowMasker(fields, run.masks, this.#detectorSet(), lookup, this.#parts.keys);
    if (masker === undefined) return { kind: 'clear', fields };
    return masker.kind === 'refused' ? masker : { kind: 'masked', fields, masker };
  }

  /** A row that goes out as it came, for the recording. */
  keep(run: Run, fields: readonly FieldDescription[], buffer: Buffer, start: number, end: number): void {
    run.keep(readValues(fields, buffer, start + 5, end), end - start);
  }

  /** Masks one row on its way out; its bytes as the client gets them. */
  row(run: Run, layout: Extract<Layout, { kind: 'masked' }>, frame: Frame, out: Outlet): number {
    const writer = out.writer();
    const before = writer.pending;
    run.masked += layout.masker.mask(frame.buffer, frame.start + 5, frame.end, writer);
    const size = writer.pending - before;
    if (run.wants(size)) {
      const row = writer.last(size);
      run.keep(readValues(layout.fields, row, 5, row.length), size);
    }
    return size;
  }

  /** Prepares a COPY TO STDOUT of so many columns. */
  copy(run: Run, options: CopyOptions, columns: number): CopyMasker | MaskRefused | undefined {
    const lookup = this.#lookup();
    const { session } = run.statement;
    const told = session.kind === 'copy-out' && session.types?.length === columns ? session.types : undefined;
    const known = Array.from({ length: columns }, (_, index) => {
      const type = told?.[index] ?? 0;
      return builtinTypes(type) === undefined ? 0 : type;
    });
    return compileCopyMasker(options, known, run.masks, this.#detectorSet(), lookup, this.#parts.keys);
  }

  copyOut(run: Run, frame: Frame, out: Outlet, record: Record): void {
    if (!run.copyMasker) {
      this.#recordCopy(run, 'out', frame.buffer.subarray(frame.start + 5, frame.end), record);
      out.forward(frame.buffer, frame.start, frame.end);
      run.bytes += frame.end - frame.start - 5;
      return;
    }
    const writer = out.writer();
    const before = writer.pending;
    run.masked += run.copyMasker.push(frame.buffer, frame.start + 5, frame.end, writer);
    const size = writer.pending - before;
    run.bytes += size;
    if (size > 0) this.#recordFrames(run, writer.last(size), record);
  }

  copyIn(run: Run, frame: Frame, record: Record): void {
    this.#recordCopy(run, 'in', frame.buffer.subarray(frame.start + 5, frame.end), record);
    run.bytes += frame.end - frame.start - 5;
  }

  /** CopyData frames: only what is in them is data. */
  #recordFrames(run: Run, frames: Buffer, record: Record): void {
    for (let at = 0; at + 5 <= frames.length;) {
      const end = at + 1 + frames.readInt32BE(at + 1);
      if (!this.#recordCopy(run, 'out', frames.subarray(at + 5, end), record)) return;
      at = end;
    }
  }

  /** False when the budget is used up. */
  #recordCopy(run: Run, direction: 'in' | 'out', data: Buffer, record: Record): boolean {
    const taken = run.take(data.length);
    if (taken > 0)
      record({ kind: 'copy', operation: run.number, direction, data: Buffer.from(data.subarray(0, taken)) });
    return taken === data.length;
  }
}

function readValues(
  fields: readonly FieldDescription[],
  buffer: Buffer,
  start: number,
  end: number,
): readonly (string | null)[] {
  const body = new Body('DataRow', buffer, start, end);
  const count = body.count(4);
  const values: (string | null)[] = [];
  for (let index = 0; index < count; index++) {
    const length = body.int32();
    const field = fields[index];
    if (length < 0) values.push(null);
    else
      values.push(
        field?.format === 1 ? binaryText(body.bytes(length), field.typeOid) : plainText(body.bytes(length)),
      );
  }
  return values;
}
