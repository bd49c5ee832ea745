"""psycopg 3: extended protocol, pipelines, server-side cursors, COPY, binary. One `ok`/`not ok` line a check."""
import datetime
import decimal
import os
import threading
import time
import traceback
import uuid

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def connect(**options):
    return psycopg.connect("", **options)


@check
def types_null_unicode(binary=False):
    with connect() as connection:
        with connection.cursor(binary=binary) as cursor:
            at = datetime.datetime(2026, 11, 21, 10, 11, 12, 131415, tzinfo=datetime.timezone.utc)
            one = uuid.UUID("12345678-1234-5678-1234-567812345678")
            values = (
                42, 2**62, decimal.Decimal("123456789.000000001"), 1.5, True, None, "žluťoučký 🐎",
                b"\x00\xff", at, one, [1, None, 3], ["a", None, "č\"{}"], Jsonb({"k": [1, None]}), at.date(),
            )
            cursor.execute(
                "select %s::int4, %s::int8, %s::numeric, %s::float8, %s::bool, %s::text, %s::text, %s::bytea,"
                " %s::timestamptz, %s::uuid, %s::int[], %s::text[], %s::jsonb, %s::date",
                values,
            )
            row = cursor.fetchone()
            expected = list(values)
            expected[12] = {"k": [1, None]}
            assert list(row) == expected, row
            assert cursor.description[0].type_code == 23


@check
def binary_results():
    types_null_unicode(binary=True)


@check
def ranges_composites_and_intervals():
    with connect() as connection:
        for binary in (False, True):
            row = connection.execute(
                "select int4range(1, 5), '1 day 02:00:00'::interval, '{[1,2]}'::int4multirange is null,"
                " array[[1,2],[3,4]], 'infinity'::float8, inet '10.0.0.1'",
                binary=binary,
            ).fetchone()
            assert row[0].lower == 1 and row[0].upper == 5
            assert row[1] == datetime.timedelta(days=1, hours=2)
            assert row[3] == [[1, 2], [3, 4]]
            assert row[4] == float("inf")
            assert str(row[5]) == "10.0.0.1"


@check
def prepared_statements():
    with connect(prepare_threshold=0) as connection:
        for i in range(20):
            row = connection.execute("select %s::int * 2", (i,), prepare=True).fetchone()
            assert row == (i * 2,)
        names = connection.execute("select count(*) from pg_prepared_statements").fetchone()
        assert names[0] >= 1, names


@check
def executemany_with_returning():
    with connect() as connection:
        connection.execute("create temp table psycopg_many (id int, label text)")
        with connection.cursor() as cursor:
            cursor.executemany("insert into psycopg_many values (%s, %s)", [(i, f"č{i}") for i in range(1000)])
            assert cursor.rowcount == 1000
            cursor.executemany(
                "insert into psycopg_many values (%s, %s) returning id", [(1, "a"), (2, "b")], returning=True
            )
            assert cursor.fetchone() == (1,)
            assert cursor.nextset() and cursor.fetchone() == (2,)


@check
def errors_have_their_sqlstate():
    with connect(autocommit=True) as connection:
        for text, code in (
            ("select 1/0", "22012"),
            ("selec 1", "42601"),
            ("select * from no_such_table_at_all", "42P01"),
            ("select 'x'::int", "22P02"),
        ):
            try:
                connection.execute(text)
                raise AssertionError(text)
            except psycopg.Error as error:
                assert error.sqlstate == code, (text, error.sqlstate)
        assert connection.execute("select 1").fetchone() == (1,)


@check
def transactions_and_savepoints():
    with connect() as connection:
        connection.execute("create temp table psycopg_accounts (id int primary key)")
        connection.commit()
        with connection.transaction():
            connection.execute("insert into psycopg_accounts values (1)")
            try:
                with connection.transaction():
                    connection.execute("insert into psycopg_accounts values (1)")
            except psycopg.errors.UniqueViolation:
                pass
            connection.execute("insert into psycopg_accounts values (2)")
        connection.rollback()
        assert connection.execute("select array_agg(id order by id) from psycopg_accounts").fetchone() == ([1, 2],)
        try:
            connection.execute("select 1/0")
        except psycopg.errors.DivisionByZero:
            pass
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
        connection.rollback()
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


@check
def isolation_and_read_only():
    with connect() as connection:
        connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        connection.read_only = True
        assert connection.execute("show transaction_isolation").fetchone() == ("serializable",)
        try:
            connection.execute("create temp table psycopg_ro as select 1; create table psycopg_ro2 (i int)")
            raise AssertionError("read only was not kept")
        except psycopg.errors.ReadOnlySqlTransaction:
            pass


@check
def pipeline_mode():
    with connect(autocommit=True) as connection:
        with connection.pipeline() as pipeline:
            cursors = [connection.execute("select %s::int", (i,)) for i in range(100)]
            pipeline.sync()
            assert [cursor.fetchone()[0] for cursor in cursors] == list(range(100))
        failed = None
        try:
            with connection.pipeline():
                first = connection.execute("select 1")
                connection.execute("select 1/0")
                last = connection.execute("select 3")
        except psycopg.errors.DivisionByZero as error:
            failed = error
        assert failed is not None
        assert first.fetchone() == (1,)
        try:
            last.fetchone()
            raise AssertionError("a statement after the failed one ran")
        except psycopg.Error:
            pass
        assert connection.execute("select 5").fetchone() == (5,)


@check
def pipeline_in_a_transaction():
    with connect() as connection:
        with connection.pipeline(), connection.transaction():
            connection.execute("create temp table psycopg_pipe (i int)")
            for i in range(50):
                connection.execute("insert into psycopg_pipe values (%s)", (i,))
            total = connection.execute("select sum(i) from psycopg_pipe")
        assert total.fetchone() == (1225,)


