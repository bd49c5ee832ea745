// pgx: binary results, statement cache, batches, CopyFrom, cancel. One `ok`/`not ok` line a check.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

type check struct {
	name string
	run  func(context.Context, *pgx.Conn) error
}

func expect(ok bool, format string, values ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, values...)
}

func sqlstate(err error) string {
	var failure *pgconn.PgError
	if errors.As(err, &failure) {
		return failure.Code
	}
	return fmt.Sprint(err)
}

func typesNullUnicode(ctx context.Context, conn *pgx.Conn) error {
	var i int32
	var big int64
	var f float64
	var b bool
	var nothing *string
	var text string
	var raw []byte
	var numbers []*int32
	var at time.Time
	var object map[string]any
	row := conn.QueryRow(ctx, `select $1::int4, $2::int8, 1.5::float8, true, null::text, $3::text, $4::bytea,
		array[1,null,3]::int4[], timestamptz '2026-11-21 10:11:12+00', '{"k": 1}'::jsonb`,
		42, int64(1)<<62, "žluťoučký 🐎", []byte{0, 255})
	if err := row.Scan(&i, &big, &f, &b, &nothing, &text, &raw, &numbers, &at, &object); err != nil {
		return err
	}
	same := i == 42 && big == 1<<62 && f == 1.5 && b && nothing == nil && text == "žluťoučký 🐎" &&
		bytes.Equal(raw, []byte{0, 255}) && len(numbers) == 3 && numbers[1] == nil && *numbers[2] == 3 &&
		at.Equal(time.Date(2026, 11, 21, 10, 11, 12, 0, time.UTC)) && object["k"] == 1.0
	return expect(same, "got %v %v %v %v %v %v %v %v %v", i, big, f, nothing, text, raw, numbers, at, object)
}

// queryModes runs one query in each of pgx's ways of sending it.
func queryModes(ctx context.Context, conn *pgx.Conn) error {
	modes := []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
		pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	}
	for _, mode := range modes {
		for i := range 3 {
			var twice int
			var text string
			err := conn.QueryRow(ctx, "select $1::int * 2, $2::text", mode, i, "it's $1").Scan(&twice, &text)
			if err != nil {
				return fmt.Errorf("%v: %w", mode, err)
			}
			if twice != i*2 || text != "it's $1" {
				return fmt.Errorf("%v: got %d %q", mode, twice, text)
			}
		}
	}
	return nil
}

func prepared(ctx context.Context, conn *pgx.Conn) error {
	description, err := conn.Prepare(ctx, "pgx_twice", "select $1::int8 * 2 as twice")
	if err != nil {
		return err
	}
	if len(description.ParamOIDs) != 1 || description.Fields[0].Name != "twice" {
		return fmt.Errorf("description %+v", description)
	}
	for i := range int64(10) {
		var twice int64
		if err := conn.QueryRow(ctx, "pgx_twice", i).Scan(&twice); err != nil || twice != i*2 {
			return fmt.Errorf("%d: %d %w", i, twice, err)
		}
	}
	if err := conn.Deallocate(ctx, "pgx_twice"); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "execute pgx_twice(1)")
	return expect(sqlstate(err) == "26000", "after deallocate: %v", err)
}

func batches(ctx context.Context, conn *pgx.Conn) error {
	batch := &pgx.Batch{}
	batch.Queue("create temp table pgx_batch (id int primary key, label text)")
	if err := conn.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	batch = &pgx.Batch{}
	for i := range 100 {
		batch.Queue("insert into pgx_batch values ($1, $2)", i, fmt.Sprintf("č%d", i))
	}
	batch.Queue("select count(*), max(label) from pgx_batch")
	results := conn.SendBatch(ctx, batch)
	for range 100 {
		tag, err := results.Exec()
		if err != nil || tag.RowsAffected() != 1 {
			return fmt.Errorf("insert: %v %w", tag, err)
		}
	}
	var count int
	var label string
	if err := results.QueryRow().Scan(&count, &label); err != nil {
		return err
	}
	if err := results.Close(); err != nil {
		return err
	}
	return expect(count == 100 && label == "č99", "got %d %q", count, label)
}

