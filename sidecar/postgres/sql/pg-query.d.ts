/** libpg_query's WebAssembly itself. The package's own wrapper cannot be used: it gives no way to start a broken instance anew. */
declare module 'libpg-query/wasm/libpg-query.js' {
  export interface PgQuery {
    readonly HEAPU8: Uint8Array;
    _malloc(size: number): number;
    _free(pointer: number): void;
    _wasm_parse_query_raw(text: number): number;
    _wasm_free_parse_result(result: number): void;
    _wasm_fingerprint(text: number): number;
    _wasm_free_string(text: number): void;
    lengthBytesUTF8(text: string): number;
    stringToUTF8(text: string, pointer: number, size: number): void;
    UTF8ToString(pointer: number): string;
    getValue(pointer: number, type: 'i32'): number;
  }
  // The module is CommonJS, with nothing but a default.
  // eslint-disable-next-line no-restricted-exports
  export default function load(): Promise<PgQuery>;
}
