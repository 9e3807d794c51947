package seal

// Pass is how a device gets into its space: what it keeps beside its private keys.
type Pass struct {
	Space  string
	Name   string // the device's, for the members
	Anchor Anchor
	Told   Position    // what the log must have, of an inviter or of who wrote a code; zeros for none
	First  []byte      // of the founder: the Sealed of the Change that begins the log
	Slot   *SlotSecret // of a code by which the device adds itself
}

func (p *Pass) fields(c *coder) {
	c.text(1, &p.Space)
	c.text(2, &p.Name)
	c.fixed(3, p.Anchor[:])
	c.uint(4, &p.Told.Seq, 1<<63)
	c.fixed(5, p.Told.Chain[:])
	c.bytes(6, &p.First, 2*MaxChange)
	c.messages(7, present(p.Slot != nil), 1, func(int) message {
		if p.Slot == nil {
			p.Slot = &SlotSecret{}
		}
		return p.Slot
	})
	c.demand(p.Space != "" && p.Anchor != Anchor{}, "space or anchor")
}

// Marshal returns p's canonical encoding. It is a secret where Slot is one.
func (p *Pass) Marshal() []byte { return marshal(p) }

// UnmarshalPass decodes a Pass. Errors are HEDDLE_PROTOCOL.
func UnmarshalPass(data []byte) (*Pass, error) {
	p := &Pass{}
	if err := unmarshal(data, "seal: decode Pass", p); err != nil {
		return nil, err
	}
	return p, nil
}

// text is a text of at most maxSealed bytes.
func (c *coder) text(num fieldNumber, s *string) {
	b := []byte(*s)
	c.bytes(num, &b, maxSealed)
	*s = string(b)
}
