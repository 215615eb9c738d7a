package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// readers is how many views run at once; more wait.
const readers = 8

// A reader is a connection for views with the statements that were prepared on it. Each
// has its own, because preparing on the pool while a transaction holds a connection waits
// for another one: as many views as connections would wait for each other for ever.
type reader struct {
	conn  *sql.Conn
	stmts *statements
}

// reader takes a reader, which giveBack takes.
func (s *Store) reader(ctx context.Context) (*reader, error) {
	var r *reader
	select {
	case r = <-s.idle:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.closing:
		return nil, errClosed
	}
	if r != nil {
		return r, nil
	}
	conn, err := s.read.Conn(ctx)
	if err != nil {
		s.idle <- nil
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	return &reader{conn, &statements{prepare: conn.PrepareContext, kept: map[string]*sql.Stmt{}}}, nil
}

// giveBack ends a reader's transaction and gives it back; one that cannot end it is replaced.
func (s *Store) giveBack(r *reader) {
	// The caller may have gone; its transaction is to end all the same.
	if _, err := r.conn.ExecContext(context.Background(), "ROLLBACK"); err != nil {
		r.close()
		r = nil
	}
	s.idle <- r
}

func (r *reader) close() error {
	if r == nil {
		return nil
	}
	r.stmts.close()
	return r.conn.Close()
}

// closeReaders waits for the views under way and closes their connections.
func (s *Store) closeReaders() error {
	var errs []error
	for range readers {
		errs = append(errs, (<-s.idle).close())
	}
	return errors.Join(errs...)
}
