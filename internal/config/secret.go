package config

import "log/slog"

// A Secret is a value that is kept elsewhere: in an environment variable or in a file, exactly one of the two. Load reads
// it once. Formatting, logging and marshalling a Secret in any way gives "[set]" or "[not set]", never the value.
type Secret struct {
	Env  string `yaml:"env" doc:"Name of the environment variable that holds the value."`
	File string `yaml:"file" path:"true" doc:"File that holds the value; spaces and line ends around it are ignored."`

	value string
}

// NewSecret returns a secret with a value, for a configuration that is built by a program and not read from a file.
func NewSecret(value string) *Secret { return &Secret{value: value} }

// Value returns the secret itself. A nil Secret has none.
func (s *Secret) Value() string {
	if s == nil {
		return ""
	}
	return s.value
}

// String says whether there is a value.
func (s Secret) String() string {
	if s.value == "" {
		return "[not set]"
	}
	return "[set]"
}

// GoString is String: %#v must not leak either.
func (s Secret) GoString() string { return s.String() }

// MarshalText is String, for every encoder that asks for it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue is String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
