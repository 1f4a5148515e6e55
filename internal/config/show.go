package config

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"

	"github.com/goccy/go-yaml"
)

// Show returns the effective configuration as YAML: what the file says and every default it leaves alone. A secret is
// shown by where it is kept and whether it has a value, so that the output can be loaded again where the same
// variables and files are.
func (c *Config) Show() ([]byte, error) {
	comments := yaml.CommentMap{}
	tree := shown(reflect.ValueOf(*c), "$", comments)
	out, err := yaml.MarshalWithOptions(tree, yaml.IndentSequence(true), yaml.WithComment(comments))
	if err != nil {
		return nil, fmt.Errorf("write the configuration as YAML: %w", err)
	}
	return out, nil
}

// shown turns a value into what the encoder writes: structs keep the order of their fields, empty optional values are
// left out. path is where it is, in goccy's notation, for the comments.
func shown(v reflect.Value, path string, comments yaml.CommentMap) any {
	switch x := v.Interface().(type) {
	case time.Duration:
		return duration(x)
	case Size:
		return x.String()
	case *Secret:
		comments[path] = []*yaml.Comment{yaml.LineComment(" " + x.String())}
	}
	switch v.Kind() {
	case reflect.Pointer:
		return shown(v.Elem(), path, comments)
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = shown(v.Index(i), path+"["+strconv.Itoa(i)+"]", comments)
		}
		return list
	case reflect.Struct:
		var keys yaml.MapSlice
		for i := range v.NumField() {
			name, ok := keyOf(v.Type().Field(i))
			if !ok || unset(v.Field(i)) && name != "listen" { // an empty listen is a setting: off
				continue
			}
			keys = append(keys, yaml.MapItem{Key: name, Value: shown(v.Field(i), path+"."+name, comments)})
		}
		return keys
	case reflect.String:
		return v.String()
	case reflect.Float64:
		if f := v.Float(); f == math.Trunc(f) {
			return int64(f) // 2, not 2.0
		}
		return v.Interface()
	default:
		return v.Interface()
	}
}

// unset reports whether a value is absent rather than zero: a number 0 is a setting.
func unset(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Int, reflect.Int64, reflect.Float64:
		return false
	default:
		return v.IsZero()
	}
}