// failedBatch expects the rest of a batch to be skipped and its implicit transaction undone.
func failedBatch(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "create temp table pgx_failed (id int primary key)"); err != nil {
		return err
	}
	batch := &pgx.Batch{}
	batch.Queue("insert into pgx_failed values (1)")
	batch.Queue("insert into pgx_failed values (1)")
	batch.Queue("insert into pgx_failed values (2)")
	if err := conn.SendBatch(ctx, batch).Close(); sqlstate(err) != "23505" {
		return fmt.Errorf("batch: %v", err)
	}
	var count int
	if err := conn.QueryRow(ctx, "select count(*) from pgx_failed").Scan(&count); err != nil {
		return err
	}
	return expect(count == 0, "%d rows were kept", count)
}

func copyFrom(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "create temp table pgx_copy (id int4, label text, at timestamptz)"); err != nil {
		return err
	}
	at := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	columns := []string{"id", "label", "at"}
	source := pgx.CopyFromSlice(20000, func(i int) ([]any, error) {
		if i%5 == 0 {
			return []any{i, nil, at}, nil
		}
		return []any{i, fmt.Sprintf("č%d", i), at}, nil
	})
	copied, err := conn.CopyFrom(ctx, pgx.Identifier{"pgx_copy"}, columns, source)
	if err != nil || copied != 20000 {
		return fmt.Errorf("%d rows: %w", copied, err)
	}
	var sum, empty int64
	row := conn.QueryRow(ctx, "select sum(id), count(*) filter (where label is null) from pgx_copy")
	if err := row.Scan(&sum, &empty); err != nil {
		return err
	}
	if err := expect(sum == 199990000 && empty == 4000, "sum %d, empty %d", sum, empty); err != nil {
		return err
	}
	var out bytes.Buffer
	_, err = conn.PgConn().CopyTo(ctx, &out, "copy (select id from pgx_copy where id < 3 order by id) to stdout")
	return errors.Join(err, expect(out.String() == "0\n1\n2\n", "out %q", out.String()))
}

func failures(ctx context.Context, conn *pgx.Conn) error {
	for text, code := range map[string]string{
		"select 1/0": "22012", "selec 1": "42601", "select * from no_such_table_at_all": "42P01",
	} {
		if _, err := conn.Exec(ctx, text); sqlstate(err) != code {
			return fmt.Errorf("%s: %v", text, err)
		}
		if _, err := conn.Exec(ctx, text, pgx.QueryExecModeSimpleProtocol); sqlstate(err) != code {
			return fmt.Errorf("simple %s: %v", text, err)
		}
	}
	return conn.Ping(ctx)
}

func transactions(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "create temp table pgx_accounts (id int primary key)"); err != nil {
		return err
	}
	err := pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.Serializable}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "insert into pgx_accounts values (1)"); err != nil {
			return err
		}
		inner := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "insert into pgx_accounts values (1)")
			return err
		})
		return expect(sqlstate(inner) == "23505", "savepoint: %v", inner)
	})
	if err != nil {
		return err
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "delete from pgx_accounts"); err != nil {
		return err
	}
	if err := tx.Rollback(ctx); err != nil {
		return err
	}
	var count int
	err = conn.QueryRow(ctx, "select count(*) from pgx_accounts").Scan(&count)
	return errors.Join(err, expect(count == 1, "%d rows", count))
}

func manyRows(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, "select g, repeat('x', 100) from generate_series(1, 50000) g")
	if err != nil {
		return err
	}
	defer rows.Close()
	last := 0
	for rows.Next() {
		var filler string
		if err := rows.Scan(&last, &filler); err != nil {
			return err
		}
	}
	return errors.Join(rows.Err(), expect(last == 50000, "last %d", last))
}

func largeValue(ctx context.Context, conn *pgx.Conn) error {
	sent := bytes.Repeat([]byte{1, 2, 3, 255}, 1_000_000)
	var back []byte
	err := conn.QueryRow(ctx, "select $1::bytea", sent).Scan(&back)
	return errors.Join(err, expect(bytes.Equal(sent, back), "%d bytes came back", len(back)))
}

// asleep waits for the query: a cancel that comes before it is lost, with PostgreSQL itself too.
func asleep(ctx context.Context) error {
	watcher, err := pgx.Connect(ctx, "")
	if err != nil {
		return err
	}
	defer watcher.Close(ctx)
	text := "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and query = 'select pg_sleep(30)'"
	for count := 0; count == 0; time.Sleep(20 * time.Millisecond) {
		if err := watcher.QueryRow(ctx, text).Scan(&count); err != nil {
			return err
		}
	}
	return nil
}

