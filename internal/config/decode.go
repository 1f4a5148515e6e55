package config

import (
	"cmp"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// maxAliases bounds how often anchors are expanded, so that a small file cannot ask for a huge configuration.
const maxAliases = 1000

var (
	durationType = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[Size]()
	secretType   = reflect.TypeFor[Secret]()
)

// decoder walks the syntax tree along the types: goccy's own strict decoding stops at the first error.
type decoder struct {
	file string
	dir  string
	env  func(string) (string, bool)

	anchors map[string]ast.Node
	aliases int
	pos     map[string]*token.Position // by path: where the value of that key begins
	bad     map[string]bool            // paths that have a problem; checks that need their values are skipped

	problems []Problem
	warnings []Problem
}

func (d *decoder) problem(pos *token.Position, path, fix, what string, args ...any) {
	d.bad[path] = true
	d.problems = append(d.problems, d.made(pos, path, fix, fmt.Sprintf(what, args...)))
}

func (d *decoder) made(pos *token.Position, path, fix, what string) Problem {
	p := Problem{File: d.file, Path: path, What: what, Fix: fix}
	if pos != nil {
		p.Line, p.Column = pos.Line, pos.Column
	}
	return p
}

// Visit collects the anchors: goccy's tree leaves aliases as names.
func (d *decoder) Visit(n ast.Node) ast.Visitor {
	if a, ok := n.(*ast.AnchorNode); ok && a.Name != nil {
		d.anchors[a.Name.GetToken().Value] = a.Value
	}
	return d
}

// plain strips anchors and tags and follows aliases. nil means that there is no value.
func (d *decoder) plain(n ast.Node, path string) ast.Node {
	for {
		switch t := n.(type) {
		case *ast.AnchorNode:
			n = t.Value
		case *ast.TagNode:
			n = t.Value
		case *ast.AliasNode:
			name := t.Value.GetToken().Value
			target, ok := d.anchors[name]
			d.aliases++
			switch {
			case !ok:
				d.problem(start(n), path, "write the value itself, or &"+name+" before the first one", "there is no anchor &%s", name)
			case d.aliases == maxAliases:
				d.problem(start(n), path, "write the values themselves", "more than %d aliases", maxAliases)
			}
			if !ok || d.aliases >= maxAliases {
				return nil
			}
			n = target
		case *ast.NullNode, nil:
			return nil
		default:
			return n
		}
	}
}

// start returns where a value begins for a reader: at the first key of a block mapping, not at its colon.
func start(n ast.Node) *token.Position {
	switch t := n.(type) {
	case *ast.MappingNode:
		if !t.IsFlowStyle && len(t.Values) > 0 {
			return start(t.Values[0])
		}
	case *ast.MappingValueNode:
		return t.Key.GetToken().Position
	case nil:
		return nil
	}
	if tk := n.GetToken(); tk != nil {
		return tk.Position
	}
	return nil
}

// decode puts the value of a node into v. path is its key, tag the tag of its field.
func (d *decoder) decode(n ast.Node, v reflect.Value, path string, tag reflect.StructTag) {
	if d.pos[path] == nil {
		d.pos[path] = start(n)
	}
	if n = d.plain(n, path); n == nil {
		return // an empty value is a missing one
	}
	switch {
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		if def, ok := v.Interface().(defaulter); ok {
			def.setDefaults()
		}
		d.decode(n, v.Elem(), path, tag)
	case v.Kind() == reflect.Struct:
		d.decodeStruct(n, v, path)
	case v.Kind() == reflect.Slice:
		d.decodeList(n, v, path, tag)
	default:
		d.decodeScalar(n, v, path, tag)
	}
}

func (d *decoder) decodeList(n ast.Node, v reflect.Value, path string, tag reflect.StructTag) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.problem(start(n), path, "put a dash before each element, also before a single one", "not a list")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values)))
	for i, e := range seq.Values {
		if def, ok := v.Index(i).Addr().Interface().(defaulter); ok {
			def.setDefaults()
		}
		at := path + "[" + strconv.Itoa(i) + "]"
		if d.plain(e, at) == nil {
			if !d.bad[at] {
				d.problem(cmp.Or(start(e), start(n)), at, "remove the dash, or write the element", "an empty element")
			}
			continue
		}
		d.decode(e, v.Index(i), at, tag)
	}
}

