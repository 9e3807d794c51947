package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/fold"
	"heddle.dev/heddle/sync/logstore"
)

// takeOverAll takes over the spaces that have files of their own, one after the
// other. One that cannot be taken over stops no other: it is tried again when it
// is asked for.
func (s *Store) takeOverAll() {
	entries, err := os.ReadDir(s.o.Dir)
	if err != nil {
		s.log.Error("the data directory cannot be read", "error", err)
		return
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), oldSuffix) {
			continue
		}
		if err := s.takeOverFile(context.Background(), filepath.Join(s.o.Dir, e.Name())); err != nil {
			s.mu.Lock()
			if s.left == nil {
				s.left = map[string]bool{}
			}
			s.left[e.Name()] = true
			s.mu.Unlock()
			s.log.Error("a space's own file cannot be taken over", "file", e.Name(), "error", err)
			continue
		}
		s.log.Info("a space's own file was taken over", "file", e.Name())
	}
}

// takeOver tries a space's own file again that was left at the start.
func (s *Store) takeOver(ctx context.Context, space string) error {
	s.mu.Lock()
	left := len(s.left) > 0 && s.left[oldName(space)+oldSuffix]
	s.mu.Unlock()
	if !left {
		return nil
	}
	err := s.takeOverFile(ctx, oldFile(s.o.Dir, space))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return translate(ctx, err)
	}
	s.mu.Lock()
	delete(s.left, oldName(space)+oldSuffix)
	s.mu.Unlock()
	return nil
}

// takeOverFile moves the space of a file into the file of many, and removes its
// own once that is on the disk.
func (s *Store) takeOverFile(ctx context.Context, path string) error {
	name, err := openOld(path)
	if err != nil || name == "" {
		return err
	}
	if oldFile(s.o.Dir, name) != path {
		return errcode.New(errcode.Damaged, "sqlitestore: take over", fmt.Sprintf("%s is of space %q", path, name))
	}
	err = s.fileOf(name).write(ctx, func(c *conn) (err error) {
		if err := c.attach(path, oldViews, true); err != nil {
			return errors.Join(err, c.detach())
		}
		defer func() { err = errors.Join(err, c.detach()) }()
		return c.takeOver(name)
	})
	if err != nil {
		return err
	}
	return errors.Join(remove(path), remove(path+"-wal"), remove(path+"-shm"))
}

// openOld brings a space's own file to the last format, and returns the space's
// name: "" for an empty file, which is what is left of a space that was never
// made.
func openOld(path string) (name string, err error) {
	if there, err := exists(path, ""); err != nil || !there {
		return "", err
	}
	c, err := openConn(fileURI(path, "") + "&_pragma=busy_timeout(10000)")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if err := c.upgrade(); err != nil {
		return "", err
	}
	err = c.run(`SELECT name FROM space`, func(s *sqlite3.Stmt) error {
		name = s.ColumnText(0)
		return nil
	})
	return name, err
}

// takeOver copies the space of the attached file.
func (c *conn) takeOver(name string) (err error) {
	tx, err := c.c.BeginImmediate()
	if err != nil {
		return err
	}
	defer tx.End(&err)
	switch there, err := newView(c, name); {
	case errors.Is(err, logstore.ErrNotFound):
	case err != nil:
		return err
	default: // it was copied before, and its file was not yet removed
		same := false
		if err := c.run(`SELECT epoch FROM kept_space`, func(s *sqlite3.Stmt) error {
			same = string(s.ColumnRawBlob(0)) == string(there.meta.Head.Epoch[:])
			return nil
		}); err != nil || same {
			return err
		}
		return errcode.New(errcode.Damaged, "sqlitestore: take over",
			fmt.Sprintf("the space %q is there already, with another epoch", name))
	}
	if err := c.run(`INSERT INTO space(name, epoch, seq, chain, rows, live, logged, horizon, horizon_chain)
		SELECT name, epoch, seq, chain, rows, live, logged, horizon, horizon_chain FROM kept_space`, nil); err != nil {
		return err
	}
	id := c.c.LastInsertRowID()
	if err := c.copyTables(id, 1, tables); err != nil {
		return err
	}
	v, err := newView(c, name)
	if err != nil {
		return err
	}
	return v.recount()
}

// copyTables copies the rows of a space of the attached file.
func (c *conn) copyTables(id, old int64, tables []string) error {
	for _, table := range tables {
		columns := ""
		if err := c.run(`SELECT group_concat(name, ', ') FROM pragma_table_info(?) WHERE name <> 'space'`,
			func(s *sqlite3.Stmt) error {
				columns = s.ColumnText(0)
				return nil
			}, table); err != nil {
			return err
		}
		sql := fmt.Sprintf(`INSERT INTO %s(space, %s) SELECT %d, %[2]s FROM kept_%[1]s WHERE space = %[4]d`,
			table, columns, id, old)
		if err := c.c.Exec(sql); err != nil {
			return err
		}
	}
	return nil
}

// recount stores the digest of the head, from the buckets.
func (v *view) recount() error {
	d := &fold.Digest{}
	for b, err := range v.Buckets() {
		if err != nil {
			return err
		}
		sum, err := fold.UnmarshalBucket(b.Sum)
		if err != nil {
			return err
		}
		d.Set(fold.BucketID{Table: b.Table, Group: b.Group, Bucket: uint8(b.Number)}, sum)
	}
	sum := d.Sum()
	if err := v.c.run(`UPDATE space SET digest = ? WHERE id = ?`, nil, sum[:], v.id); err != nil {
		return err
	}
	return v.c.run(`UPDATE log SET digest = ?, rows = ? WHERE space = ? AND seq = ?`, nil,
		sum[:], v.meta.RowCount, v.id, v.meta.Head.Seq)
}

func remove(file string) error {
	if err := os.Remove(file); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
