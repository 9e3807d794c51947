package leader

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3/vfs"

	"heddle.dev/heddle/internal/await"
	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/opfs"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/sync/client"
)

// place is a database's folder in memory, as a worker has it.
type place struct {
	t           *testing.T
	dir         *opfs.MemoryDirectory
	v           *opfs.VFS
	name        string
	quarantined int
	signs       chan error
}

func newPlace(t *testing.T) *place {
	p := &place{t: t, dir: opfs.Memory(), signs: make(chan error, 10)}
	p.again()
	return p
}

// again is a new worker on the same files.
func (p *place) again() {
	p.v = opfs.New(p.dir)
	p.name = fmt.Sprintf("opfs-recover-%p", p.v)
	vfs.Register(p.name, p.v)
	p.t.Cleanup(func() { vfs.Unregister(p.name) })
}

func (p *place) open(config rpc.OpenConfig, exit string) (*Leader, error) {
	p.again()
	bounds := unhurried
	bounds.Check = time.Nanosecond
	l, err := Open(context.Background(), config, Env{
		Filename: "file:test.db?vfs=" + p.name, SingleConn: !vfs.SupportsSharedMemory, Exit: exit, HTTP: nobody{},
		Quarantine: func(context.Context, string) (Quarantined, error) {
			p.quarantined++
			file := fmt.Sprint("test.db-quarantined-", p.quarantined)
			p.dir.Rename("test.db-wal", file+"-wal")
			p.dir.Rename("test.db", file)
			if p.dir.Bytes(file+"-wal") == nil {
				p.dir.Set(file+"-wal", nil)
			}
			p.v.Freeze(file)
			return Quarantined{File: file, URI: "file:" + file + "?vfs=" + p.name}, nil
		},
		OnDamage: func(err error) { p.signs <- err }, Bounds: bounds,
	})
	if err == nil {
		p.t.Cleanup(func() { l.Close(context.Background()) })
	}
	return l, err
}

// flip changes a bit in each page that holds the text.
func (p *place) flip(text string) {
	p.t.Helper()
	file := p.dir.Bytes("test.db")
	if !bytes.Contains(file, []byte(text)) {
		p.t.Fatalf("%q is not in the file", text)
	}
	broken := []byte(text)
	broken[0] ^= 0x20
	p.dir.Set("test.db", bytes.ReplaceAll(file, []byte(text), broken))
}

var damagedConfig = rpc.OpenConfig{Name: "test", Storage: "persistent", Migrations: []string{
	`CREATE TABLE notes(id TEXT PRIMARY KEY, body TEXT); CREATE TABLE drafts(a, b TEXT); INSERT INTO drafts VALUES (0,
		'of the migration')`}}

func syncedConfig() rpc.OpenConfig {
	c := damagedConfig
	c.Sync = &rpc.SyncConfig{URL: "http://nobody.test", Space: "s", Tables: []rpc.SyncTable{{Name: "notes"}}}
	return c
}

func (p *place) fill(config rpc.OpenConfig) {
	p.t.Helper()
	l, err := p.open(config, ExitNew)
	if err != nil {
		p.t.Fatal(err)
	}
	tab := connect(p.t, l, "a")
	for i := range 40 {
		tab.ask(exec(`INSERT INTO notes VALUES (?, ?)`, fmt.Sprint("n", i),
			fmt.Sprint("<note ", i, ">", strings.Repeat("x", 1500)))).ok()
		tab.ask(exec(`INSERT INTO drafts VALUES (?, ?)`, int64(i),
			fmt.Sprint("<draft ", i, ">", strings.Repeat("y", 1500)))).ok()
	}
	if err := l.Close(context.Background()); err != nil {
		p.t.Fatal(err)
	}
}

