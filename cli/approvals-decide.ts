/** `approvals approve | deny | modify`: a person's decision on its way to `serve`. */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { type Approval, MAX_OPERATION_TEXT } from '../crds/approval.ts';
import { escapeLine } from '../sidecar/approval/display.ts';
import type { Verdict } from '../sidecar/approval/decision-file.ts';
import { describePhase } from '../sidecar/approval/judge.ts';
import { shownDigest } from '../sidecar/approval/object.ts';
import { CommandError, findApproval, reasonOf, submitDecision } from './approvals-folder.ts';
import { type Screen, showApproval } from './approvals-view.ts';

export interface DecideOptions {
  readonly state: string;
  readonly reason?: string;
  readonly yes?: boolean;
  readonly json?: boolean;
}

export interface NewText {
  readonly file?: string;
  readonly text?: string;
}

export type ModifyOptions = DecideOptions & NewText;

export async function approve(typed: string, options: DecideOptions, screen: Screen): Promise<void> {
  const approval = await findApproval(options.state, typed);
  const { status } = approval;
  const asks = process.stdin.isTTY && process.stdout.isTTY && options.yes !== true && options.json !== true;
  if (asks && status?.phase === 'Pending') {
    process.stdout.write(`${showApproval(approval, screen)}\n`);
    await confirm(`Approve ${approval.metadata.name} as ${escapeLine(userName())}?`);
  }
  await decide(approval, 'Approve', null, options);
}

export async function deny(typed: string, options: DecideOptions): Promise<void> {
  await decide(await findApproval(options.state, typed), 'Deny', null, options);
}

export async function modify(typed: string, options: ModifyOptions, editor: string): Promise<void> {
  const approval = await findApproval(options.state, typed);
  const text = await replacement(approval, options, editor);
  await decide(approval, 'Modify', text, options);
}

/** What a person wants to run instead. */
export async function replacement(approval: Approval, given: NewText, editor: string): Promise<string> {
  const { status, spec } = approval;
  if ((status?.phase ?? 'Pending') !== 'Pending')
    throw new CommandError(1, `too late: ${describePhase(approval)}`);
  const text = await newText(approval, given, editor);
  if (text.trim() === '') throw new CommandError(2, 'the new text is empty');
  if (text === spec.request.operation.text) throw new CommandError(2, 'nothing was changed');
  if (text.length > MAX_OPERATION_TEXT)
    throw new CommandError(2, `the new text has more than ${MAX_OPERATION_TEXT} characters`);
  return text;
}

async function decide(
  approval: Approval,
  verdict: Verdict,
  modified: string | null,
  options: DecideOptions,
): Promise<void> {
  const { request } = approval.spec;
  const reason = reasonFrom(options);
  const receipt = await submitDecision(options.state, {
    approval: approval.metadata.name,
    digest: request.digest,
    shown: shownDigest(request),
    verdict,
    reason,
    modified,
  });
  const { name } = approval.metadata;
  const said = escapeLine(receipt.message);
  if (options.json === true) process.stdout.write(`${JSON.stringify({ ...receipt, approval: name })}\n`);
  else if (receipt.accepted) process.stdout.write(`${name}: ${said}\n`);
  if (!receipt.accepted) {
    const refusal = `${name}: refused: ${said}`;
    throw new CommandError(receipt.message.startsWith('there is no approval') ? 4 : 1, refusal);
  }
}

export function reasonFrom({ reason = '' }: { readonly reason?: string }): string {
  if (reason.length > 1024) throw new CommandError(2, 'the reason has more than 1024 characters');
  return reason;
}

/** `n` stays pending. */
export async function confirm(question: string): Promise<void> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    const said = await terminal.question(`${question} [y/N] `, { signal: ended(terminal) });
    if (/^\s*y(es)?\s*$/i.test(said)) return;
  } catch (error) {
    if (!(error instanceof Error && error.name === 'AbortError')) throw error;
  } finally {
    terminal.close();
  }
  throw new CommandError(1, 'not approved; it is still pending');
}

/** Aborts when the input ends or is interrupted before there is an answer. */
function ended(terminal: ReturnType<typeof createInterface>): AbortSignal {
  const controller = new AbortController();
  terminal.once('close', () => controller.abort());
  return controller.signal;
}

async function newText(approval: Approval, { file, text }: NewText, editor: string): Promise<string> {
  if (file !== undefined && text !== undefined)
    throw new CommandError(2, 'either --file or --text, not both');
  if (text !== undefined) return text;
  if (file !== undefined) {
    return readFile(file, 'utf8').catch((error: unknown) => {
      throw new CommandError(2, `${file} cannot be read: ${reasonOf(error)}`);
    });
  }
  if (!process.stdin.isTTY)
    throw new CommandError(2, 'the new text is missing: --file, --text, or an editor in a terminal');
  return edited(approval.spec.request.operation.text, editor);
}

async function edited(original: string, editor: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sidewarden-modify-'));
  try {
    const path = join(folder, 'statement.sql');
    await writeFile(path, original, { mode: 0o600 });
    await edit(editor, path);
    const text = await readFile(path, 'utf8');
    // Editors end the last line; the statement did not have to.
    return !original.endsWith('\n') && text.endsWith('\n') ? text.slice(0, -1) : text;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The editor is a command line, such as `code --wait`. */
function edit(editor: string, path: string): Promise<void> {
  return new Promise((done, fail) => {
    const child = spawn('/bin/sh', ['-c', `${editor} "$1"`, 'sh', path], { stdio: 'inherit' });
    child.once('error', (error) => fail(new CommandError(2, `${editor} does not start: ${error.message}`)));
    child.once('close', (code) =>
      code === 0 ? done() : fail(new CommandError(2, `${editor} ended with ${code}: nothing was changed`)),
    );
  });
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid:${process.geteuid?.() ?? ''}`;
  }
}
