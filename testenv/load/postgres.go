package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Postgres is a PostgreSQL that lets its superuser in. Each record is a row of a table of its own, committed by itself.
type Postgres struct{}

// duplicate is the server's word for a row that is there already.
const duplicate = "23505"

// pgConn is a connection to a PostgreSQL.
type pgConn struct {
	*pgconn.PgConn
	exchange time.Duration
}

// Connect implements Server.
func (Postgres) Connect(ctx context.Context, d Dialer, connect, exchange time.Duration) (Connection, error) {
	c, err := connectPostgres(ctx, d, connect)
	if err != nil {
		return nil, err
	}
	return &pgConn{c, exchange}, nil
}

func connectPostgres(ctx context.Context, d Dialer, within time.Duration) (*pgconn.PgConn, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	config, err := pgconn.ParseConfig("host=postgres.invalid user=postgres dbname=postgres sslmode=disable")
	if err != nil {
		return nil, err
	}
	config.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	config.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return d(ctx) }
	return pgconn.ConnectConfig(ctx, config)
}

// MakeTable makes the table that records are written to.
func (Postgres) MakeTable(ctx context.Context, d Dialer) error {
	c, err := connectPostgres(ctx, d, readTimeout)
	if err != nil {
		return err
	}
	defer closePostgres(c)
	_, err = c.Exec(ctx, "CREATE TABLE record (key text PRIMARY KEY, content bytea NOT NULL)").ReadAll()
	return err
}

// Rows returns how many records there are, and how many keys, from the table itself: an index that is broken could hide a row that is there twice.
func (Postgres) Rows(ctx context.Context, d Dialer) (rows, keys int64, err error) {
	c, err := connectPostgres(ctx, d, readTimeout)
	if err != nil {
		return 0, 0, err
	}
	defer closePostgres(c)
	results, err := c.Exec(ctx, "SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off; "+
		"SELECT count(*), count(DISTINCT key) FROM record").ReadAll()
	if err != nil {
		return 0, 0, err
	}
	last := results[len(results)-1].Rows
	if len(last) != 1 || len(last[0]) != 2 {
		return 0, 0, fmt.Errorf("%d rows instead of two numbers", len(last))
	}
	rows, err = strconv.ParseInt(string(last[0][0]), 10, 64)
	keys, err2 := strconv.ParseInt(string(last[0][1]), 10, 64)
	return rows, keys, errors.Join(err, err2)
}

// Put implements Connection.
func (c *pgConn) Put(ctx context.Context, key, content string) error {
	ctx, cancel := context.WithTimeout(ctx, c.exchange)
	defer cancel()
	result := c.ExecParams(ctx, "INSERT INTO record VALUES ($1, $2)", [][]byte{[]byte(key), []byte(content)}, nil, []int16{0, 1}, nil).Read()
	var refused *pgconn.PgError
	switch {
	case result.Err == nil:
		return nil
	case !errors.As(result.Err, &refused):
		return result.Err
	case refused.Code == duplicate:
		return nil
	case strings.HasPrefix(refused.Code, "57P"): // it goes down, or is not up yet
		return result.Err
	}
	return ServerError(refused.Code + " " + refused.Message)
}

// Get implements Connection.
func (c *pgConn) Get(ctx context.Context, keys []string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.exchange)
	defer cancel()
	list := "{" + strings.Join(keys, ",") + "}" // of letters, digits and colons
	result := c.ExecParams(ctx, "SELECT key, content FROM record WHERE key = ANY ($1)", [][]byte{[]byte(list)}, nil, nil, []int16{0, 1}).Read()
	if result.Err != nil {
		return nil, result.Err
	}
	out := map[string]string{}
	for _, row := range result.Rows {
		out[string(row[0])] = string(row[1])
	}
	return out, nil
}

// Close implements Connection.
func (c *pgConn) Close() { closePostgres(c.PgConn) }

// closePostgres does not wait for a server that has gone.
func closePostgres(c *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_ = c.Close(ctx)
}