@check
def server_side_cursors():
    with connect() as connection:
        with connection.cursor("psycopg_cursor", row_factory=dict_row) as cursor:
            cursor.itersize = 100
            cursor.execute("select g as n, 'label ' || g as label from generate_series(1, %s) g", (1050,))
            rows = list(cursor)
            assert len(rows) == 1050 and rows[-1] == {"n": 1050, "label": "label 1050"}
        with connection.cursor("psycopg_scroll", scrollable=True) as cursor:
            cursor.execute("select generate_series(1, 20)")
            cursor.scroll(10)
            assert cursor.fetchone() == (11,)
            cursor.scroll(-5)
            assert cursor.fetchone() == (7,)


@check
def single_row_streams():
    with connect() as connection:
        with connection.cursor() as cursor:
            count = sum(1 for _ in cursor.stream("select generate_series(1, 5000)"))
        assert count == 5000


@check
def copy_text_and_binary():
    with connect() as connection:
        connection.execute("create temp table psycopg_copy (id int4, label text, at timestamptz)")
        at = datetime.datetime(2026, 11, 21, tzinfo=datetime.timezone.utc)
        with connection.cursor() as cursor:
            with cursor.copy("copy psycopg_copy from stdin") as copy:
                for i in range(10000):
                    copy.write_row((i, None if i % 5 == 0 else f"č\t{i}\n\\", at))
            assert cursor.rowcount == 10000
            with cursor.copy("copy psycopg_copy from stdin (format binary)") as copy:
                copy.set_types(["int4", "text", "timestamptz"])
                for i in range(10000, 20000):
                    copy.write_row((i, f"b{i}", at))
            with cursor.copy("copy (select * from psycopg_copy order by id) to stdout (format binary)") as copy:
                copy.set_types(["int4", "text", "timestamptz"])
                rows = list(copy.rows())
            assert len(rows) == 20000
            assert rows[1] == (1, "č\t1\n\\", at) and rows[0] == (0, None, at) and rows[-1] == (19999, "b19999", at)
            with cursor.copy("copy (select id from psycopg_copy where id < 3 order by id) to stdout csv header") as copy:
                assert b"".join(bytes(data) for data in copy) == b"id\n0\n1\n2\n"


@check
def copy_that_fails():
    with connect(autocommit=True) as connection:
        connection.execute("create temp table psycopg_badcopy (id int)")
        for text, error in (("x\n", psycopg.errors.InvalidTextRepresentation),):
            try:
                with connection.cursor().copy("copy psycopg_badcopy from stdin") as copy:
                    copy.write(text)
                raise AssertionError("a bad COPY went through")
            except error:
                pass
        try:
            with connection.cursor().copy("copy psycopg_badcopy from stdin") as copy:
                copy.write("1\n")
                raise RuntimeError("the client gives up")
        except RuntimeError:
            pass
        assert connection.execute("select count(*) from psycopg_badcopy").fetchone() == (0,)


@check
def large_values():
    with connect() as connection:
        text = "ž" * 2_000_000
        row = connection.execute("select %s::text, octet_length(%s::text)", (text, text)).fetchone()
        assert row == (text, 4_000_000)
        data = os.urandom(3_000_000)
        assert connection.execute("select %b::bytea", (data,), binary=True).fetchone() == (data,)


@check
def notifications():
    with connect(autocommit=True) as listener, connect(autocommit=True) as sender:
        listener.execute("listen psycopg_channel")
        sender.execute("select pg_notify('psycopg_channel', 'hello č')")
        for notification in listener.notifies(timeout=60, stop_after=1):
            assert notification.payload == "hello č"
            return
        raise AssertionError("no notification")


@check
def notices_reach_the_client():
    with connect(autocommit=True) as connection:
        heard = []
        connection.add_notice_handler(lambda diagnostic: heard.append(diagnostic.message_primary))
        connection.execute("drop table if exists psycopg_never_there")
        assert any("psycopg_never_there" in message for message in heard), heard


def asleep():
    """A cancel that comes before its query is lost, with PostgreSQL itself too."""
    text = "select 1 from pg_stat_activity where wait_event = 'PgSleep' and query = 'select pg_sleep(30)'"
    with connect(autocommit=True) as watcher:
        for _ in range(1000):
            if watcher.execute(text).fetchone():
                return
            time.sleep(0.02)


@check
def cancel_a_query():
    with connect(autocommit=True) as connection:
        for cancel in (connection.cancel, connection.cancel_safe):
            canceller = threading.Thread(target=lambda: (asleep(), cancel()))
            canceller.start()
            try:
                connection.execute("select pg_sleep(30)")
                raise AssertionError("not cancelled")
            except psycopg.errors.QueryCanceled:
                pass
            finally:
                canceller.join()
            assert connection.execute("select 1").fetchone() == (1,)


@check
def composed_identifiers():
    with connect() as connection:
        name = 'psycopg "odd" Náme'
        table = sql.Identifier(name)
        connection.execute(sql.SQL("create temp table {} (id int)").format(table))
        connection.execute(sql.SQL("insert into {} values (%s)").format(table), (7,))
        assert connection.execute(sql.SQL("select id from {}").format(table)).fetchone() == (7,)


def main():
    failed = False
    for function in CHECKS:
        name = function.__name__.replace("_", " ")
        try:
            function()
            print(f"ok {name}", flush=True)
        except Exception as error:
            failed = True
            message = " ".join(traceback.format_exception_only(error)).replace("\n", " ")
            line = traceback.extract_tb(error.__traceback__)
            where = next((frame.lineno for frame in reversed(line) if frame.filename == __file__), 0)
            print(f"not ok {name}: line {where}: {message}", flush=True)
    raise SystemExit(1 if failed else 0)


main()
