/** The shop's data: the same on each run, realistic enough to be worth protecting, and nobody's. */

/** Numbers from 0 up to 1, the same each time (a linear congruential generator; Knuth's MMIX constants). */
class Dice {
  #state = 20_261_121n;

  /** A whole number below `limit`. */
  below(limit: number): number {
    this.#state =
      (this.#state * 6_364_136_223_846_793_005n + 1_442_695_040_888_963_407n) & 0xffff_ffff_ffff_ffffn;
    return Number((this.#state >> 33n) % BigInt(limit));
  }

  of<T>(items: readonly [T, ...T[]]): T {
    return items[this.below(items.length)] ?? items[0];
  }

  digits(count: number): string {
    return Array.from({ length: count }, () => this.below(10)).join('');
  }
}

const FIRST = [
  'Ada', 'Amina', 'Björn', 'Chiara', 'Daniel', 'Elif', 'Farid', 'Grace', 'Hanna', 'Ivo', 'Jana', 'Kofi',
  'Lena', 'Marta', 'Nils', 'Olga', 'Pavel', 'Quentin', 'Rosa', 'Sven', 'Tomás', 'Uma', 'Vera', 'Yusuf', 'Zofia',
] as const; // prettier-ignore
const LAST = [
  'Andersen', 'Baker', 'Costa', 'Dvořák', 'Eriksson', 'Fischer', 'García', 'Hansen', 'Ito', 'Jensen', 'Kowalski',
  'Lindqvist', 'Meyer', 'Novák', 'Okafor', 'Petrov', 'Rossi', 'Silva', 'Tanaka', 'Weber',
] as const; // prettier-ignore
const COUNTRIES = ['DE', 'ES', 'FR', 'IT', 'NO', 'PL', 'SE'] as const;
const STATUSES = ['paid', 'paid', 'packed', 'shipped', 'shipped', 'returned'] as const;
const TITLES = ['Engineer', 'Support', 'Buyer', 'Accountant', 'Picker', 'Driver'] as const;

export interface Customer {
  readonly id: number;
  readonly name: string;
  readonly email: string;
  readonly card: string;
  readonly country: string;
  readonly notes: string;
}

export interface Order {
  readonly id: number;
  readonly customer: number;
  readonly status: string;
  readonly total: string;
  readonly placed_at: string;
}

export interface Employee {
  readonly id: number;
  readonly name: string;
  readonly title: string;
  readonly salary: number;
  readonly iban: string;
}

export interface ShopData {
  readonly customers: readonly Customer[];
  readonly orders: readonly Order[];
  readonly employees: readonly Employee[];
}

export const SCHEMA = `
create table customers (
  id int primary key, name text not null, email text not null unique, card text not null,
  country text not null, notes text not null);
create table orders (
  id int primary key, customer int not null references customers, status text not null,
  total numeric(10,2) not null, placed_at timestamptz not null);
create index on orders (customer);
create table employees (
  id int primary key, name text not null, title text not null, salary int not null, iban text not null);
`;

/** 2,000 customers, 6,000 orders, 120 employees. */
export function shopData(): ShopData {
  const dice = new Dice();
  return {
    customers: rows(2_000, (id) => customer(dice, id)),
    orders: rows(6_000, (id) => order(dice, id)),
    employees: rows(120, (id) => employee(dice, id)),
  };
}

function rows<T>(count: number, make: (id: number) => T): readonly T[] {
  return Array.from({ length: count }, (_, index) => make(index + 1));
}

function customer(dice: Dice, id: number): Customer {
  const [first, last] = [dice.of(FIRST), dice.of(LAST)];
  const name = `${first} ${last}`;
  const email = `${ascii(first)}.${ascii(last)}${id}@example.com`;
  return { id, name, email, card: card(dice), country: dice.of(COUNTRIES), notes: notes(dice, email) };
}

function notes(dice: Dice, email: string): string {
  switch (dice.below(4)) {
    case 0:
      return `wants invoices at ${email}`;
    case 1:
      return `next time card ${card(dice)}`;
    case 2:
      return 'leave parcels next door';
    default:
      return 'pays on time';
  }
}

function order(dice: Dice, id: number): Order {
  const placed = Date.UTC(2026, 0, 1) + dice.below(300 * 24 * 60) * 60_000;
  return {
    id,
    customer: 1 + dice.below(2_000),
    status: dice.of(STATUSES),
    total: `${5 + dice.below(300)}.${dice.digits(2)}`,
    placed_at: new Date(placed).toISOString(),
  };
}

function employee(dice: Dice, id: number): Employee {
  const name = `${dice.of(FIRST)} ${dice.of(LAST)}`;
  return { id, name, title: dice.of(TITLES), salary: 30_000 + dice.below(60) * 1_000, iban: iban(dice) };
}

/** A Visa number with a right check digit (Luhn, ISO/IEC 7812-1). */
function card(dice: Dice): string {
  const digits = `4${dice.digits(14)}`;
  const sum = digits.split('').reduce((total, digit, index) => {
    const value = Number(digit) * (index % 2 === 0 ? 2 : 1);
    return total + (value > 9 ? value - 9 : value);
  }, 0);
  return `${digits}${(10 - (sum % 10)) % 10}`;
}

/** A German IBAN with right check digits (ISO 7064, MOD 97-10): letters count as two digits, D 13 and E 14. */
function iban(dice: Dice): string {
  const account = dice.digits(18);
  const check = 98n - (BigInt(`${account}131400`) % 97n);
  return `DE${String(check).padStart(2, '0')}${account}`;
}

function ascii(name: string): string {
  return name.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();
}
