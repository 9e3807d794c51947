package wasmfile

import "fmt"

// Profile makes each function that a program defines note that it was entered: it
// sets a global, which is exported as "entered." and the function's number.
func Profile(file []byte) ([]byte, error) {
	p, err := parseProgram(file)
	if err != nil {
		return nil, fmt.Errorf("wasmfile: profile: %w", err)
	}
	var globals, exports, bodies [][]byte
	for i, body := range p.bodies {
		global := uint32(len(p.globals) + i)
		globals = append(globals, []byte{I32, 1, opI32Const, 0, opEnd})
		exports = append(exports, concat(str(fmt.Sprintf("entered.%d", i)), []byte{KindGlobal}, uleb(global)))
		locals, code := splitLocals(body)
		bodies = append(bodies, vec(concat(locals, I32Const(1), []byte{0x24}, uleb(global), code)))
	}
	out := []section{}
	for _, s := range p.sections {
		switch s.id {
		case secGlobal:
			s = extend(s, globals)
		case secExport:
			s = extend(s, exports)
		case secCode:
			s = section{secCode, items(bodies)}
		}
		out = append(out, s)
	}
	return module(out...), nil
}

// splitLocals divides a body into its declarations of locals and its code.
func splitLocals(body []byte) (locals, code []byte) {
	r := &reader{b: body}
	for range r.count() {
		r.u32()
		r.byte()
	}
	return body[:len(body)-len(r.b)], r.b
}
