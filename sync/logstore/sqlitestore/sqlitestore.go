// Package sqlitestore keeps spaces in SQLite files of a directory: a few files
// that hold many spaces each, so that one flush commits what waits for any of
// them. One process at a time serves a directory; others may read it, and cut,
// delete or kick a space in it.
//
// What Commit has returned for was committed with synchronous=FULL.
package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/wire"
)

// Options say how a Store works.
type Options struct {
	Dir    string       // where the files are; made if missing
	VFS    string       // SQLite's name for what keeps the files, "" for the platform's; Dir is a path in it
	Files  int          // how many files a new directory gets; 1 if 0
	Bare   bool         // new files get no page checksums, and none that has them is opened; see sum.go
	Shared bool         // opens a directory that a server may be using: for commands
	Logger *slog.Logger // nil logs nothing
}

// Store keeps spaces in a directory.
type Store struct {
	o     Options
	log   *slog.Logger
	lock  *conn // holds the directory; nil if shared
	files []*file

	mu       sync.Mutex
	watchers map[*watcher]bool
	left     map[string]bool // names of spaces' own files that could not be taken over
	closed   chan struct{}
	closing  sync.Once
}

var _ logstore.Store = (*Store)(nil)

type watcher struct{ f func(logstore.Hint) }

const (
	// defaultFiles is how many files a directory gets. Each has a writer and a flush of
	// its own: more of them cost each commit more, and let more processors write.
	defaultFiles = 1
	maxPath      = 1023 // the longest path, in bytes, that SQLite opens
	longestName  = 64   // more than the longest name of a file of this package
	// lookEvery is how often the files are looked at for what another process has
	// written.
	lookEvery = time.Second
)

// Open opens a directory. The caller closes the Store. A directory of a file for
// each space, as earlier versions kept them, is taken over.
func Open(o Options) (*Store, error) {
	const op = "sqlitestore: open"
	if o.Dir == "" {
		return nil, errcode.New(errcode.BadParam, op, "a data directory is needed")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.VFS == "" {
		var err error
		if o.Dir, err = filepath.Abs(o.Dir); err != nil {
			return nil, errcode.Wrap(err, errcode.Server, op)
		}
		if most := maxPath - longestName; len(o.Dir) > most {
			return nil, errcode.New(errcode.BadParam, op,
				fmt.Sprintf("the data directory's path has %d bytes, and may have %d", len(o.Dir), most))
		}
		if !o.Shared {
			err = os.MkdirAll(o.Dir, 0o700)
		}
		if err != nil {
			return nil, errcode.Wrap(err, errcode.Server, op)
		}
	}
	s := &Store{o: o, log: o.Logger, watchers: map[*watcher]bool{}, closed: make(chan struct{})}
	if !o.Shared {
		var err error
		if s.lock, err = lockDir(o.Dir, o.VFS); err != nil {
			return nil, err
		}
	}
	names, err := fileNames(o)
	if err != nil {
		return nil, errors.Join(errcode.Wrap(err, errcode.Server, op), s.Close())
	}
	for _, name := range names {
		f := newFile(filepath.Join(o.Dir, name), o.VFS)
		f.fixed, f.bare = o.Shared, o.Bare
		s.files = append(s.files, f)
	}
	if err := s.checkBare(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if o.VFS == "" && !o.Shared {
		s.takeOverAll()
	}
	return s, nil
}

// checkBare opens the files that are there if none of them may have page checksums.
func (s *Store) checkBare() error {
	for _, f := range s.files {
		if !s.o.Bare {
			break
		}
		there, err := exists(f.path, f.vfs)
		if err == nil && there {
			err = f.write(context.Background(), func(*conn) error { return nil })
		}
		if err != nil {
			return errcode.Wrap(err, errcode.Server, "sqlitestore: open")
		}
	}
	return nil
}

// fileName names one of n files.
func fileName(i, n int) string { return fmt.Sprintf("spaces-%d-of-%d.db", i+1, n) }

// fileNames returns the names of a directory's files. How many they are is said by
// the name of each that is there.
func fileNames(o Options) ([]string, error) {
	n := o.Files
	if n <= 0 {
		n = defaultFiles
	}
	if o.VFS == "" {
		there, err := spaceFiles(o.Dir)
		if err != nil {
			return nil, err
		}
		for _, name := range there {
			i, of := 0, 0
			fmt.Sscanf(filepath.Base(name), "spaces-%d-of-%d.db", &i, &of)
			if of <= 0 || fileName(i-1, of) != filepath.Base(name) || n != of && there[0] != name {
				return nil, fmt.Errorf("the files of %s are of two directories", o.Dir)
			}
			n = of
		}
	}
	names := make([]string, n)
	for i := range names {
		names[i] = fileName(i, n)
	}
	return names, nil
}

// Files returns the paths of the files that hold spaces in a directory, also those
// that an earlier version kept for each space.
func Files(dir string) ([]string, error) {
	names, err := spaceFiles(dir)
	if err != nil {
		return nil, err
	}
	old, err := matching(dir, "*"+oldSuffix)
	return append(names, old...), err
}

// FileOf returns the path of the file that holds a space, or would.
func FileOf(dir, space string) (string, error) {
	names, err := fileNames(Options{Dir: dir})
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, names[place(space, len(names))]), nil
}

func spaceFiles(dir string) ([]string, error) { return matching(dir, "spaces-*-of-*.db") }

func matching(dir, pattern string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if ok, _ := filepath.Match(pattern, e.Name()); ok {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	return names, err
}

// lockDir takes a data directory for this process, as long as the connection is
// open: an exclusive lock on an SQLite file of its own is as portable as SQLite.
func lockDir(dir, vfsName string) (*conn, error) {
	lock, err := openConn(fileURI(filepath.Join(dir, "server.lock"), vfsName))
	if err == nil {
		err = lock.c.Exec(`PRAGMA locking_mode = exclusive; BEGIN EXCLUSIVE`)
	}
	if err != nil {
		if lock != nil {
			lock.close()
		}
		return nil, &errcode.Error{Code: errcode.Blocked, Op: "sqlitestore: open", Err: err,
			Msg: fmt.Sprintf("%s cannot be locked: is another server using it? (%v)", dir, err)}
	}
	return lock, nil
}

// place says which of n files holds a space.
func place(space string, n int) int {
	h := fnv.New32a()
	h.Write([]byte(space))
	return int(h.Sum32() % uint32(n))
}

func (s *Store) fileOf(space string) *file { return s.files[place(space, len(s.files))] }

// Close ends what waits and closes the files.
func (s *Store) Close() error {
	s.closing.Do(func() { close(s.closed) })
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.close())
		s.lock = nil
	}
	return errcode.Wrap(errors.Join(errs...), errcode.Server, "sqlitestore: close")
}

