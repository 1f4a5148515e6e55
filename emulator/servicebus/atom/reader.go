package atom

import (
	"crypto/rand"
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
	"time"

	"fnobridge/emulator/servicebus/entity"
)

// reader reads the properties of a description and collects what is wrong.
type reader struct {
	e    *element
	errs []error
}

func (r *reader) err() error { return together(r.errs) }

func (r *reader) failf(name, format string, args ...any) {
	r.errs = append(r.errs, badRequest("The value for "+name+" is not valid: "+format, args...))
}

// value is the text of a property and whether it was sent.
func (r *reader) value(name string) (string, bool) {
	c := r.e.child(name)
	if c == nil || c.null() {
		return "", false
	}
	return strings.TrimSpace(c.text), true
}

func (r *reader) text(name string, to *string) {
	if c := r.e.child(name); c != nil && !c.null() {
		*to = c.text
	}
}

func (r *reader) flag(name string, to *bool) {
	s, ok := r.value(name)
	if !ok {
		return
	}
	v, err := strconv.ParseBool(strings.ToLower(s))
	if err != nil {
		r.failf(name, "%q is neither true nor false", s)
		return
	}
	*to = v
}

func (r *reader) number(name string, to *int) {
	s, ok := r.value(name)
	if !ok {
		return
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		r.failf(name, "%q is not a 32-bit number", s)
		return
	}
	*to = int(n)
}

func (r *reader) span(name string, to *time.Duration) {
	s, ok := r.value(name)
	if !ok {
		return
	}
	d, err := entity.ParseDuration(s)
	if err != nil {
		r.failf(name, "%v", err)
		return
	}
	*to = d
}

// target reads the name of an entity out of a URL, which is kept too, or a bare name.
func (r *reader) target(name string, to, full *string) {
	s, ok := r.value(name)
	if !ok {
		return
	}
	if strings.Contains(s, "://") {
		u, err := url.Parse(s)
		if err != nil {
			r.failf(name, "%q is not a URL", s)
			return
		}
		*full = s
		s = strings.Trim(u.Path, "/")
	}
	*to = s
}

func (r *reader) settings(s *entity.Settings) {
	r.span("DefaultMessageTimeToLive", &s.DefaultMessageTimeToLive)
	r.span("AutoDeleteOnIdle", &s.AutoDeleteOnIdle)
	r.flag("EnableBatchedOperations", &s.EnableBatchedOperations)
	r.text("UserMetadata", &s.UserMetadata)
	if v, ok := r.value("Status"); ok {
		s.Status = entity.Status(v)
	}
}

func (r *reader) storage(s *entity.Storage) {
	r.number("MaxSizeInMegabytes", &s.MaxSizeInMegabytes)
	r.number("MaxMessageSizeInKilobytes", &s.MaxMessageSizeInKilobytes)
	r.flag("RequiresDuplicateDetection", &s.RequiresDuplicateDetection)
	r.span("DuplicateDetectionHistoryTimeWindow", &s.DuplicateDetectionHistoryTimeWindow)
	r.flag("EnablePartitioning", &s.EnablePartitioning)
	r.flag("EnableExpress", &s.EnableExpress)
	r.flag("SupportOrdering", &s.SupportOrdering)
	r.flag("IsAnonymousAccessible", &s.IsAnonymousAccessible)
	s.AuthorizationRules = r.authorization()
}

func (r *reader) delivery(d *entity.Delivery) {
	r.span("LockDuration", &d.LockDuration)
	r.flag("RequiresSession", &d.RequiresSession)
	r.number("MaxDeliveryCount", &d.MaxDeliveryCount)
	r.flag("DeadLetteringOnMessageExpiration", &d.DeadLetteringOnMessageExpiration)
	r.target("ForwardTo", &d.ForwardTo, &d.ForwardURL)
	r.target("ForwardDeadLetteredMessagesTo", &d.ForwardDeadLetteredMessagesTo, &d.ForwardDeadLettersURL)
}

func (r *reader) authorization() []entity.AuthorizationRule {
	list := r.e.child("AuthorizationRules")
	if list == nil {
		return nil
	}
	var rules []entity.AuthorizationRule
	for _, e := range list.children {
		if e.name != "AuthorizationRule" {
			continue
		}
		one := &reader{e: e}
		var rule entity.AuthorizationRule
		one.text("KeyName", &rule.Name)
		one.text("PrimaryKey", &rule.Key)
		one.text("SecondaryKey", &rule.SecondaryKey)
		one.time("CreatedTime", &rule.CreatedTime)
		one.time("ModifiedTime", &rule.ModifiedTime)
		if rule.Key == "" { // the service makes one up
			rule.Key = newKey()
		}
		if rights := e.child("Rights"); rights != nil {
			for _, c := range rights.children {
				rule.Rights = append(rule.Rights, entity.Right(strings.TrimSpace(c.text)))
			}
		}
		r.errs = append(r.errs, one.errs...)
		rules = append(rules, rule)
	}
	return rules
}

func (r *reader) time(name string, to *time.Time) {
	s, ok := r.value(name)
	if !ok {
		return
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		r.failf(name, "%q is not a time", s)
		return
	}
	*to = t
}

func newKey() string {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails, says crypto/rand
	return base64.StdEncoding.EncodeToString(key[:])
}
