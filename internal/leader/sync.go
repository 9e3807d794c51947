package leader

import (
	"context"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/sync/client"
)

// syncConfig is how the configuration's space is synced.
func (l *Leader) syncConfig(c *rpc.SyncConfig) client.Config {
	config := client.Config{
		URL: c.URL, Space: c.Space, IntegerKey: c.IntegerKey,
		HTTP: l.env.HTTP, Stream: l.env.Stream, Rand: l.env.Rand, Bounds: l.env.Bounds.Sync, Tables: map[string]client.Merge{},
	}
	for _, t := range c.Tables {
		merge := client.Merge{}
		for _, m := range t.Merges {
			merge[m.Column] = m.Merge
		}
		config.Tables[t.Name] = merge
	}
	if c.Token {
		config.Token = func(ctx context.Context) (string, error) { return l.tokens.ask(ctx, l) }
	}
	return config
}

// openSync makes the client of the space. It runs later.
func (l *Leader) openSync(ctx context.Context, config client.Config) (err error) {
	if l.sync, err = client.Open(ctx, l.db, config); err != nil {
		return errcode.Wrap(err, errcode.Internal, "leader: open")
	}
	l.sync.OnStatus(func(client.Status) {
		status := l.status()
		l.each(func(s *Session) { s.pass(&s.status, rpc.EncodeStatus(status)) })
	})
	l.sync.OnProgress(func(p client.Progress) {
		l.each(func(s *Session) { s.pass(&s.progress, rpc.EncodeProgress(p.Phase, p.Done, p.Total)) })
	})
	l.sync.OnRejected(func(r client.Rejected) {
		message := rpc.EncodeRejected(refused(r))
		l.each(func(s *Session) { s.tell(message) })
	})
	l.sync.OnConflict(func(c client.Conflict) {
		if len(c.Keys) == 0 { // of transactions, not of rows
			c.Keys = make([]client.Key, 1)
		}
		for _, key := range c.Keys {
			message := rpc.EncodeConflict(rpc.Conflict{Counter: c.Counter, Kind: c.Reason, Key: key, Code: c.Code, Constraint: c.Constraint})
			l.each(func(s *Session) { s.tell(message) })
		}
	})
	return nil
}

// tell sends an event that is for pages that have said hello.
func (s *Session) tell(message []byte) {
	s.mu.Lock()
	greeted := s.greeted
	s.mu.Unlock()
	if greeted {
		s.send(message)
	}
}

// status is where sync stands, "off" without it.
func (l *Leader) status() rpc.Status {
	if l.sync == nil {
		return rpc.Status{State: string(client.Off)}
	}
	now := l.sync.Status()
	status := rpc.Status{
		State: string(now.State), Seq: now.Seq, Pending: uint64(max(0, now.Pending)),
		Repairs: uint64(now.Repairs), Incomplete: now.Incomplete, Polling: string(now.Polling),
	}
	if now.LastError != nil {
		status.Err = now.LastError
	}
	return status
}

func (s *Session) syncCall(c *call) error {
	l := s.l
	if c.Method == rpc.MethodSyncStatus {
		c.reply(rpc.ReplyStatus(c.ID, l.status()))
		return nil
	}
	if l.sync == nil {
		return errNoSync
	}
	switch c.Method {
	case rpc.MethodSyncNow:
		if err := l.sync.Now(c.ctx); err != nil {
			return err
		}
	case rpc.MethodSyncPause:
		if err := l.sync.Pause(c.ctx, c.Full); err != nil {
			return err
		}
	case rpc.MethodSyncResume:
		if err := l.sync.Resume(c.ctx); err != nil {
			return err
		}
	case rpc.MethodSyncAccept:
		if err := l.sync.Accept(c.ctx, c.Full); err != nil {
			return err
		}
	case rpc.MethodSyncDigest:
		seq, digest, err := l.sync.Digest(c.ctx)
		if err != nil {
			return err
		}
		c.reply(rpc.ReplyDigest(c.ID, seq, digest))
		return nil
	default:
		return s.outcomes(c)
	}
	c.done()
	return nil
}
