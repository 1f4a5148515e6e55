package config

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// decodeScalar reads a single value and checks it by the tags of its field: enum, then form, then path.
func (d *decoder) decodeScalar(n ast.Node, v reflect.Value, path string, tag reflect.StructTag) {
	text, isText := "", false
	switch t := n.(type) {
	case *ast.StringNode:
		text, isText = t.Value, true
	case *ast.LiteralNode:
		text, isText = strings.TrimSpace(t.Value.Value), true
	case *ast.MappingNode, *ast.MappingValueNode, *ast.SequenceNode:
		d.problem(start(n), path, "write a single "+wanted(v.Type()), "not a single value")
		return
	default:
		text = n.GetToken().Value
	}
	wrong := func(fix, what string, args ...any) { d.problem(start(n), path, fix, what, args...) }

	switch {
	case v.Type() == durationType:
		dur, err := time.ParseDuration(text)
		if err != nil {
			wrong("write a number and a unit, as in 200ms, 30s, 5m, 2h", "%s is not a duration", quote(text))
			return
		}
		v.SetInt(int64(dur))
	case v.Type() == sizeType:
		size, err := ParseSize(text)
		if err != nil {
			wrong("write a whole number and a unit, as in 200KB, 28MB, 1GiB", "%s is not a size: %s", quote(text), err)
			return
		}
		v.SetInt(int64(size))
	case v.Kind() == reflect.Int:
		i, err := strconv.Atoi(text)
		if err != nil || isText || i < math.MinInt32 || i > math.MaxInt32 {
			wrong("write a whole number without quotes", "%s is not a whole number", quote(text))
			return
		}
		v.SetInt(int64(i))
	case v.Kind() == reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || isText || math.IsNaN(f) || math.IsInf(f, 0) {
			wrong("write a number without quotes, as in 0.5", "%s is not a number", quote(text))
			return
		}
		v.SetFloat(f)
	case v.Kind() == reflect.String:
		if !isText {
			wrong(fmt.Sprintf("put it in quotes: %q", text), "%s is not a text", quote(text))
			return
		}
		v.SetString(text)
	}

	if words := tag.Get("enum"); words != "" {
		if list := strings.Split(words, "|"); !slices.Contains(list, text) {
			wrong(instead(text, list), "%s is not known", quote(text))
			return
		}
	}
	if check := forms[tag.Get("form")]; check != nil {
		good, what, fix := check(v.Interface())
		if what != "" {
			wrong(fix, "%s", what)
			return
		}
		if good != "" {
			v.SetString(good)
		}
	}
	if tag.Get("path") != "" && text != "" {
		v.SetString(d.resolve(text))
		if info, err := os.Stat(v.String()); err != nil {
			wrong("check the name; it is relative to the folder of the configuration", "file %s cannot be read: %s", quote(v.String()), reason(err))
		} else if info.IsDir() {
			wrong("name a file in it", "%s is a folder", quote(v.String()))
		}
	}
}

// resolve takes a file name relative to the folder of the configuration.
func (d *decoder) resolve(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(d.dir, name)
}

// readSecret fetches the value that a Secret refers to.
func (d *decoder) readSecret(s *Secret, path string) {
	if d.within(path) {
		return
	}
	pos := d.pos[path]
	switch {
	case s.Env == "" && s.File == "":
		d.problem(pos, path, "write {env: NAME} or {file: PATH}", "neither env nor file")
	case s.Env != "" && s.File != "":
		d.problem(pos, path, "keep one of the two", "both env and file")
	case s.Env != "":
		value, ok := d.env(s.Env)
		if s.value = strings.TrimSpace(value); s.value == "" {
			what := "environment variable %s is not set"
			if ok {
				what = "environment variable %s is empty"
			}
			d.problem(d.at(path+".env"), path+".env", "set it where the bridge is started, or write {file: PATH}", what, quote(s.Env))
		}
	default:
		data, err := os.ReadFile(s.File)
		if err != nil {
			d.problem(d.at(path+".file"), path+".file", "check the file and who may read it", "file %s cannot be read: %s", quote(s.File), reason(err))
			return
		}
		if s.value = strings.TrimSpace(string(data)); s.value == "" {
			d.problem(d.at(path+".file"), path+".file", "write the value into it", "file %s is empty", quote(s.File))
		}
	}
}

// reason returns the cause of a file error without the path, which the caller names.
func reason(err error) string {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok || u.Unwrap() == nil {
			return err.Error()
		}
		err = u.Unwrap()
	}
}

// wanted names a type for a reader.
func wanted(t reflect.Type) string {
	switch {
	case t == durationType:
		return "duration, as in 30s"
	case t == sizeType:
		return "size, as in 28MB"
	case t.Kind() == reflect.String:
		return "text"
	default:
		return "number"
	}
}
