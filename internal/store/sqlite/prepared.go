package sqlite

import (
	"context"
	"database/sql"
	"sync"

	"leasehold/internal/store/sqldb"
)

// prepared is a transaction whose statements are prepared once and kept: preparing costs
// SQLite more than running most of ours does.
type prepared struct {
	sqldb.Querier // what runs a statement that is not kept
	stmts         *statements
	bind          func(context.Context, *sql.Stmt) *sql.Stmt
}

// statements are those kept of one connection or pool.
type statements struct {
	prepare func(context.Context, string) (*sql.Stmt, error)
	mu      sync.RWMutex
	kept    map[string]*sql.Stmt
}

// maxKept bounds the statements that are kept; lists of ids make many different ones.
const maxKept = 500

func (s *statements) get(ctx context.Context, query string) (*sql.Stmt, error) {
	s.mu.RLock()
	st, n := s.kept[query], len(s.kept)
	s.mu.RUnlock()
	if st != nil || n >= maxKept || len(query) > 4000 {
		return st, nil
	}
	st, err := s.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.kept[query]; old != nil {
		st.Close()
		return old, nil
	}
	s.kept[query] = st
	return st, nil
}

func (s *statements) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.kept {
		st.Close()
	}
}

func (p *prepared) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := p.stmts.get(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return p.Querier.ExecContext(ctx, query, args...)
	}
	return p.bind(ctx, s).ExecContext(ctx, args...)
}

func (p *prepared) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := p.stmts.get(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return p.Querier.QueryContext(ctx, query, args...)
	}
	return p.bind(ctx, s).QueryContext(ctx, args...)
}

func (p *prepared) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	s, err := p.stmts.get(ctx, query)
	if err != nil || s == nil {
		return p.Querier.QueryRowContext(ctx, query, args...)
	}
	return p.bind(ctx, s).QueryRowContext(ctx, args...)
}
