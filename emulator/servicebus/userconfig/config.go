package userconfig

import (
	"bytes"
	"fmt"
	"os"

	"fnobridge/emulator/servicebus/entity"
)

// Config is what a file describes.
type Config struct {
	Namespace entity.Namespace
	// Faults asks for the control endpoint.
	Faults bool
	// Logging is "File", "Console" or both, joined by a comma; it is read because the format has it, and means nothing
	// here.
	Logging string
}

// Load reads a file. The error names it, and is otherwise that of Parse.
func Load(file string) (Config, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return Config{}, fmt.Errorf("read emulator configuration: %w", err)
	}
	c, err := Parse(data)
	if err != nil {
		return Config{}, fmt.Errorf("emulator configuration %s:\n%w", file, err)
	}
	return c, nil
}

// Parse reads the text of a file. The error joins a *Problem for everything that is wrong; JSON that cannot be read at
// all is the only one.
func Parse(data []byte) (Config, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // what Windows editors put in front
	top, err := scan(data)
	if err != nil {
		return Config{}, err
	}
	r := &reader{data: data}
	var c Config
	o := r.object(top)
	o.pass("$schema")
	o.flag("Faults", &r.faults)
	if user := o.child("UserConfig"); user != nil {
		r.user(user, &c)
		user.done()
	} else if _, ok := top.value.([]member); ok {
		o.missing("UserConfig")
	}
	o.done()
	if err := r.err(); err != nil {
		return Config{}, err
	}
	if err := c.Namespace.Validate(); err != nil { // nothing is left, unless a rule was forgotten above
		r.failf(0, "", "%v", err)
		return Config{}, r.err()
	}
	c.Faults = r.faults
	return c, nil
}

func (r *reader) user(o *object, c *Config) {
	o.flag("Faults", &r.faults)
	if logging := o.child("Logging"); logging != nil {
		logging.one("Type", &c.Logging, "File", "Console", "File,Console", "Console,File")
		logging.done()
	}
	all := o.list("Namespaces")
	switch {
	case len(all) == 1:
		c.Namespace = r.namespace(r.object(all[0]))
	case len(all) > 1:
		r.failf(all[1].at, all[1].path, "there can be only one namespace")
		r.namespace(r.object(all[0])) // for what else is wrong
	case o.members["namespaces"] == nil:
		o.missing("Namespaces")
	default:
		if _, ok := o.members["namespaces"].value.([]*node); ok {
			r.failf(o.members["namespaces"].at, o.members["namespaces"].path, "must hold one namespace")
		}
	}
}