// Create implements logstore.Store, as do the others of that interface.
func (s *Store) Create(ctx context.Context, space string, epoch wire.Epoch) error {
	err := s.Read(ctx, space, func(logstore.View) error { return nil })
	if !errors.Is(err, logstore.ErrNotFound) {
		return err
	}
	return s.change(ctx, s.fileOf(space), func(c *conn) error {
		return c.run(`INSERT INTO space(name, epoch) VALUES (?, ?) ON CONFLICT DO NOTHING`, nil, space, epoch[:])
	})
}

func (s *Store) Read(ctx context.Context, space string, f func(logstore.View) error) error {
	if err := s.takeOver(ctx, space); err != nil {
		return err
	}
	return s.fileOf(space).read(ctx, func(c *conn) error {
		v, err := newView(c, space)
		if err != nil {
			return err
		}
		return f(v)
	})
}

func (s *Store) Heads(ctx context.Context, spaces []string) ([]logstore.Head, error) {
	heads := make([]logstore.Head, len(spaces))
	byFile := map[*file][]int{}
	for i, name := range spaces {
		f := s.fileOf(name)
		byFile[f] = append(byFile[f], i)
	}
	for f, places := range byFile {
		if err := f.read(ctx, func(c *conn) error {
			for _, i := range places {
				var err error
				if heads[i], err = c.head(spaces[i]); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return heads, nil
}

func (s *Store) Spaces(ctx context.Context, after string, n int) ([]logstore.Info, error) {
	var all []logstore.Info
	for _, f := range s.files {
		err := f.read(ctx, func(c *conn) error { return c.spaces(after, n, &all) })
		if err != nil && !errors.Is(err, logstore.ErrNotFound) {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b logstore.Info) int { return strings.Compare(a.Space, b.Space) })
	return all[:min(n, len(all))], nil
}

func (s *Store) Cut(ctx context.Context, space string, seq uint64) error {
	f := s.fileOf(space)
	if err := s.change(ctx, f, func(c *conn) error {
		v, err := newView(c, space)
		if err != nil {
			return err
		}
		return v.cut(min(seq, v.meta.Head.Seq), nil)
	}); err != nil {
		return err
	}
	return f.giveBack(ctx)
}

func (s *Store) Delete(ctx context.Context, space string) error {
	f := s.fileOf(space)
	err := s.change(ctx, f, func(c *conn) error {
		v, err := newView(c, space)
		if err != nil {
			return err
		}
		for _, table := range tables {
			if err := c.c.Exec(fmt.Sprintf(`DELETE FROM %s WHERE space = %d`, table, v.id)); err != nil {
				return err
			}
		}
		return c.run(`UPDATE space SET gone = 1, epoch = zeroblob(16), seq = 0, chain = zeroblob(32),
			digest = zeroblob(32), rows = 0, live = 0, logged = 0, horizon = 0, horizon_chain = zeroblob(32)
			WHERE id = ?`, nil, v.id)
	})
	if err != nil {
		return err
	}
	s.hint(logstore.Hint{Space: space})
	return f.giveBack(ctx)
}

func (s *Store) Kick(ctx context.Context, space string) error {
	err := s.change(ctx, s.fileOf(space), func(c *conn) error {
		v, err := newView(c, space)
		if err != nil {
			return err
		}
		return c.run(`UPDATE space SET kicks = kicks + 1 WHERE id = ?`, nil, v.id)
	})
	if err == nil {
		s.hint(logstore.Hint{Space: space})
	}
	return err
}

// change runs f in a write transaction of its own.
func (s *Store) change(ctx context.Context, f *file, run func(*conn) error) error {
	return f.write(ctx, func(c *conn) (err error) {
		tx, err := c.c.BeginImmediate()
		if err != nil {
			return err
		}
		defer tx.End(&err)
		return run(c)
	})
}

func (s *Store) Watch(ctx context.Context, f func(logstore.Hint)) error {
	w := &watcher{f}
	s.mu.Lock()
	s.watchers[w] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.watchers, w)
		s.mu.Unlock()
	}()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	seen := make([]int64, len(s.files))
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.closed:
			return nil
		}
		for i, file := range s.files {
			now, yes := file.written(seen[i])
			if seen[i] = now; yes {
				f(logstore.Hint{})
			}
		}
	}
}

// hint tells the watchers that a space has moved.
func (s *Store) hint(h logstore.Hint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.watchers {
		w.f(h)
	}
}
