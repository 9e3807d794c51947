package wasmfile

import "fmt"

// gap is how many bytes cost less than the header of another segment.
const gap = 8

// Image returns what a program's data segments make of the memory: the bytes from
// address 0 to the end of the last segment.
func Image(file []byte) ([]byte, error) {
	p, err := parseProgram(file)
	if err != nil {
		return nil, err
	}
	var image []byte
	for _, s := range p.sections {
		if s.id != secData {
			continue
		}
		r := &reader{b: s.body}
		for range r.count() {
			if kind := r.u32(); kind != 0 && r.err == nil {
				return nil, fmt.Errorf("wasmfile: data segments of kind %d are not known", kind)
			}
			if op := r.byte(); op != opI32Const && r.err == nil {
				return nil, fmt.Errorf("wasmfile: a data segment whose address is no number")
			}
			at := r.sleb()
			r.byte() // end
			bytes := r.bytes(r.u32())
			if r.err != nil {
				return nil, r.err
			}
			end := int(at) + len(bytes)
			if at < 0 || end > 1<<30 {
				return nil, fmt.Errorf("wasmfile: a data segment at %d", at)
			}
			if end > len(image) {
				image = append(image, make([]byte, end-len(image))...)
			}
			copy(image[at:], bytes)
		}
	}
	return image, nil
}

// segments writes those bytes of the image that are wanted and not zero.
func segments(image []byte, wanted func(at int) bool) [][]byte {
	var out [][]byte
	start, end := -1, -1 // of the segment that is being gathered
	flush := func() {
		if start >= 0 {
			out = append(out, concat([]byte{0, opI32Const}, sleb(int64(start)), []byte{opEnd}, vec(image[start:end])))
		}
		start = -1
	}
	for at, b := range image {
		if b == 0 || !wanted(at) {
			continue
		}
		if start >= 0 && at-end > gap {
			flush()
		}
		if start < 0 {
			start = at
		}
		end = at + 1
	}
	flush()
	return out
}