// cancelRequest asks the server to cancel, by the key that the connection was given.
func cancelRequest(ctx context.Context, conn *pgx.Conn) error {
	asked := make(chan error, 1)
	go func() {
		err := asleep(ctx)
		if err == nil {
			err = conn.PgConn().CancelRequest(ctx)
		}
		asked <- err
	}()
	_, err := conn.Exec(ctx, "select pg_sleep(30)")
	if asking := <-asked; asking != nil || sqlstate(err) != "57014" {
		return fmt.Errorf("not cancelled: %v, %v", err, asking)
	}
	return conn.Ping(ctx)
}

// pipelineMode sends by hand, with a sync in the middle and a failure after it.
func pipelineMode(ctx context.Context, conn *pgx.Conn) error {
	pipeline := conn.PgConn().StartPipeline(ctx)
	one := [][]byte{[]byte("1")}
	zero := [][]byte{[]byte("0")}
	pipeline.SendQueryParams("select 10 / $1::int", one, nil, nil, nil)
	if err := pipeline.Sync(); err != nil {
		return err
	}
	pipeline.SendQueryParams("select 10 / $1::int", zero, nil, nil, nil)
	pipeline.SendQueryParams("select 30 / $1::int", one, nil, nil, nil)
	if err := pipeline.Sync(); err != nil {
		return err
	}
	var seen []string
	for {
		results, err := pipeline.GetResults()
		if err != nil {
			seen = append(seen, sqlstate(err))
			continue
		}
		switch result := results.(type) {
		case nil:
			err := pipeline.Close()
			got := strings.Join(seen, " ")
			return errors.Join(err, expect(got == "10 sync 22012 sync", "got %s", got))
		case *pgconn.ResultReader:
			read := result.Read()
			if read.Err != nil {
				seen = append(seen, sqlstate(read.Err))
			} else {
				seen = append(seen, string(read.Rows[0][0]))
			}
		case *pgconn.PipelineSync:
			seen = append(seen, "sync")
		}
	}
}

func notifications(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "listen pgx_channel"); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "select pg_notify('pgx_channel', $1)", "hello č"); err != nil {
		return err
	}
	bounded, stop := context.WithTimeout(ctx, 60*time.Second)
	defer stop()
	notification, err := conn.WaitForNotification(bounded)
	if err != nil {
		return err
	}
	return expect(notification.Payload == "hello č", "payload %q", notification.Payload)
}

func pool(ctx context.Context, _ *pgx.Conn) error {
	pool, err := pgxpool.New(ctx, "pool_max_conns=6")
	if err != nil {
		return err
	}
	defer pool.Close()
	failures := make(chan error)
	for i := range 24 {
		go func() {
			var back int
			err := pool.QueryRow(ctx, "select $1::int from pg_sleep(0.01)", i).Scan(&back)
			failures <- errors.Join(err, expect(back == i, "%d came back for %d", back, i))
		}()
	}
	var all error
	for range 24 {
		all = errors.Join(all, <-failures)
	}
	return all
}

func run(ctx context.Context, one check) error {
	bounded, stop := context.WithTimeout(ctx, 120*time.Second)
	defer stop()
	conn, err := pgx.Connect(bounded, "")
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return one.run(bounded, conn)
}

func main() {
	checks := []check{
		{"types, NULL and unicode", typesNullUnicode},
		{"every query mode", queryModes},
		{"prepared statements", prepared},
		{"batches", batches},
		{"a batch that fails", failedBatch},
		{"CopyFrom and CopyTo", copyFrom},
		{"errors with SQLSTATE", failures},
		{"transactions and savepoints", transactions},
		{"many rows", manyRows},
		{"a large value", largeValue},
		{"cancel request", cancelRequest},
		{"pipeline mode", pipelineMode},
		{"LISTEN and NOTIFY", notifications},
		{"a pool of connections", pool},
	}
	status := 0
	for _, one := range checks {
		if err := run(context.Background(), one); err != nil {
			status = 1
			fmt.Printf("not ok %s: %s\n", one.name, strings.ReplaceAll(err.Error(), "\n", "; "))
			continue
		}
		fmt.Printf("ok %s\n", one.name)
	}
	os.Exit(status)
}
