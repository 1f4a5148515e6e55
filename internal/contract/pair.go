package contract

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"fnobridge/internal/failure"
)

// A Pair is an entity and a company (legal entity). An empty company is right: F&O then imports into the company of the
// batch user.
type Pair struct{ Entity, Company string }

// Session returns the session ID that names the pair: "Entity", or "company/Entity".
func (p Pair) Session() string {
	if p.Company == "" {
		return p.Entity
	}
	return p.Company + "/" + p.Entity
}

// PairOfSession returns the pair that a session ID names. What stands before the first slash is a company only if it
// could be one, so an entity label with a slash of its own stays whole.
func PairOfSession(id string) Pair {
	company, entity, ok := strings.Cut(id, "/")
	if ok && company != "" && entity != "" && CheckCompany(company) == nil {
		return Pair{Entity: entity, Company: company}
	}
	return Pair{Entity: id}
}

// Or returns the pair with what it leaves open taken from q.
func (p Pair) Or(q Pair) Pair {
	if p.Entity == "" {
		p.Entity = q.Entity
	}
	if p.Company == "" {
		p.Company = q.Company
	}
	return p
}

// Check refuses a pair that F&O cannot know. Its error is a *failure.Failure that rejects the message.
func (p Pair) Check() error {
	if err := CheckEntity(p.Entity); err != nil {
		return err
	}
	return CheckCompany(p.Company)
}

// maxEntity is the largest label of a data entity, in bytes.
const maxEntity = 512

// CheckEntity refuses what cannot be the label of a data entity. Everything printable is allowed: labels hold spaces,
// quotes, plus signs, ampersands and any script. Its error is a *failure.Failure that rejects the message.
func CheckEntity(s string) error {
	switch {
	case strings.TrimSpace(s) == "":
		return reject("no entity: neither the route, nor the property %q, nor the session ID names one", PropEntity)
	case !utf8.ValidString(s):
		return reject("the entity is not valid UTF-8")
	case len(s) > maxEntity:
		return reject("the entity is %d bytes long, a label has at most %d", len(s), maxEntity)
	case strings.ContainsFunc(s, unicode.IsControl):
		return reject("the entity %q holds a control character", s)
	}
	return nil
}

// CheckCompany refuses what cannot be a legal entity: F&O's dataAreaId has one to four characters. Its error is a
// *failure.Failure that rejects the message.
func CheckCompany(s string) error {
	if utf8.RuneCountInString(s) > 4 {
		return reject("company %q is longer than four characters: want F&O's legal entity ID, as in \"usmf\"", s)
	}
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' && r != '_' {
			return reject("company %q holds %q: want F&O's legal entity ID, as in \"usmf\"", s, r)
		}
	}
	return nil
}

func reject(format string, args ...any) *failure.Failure {
	return &failure.Failure{
		Verdict: failure.Reject, Reason: failure.BadMessage, Op: "read message", Detail: fmt.Sprintf(format, args...),
	}
}
