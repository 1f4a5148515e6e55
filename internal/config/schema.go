package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// Schema returns the JSON Schema of bridge.yaml, for editors: `# yaml-language-server: $schema=FILE`. It is derived from
// the same tags as the decoder. It is looser than Load, which also sees how values depend on each other.
func Schema() *jsonschema.Schema {
	s := schemaOf(reflect.TypeFor[Config](), "", reflect.ValueOf(*Default()))
	s.Schema = "https://json-schema.org/draft/2020-12/schema"
	s.Title = "fnobridge configuration"
	s.Description = "bridge.yaml: what the bridge reads, where it sends it, and how patiently."
	return s
}

// schemaOf returns the schema of a type. tag is that of the field; def holds the default where it is valid.
func schemaOf(t reflect.Type, tag reflect.StructTag, def reflect.Value) *jsonschema.Schema {
	s := &jsonschema.Schema{Description: tag.Get("doc")}
	switch {
	case t.Kind() == reflect.Pointer:
		return schemaOf(t.Elem(), tag, defaultOf(t.Elem()))
	case t == durationType:
		s.Type, s.Pattern = "string", `^[0-9.]+(ns|us|µs|ms|s|m|h)([0-9.]+(ns|us|µs|ms|s|m|h))*$`
	case t == sizeType:
		s.Types, s.Pattern = []string{"string", "integer"}, `^[0-9.]+ *([KMGkmg]?[Bb]|[KMGkmg]i[Bb])?$`
	case t.Kind() == reflect.Int:
		s.Type = "integer"
	case t.Kind() == reflect.Float64:
		s.Type = "number"
	case t.Kind() == reflect.String:
		s.Type = "string"
	case t.Kind() == reflect.Slice:
		s.Type = "array"
		s.Items = schemaOf(t.Elem(), "", defaultOf(t.Elem()))
		return s
	case t.Kind() == reflect.Struct:
		return structSchema(s, t, def)
	}
	if words := tag.Get("enum"); words != "" {
		for w := range strings.SplitSeq(words, "|") {
			s.Enum = append(s.Enum, w)
		}
	}
	if tag.Get("form") == "guid" {
		s.Pattern = guidShape.String()
	}
	if def.IsValid() && !def.IsZero() {
		s.Default, _ = json.Marshal(shown(def, "", nil)) // numbers and texts only: cannot fail
	}
	return s
}

func structSchema(s *jsonschema.Schema, t reflect.Type, def reflect.Value) *jsonschema.Schema {
	s.Type = "object"
	s.AdditionalProperties = &jsonschema.Schema{Not: &jsonschema.Schema{}}
	s.Properties = map[string]*jsonschema.Schema{}
	for f := range t.Fields() {
		key, ok := keyOf(f)
		if !ok {
			continue
		}
		s.PropertyOrder = append(s.PropertyOrder, key)
		s.Properties[key] = schemaOf(f.Type, f.Tag, def.FieldByIndex(f.Index))
		if f.Tag.Get("need") != "" {
			s.Required = append(s.Required, key)
		}
	}
	if t == secretType {
		s.OneOf = []*jsonschema.Schema{{Required: []string{"env"}}, {Required: []string{"file"}}}
	}
	return s
}

// defaultOf returns a value of the type with its defaults.
func defaultOf(t reflect.Type) reflect.Value {
	v := reflect.New(t)
	if def, ok := v.Interface().(defaulter); ok {
		def.setDefaults()
	}
	return v.Elem()
}

// SchemaJSON returns Schema as indented JSON.
func SchemaJSON() ([]byte, error) {
	out, err := json.MarshalIndent(Schema(), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the schema: %w", err)
	}
	return append(out, '\n'), nil
}
