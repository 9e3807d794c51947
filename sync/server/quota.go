package server

import (
	"cmp"
	"fmt"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/wire"
)

// Quotas are what a space may hold and a subject may do. A token's own (auth.Quota)
// count in place of those of Limits; a negative one is none.

// errQuota says which quota of a space is used up.
func errQuota(what string, quota int64) error {
	return errcode.New(errcode.Quota, "server: decide", fmt.Sprintf("the space may have no more than %d %s", quota, what))
}

// checkGrowth refuses what would have the space grow beyond its quota. What takes
// away from it is never refused, nor what leaves it as it is.
func (t *turn) checkGrowth(c *caller, all *effects) error {
	var rows, bytes int64
	for _, f := range all.list {
		if f.before != nil {
			rows--
			bytes -= int64(len(f.Key) + len(t.rows[f.RowID].cells))
		}
		if f.after != nil {
			rows++
			bytes += int64(len(f.Key) + len(f.cells))
		}
	}
	most := cmp.Or(c.Quota.Rows, t.o.Limits.QuotaRows)
	if most >= 0 && rows > 0 && int64(t.w.RowCount)+rows > most {
		return errQuota("rows", most)
	}
	most = cmp.Or(c.Quota.Bytes, t.o.Limits.QuotaBytes)
	if most >= 0 && bytes > 0 && t.w.Live+bytes > most {
		return errQuota("bytes", most)
	}
	return nil
}

// checkLog is checkGrowth of a sealed space, of which the server knows the log alone.
func (t *turn) checkLog(c *caller, tx *transaction) error {
	most := cmp.Or(c.Quota.Bytes, t.o.Limits.QuotaBytes)
	if most < 0 {
		return nil
	}
	logged := t.meta.Logged + int64(len(tx.data)) + entryBytes
	for i := range t.w.Entries {
		logged += int64(len(t.w.Entries[i].Body)) + entryBytes
	}
	if logged > most {
		return errQuota("bytes", most)
	}
	return nil
}

// checkDevices refuses a device that is new to the space and one too many. All count
// that have ever written in it: what is known of them is kept for good.
func (t *turn) checkDevices(v past, p *push, c *client) error {
	most := cmp.Or(p.caller.Quota.Devices, t.o.Limits.QuotaDevices)
	if most < 0 || c.Owned || c.Decided > 0 || c.ID == wire.SeedClient || len(p.req.Parts) == 0 {
		return nil
	}
	n := t.newcomers
	for one, err := range v.AllClients() {
		if err != nil {
			return err
		}
		if (one.Owned || one.Decided > 0) && one.ID != wire.SeedClient {
			n++
		}
		if n >= most {
			return errQuota("devices", most)
		}
	}
	if n >= most { // there were none before
		return errQuota("devices", most)
	}
	t.newcomers++
	return nil
}