// decodeStruct reads the keys of a mapping, then says which are missing.
func (d *decoder) decodeStruct(n ast.Node, v reflect.Value, path string) {
	entries, ok := d.entries(n, path)
	if !ok {
		if v.Type() == secretType {
			d.problem(start(n), path, "write {env: NAME} or {file: PATH}; a value that was in a file once is no secret any more", "a secret is never in this file itself")
		} else {
			d.problem(start(n), path, "write keys and values: "+strings.Join(keysOf(v.Type()), ", "), "not a mapping")
		}
		return
	}
	fields := map[string]int{}
	for i := range v.NumField() {
		if name, ok := keyOf(v.Type().Field(i)); ok {
			fields[name] = i
		}
	}
	seen := map[string]bool{}
	for _, e := range entries {
		at := join(path, e.key)
		i, known := fields[e.key]
		switch {
		case !known:
			d.problem(start(e.node), at, insteadOfKey(e.key, v.Type()), "unknown key")
		case seen[e.key]:
			if !e.merged {
				d.problem(start(e.node), at, "keep one of the two", "the key is there twice")
			}
		default:
			seen[e.key] = true
			d.decode(e.node.Value, v.Field(i), at, v.Type().Field(i).Tag)
		}
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, _ := keyOf(f)
		if at := join(path, name); f.Tag.Get("need") != "" && v.Field(i).IsZero() && !d.within(at) {
			d.problem(start(n), at, "write "+example(name, f), "missing")
		}
	}
	if v.Type() == secretType {
		d.readSecret(v.Addr().Interface().(*Secret), path)
	}
}

// within reports whether something at or below the path has a problem already.
func (d *decoder) within(path string) bool {
	for p := range d.bad {
		if p == path || strings.HasPrefix(p, path+".") || strings.HasPrefix(p, path+"[") {
			return true
		}
	}
	return false
}

// entry is one key of a mapping; merged when it came in by a merge key.
type entry struct {
	key    string
	node   *ast.MappingValueNode
	merged bool
}

// entries returns the keys of a mapping, its own before those that a merge key (<<) brings in.
func (d *decoder) entries(n ast.Node, path string) ([]entry, bool) {
	var values []*ast.MappingValueNode
	switch t := n.(type) {
	case *ast.MappingNode:
		values = t.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{t}
	default:
		return nil, false
	}
	var own, merged []entry
	for _, mv := range values {
		if mv.Key.IsMergeKey() {
			merged = append(merged, d.merge(mv.Value, path)...)
			continue
		}
		key := mv.Key.GetToken().Value
		if k, ok := d.plain(mv.Key, path).(*ast.StringNode); ok {
			key = k.Value
		}
		own = append(own, entry{key: key, node: mv})
	}
	return append(own, merged...), true
}

func (d *decoder) merge(n ast.Node, path string) []entry {
	target := d.plain(n, path)
	if list, ok := target.(*ast.SequenceNode); ok {
		var all []entry
		for _, e := range list.Values {
			all = append(all, d.merge(e, path)...)
		}
		return all
	}
	entries, ok := d.entries(target, path) // ends also where anchors merge each other: plain counts
	if !ok && target != nil {
		d.problem(start(n), path, "write <<: *NAME, with the name of an anchor before a mapping", "only a mapping can be merged")
	}
	for i := range entries {
		entries[i].merged = true
	}
	return entries
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// keyOf returns the key of a field; false when the field is not in the file.
func keyOf(f reflect.StructField) (string, bool) {
	name := f.Tag.Get("yaml")
	return name, name != "" && name != "-"
}

func keysOf(t reflect.Type) []string {
	var keys []string
	for f := range t.Fields() {
		if name, ok := keyOf(f); ok {
			keys = append(keys, name)
		}
	}
	return keys
}
