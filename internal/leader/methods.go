package leader

import (
	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/store"
)

// method is how the leader serves a request. Its lane is declared in
// rpc/messages.spec.
type method struct {
	// do serves the request, and replies unless it returns an error. The parts of
	// a load have none: the request that began the load takes them.
	do func(*Session, *call) error
	// share does a write in a transaction that it may share with others: see
	// groupcommit.go. It returns the reply.
	share func(*store.Tx, *call) ([]byte, error)
	// load says that parts follow.
	load bool
	// beside says that the read goes on beside the line once it has its snapshot.
	beside bool
}

var methods = [256]method{
	rpc.MethodHello:     {do: (*Session).hello},
	rpc.MethodCancel:    {do: (*Session).cancel},
	rpc.MethodAck:       {do: (*Session).ack},
	rpc.MethodToken:     {do: (*Session).token},
	rpc.MethodLiveStop:  {do: (*Session).stopLive},
	rpc.MethodLivePause: {do: (*Session).pauseLive},
	rpc.MethodListen:    {do: (*Session).listen},
	rpc.MethodCredit:    {do: (*Session).credit},

	rpc.MethodQuery:      {do: (*Session).query},
	rpc.MethodIterate:    {do: (*Session).iterate, beside: true},
	rpc.MethodLiveStart:  {do: (*Session).startLive},
	rpc.MethodExport:     {do: (*Session).export},
	rpc.MethodExportFile: {do: (*Session).exportFile},

	rpc.MethodExec:        {do: (*Session).exec, share: execIn},
	rpc.MethodBatch:       {do: (*Session).batch, share: batchIn},
	rpc.MethodNotify:      {do: (*Session).notify, share: notifyIn},
	rpc.MethodOutcome:     {do: (*Session).outcome},
	rpc.MethodTxBegin:     {do: (*Session).txBegin},
	rpc.MethodBulkBegin:   {do: (*Session).bulk, load: true},
	rpc.MethodImportBegin: {do: (*Session).importFile, load: true},

	rpc.MethodTxExec:     {do: (*Session).txExec},
	rpc.MethodTxQuery:    {do: (*Session).txQuery},
	rpc.MethodTxBatch:    {do: (*Session).txBatch},
	rpc.MethodTxBulk:     {do: (*Session).txBulk},
	rpc.MethodTxNotify:   {do: (*Session).txNotify},
	rpc.MethodTxCommit:   {do: (*Session).txCommit},
	rpc.MethodTxRollback: {do: (*Session).txRollback},

	rpc.MethodBulkRows:   {},
	rpc.MethodBulkEnd:    {},
	rpc.MethodImportPart: {},
	rpc.MethodImportEnd:  {},

	rpc.MethodExportPart:  {do: (*Session).exportPart},
	rpc.MethodExportEnd:   {do: (*Session).exportEnd},
	rpc.MethodHealth:      {do: (*Session).health},
	rpc.MethodLiveStats:   {do: (*Session).liveStats},
	rpc.MethodLiveExplain: {do: (*Session).liveExplain},

	rpc.MethodSyncNow:         {do: withSync(syncNow)},
	rpc.MethodSyncPause:       {do: withSync(syncPause)},
	rpc.MethodSyncResume:      {do: withSync(syncResume)},
	rpc.MethodSyncAccept:      {do: withSync(syncAccept)},
	rpc.MethodSyncDigest:      {do: withSync(syncDigest)},
	rpc.MethodSyncPending:     {do: withSync(syncPending)},
	rpc.MethodSyncRejected:    {do: withSync(syncRejected)},
	rpc.MethodSyncRetry:       {do: withSync(syncRetry)},
	rpc.MethodSyncDiscard:     {do: withSync(syncDiscard)},
	rpc.MethodSyncDangling:    {do: withSync(syncDangling)},
	rpc.MethodSyncQuarantined: {do: withSync(syncQuarantined)},
	rpc.MethodSyncExport:      {do: withSync(syncExport)},

	rpc.MethodSealedCreate:     {do: withKeys(sealedCreate)},
	rpc.MethodSealedUnlock:     {do: withKeys(sealedUnlock)},
	rpc.MethodSealedJoin:       {do: withKeys(sealedJoin)},
	rpc.MethodSealedInvite:     {do: withKeys(sealedInvite)},
	rpc.MethodSealedAnswer:     {do: (*Session).answered},
	rpc.MethodSealedMembers:    {do: withKeys(sealedMembers)},
	rpc.MethodSealedRemove:     {do: withKeys(sealedRemove)},
	rpc.MethodSealedCode:       {do: withKeys(sealedCode)},
	rpc.MethodSealedUnlockBy:   {do: withKeys(sealedUnlockBy)},
	rpc.MethodSealedPassphrase: {do: withKeys(sealedPassphrase)},
	rpc.MethodSealedEvidence:   {do: withKeys(sealedEvidence)},

	rpc.MethodSealedFingerprint: {do: withKeys(sealedFingerprint)},
}
