import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;

/** pgjdbc: server-prepared statements, batches, fetch-size cursors, COPY, cancel. One `ok`/`not ok` line a check. */
final class Client {
  interface Work {
    void run(Connection connection) throws Exception;
  }

  record Check(String name, Work work, String... options) {}

  static Connection connect(String... options) throws SQLException {
    var properties = new Properties();
    properties.setProperty("user", System.getenv("PGUSER"));
    properties.setProperty("password", System.getenv("PGPASSWORD"));
    properties.setProperty("sslmode", "disable");
    for (int i = 0; i < options.length; i += 2) properties.setProperty(options[i], options[i + 1]);
    var place = System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");
    return DriverManager.getConnection("jdbc:postgresql://" + place, properties);
  }

  static void expect(boolean holds, Object got) {
    if (!holds) throw new AssertionError("got " + got);
  }

  static void same(Object expected, Object got) {
    if (!expected.equals(got)) throw new AssertionError("expected " + expected + ", got " + got);
  }

  static void fails(String state, Work work, Connection connection) throws Exception {
    try {
      work.run(connection);
    } catch (SQLException error) {
      same(state, error.getSQLState());
      return;
    }
    throw new AssertionError("no error, " + state + " was expected");
  }

  static void execute(Connection connection, String text) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute(text);
    }
  }

  static long number(Connection connection, String text) throws SQLException {
    try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(text)) {
      rows.next();
      return rows.getLong(1);
    }
  }

  /** Seven executions: pgjdbc turns to a named statement and binary results after five. */
  static void types(Connection connection) throws Exception {
    var text = "select ?::int4, ?::int8, ?::numeric, ?::text, ?::text, ?::bytea, ?::date, ?::timestamptz, ?::int4[], ?::bool";
    var at = OffsetDateTime.parse("2026-11-21T10:11:12Z");
    byte[] bytes = {0, -1, 7};
    try (PreparedStatement statement = connection.prepareStatement(text)) {
      for (int i = 0; i < 7; i++) {
        statement.setInt(1, i);
        statement.setLong(2, 1L << 62);
        statement.setBigDecimal(3, new BigDecimal("12345678.000000001"));
        statement.setString(4, null);
        statement.setString(5, "žluťoučký 🐎 ?");
        statement.setBytes(6, bytes);
        statement.setObject(7, LocalDate.of(2026, 11, 21));
        statement.setObject(8, at);
        statement.setArray(9, connection.createArrayOf("int4", new Integer[] {1, null, 3}));
        statement.setBoolean(10, true);
        try (ResultSet rows = statement.executeQuery()) {
          expect(rows.next(), "no row");
          same(i, rows.getInt(1));
          same(1L << 62, rows.getLong(2));
          same(new BigDecimal("12345678.000000001"), rows.getBigDecimal(3));
          expect(rows.getString(4) == null && rows.wasNull(), rows.getString(4));
          same("žluťoučký 🐎 ?", rows.getString(5));
          expect(Arrays.equals(bytes, rows.getBytes(6)), Arrays.toString(rows.getBytes(6)));
          same(LocalDate.of(2026, 11, 21), rows.getObject(7, LocalDate.class));
          expect(at.isEqual(rows.getObject(8, OffsetDateTime.class)), rows.getString(8));
          same(Arrays.asList(1, null, 3), Arrays.asList((Object[]) rows.getArray(9).getArray()));
          same(true, rows.getBoolean(10));
        }
      }
    }
  }

  static void batches(Connection connection) throws Exception {
    execute(connection, "create temp table jdbc_batch (id int primary key, label text)");
    try (PreparedStatement statement = connection.prepareStatement("insert into jdbc_batch values (?, ?)")) {
      for (int i = 0; i < 1000; i++) {
        statement.setInt(1, i);
        statement.setString(2, i % 5 == 0 ? null : "č" + i);
        statement.addBatch();
      }
      same(1000, statement.executeBatch().length);
    }
    same(1000L, number(connection, "select count(*) from jdbc_batch"));
    same(200L, number(connection, "select count(*) from jdbc_batch where label is null"));
    try (Statement statement = connection.createStatement()) {
      statement.addBatch("update jdbc_batch set label = 'x' where id < 10");
      statement.addBatch("delete from jdbc_batch where id < 5");
      expect(Arrays.equals(new int[] {10, 5}, statement.executeBatch()), "other counts");
    }
    fails("23505", c -> {
      try (PreparedStatement statement = c.prepareStatement("insert into jdbc_batch values (?, 'again')")) {
        for (int id : new int[] {5000, 500, 5001}) {
          statement.setInt(1, id);
          statement.addBatch();
        }
        statement.executeBatch();
      }
    }, connection);
  }

  static void generatedKeys(Connection connection) throws Exception {
    execute(connection, "create temp table jdbc_keys (id int generated always as identity, label text)");
    var text = "insert into jdbc_keys (label) values (?)";
    try (PreparedStatement statement = connection.prepareStatement(text, Statement.RETURN_GENERATED_KEYS)) {
      for (int i = 1; i <= 3; i++) {
        statement.setString(1, "row " + i);
        same(1, statement.executeUpdate());
        try (ResultSet keys = statement.getGeneratedKeys()) {
          expect(keys.next(), "no key");
          same(i, keys.getInt("id"));
        }
      }
    }
  }

  static void cursors(Connection connection) throws Exception {
    connection.setAutoCommit(false);
    try (PreparedStatement statement = connection.prepareStatement("select g, 'row ' || g from generate_series(1, ?) g")) {
      statement.setFetchSize(100);
      statement.setInt(1, 1050);
      int last = 0;
      try (ResultSet rows = statement.executeQuery()) {
        while (rows.next()) {
          last = rows.getInt(1);
          same("row " + last, rows.getString(2));
        }
      }
      same(1050, last);
    }
    connection.commit();
  }

  static void copies(Connection connection) throws Exception {
    execute(connection, "create temp table jdbc_copy (id int, label text)");
    CopyManager copy = connection.unwrap(PGConnection.class).getCopyAPI();
    var lines = new StringBuilder();
    for (int i = 0; i < 20000; i++) lines.append(i).append(i % 7 == 0 ? "\t\\N\n" : "\tč" + i + "\n");
    same(20000L, copy.copyIn("copy jdbc_copy from stdin", new StringReader(lines.toString())));
    var out = new StringWriter();
    same(20000L, copy.copyOut("copy (select * from jdbc_copy order by id) to stdout", out));
    expect(lines.toString().equals(out.toString()), out.toString().length() + " characters");
    fails("22P02", c -> copy.copyIn("copy jdbc_copy from stdin", new StringReader("x\ty\n")), connection);
    same(20000L, number(connection, "select count(*) from jdbc_copy"));
  }

  static void errors(Connection connection) throws Exception {
    String[][] cases = {
      {"select 1/0", "22012"}, {"selec 1", "42601"}, {"select * from no_such_table_at_all", "42P01"},
    };
    for (String[] one : cases) fails(one[1], c -> execute(c, one[0]), connection);
    same(1L, number(connection, "select 1"));
  }

  static void transactions(Connection connection) throws Exception {
    execute(connection, "create temp table jdbc_accounts (id int primary key)");
    connection.setAutoCommit(false);
    connection.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
    execute(connection, "insert into jdbc_accounts values (1)");
    Savepoint savepoint = connection.setSavepoint("before");
    fails("23505", c -> execute(c, "insert into jdbc_accounts values (1)"), connection);
    fails("25P02", c -> execute(c, "select 1"), connection);
    connection.rollback(savepoint);
    connection.commit();
    execute(connection, "delete from jdbc_accounts");
    connection.rollback();
    same(1L, number(connection, "select count(*) from jdbc_accounts"));
    connection.commit();
  }

  /** With autosave the driver puts a savepoint before each statement, and rolls back to it by itself. */
  static void autosave(Connection connection) throws Exception {
    connection.setAutoCommit(false);
    execute(connection, "create temp table jdbc_autosave (id int primary key)");
    execute(connection, "insert into jdbc_autosave values (1)");
    fails("23505", c -> execute(c, "insert into jdbc_autosave values (1)"), connection);
    execute(connection, "insert into jdbc_autosave values (2)");
    connection.commit();
    same(2L, number(connection, "select count(*) from jdbc_autosave"));
    connection.commit();
  }

  static void several(Connection connection) throws Exception {
    try (Statement statement = connection.createStatement()) {
      expect(statement.execute("select 1; select 2"), "no rows");
      List<Integer> seen = new ArrayList<>();
      do {
        try (ResultSet rows = statement.getResultSet()) {
          rows.next();
          seen.add(rows.getInt(1));
        }
      } while (statement.getMoreResults());
      same(List.of(1, 2), seen);
    }
  }

  /** A cancel that comes before its query is lost, with PostgreSQL itself too. */
  static void cancelAsleep(Statement statement) {
    var text = "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and query = 'select pg_sleep(30)'";
    try (Connection watcher = connect()) {
      while (number(watcher, text) == 0) Thread.sleep(20);
      statement.cancel();
    } catch (SQLException | InterruptedException error) {
      System.err.println(error);
    }
  }

  static void cancel(Connection connection) throws Exception {
    try (Statement statement = connection.createStatement()) {
      var canceller = new Thread(() -> cancelAsleep(statement));
      canceller.setDaemon(true);
      canceller.start();
      fails("57014", c -> statement.execute("select pg_sleep(30)"), connection);
      canceller.join();
      statement.setQueryTimeout(3);
      fails("57014", c -> statement.execute("select pg_sleep(30)"), connection);
    }
    same(1L, number(connection, "select 1"));
  }

  /** What IDEs ask first: each of these is a long query on the system catalogs. */
  static void metadata(Connection connection) throws Exception {
    execute(connection, "create temp table jdbc_meta (id int primary key, label text not null)");
    var metadata = connection.getMetaData();
    expect(metadata.getDatabaseMajorVersion() >= 13, metadata.getDatabaseProductVersion());
    try (ResultSet tables = metadata.getTables(null, null, "jdbc_meta", null)) {
      expect(tables.next(), "no table");
    }
    try (ResultSet columns = metadata.getColumns(null, null, "jdbc_meta", null)) {
      expect(columns.next() && columns.next(), "fewer than two columns");
      same("label", columns.getString("COLUMN_NAME"));
    }
    try (ResultSet keys = metadata.getPrimaryKeys(null, null, "jdbc_meta")) {
      expect(keys.next(), "no primary key");
    }
    try (ResultSet schemas = metadata.getSchemas()) {
      expect(schemas.next(), "no schema");
    }
    try (PreparedStatement statement = connection.prepareStatement("select * from jdbc_meta where id = ?")) {
      same(2, statement.getMetaData().getColumnCount());
      same(1, statement.getParameterMetaData().getParameterCount());
    }
  }

  static void large(Connection connection) throws Exception {
    String sent = "ž".repeat(1_500_000);
    try (PreparedStatement statement = connection.prepareStatement("select ?::text")) {
      statement.setString(1, sent);
      try (ResultSet rows = statement.executeQuery()) {
        rows.next();
        expect(sent.equals(rows.getString(1)), "another text");
      }
    }
  }

  public static void main(String[] arguments) throws Exception {
    List<Check> checks = List.of(
        new Check("types, NULL, unicode and arrays", Client::types),
        new Check("binary from the first execution", Client::types, "prepareThreshold", "-1"),
        new Check("simple protocol", Client::types, "preferQueryMode", "simple"),
        new Check("batches", Client::batches),
        new Check("rewritten batches", Client::batches, "reWriteBatchedInserts", "true"),
        new Check("generated keys", Client::generatedKeys),
        new Check("cursors by fetch size", Client::cursors),
        new Check("COPY", Client::copies),
        new Check("errors with SQLSTATE", Client::errors),
        new Check("transactions and savepoints", Client::transactions),
        new Check("autosave", Client::autosave, "autosave", "always"),
        new Check("several statements", Client::several),
        new Check("cancel and query timeout", Client::cancel),
        new Check("metadata", Client::metadata),
        new Check("a large value", Client::large));
    int status = 0;
    for (Check check : checks) {
      try (Connection connection = connect(check.options())) {
        check.work().run(connection);
        System.out.println("ok " + check.name());
      } catch (Throwable error) {
        status = 1;
        System.out.println("not ok " + check.name() + ": " + String.valueOf(error).replace('\n', ' '));
      }
    }
    System.exit(status);
  }
}
