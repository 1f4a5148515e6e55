package bus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"syscall"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"
)

// credentialError is an error of a credential that wraps what kept it from getting a token, marked as azidentity's are.
type credentialError struct{ error }

func (e credentialError) Unwrap() error { return e.error }
func (credentialError) NonRetriable()   {}

func TestHealthAfter(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	condition := func(c amqp.ErrCond) *amqp.Error { return &amqp.Error{Condition: c} }
	for name, c := range map[string]struct {
		err  error
		want health
	}{
		"code: connection lost":             {&azservicebus.Error{Code: azservicebus.CodeConnectionLost}, doubtful},
		"code: lock lost":                   {&azservicebus.Error{Code: azservicebus.CodeLockLost}, alive},
		"code: timeout":                     {&azservicebus.Error{Code: azservicebus.CodeTimeout}, alive},
		"code: not found":                   {&azservicebus.Error{Code: azservicebus.CodeNotFound}, alive},
		"code: closed":                      {&azservicebus.Error{Code: azservicebus.CodeClosed}, alive},
		"code: unauthorized":                {&azservicebus.Error{Code: azservicebus.CodeUnauthorizedAccess}, alive},
		"neither messages nor an error":     {errLinkLost, doubtful},
		"connection ended":                  {&amqp.ConnError{}, dead},
		"connection closed by the broker":   {&amqp.ConnError{RemoteErr: condition(condConnForced)}, dead},
		"connection closed for its token":   {&amqp.ConnError{RemoteErr: condition(amqp.ErrCondUnauthorizedAccess)}, dead},
		"session ended":                     {&amqp.SessionError{}, dead},
		"link detached":                     {&amqp.LinkError{RemoteErr: condition(amqp.ErrCondDetachForced)}, alive},
		"link detached with the connection": {&amqp.LinkError{RemoteErr: condition(condConnForced)}, dead},
		"session taken":                     {condition(condTaken), alive},
		"no right":                          {condition(amqp.ErrCondUnauthorizedAccess), alive},
		"too large":                         {azservicebus.ErrMessageTooLarge, alive},
		"refused":                           {refused, dead},
		"reset":                             {&net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, dead},
		"read timeout":                      {&net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}, dead},
		"no such host":                      {&net.DNSError{Err: "no such host", IsNotFound: true}, dead},
		"end of file":                       {io.EOF, dead},
		"end within a frame":                {io.ErrUnexpectedEOF, dead},
		"closed socket":                     {net.ErrClosed, dead},
		"our deadline":                      {context.DeadlineExceeded, alive},
		"dial up to our deadline":           {&net.OpError{Op: "dial", Net: "tcp", Err: context.DeadlineExceeded}, alive},
		"our cancel":                        {context.Canceled, alive},
		"a file":                            {&fs.PathError{Op: "open", Path: "token", Err: syscall.ENOENT}, alive},
		"a bare errno":                      {syscall.EACCES, alive},
		"no token":                          {credentialError{errors.New("no token")}, alive},
		"no way to the identity provider":   {credentialError{&url.Error{Op: "Post", URL: "https://login.example", Err: refused}}, alive},
		"anything else":                     {errors.New("anything else"), alive},
	} {
		for _, err := range []error{c.err, fmt.Errorf("wrapped: %w", c.err)} {
			if got := healthAfter(err); got != c.want {
				t.Errorf("%s: %v, want %v", name, got, c.want)
			}
		}
	}
}

// TestALossBehindAStopIsALoss: the caller stops in the moment in which the link is lost. The SDK would attach the session
// again with the next call, and nobody would know.
func TestALossBehindAStopIsALoss(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.send("files", "a", "1")
		s := r.accept()
		ctx, cancel := context.WithCancel(t.Context())
		err := s.do(ctx, "receive", false, func(context.Context) error {
			cancel()
			return errLinkLost
		})
		if !errors.Is(err, ErrLost) {
			t.Errorf("got %v", err)
		}
		if err := s.Renew(t.Context()); !errors.Is(err, ErrLost) {
			t.Errorf("then renewed: %v", err)
		}
		_ = s.Close(t.Context()) // whatever is left of it
	})
}
