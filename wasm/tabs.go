package main

import (
	"context"
	"unsafe"

	"heddle.dev/heddle/internal/leader"
	"heddle.dev/heddle/jsbridge"
)

// tabs hands what the worker receives to the leader. The worker calls it from
// one goroutine at a time, and connects no tab before Ready.
type tabs struct {
	stop     func()
	isolated bool // pages may share memory with the worker
	leader   *leader.Leader
	sessions map[int]*leader.Session
}

var _ jsbridge.HostHandler = &tabs{}

// peer is one tab's way back.
type peer int32

// Send implements leader.Peer.
func (p peer) Send(message []byte) {
	send(int32(p), unsafe.Pointer(unsafe.SliceData(message)), int32(len(message)))
}

// watchedPeer is a peer whose page shares memory with the worker: the browser
// allows it on pages that are isolated from other origins.
type watchedPeer struct{ peer }

// Aborted implements leader.AbortWatcher.
func (p watchedPeer) Aborted(id uint32) bool { return aborted(int32(p.peer), int32(id)) != 0 }

func (t *tabs) serve(l *leader.Leader) { t.leader = l }

// Connect implements jsbridge.HostHandler.
func (t *tabs) Connect(session int, tab string) {
	if t.leader == nil {
		return
	}
	var p leader.Peer = peer(session)
	if t.isolated {
		p = watchedPeer{peer(session)}
	}
	t.sessions[session] = t.leader.Connect(p, tab)
}

// Message takes a request of a tab and owns it. more says that others came with it.
func (t *tabs) Message(session int, message []byte, more bool) {
	if s := t.sessions[session]; s != nil {
		s.Handle(message, more)
	}
}

// Disconnect implements jsbridge.HostHandler.
func (t *tabs) Disconnect(session int) {
	if s := t.sessions[session]; s != nil {
		delete(t.sessions, session)
		s.Close()
	}
}

// Alive implements jsbridge.HostHandler. Sessions are numbered as connections are.
func (t *tabs) Alive(names []string, since int) {
	if l := t.leader; l != nil {
		go l.ForgetTabs(context.Background(), names, since) // what cannot be forgotten now is so by the next leader
	}
}

// Storage implements jsbridge.HostHandler.
func (t *tabs) Storage(class string) {
	if t.leader != nil {
		t.leader.SetStorage(class)
	}
}

// Stop implements jsbridge.HostHandler.
func (t *tabs) Stop() { t.stop() }
