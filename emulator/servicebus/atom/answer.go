package atom

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"fnobridge/emulator/servicebus/entity"
)

// refusal is an answer that is an error.
type refusal struct {
	status int
	detail string
}

func (r *refusal) Error() string { return fmt.Sprintf("%d %s", r.status, r.detail) }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) error {
	return refuse(http.StatusBadRequest, "SubCode=40000. "+format, args...)
}

// together makes one answer of several, nil of none.
func together(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	first := refusalOf(errs[0], "")
	for _, err := range errs[1:] {
		first = &refusal{first.status, first.detail + " " + refusalOf(err, "").detail}
	}
	return first
}

// refusalOf finds the answer to any error.
func refusalOf(err error, path string) *refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return &refusal{http.StatusNotFound, fmt.Sprintf(
			"SubCode=40400. Not Found. The Operation doesn't exist. The messaging entity '%s' could not be found.", path)}
	case errors.Is(err, ErrExists):
		return &refusal{http.StatusConflict, fmt.Sprintf(
			"SubCode=40900. Conflict. The messaging entity '%s' already exists.", path)}
	case errors.Is(err, ErrQuota):
		return &refusal{http.StatusForbidden, "SubCode=40300. Quota exceeded: " + err.Error()}
	case errors.Is(err, ErrInvalid):
		return &refusal{http.StatusBadRequest, "SubCode=40000. " + err.Error()}
	}
	if _, ok := errors.AsType[*entity.Problem](err); ok {
		return &refusal{http.StatusBadRequest, "SubCode=40000. " + strings.ReplaceAll(err.Error(), "\n", "; ")}
	}
	return &refusal{http.StatusInternalServerError, "SubCode=50000. " + err.Error()}
}

// write sends the error as the clients read it.
func (r *refusal) write(w http.ResponseWriter) {
	x := &writer{}
	x.open("Error")
	x.leaf("Code", fmt.Sprint(r.status))
	x.leaf("Detail", r.detail)
	x.close("Error")
	if r.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	w.Header().Set("Content-Type", "application/xml; charset=utf-8")
	w.WriteHeader(r.status)
	_, _ = w.Write(x.bytes()) // the client may be gone; nobody else needs to know
}
