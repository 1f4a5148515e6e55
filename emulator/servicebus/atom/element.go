package atom

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// maxDepth bounds how deep elements nest.
const maxDepth = 50

// element is a node of a parsed request. Names are local: clients use different prefixes for the same thing.
type element struct {
	name       string
	attributes []xml.Attr
	text       string
	children   []*element
	raw        []byte            // the element as it was sent
	scope      map[string]string // namespace prefixes in force around it; "" is the default one
}

// parse reads one XML document.
func parse(body []byte) (*element, error) {
	d := xml.NewDecoder(bytes.NewReader(body))
	top := &element{}
	stack := []*element{top}
	var starts []int64
	for {
		at := d.InputOffset()
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, badRequest("The request body is not well-formed XML: %v", err)
		}
		in := stack[len(stack)-1]
		switch t := t.(type) {
		case xml.StartElement:
			if len(stack) > maxDepth {
				return nil, badRequest("The request body nests deeper than %d elements", maxDepth)
			}
			e := &element{name: t.Name.Local, attributes: slices.Clone(t.Attr), scope: in.inner()}
			in.children = append(in.children, e)
			stack, starts = append(stack, e), append(starts, at)
		case xml.EndElement:
			in.raw = body[starts[len(starts)-1]:d.InputOffset()]
			stack, starts = stack[:len(stack)-1], starts[:len(starts)-1]
		case xml.CharData:
			in.text += string(t)
		}
	}
	if len(top.children) != 1 {
		return nil, badRequest("The request body must be one XML element")
	}
	return top.children[0], nil
}

// inner is the scope of the children of e.
func (e *element) inner() map[string]string {
	own := e.declared()
	if len(own) == 0 {
		return e.scope
	}
	all := maps.Clone(e.scope)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, own)
	return all
}

// declared are the namespace prefixes that e itself declares.
func (e *element) declared() map[string]string {
	var own map[string]string
	for _, a := range e.attributes {
		prefix := a.Name.Local
		switch {
		case a.Name.Space == "xmlns":
		case a.Name.Space == "" && prefix == "xmlns":
			prefix = ""
		default:
			continue
		}
		if own == nil {
			own = map[string]string{}
		}
		own[prefix] = a.Value
	}
	return own
}

// child is the first child of that name, nil when there is none.
func (e *element) child(name string) *element {
	if e == nil {
		return nil
	}
	for _, c := range e.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

// typ is the xsi:type without its prefix, "" when there is none.
func (e *element) typ() string {
	for _, a := range e.attributes {
		if a.Name.Local == "type" && a.Name.Space != "" {
			_, after, found := strings.Cut(a.Value, ":")
			if found {
				return after
			}
			return a.Value
		}
	}
	return ""
}

// null reports an xsi:nil.
func (e *element) null() bool {
	for _, a := range e.attributes {
		if a.Name.Local == "nil" && a.Name.Space != "" {
			return a.Value == "true" || a.Value == "1"
		}
	}
	return false
}

// standalone is the element as it was sent, with the namespace prefixes that were declared around it declared on
// itself.
func (e *element) standalone() string {
	own := e.declared()
	var missing strings.Builder
	for _, prefix := range slices.Sorted(maps.Keys(e.scope)) {
		if _, ok := own[prefix]; ok {
			continue
		}
		name := "xmlns"
		if prefix != "" {
			name += ":" + prefix
		}
		fmt.Fprintf(&missing, ` %s="%s"`, name, escaped(e.scope[prefix]))
	}
	end := bytes.IndexAny(e.raw[1:], " \t\r\n/>") + 1
	return string(e.raw[:end]) + missing.String() + string(e.raw[end:])
}

func escaped(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a bytes.Buffer takes everything
	return b.String()
}
