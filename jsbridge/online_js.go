package jsbridge

import "github.com/hack-pad/safejs"

// Online reports what the browser believes about the network: false is sure,
// true is not. https://html.spec.whatwg.org/#dom-navigator-online
func Online() bool {
	navigator, err := safejs.Global().Get("navigator")
	if err != nil || navigator.IsUndefined() {
		return true
	}
	online, err := navigator.Get("onLine")
	if err != nil || online.Type() != safejs.TypeBoolean {
		return true
	}
	yes, _ := online.Bool()
	return yes
}

// OnOnline calls fn whenever the browser goes online or offline, until stop. fn
// must not block.
func OnOnline(fn func(online bool)) (stop func(), err error) {
	up, err := listen(safejs.Global(), "online", func(safejs.Value) { fn(true) })
	if err != nil {
		return nil, err
	}
	down, err := listen(safejs.Global(), "offline", func(safejs.Value) { fn(false) })
	if err != nil {
		up()
		return nil, err
	}
	return func() { up(); down() }, nil
}