// TestOpen_damaged opens files with one flipped bit. Without leave the file is
// left alone; with it, it is quarantined unchanged, and what can be read of it is
// taken over.
func TestOpen_damaged(t *testing.T) {
	for _, c := range []struct {
		name, text string
		config     rpc.OpenConfig
		met        bool // opening alone meets it
	}{
		{"the schema", "CREATE TABLE drafts", damagedConfig, true},
		{"a row, with sync", "<draft 20>", syncedConfig(), false},
		{"a row", "<draft 20>", damagedConfig, false},
		{"a note", "<note 7>", syncedConfig(), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t)
			p.fill(c.config)
			p.flip(c.text)
			before := p.dir.Bytes("test.db")
			if !c.met {
				// The next leader meets it, and tells; the one after it looks closely.
				l, err := p.open(c.config, ExitClean)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := l.db.Check(t.Context(), false, nil); err != nil || len(got.Problems) == 0 {
					t.Log(got)
					t.Fatal(err)
				}
				await.Event(t, p.signs, "word of the damage")
				l.Close(context.Background())
			}
			if c.config.Sync == nil {
				_, err := p.open(c.config, ExitDamaged)
				if errcode.Of(err) != errcode.Damaged {
					t.Fatalf("without leave: %v", err)
				}
				if p.quarantined > 0 || !bytes.Equal(before, p.dir.Bytes("test.db")) {
					t.Fatal("without leave: the file was not left alone")
				}
				c.config.Recover = true
			}
			l, err := p.open(c.config, ExitDamaged)
			if err != nil {
				t.Fatal(err)
			}
			r := l.recovered
			if p.quarantined != 1 || r == nil || r.File != "test.db-quarantined-1" || r.Reason == "" {
				t.Fatalf("quarantined %d times, report %+v", p.quarantined, r)
			}
			if !bytes.Equal(before, p.dir.Bytes(r.File)) {
				t.Error("the file that was quarantined has changed")
			}
			tab := connect(t, l, "a")
			drafts := column(tab, `SELECT b FROM drafts`)
			for _, b := range drafts {
				if b == "of the migration" {
					continue
				}
				if !strings.HasPrefix(b, "<draft ") || !strings.HasSuffix(b, ">"+strings.Repeat("y", 1500)) {
					t.Errorf("a draft holds %.40q", b)
				}
			}
			switch c.name {
			case "the schema":
				if len(drafts) != 1 || r.Rows != 0 {
					t.Errorf("%d drafts, report %+v", len(drafts), r)
				}
			case "a note":
				if len(drafts) != 41 || len(r.Tables) != 0 || r.Pending != 7 || r.Rejected != 32 || !r.Lost {
					t.Errorf("%d drafts, report %+v", len(drafts), r)
				}
			default:
				if len(drafts) < 30 || len(drafts) > 40 || len(r.Tables) != 1 || r.Tables[0] != "drafts" {
					t.Errorf("%d drafts, report %+v", len(drafts), r)
				}
			}
			if c.config.Sync != nil {
				if r.Pending == 0 || l.sync.Status().Pending != int(r.Pending) {
					t.Errorf("report %+v, pending %d", r, l.sync.Status().Pending)
				}
				if n := len(column(tab, `SELECT body FROM notes`)); n != int(r.Pending) {
					t.Errorf("%d notes, report %+v", n, r)
				}
			}
			tab.ask(exec(`INSERT INTO drafts VALUES (100, 'new')`)).ok()
			l.Close(context.Background())
			select {
			case err := <-p.signs:
				t.Errorf("the new database is taken for damaged: %v", err)
			default:
			}
			// It is sound, and needs no second rescue.
			if l, err = p.open(c.config, ExitDamaged); err != nil || l.recovered != nil {
				t.Errorf("opened again: %v", err)
			}
		})
	}
}

// TestOpen_unclean: the check in the background finds what nobody has read.
func TestOpen_unclean(t *testing.T) {
	p := newPlace(t)
	p.fill(damagedConfig)
	p.flip("<draft 3>")
	if _, err := p.open(damagedConfig, ExitUnclean); err != nil {
		t.Fatal(err)
	}
	await.Event(t, p.signs, "what the check in the background finds")
}

// TestHealth asks for a report as a page does.
func TestHealth(t *testing.T) {
	p := newPlace(t)
	p.fill(damagedConfig)
	l, err := p.open(damagedConfig, ExitClean)
	if err != nil {
		t.Fatal(err)
	}
	tab := connect(t, l, "a")
	got, err := tab.ask(rpc.Request{Method: rpc.MethodHealth, Full: true}).ok().last.Payload.Health()
	if err != nil || got.Pages < 30 || got.Trees < 3 || len(got.Problems) > 0 || !got.Checksums ||
		got.LastExit != ExitClean || got.Bytes == 0 {
		t.Errorf("%+v, %v", got, err)
	}
	p.flip("<draft 9>")
	l.Close(context.Background())
	if l, err = p.open(damagedConfig, ExitClean); err != nil {
		t.Fatal(err)
	}
	got, err = connect(t, l, "a").ask(rpc.Request{Method: rpc.MethodHealth}).ok().last.Payload.Health()
	if err != nil || len(got.Problems) != 1 || !strings.HasPrefix(got.Problems[0], "drafts") {
		t.Errorf("damaged: %+v, %v", got, err)
	}
}

func column(p *tab, sql string) (values []string) {
	p.t.Helper()
	_, rows := p.ask(query(sql)).rows()
	for _, row := range rows {
		text, _ := row[0].(string)
		values = append(values, text)
	}
	return values
}

// nobody is a network without a server.
type nobody struct{}

func (nobody) Do(context.Context, *client.Request) (*client.Response, error) {
	return nil, errcode.New(errcode.Network, "test", "nobody is there")
}
