package model

import (
	"testing"
)

// mutants leave one rule out: of judging, of what a member may do, of a replica, of
// the server. The worlds have to show each.
var mutants = map[rule]string{
	ruleChain:           "the chain and the number of an entry are not checked",
	ruleBodyHash:        "the hash of a body is not checked",
	ruleAnchor:          "any space will do",
	ruleMember:          "who is no member may write",
	ruleWriter:          "a reader may write",
	ruleUncounted:       "an entry of one who is no member counts for its author",
	ruleStrangersClient: "one who is no member may use another device's client id",
	ruleSignature:       "signatures are not verified",
	ruleClientsDevice:   "a client id may be any device's",
	ruleChangesClient:   "the client id of a device's Changes is kept for nobody",
	ruleCounter:         "counters need not follow",
	rulePrev:            "prev is not checked",
	ruleSeenBefore:      "an entry may have seen what follows it",
	ruleSeenChain:       "seen may be of another history",
	ruleStale:           "seen may be older than what a replica keeps",
	ruleEpoch:           "an old key will do",
	ruleBox:             "a box need not open",
	ruleNewestChange:    "a Change need not follow the newest one",
	ruleAddedOnce:       "a removed device may be added again",
	ruleReader:          "a reader may change the members",
	ruleOwnUser:         "a writer may change other users' devices",
	ruleRoleCap:         "a member may give more than it has",
	ruleSlot:            "a code may do more than let one device in",
	ruleRemoveSelf:      "a member may remove itself",
	ruleNewKey:          "a removal needs no new key",
	ruleWraps:           "a key may go to anybody",
	ruleEpochNumber:     "keys have any number",
	ruleResetRole:       "anybody may give history up for others",
	ruleAllSeals:        "only the newest seal of a transaction is known again",
	ruleEqualContent:    "a transaction that a copy has sealed is not known again",
	ruleUncountedStays:  "a void that does not count decides its transaction",
	ruleInvitersWord:    "the inviter's position is not looked for",
	ruleRollback:        "a replica starts over by itself",
	ruleHeadChain:       "heads are not compared",
	ruleLeft:            "what a member has left is not looked for",
	ruleLeftSent:        "a head does not say what its device has left",
	ruleCovered:         "heads of a history that an admin has given up stop replicas",
	ruleResetAdmin:      "anybody's word to start over is obeyed",
	ruleResetPosition:   "a word about another history is obeyed",
	ruleResetLost:       "a word is obeyed that does not know a removal",
	ruleAcceptAdmin:     "anybody's user may give history up",
	ruleLed:             "the history that was looked at need not be the one that is followed",
	ruleRemoveAgain:     "removals that were lost are not made again",
	ruleNumberOn:        "what was lost is not sent again",
	ruleWordKey:         "an admin's word may be the same as another",
	ruleServerChecks:    "the server takes what it is sent",
	ruleServerHeads:     "the server passes on any head",

	ruleMakerMember:     "a snapshot of one who is no member is started from",
	ruleMakerRole:       "a reader's snapshot is started from",
	ruleManifestSigned:  "a snapshot's signature and box are not checked",
	ruleManifestMembers: "a snapshot's newest Change need not be the log's",
	ruleManifestWord:    "Changes that the inviter knew need not be there",
	ruleManifestChain:   "a snapshot at the inviter's position may be of another history",
	ruleChunkHash:       "the hash of a chunk is not checked",
	ruleCounted:         "the digest of rows is what the maker says",
	ruleNextSnapshot:    "where a snapshot is refused no other is tried",
	ruleDiffers:         "another digest of a member's is passed over",
	ruleProvedFirst:     "a snapshot that is not proved comes before one that is",
	ruleProveRows:       "who proves a snapshot does not read its chunks",
	ruleProveFold:       "who proves a snapshot does not compare its rows with its own",
	ruleProveClients:    "who proves a snapshot does not compare its clients with its own",
	ruleProveOthers:     "its maker proves a snapshot",
	ruleCutProved:       "the log is cut behind any snapshot",
	ruleKeepProved:      "a proved snapshot goes when there is a newer one",
}

// TestMutants: a rule that is left out shows.
func TestMutants(t *testing.T) {
	const most = 6_000
	for r := none + 1; r < rules; r++ {
		what, listed := mutants[r]
		if !listed {
			t.Errorf("rule %d has no mutant", r)
		}
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(most) {
				if w := runWorld(seed, r); len(w.violations) > 0 {
					t.Logf("seed %d (%s): %s", seed, w.sort, w.violations[0])
					return
				}
			}
			t.Errorf("%d worlds have not shown it", most)
		})
	}
}
